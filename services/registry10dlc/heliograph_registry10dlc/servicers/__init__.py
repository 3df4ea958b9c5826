"""The gRPC faces of the registry, one module for each service."""
