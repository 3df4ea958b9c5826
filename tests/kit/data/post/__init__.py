"""A tiny service: a table of letters, and mail. What the tests of outbox, inbox and migrations work on."""
