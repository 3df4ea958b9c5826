"""The analytics service: events in, key figures out."""
