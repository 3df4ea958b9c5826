"""The schema of the segments service, step by step."""
