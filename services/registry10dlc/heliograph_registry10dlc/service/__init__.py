"""The use cases over registrations: one method each, one transaction each, one writer for each project."""
