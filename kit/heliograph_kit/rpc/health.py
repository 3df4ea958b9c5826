"""Health of the server under separate names for liveness and readiness (`grpc.health.v1`).

`liveness` serves as long as the process answers and does not depend on database or bus: a probe that restarts pods must
not fire while those are away, nor while the pod drains. `readiness`, the empty name and the names of the services say
whether calls should be sent here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import _async, health_pb2, health_pb2_grpc

LIVENESS = "liveness"
READINESS = "readiness"


class _Servicer(_async.HealthServicer):  # type: ignore[misc]  # the library's aio part has no types
    """The library's servicer, whose watches can be ended; otherwise one watching client holds the stop for all grace."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def Watch(self, request: Any, context: Any) -> None:
        watch = asyncio.create_task(super().Watch(request, context))
        ended = asyncio.create_task(self.ended.wait())
        try:
            await asyncio.wait((watch, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watch, ended):
                task.cancel()
            await asyncio.gather(watch, ended, return_exceptions=True)
        # A handler that is only cancelled sends no status, and the stop would wait for the call all the same.
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server stops")


class Health:
    """The health states of one server."""

    def __init__(self) -> None:
        """Start alive and not ready."""
        self._servicer = _Servicer()
        self._names: set[str] = {"", READINESS}
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether calls should be sent here."""
        return self._ready

    def register(self, server: grpc.aio.Server) -> None:
        """Add the health service to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def add(self, service: str) -> None:
        """Report a service by its full name, along with readiness."""
        self._names.add(service)

    async def start(self) -> None:
        """Announce liveness; everything else is not ready yet."""
        await self._servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._announce()

    async def set_ready(self, ready: bool) -> None:
        """Announce whether calls should be sent here; safe to repeat."""
        self._ready = ready
        await self._announce()

    async def _announce(self) -> None:
        states = health_pb2.HealthCheckResponse
        for name in sorted(self._names):
            await self._servicer.set(name, states.SERVING if self._ready else states.NOT_SERVING)

    def end_watches(self) -> None:
        """End the streams of clients that watch; they ask again elsewhere."""
        self._servicer.ended.set()
