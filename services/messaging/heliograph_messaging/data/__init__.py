"""Data files of the messaging service."""
