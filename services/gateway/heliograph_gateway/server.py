"""The HTTP server: uvicorn under the promises of the kit's servers, with limits on what a client may take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from heliograph_kit.rpc import AddressTaken

MAX_HEAD_BYTES = 32 * 1024
"""Largest head of a request: the longest link, and the headers of the most talkative proxies."""

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Leaves signals to the runtime, which knows what else there is to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _protocol(header_seconds: float) -> type[H11Protocol]:
    """Return uvicorn's protocol with a time limit on the head of a request: it has none, and a slow client may be many."""

    class Limited(H11Protocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._expect_head()

        def data_received(self, data: bytes) -> None:
            if self._late is None and (self.cycle is None or self.cycle.response_complete):
                self._expect_head()
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._head_is_here()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_is_here()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            answered = self.cycle
            super().on_response_complete()
            if self.cycle is not answered:
                self._head_is_here()  # the next request had come already

        def _expect_head(self) -> None:
            self._late = self.loop.call_later(header_seconds, self._too_late)

        def _head_is_here(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _too_late(self) -> None:
            self._late = None
            if not self.transport.is_closing():
                self.transport.abort()

    return Limited


class HttpServer:
    """One server, one port."""

    def __init__(
        self,
        listen: str,
        *,
        max_connections: int,
        header_seconds: float,
        idle_seconds: int,
        grace_seconds: float,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """Take host:port (port 0 takes a free one) and the limits."""
        self._listen = listen
        self._limits: dict[str, Any] = {
            "http": _protocol(header_seconds),
            "h11_max_incomplete_event_size": MAX_HEAD_BYTES,
            "limit_concurrency": max_connections,
            "timeout_keep_alive": idle_seconds,
            "timeout_graceful_shutdown": max(1, round(grace_seconds)),
            "proxy_headers": bool(trusted_proxies),
            "forwarded_allow_ips": list(trusted_proxies),
        }
        self._app: ASGIApp | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self._ready

    def serve(self, app: ASGIApp) -> None:
        """Answer requests with this application."""
        self._app = app

    async def set_ready(self, ready: bool) -> None:
        """Announce whether requests should be sent here; safe to repeat."""
        self._ready = ready

    async def start(self) -> str:
        """Listen and return host:port; alive at once, ready only when told so.

        Raises:
            AddressTaken: the port is in use or the host is not ours.
        """
        if self._app is None:
            raise LookupError("call serve before start")
        host, _, port = self._listen.rpartition(":")
        try:
            taken = _listen(host.strip("[]"), int(port))
        except OSError as error:
            raise AddressTaken(
                f"cannot listen on {self._listen}: another program has the port, or the host is not ours"
            ) from error
        config = Config(
            self._app, lifespan="off", ws="none", log_config=None, access_log=False, server_header=False, **self._limits
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[taken]), name="http server")
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.01)
        return f"{host}:{taken.getsockname()[1]}"

    async def stop(self, *, drain_seconds: float, grace_seconds: float) -> None:
        """Take no new requests after the drain and let running ones end; safe to repeat."""
        if self._server is None or self._serving is None:
            return
        await self.set_ready(False)
        if drain_seconds:
            await asyncio.sleep(drain_seconds)
        self._server.should_exit = True
        try:
            async with asyncio.timeout(grace_seconds + 2):
                await self._serving
        except TimeoutError:
            _log.warning("requests did not end in time and are cut")
        self._server = None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Not SO_REUSEPORT: two servers on one port would share its requests silently.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(2048)
        taken.setblocking(False)
    except OSError:
        taken.close()
        raise
    return taken
