"""One connection to an SMSC: requests in a window, answers by their sequence number, and what was written for certain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from heliograph_channel_smpp.pdu import RESPONSE, Command, Malformed, Pdu, Splitter, encode
from heliograph_channel_smpp.statuses import Status

__all__ = ["NoAnswer", "NotTaken", "Session", "Timing"]

_LAST_SEQUENCE = 0x7FFFFFFF
# A rate is kept over such a time, in seconds: timers are not exact, and what was slept too long is made up for.
_BURST = 0.02
# More than any window and any number of deliver_sm that wait for an answer.
_MOST_UNWRITTEN = 20_000


class NotTaken(Exception):
    """The request was certainly not written; the text says why."""


class NoAnswer(Exception):
    """The request was written, and nobody can say whether the SMSC took it; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How a session paces itself.

    `window` is the most submits that wait for an answer; `rate` the most submits a second (0 = any); times are seconds:
    how long an answer may take, and after how much silence the SMSC is asked whether it is there (0 = never).
    """

    window: int = 10
    rate: float = 0.0
    response: float = 30.0
    enquire: float = 30.0


@dataclass(slots=True, eq=False)
class _Request:
    command: int
    answered: asyncio.Future[Pdu]
    deadline: float
    submit: bool
    late: Callable[[Pdu], None] | None
    written: bool = False
    given_up: bool = False


class Session(asyncio.Protocol):
    """Octets to answers. After an error it is lost for good, and every request that waits learns what became of it.

    Octets are handed to the system once per turn of the event loop, and not at all while the SMSC reads nothing: what was
    not handed over is certainly not taken. A submit that is given up keeps its place in the window, as the SMSC still
    has it; when such requests fill the window, the session is dropped.
    """

    def __init__(
        self,
        timing: Timing,
        incoming: Callable[[Session, Pdu], None],
        changed: Callable[[], None],
        logger: logging.Logger,
    ) -> None:
        """Wait for `connection_made`. `incoming` takes deliver_sm and data_sm; `changed` is told that there is room."""
        self._timing = timing
        self._incoming = incoming
        self._changed = changed
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._splitter = Splitter()
        self._requests: dict[int, _Request] = {}
        self._out: list[tuple[bytes, _Request | None]] = []
        self._flushing = self._paused = False
        self._sequence = 0
        self._taken = self._given_up = 0
        self._not_before = 0.0
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._pacer: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()
        self.lost: str | None = None
        self.leaving = False
        self.bound = False

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and begin to watch the time."""
        self._transport = cast(asyncio.Transport, transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take whole PDUs one by one."""
        self._heard = self._loop.time()
        try:
            for pdu in self._splitter.feed(data):
                if pdu.command & RESPONSE:
                    self._take_answer(pdu)
                else:
                    self._take_request(pdu)
                if self.lost is not None:
                    return
        except Malformed as error:
            if self._transport is not None:
                nack = Pdu(RESPONSE | Command.GENERIC_NACK, Status.ESME_RINVCMDLEN, 0)
                self._transport.write(encode(nack))
                self._transport.close()
                self._loop.call_later(1.0, self._transport.abort)
            self._lose(f"the SMSC does not speak SMPP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why."""
        self._closed.set()
        self._lose("the SMSC closed the connection" if exc is None else f"the connection broke: {exc}")

    def pause_writing(self) -> None:
        """Keep what is to be written."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write what was kept."""
        self._paused = False
        self._flush()

    def abort(self, why: str) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._lose(why)

    async def wait_lost(self) -> None:
        """Wait until the socket is closed."""
        await self._closed.wait()

    # Submits

    @property
    def taken(self) -> int:
        """How many places of the window are in use."""
        return self._taken

    def room(self) -> int:
        """Return how many submits may start now; when only the pace forbids it, `changed` is called in time."""
        if self.lost is not None or self.leaving:
            return 0
        free = self._timing.window - self._taken
        if free <= 0:
            return 0
        wait = self._not_before - self._loop.time()
        if wait > 0:
            if self._pacer is None:
                self._pacer = self._loop.call_later(wait, self._pace)
            return 0
        return free

    def take(self) -> None:
        """Take one place of the window; `submit` uses it, `give_back` returns it."""
        self._taken += 1
        if self._timing.rate:
            earliest = self._loop.time() - _BURST
            self._not_before = max(self._not_before, earliest) + 1 / self._timing.rate

    def give_back(self) -> None:
        """Return a place that was not used."""
        self._taken -= 1
        self._changed()

    def pause(self, seconds: float) -> None:
        """Start no submit for so long: the SMSC asked for it."""
        self._not_before = max(self._not_before, self._loop.time() + seconds)

    async def submit(self, body: bytes, late: Callable[[Pdu], None] | None = None) -> Pdu:
        """Send a submit_sm in a place that was taken, and return its answer. `late` gets an answer that comes too late.

        Raises:
            NotTaken: it was certainly not written.
            NoAnswer: it was written, and the connection broke or no answer came in time.
        """
        try:
            request = self._start(Command.SUBMIT_SM, body, submit=True, late=late)
        except NotTaken:
            self.give_back()
            raise
        return await self._answer_of(request)

    async def request(self, command: int, body: bytes = b"") -> Pdu:
        """Send any other request and return its answer.

        Raises:
            NotTaken: it was certainly not written.
            NoAnswer: it was written, and the connection broke or no answer came in time.
        """
        return await self._answer_of(self._start(command, body))

    def answer(self, pdu: Pdu, status: int) -> None:
        """Answer a deliver_sm or data_sm; a session that is lost answers nothing."""
        self._put(Pdu(RESPONSE | pdu.command, status, pdu.sequence, b"\0"), None)

    async def unbind(self, patience: float) -> None:
        """Take leave: let answers come for up to `patience` seconds, unbind, and close."""
        self.leaving = True
        deadline = self._loop.time() + patience
        try:
            async with asyncio.timeout_at(deadline):
                waiting = [request.answered for request in self._requests.values() if not request.given_up]
                await asyncio.wait(waiting) if waiting else None
                await self.request(Command.UNBIND)
        except (TimeoutError, NotTaken, NoAnswer):
            pass
        if self._transport is not None:
            self._transport.close()
        try:
            async with asyncio.timeout(1.0):
                await self._closed.wait()
        except TimeoutError:
            self.abort("closing took too long")
            await asyncio.sleep(0)

    # Inside

    def _start(
        self, command: int, body: bytes, *, submit: bool = False, late: Callable[[Pdu], None] | None = None
    ) -> _Request:
        if self.lost is not None or self._transport is None:
            raise NotTaken(self.lost or "not connected")
        self._sequence = self._sequence % _LAST_SEQUENCE + 1
        while self._sequence in self._requests:
            self._sequence = self._sequence % _LAST_SEQUENCE + 1
        deadline = self._loop.time() + self._timing.response
        request = _Request(command, self._loop.create_future(), deadline, submit, late)
        self._requests[self._sequence] = request
        self._put(Pdu(command, 0, self._sequence, body), request)
        return request

    async def _answer_of(self, request: _Request) -> Pdu:
        try:
            return await request.answered
        except asyncio.CancelledError:
            self._give_up(request)
            raise

    def _put(self, pdu: Pdu, request: _Request | None) -> None:
        if self.lost is not None:
            return
        if len(self._out) >= _MOST_UNWRITTEN:
            self.abort("the SMSC asks and reads no answers")
            return
        self._out.append((encode(pdu), request))
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self.lost is not None or self._paused or not self._out or self._transport is None:
            return
        out, self._out = self._out, []
        for _, request in out:
            if request is not None:
                request.written = True
        self._transport.write(b"".join([octets for octets, _ in out]))

    def _take_answer(self, pdu: Pdu) -> None:
        request = self._requests.get(pdu.sequence)
        if request is None:
            self._logger.debug("the SMSC answered a request nobody made: command %#x", pdu.command)
            return
        if pdu.command not in (RESPONSE | request.command, RESPONSE | Command.GENERIC_NACK) or not request.written:
            self.abort("the SMSC answered another command than was asked")
            return
        del self._requests[pdu.sequence]
        if request.submit:
            self._taken -= 1
        if request.given_up:
            self._given_up -= request.submit
            if request.late is not None:
                request.late(pdu)
        elif not request.answered.done():
            request.answered.set_result(pdu)
        if request.submit:
            self._changed()

    def _take_request(self, pdu: Pdu) -> None:
        match pdu.command:
            case Command.DELIVER_SM | Command.DATA_SM:
                self._incoming(self, pdu)
            case Command.ENQUIRE_LINK:
                self._put(Pdu(RESPONSE | pdu.command, 0, pdu.sequence), None)
            case Command.UNBIND:
                self._put(Pdu(RESPONSE | pdu.command, 0, pdu.sequence), None)
                self._leave()
            case Command.ALERT_NOTIFICATION:
                pass  # it has no answer (SMPP 3.4, 4.12)
            case _:
                # outbind as well: it asks a listening ESME to bind, and this one is bound or about to be.
                nack = RESPONSE | Command.GENERIC_NACK
                self._put(Pdu(nack, Status.ESME_RINVCMDID, pdu.sequence), None)

    def _leave(self) -> None:
        """The SMSC took leave: start nothing more; answers may still come until it closes or time is up."""
        if not self.leaving:
            self.leaving = True
            self._loop.call_later(self._timing.response, self.abort, "the SMSC unbound and did not close")
            self._changed()
        if not any(request.submit for request in self._requests.values()) and self._transport is not None:
            self._flush()
            self._transport.close()

    def _give_up(self, request: _Request) -> None:
        if request.given_up or (request.answered.done() and not request.answered.cancelled()):
            return
        request.given_up = True
        self._given_up += request.submit
        if self._given_up >= self._timing.window and self.lost is None:
            self.abort("the SMSC answered none of the requests in the window")

    def _watch(self) -> None:
        """Look once in a while for requests without an answer, and for silence."""
        now = self._loop.time()
        for request in list(self._requests.values()):
            if request.deadline > now:
                break  # in order of their beginning: the others have more time
            if request.given_up:
                continue
            why = f"no answer within {self._timing.response:g} s"
            if not request.written:
                self.abort(f"the SMSC read nothing for {self._timing.response:g} s")
                return
            if not request.submit:
                self.abort(why)
                return
            self._give_up(request)
            if not request.answered.done():
                request.answered.set_exception(NoAnswer(why))
        if self.lost is not None:
            return
        enquire = self._timing.enquire
        if enquire and now - self._heard >= enquire and self.bound and not self.leaving:
            self._heard = now
            self._start(Command.ENQUIRE_LINK, b"").answered.add_done_callback(_looked_at)
        pause = min(self._timing.response, enquire or self._timing.response) / 8
        self._timer = self._loop.call_later(max(0.01, min(1.0, pause)), self._watch)

    def _pace(self) -> None:
        self._pacer = None
        self._changed()

    def _lose(self, why: str) -> None:
        if self.lost is not None:
            return
        self.lost = why
        for timer in (self._timer, self._pacer):
            if timer is not None:
                timer.cancel()
        self._out.clear()
        requests, self._requests = list(self._requests.values()), {}
        self._taken = 0
        for request in requests:
            if request.answered.done():
                continue
            request.answered.set_exception(NoAnswer(why) if request.written else NotTaken(why))
        self._changed()


def _looked_at(answered: asyncio.Future[Pdu]) -> None:
    if not answered.cancelled():
        answered.exception()
