"""gRPC faces of the registry: parse, call, translate."""
