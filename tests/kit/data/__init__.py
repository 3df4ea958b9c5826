"""Tests of the data half of the kit: database, outbox, bus, consumers, reconciler, embedded servers."""
