"""The segments service: endpoints, segments, imports, audiences."""
