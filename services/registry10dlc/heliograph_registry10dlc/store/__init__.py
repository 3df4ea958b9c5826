"""What the registry keeps, in PostgreSQL. Every method works inside the caller's transaction."""
