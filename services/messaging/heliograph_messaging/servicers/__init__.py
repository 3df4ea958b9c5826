"""The gRPC faces: parse, call, translate; no rules, no SQL."""
