"""Data files of the 10DLC registry."""
