"""The campaigns service: what to say to a segment, when, to whom of it, and what became of it."""
