"""The record in PostgreSQL: hand-written statements over `tables`, bulk by arrays and COPY."""
