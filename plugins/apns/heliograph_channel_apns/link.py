"""The connection to one of Apple's environments: kept between calls, and replaced when it goes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from heliograph_channel_apns.connection import Connection, Header
from heliograph_channel_apns.streams import Moved
from heliograph_channels.http_client import Answer, NotSent

__all__ = ["Link"]

_QUIET_SECONDS = 30.0
"""A connection that was silent for longer is asked for a sign of life first: a call into a dead one would be in doubt."""
_PING_SECONDS = 3.0
_TRIES = 3


class Link:
    """Calls of one environment, over one connection. One event loop; any number of calls at once."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, *, timeout: float, most_streams: int) -> None:
        """Connect with the first call. `timeout`: most seconds a call may take, connecting included."""
        self._host, self._port, self._tls = host, port, tls
        self._timeout = timeout
        self._most = most_streams
        self._connection: Connection | None = None
        self._leaving: set[Connection] = set()
        self._connecting = asyncio.Lock()
        self._closed = False
        self._attempts = 0
        self._failure: NotSent | None = None

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def authority(self) -> str:
        """The name and port as a request names them."""
        return self._host if self._port == 443 else f"{self._host}:{self._port}"

    def deadline(self) -> float:
        """Return the loop's time by which a call that begins now must be answered."""
        return asyncio.get_running_loop().time() + self._timeout

    async def call(self, headers: Sequence[Header], content: bytes, *, ends: float) -> Answer:
        """Make one call. One that the server certainly did not look at is made again on a new connection, twice at most.

        `ends` is the loop's time by which all of it must be over.

        Raises:
            NotSent: the server has nothing of it, or not all.
            NoAnswer: the server may have it.
        """
        failure: NotSent = NotSent("the channel is closed")
        for _ in range(_TRIES):
            connection = await self._usable(ends)
            try:
                return await connection.call(headers, content, ends=ends)
            except Moved as moved:
                failure = moved
        raise failure

    async def close(self) -> None:
        """Close the connections; calls under way fail. Safe to repeat."""
        self._closed = True
        open_ones = [*self._leaving, *([self._connection] if self._connection else [])]
        await asyncio.gather(*(connection.close() for connection in open_ones))

    async def _usable(self, ends: float) -> Connection:
        if self._closed:
            raise NotSent("the channel is closed")
        connection = self._connection
        if connection is not None and connection.usable and connection.quiet_seconds < _QUIET_SECONDS:
            return connection
        attempts = self._attempts
        try:
            async with asyncio.timeout_at(ends), self._connecting:
                if self._failure is not None and attempts != self._attempts:
                    raise self._failure  # while this call waited, another found that there is no connection
                return await self._checked(ends)
        except TimeoutError as error:
            raise NotSent("no connection in time") from error

    async def _checked(self, ends: float) -> Connection:
        loop = asyncio.get_running_loop()
        connection = self._connection
        if connection is not None and connection.usable:
            if connection.quiet_seconds < _QUIET_SECONDS or await connection.alive(within=_PING_SECONDS):
                return connection
            connection.abort()
        if connection is not None and connection.streams:
            self._leaving.add(connection)
        self._leaving = {one for one in self._leaving if one.streams}
        if self._closed:
            raise NotSent("the channel is closed")
        self._connection = None
        self._attempts += 1
        self._failure = None
        try:
            opened = await Connection.open(
                self._host, self._port, self._tls, within=ends - loop.time(), most_streams=self._most
            )
        except NotSent as failure:
            self._failure = failure
            raise
        if self._closed:  # while it was opened
            await opened.close()
            raise NotSent("the channel is closed")
        self._connection = opened
        return opened
