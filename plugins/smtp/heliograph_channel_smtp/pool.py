"""Kept connections, and patience with a server that is away."""

from __future__ import annotations

import asyncio

from heliograph_channel_smtp.wire import Account, BadCredentials, Lost, Wire, connect
from heliograph_channels import Rejected, RejectReason

__all__ = ["NoConnection", "Pool"]

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0


class NoConnection(Exception):
    """There is no connection to be had now; `result` is the answer for a message that wanted one."""

    def __init__(self, result: Rejected) -> None:
        """Keep the result."""
        super().__init__(result.detail)
        self.result = result


class Pool:
    """Up to `size` connections. The one used last is used next, so that spare ones grow idle and are closed.

    After a failed connect, nobody tries again before a pause that doubles from 0.5 s to 60 s; messages that come in
    between are told to come back instead of waiting here, where they would hold a lease.
    """

    def __init__(self, account: Account, *, size: int, idle_seconds: float, messages_per_connection: int) -> None:
        """Connect nothing yet."""
        self._account = account
        self._idle_seconds = idle_seconds
        self._messages = messages_per_connection
        self._free = asyncio.Semaphore(size)
        self._idle: list[Wire] = []
        self._busy: set[Wire] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._unused = asyncio.Event()
        self._unused.set()
        self._failures = 0
        self._not_before = 0.0
        self._why = Rejected(RejectReason.UNAVAILABLE, retryable=True)
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False

    async def acquire(self) -> Wire:
        """Return a connection that is ready for MAIL; give it back with `release`.

        Raises:
            NoConnection: the server is away, does not know us, or the pool is closed.
        """
        await self._free.acquire()
        try:
            wire = await self._ready()
        except BaseException:
            self._free.release()
            raise
        self._busy.add(wire)
        self._unused.clear()
        return wire

    def release(self, wire: Wire, *, clean: bool) -> None:
        """Take a connection back. Not `clean` (between two messages) means that it is dropped."""
        self._busy.discard(wire)
        if not self._busy:
            self._unused.set()
        if not clean:
            wire.abort("dropped")
            self._leave(wire)
        elif self.closed or not self.worth_keeping(wire):
            self._leave(wire)
        else:
            loop = asyncio.get_running_loop()
            wire.idle_since = loop.time()
            self._idle.append(wire)
            if self._timer is None:
                self._timer = loop.call_later(self._idle_seconds, self._sweep)
        self._free.release()

    def worth_keeping(self, wire: Wire) -> bool:
        """Whether the connection may carry one more message."""
        return wire.usable() and (self._messages == 0 or wire.sent < self._messages)

    async def close(self) -> None:
        """Close idle connections now, busy ones as they come back; after 5 s whatever is left is dropped."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            self._leave(self._idle.pop())
        try:
            async with asyncio.timeout(5):
                await self._unused.wait()
        except TimeoutError:
            for wire in list(self._busy):
                wire.abort("the channel was closed")
        await asyncio.gather(*self._leaving)

    async def _ready(self) -> Wire:
        if self.closed:
            raise NoConnection(Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed"))
        while self._idle:
            wire = self._idle.pop()
            if wire.usable():
                return wire
            wire.abort("stale")
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            raise NoConnection(self._why)
        try:
            wire = await connect(self._account)
        except Lost as error:
            self._failed(Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error)))
            raise NoConnection(self._why) from None
        except BadCredentials as error:
            self._failed(Rejected(RejectReason.CREDENTIALS, retryable=True, detail=str(error)))
            raise NoConnection(self._why) from None
        self._failures = 0
        self._not_before = 0.0
        return wire

    def _failed(self, why: Rejected) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._failures += 1
        self._not_before = asyncio.get_running_loop().time() + pause
        self._why = why

    def _leave(self, wire: Wire) -> None:
        wire.quit()
        task = asyncio.get_running_loop().create_task(wire.wait_closed(1.0))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time() - self._idle_seconds
        for wire in [wire for wire in self._idle if wire.idle_since <= before or not wire.usable()]:
            self._idle.remove(wire)
            self._leave(wire)
        self._timer = loop.call_later(self._idle_seconds, self._sweep) if self._idle else None
