"""A wire between two programs that a test can cut and mend."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Wire:
    """Carries TCP connections from a port of its own to a target; cut, the port refuses."""

    def __init__(self, target: str) -> None:
        """Take host:port."""
        self._host, _, port = target.rpartition(":")
        self._to = int(port)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """host:port to connect to."""
        return f"127.0.0.1:{self._port}"

    async def mend(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End all connections and take no more; safe to repeat."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._to)
        self._writers |= {writer, back}
        with suppress(OSError):
            await asyncio.gather(_pour(reader, back), _pour(there, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()
