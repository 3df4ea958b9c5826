"""Reading and writing the tables of `messaging`; no rules, no network."""
