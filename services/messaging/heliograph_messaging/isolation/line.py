"""One connection between the service and an opened sender: calls in both directions, cancellation, signs of life."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from heliograph_messaging.isolation.codec import encode
from heliograph_messaging.isolation.frames import (
    ANSWER,
    CALL,
    CANCEL,
    FAULT,
    PING,
    PONG,
    BadFrame,
    Frame,
    Frames,
    TooLarge,
    pack,
)

_READ = 256 * 1024
_QUEUED = 2000
# A plugin that floods us with small frames must not keep the event loop busy: beyond this it is read more slowly.
_FRAMES_A_SECOND = 10_000


class LineLost(Exception):
    """The other side is gone. `delivered`: it may have got the call; else it certainly has not got all of it."""

    def __init__(self, *, delivered: bool, garbled: str = "") -> None:
        """Say how far the call came, and what it said that is no frame, if that is why."""
        super().__init__("the line is lost")
        self.delivered = delivered
        self.garbled = garbled


class Refused(Exception):
    """The other side answered that it failed: the name of an exception's class, and words that may hold anything."""

    def __init__(self, kind: str, text: str = "") -> None:
        """Take what it said."""
        super().__init__(kind)
        self.kind = kind
        self.text = text


@dataclass(frozen=True)
class Answered:
    """A body with the bytes beside it."""

    body: object
    blobs: Sequence[bytes] = ()


Serve = Callable[[str, Answered], Awaitable[object]]
"""Answers a call of the other side: its name and what it holds. `Refused` is told as it is, else the class's name."""


@dataclass(eq=False)
class _Outgoing:
    frame: bytes
    begun: bool = False
    gone: bool = False


@dataclass(eq=False)
class _Waiting:
    answer: asyncio.Future[Answered]
    outgoing: _Outgoing
    overdue: asyncio.TimerHandle | None = field(default=None)


class Line:
    """Speaks over one socket, in one event loop, until it is closed or the other side is gone."""

    def __init__(
        self,
        sock: socket.socket,
        serve: Serve,
        *,
        reads: int,
        writes: int,
        serves: int,
        on_lost: Callable[[], None] = lambda: None,
        on_disobeyed: Callable[[], None] = lambda: None,
        obey_seconds: float = 1.0,
    ) -> None:
        """Begin to read and to write.

        Args:
            sock: connected; closed with the line.
            serve: answers calls of the other side.
            reads, writes: most bytes of a frame in each direction.
            serves: most calls of the other side that are answered at once; what is beyond is refused.
            on_lost: called once when the other side is gone, not when `close` was called here.
            on_disobeyed: called when a cancelled call has not ended on the other side after `obey_seconds`.
            obey_seconds: see above.
        """
        sock.setblocking(False)
        self._sock = sock
        self._serve = serve
        self._writes = writes
        self._serves = serves
        self._on_lost = on_lost
        self._on_disobeyed = on_disobeyed
        self._obey_seconds = obey_seconds
        self._frames = Frames(reads)
        self._read_size = min(_READ, reads // 64)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._served: dict[int, asyncio.Task[None]] = {}
        self._queue: deque[_Outgoing] = deque()
        self._more = asyncio.Event()
        self.heard = time.monotonic()
        self.garbled = ""
        self.open = True
        self._writer = asyncio.create_task(self._write(), name="line writer")
        self._reader = asyncio.create_task(self._read(), name="line reader")

    @property
    def calls(self) -> int:
        """How many calls of this side are under way, cancelled ones that have not ended over there included."""
        return len(self._waiting)

    async def call(self, method: str, body: object) -> Answered:
        """Call the other side and return its answer. Cancelled, it is cancelled there as well.

        Raises:
            LineLost: it is gone.
            Refused: it failed.
            TooLarge: the call does not fit into a frame.
        """
        number = next(self._numbers)
        frame = pack(CALL, number, [method, body], encode=encode, limit=self._writes)
        if not self.open:
            raise LineLost(delivered=False, garbled=self.garbled)
        outgoing = _Outgoing(frame)
        waiting = self._waiting[number] = _Waiting(self._loop.create_future(), outgoing)
        self._put(outgoing)
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            self._abandon(number, waiting)
            raise
        finally:
            if waiting.overdue is None:
                self._waiting.pop(number, None)

    def ping(self) -> None:
        """Ask for a sign of life; `heard` is when there was the last."""
        self._put(_Outgoing(pack(PING, 0, None, limit=self._writes)))

    async def close(self) -> None:
        """Hang up and wait for what is running here. Safe to repeat."""
        self._on_lost = lambda: None
        self._hang_up()
        await asyncio.gather(self._reader, *self._served.values(), return_exceptions=True)

    # -- out ------------------------------------------------------------------------------------------------------------

    def _put(self, outgoing: _Outgoing) -> None:
        if not self.open:
            return
        if len(self._queue) >= _QUEUED:
            self.garbled = "it asks and does not read the answers"
            self._hang_up()
            return
        self._queue.append(outgoing)
        self._more.set()

    async def _write(self) -> None:
        while self.open:
            await self._more.wait()
            self._more.clear()
            while self._queue:
                outgoing = self._queue.popleft()
                outgoing.begun = True
                try:
                    await self._loop.sock_sendall(self._sock, outgoing.frame)
                except OSError:
                    return  # the reader finds out why
                outgoing.gone = True
                outgoing.frame = b""

    def _abandon(self, number: int, waiting: _Waiting) -> None:
        if not self.open or (waiting.answer.done() and not waiting.answer.cancelled()):
            return
        if not waiting.outgoing.begun:
            with suppress(ValueError):
                self._queue.remove(waiting.outgoing)
            return
        self._put(_Outgoing(pack(CANCEL, number, None, limit=self._writes)))
        waiting.overdue = self._loop.call_later(self._obey_seconds, self._disobeyed, number)

    def _disobeyed(self, number: int) -> None:
        if self._waiting.pop(number, None) is not None:
            self._on_disobeyed()

    # -- in -------------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            await self._read_frames()
            self._hang_up()
            # A frame that was written to its end is told apart from one that was not: only the second is certain.
            await asyncio.gather(self._writer, return_exceptions=True)
        finally:
            self._end()
        self._on_lost()

    async def _read_frames(self) -> None:
        began, count = time.monotonic(), 0
        try:
            while data := await self._loop.sock_recv(self._sock, self._read_size):
                self.heard = time.monotonic()
                for frame in self._frames.feed(data):
                    self._on(frame)
                    count += 1
                if count > _FRAMES_A_SECOND:
                    await asyncio.sleep(max(0.0, began + 1 - self.heard))
                    began, count = time.monotonic(), 0
                elif self.heard > began + 1:
                    began, count = self.heard, 0
        except OSError:
            return
        except BadFrame as error:
            self.garbled = str(error)

    def _end(self) -> None:
        self.open = False
        for waiting in self._waiting.values():
            if waiting.overdue is not None:
                waiting.overdue.cancel()
            if not waiting.answer.done():
                waiting.answer.set_exception(LineLost(delivered=waiting.outgoing.gone, garbled=self.garbled))
        self._waiting.clear()
        self._sock.close()

    def _hang_up(self) -> None:
        if not self.open:
            return
        self.open = False
        for task in self._served.values():
            task.cancel()
        # Both ways, so that reader and writer come back from whatever they wait for.
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._more.set()

    def _on(self, frame: Frame) -> None:
        if frame.type == PING:
            self._put(_Outgoing(pack(PONG, 0, None, limit=self._writes)))
        elif frame.type == CALL:
            self._begin(frame)
        elif frame.type == CANCEL:
            if task := self._served.get(frame.number):
                task.cancel()
        elif frame.type in (ANSWER, FAULT):
            self._answered(frame)

    def _answered(self, frame: Frame) -> None:
        waiting = self._waiting.get(frame.number)
        if waiting is None:
            return
        if waiting.overdue is not None:  # nobody waits any more; it was only to be seen whether it ends
            waiting.overdue.cancel()
            del self._waiting[frame.number]
        elif waiting.answer.done():
            return
        elif frame.type == ANSWER:
            waiting.answer.set_result(Answered(frame.body, frame.blobs))
        else:
            match frame.body:
                case [str() as kind, str() as text]:
                    waiting.answer.set_exception(Refused(kind[:200], text[:2000]))
                case _:
                    waiting.answer.set_exception(Refused("?"))

    def _begin(self, frame: Frame) -> None:
        match frame.body:
            case [str() as method, body] if len(self._served) < self._serves and frame.number not in self._served:
                task = asyncio.create_task(self._answer(frame.number, method, Answered(body, frame.blobs)))
                self._served[frame.number] = task
                task.add_done_callback(lambda _: self._served.pop(frame.number, None))
            case _:
                self._put(_Outgoing(pack(FAULT, frame.number, ["TooManyCalls", ""], limit=self._writes)))

    async def _answer(self, number: int, method: str, called: Answered) -> None:
        try:
            body = await self._serve(method, called)
            frame = pack(ANSWER, number, body, encode=encode, limit=self._writes)
        except asyncio.CancelledError:
            self._put(_Outgoing(pack(FAULT, number, ["CancelledError", ""], limit=self._writes)))
            raise
        except Refused as refused:
            frame = pack(FAULT, number, [refused.kind, refused.text], limit=self._writes)
        except TooLarge as error:
            frame = pack(FAULT, number, ["TooLarge", str(error)], limit=self._writes)
        except Exception as error:
            frame = pack(FAULT, number, [type(error).__name__, ""], limit=self._writes)
        self._put(_Outgoing(frame))
