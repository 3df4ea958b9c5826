"""A process that has imported the libraries every service stands on, and nothing else; prints its memory in MiB."""

from __future__ import annotations

import importlib

import psutil

LIBRARIES = (
    "alembic.command",
    "grpc.aio",
    "grpc_health.v1.health_pb2_grpc",
    "nats",
    "opentelemetry.sdk.metrics",
    "opentelemetry.sdk.trace",
    "psycopg",
    "pydantic_settings",
    "sqlalchemy.ext.asyncio",
    "uvloop",
)

if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    print(psutil.Process().memory_info().rss / 2**20)
