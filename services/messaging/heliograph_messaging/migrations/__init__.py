"""Alembic migrations of the schema `messaging`."""
