"""The gRPC server of a service: limits, keepalive, health, reflection, access, and a stop that loses no call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from heliograph_kit.keepalive import server_options
from heliograph_kit.rpc.access import AccessGuard, BearerCheck
from heliograph_kit.rpc.health import Health
from heliograph_kit.rpc.interceptors import CallInterceptor


class AddressTaken(Exception):
    """The server cannot listen where it was told to."""


@dataclass(frozen=True)
class Limits:
    """What clients may do to the server; seconds and bytes."""

    max_message_bytes: int = 4 * 1024 * 1024
    max_connection_age_seconds: float = 300
    min_ping_interval_seconds: float = 10


class RpcServer:
    """One server, one port. Add the services, start, announce readiness, stop."""

    def __init__(self, listen: str, bearer: BearerCheck, *, limits: Limits | None = None) -> None:
        """Take host:port (port 0 takes a free one) and what turns tokens into principals."""
        self._listen = listen
        self._limits = limits or Limits()
        self._guard = AccessGuard(bearer)
        self._names: list[str] = []
        self._services: list[tuple[Callable[[Any, grpc.aio.Server], None], object]] = []
        self._server: grpc.aio.Server | None = None
        self.health = Health()
        self.address = ""

    @property
    def ready(self) -> bool:
        """Whether calls should be sent here."""
        return self.health.ready

    async def set_ready(self, ready: bool) -> None:
        """Announce whether calls should be sent here; safe to repeat."""
        await self.health.set_ready(ready)

    def add(self, add_to_server: Callable[[Any, grpc.aio.Server], None], servicer: object, full_name: str) -> None:
        """Serve a service, as in `add(add_SegmentServiceServicer_to_server, servicer, "heliograph.segments.v1...")`.

        Raises:
            MissingAccessRule: a method of the service has no access rule.
        """
        self._guard.protect(full_name)
        self._services.append((add_to_server, servicer))
        self._names.append(full_name)
        self.health.add(full_name)

    async def start(self) -> str:
        """Listen and return host:port; alive at once, ready only when told so.

        Raises:
            AddressTaken: the port is in use or the host is not ours.
        """
        server = grpc.aio.server(
            interceptors=[CallInterceptor(self._guard, max_message_bytes=self._limits.max_message_bytes)],
            options=self._options(),
        )
        for add_to_server, servicer in self._services:
            add_to_server(servicer, server)
        self.health.register(server)
        reflection.enable_server_reflection((*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            port = server.add_insecure_port(self._listen)
        except RuntimeError:
            port = 0
        if not port:
            raise AddressTaken(
                f"cannot listen on {self._listen}: another program has the port, or the host is not ours"
            )
        await self.health.start()
        await server.start()
        self._server = server
        self.address = f"{self._listen.rpartition(':')[0]}:{port}"
        return self.address

    async def stop(self, *, drain_seconds: float, grace_seconds: float) -> None:
        """Stop without losing a call; safe to repeat.

        Readiness goes off; for `drain_seconds` calls are still taken, because balancers need time to notice; then no
        new ones, and running calls have `grace_seconds` to end before they are cut.
        """
        if self._server is None:
            return
        await self.health.set_ready(False)
        if drain_seconds:
            await asyncio.sleep(drain_seconds)
        self.health.end_watches()
        await self._server.stop(grace_seconds)
        self._server = None

    def _options(self) -> list[tuple[str, int]]:
        size = self._limits.max_message_bytes
        return [
            # Two servers on one port would share its calls silently; a taken port has to be an error.
            ("grpc.so_reuseport", 0),
            # Above our own limit, so that a request a little too large is refused with a reason; what is far too
            # large is cut by gRPC before it fills the memory, with RESOURCE_EXHAUSTED and no details.
            ("grpc.max_receive_message_length", 2 * size + 1024 * 1024),
            ("grpc.max_send_message_length", size + 64 * 1024),
            # Connections end now and then, so that clients spread over servers that came later.
            ("grpc.max_connection_age_ms", int(self._limits.max_connection_age_seconds * 1000)),
            *server_options(self._limits.min_ping_interval_seconds),
        ]
