"""The repository itself: one version, clean locks, complete folders, documented settings."""
