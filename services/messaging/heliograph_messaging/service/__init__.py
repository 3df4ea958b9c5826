"""The use cases: each checks first, then does its work in one transaction."""
