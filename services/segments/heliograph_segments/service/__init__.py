"""The use cases: check first, then one transaction, announcements in the same commit."""
