"""A sender that is open in the process of its plugin: calls, deadlines, signs of life, and the next process."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from heliograph_channels import (
    Forged,
    Health,
    OutgoingMessage,
    ProviderContext,
    Received,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    Unknown,
    WebhookRequest,
)
from heliograph_kit.redelivery import Backoff
from heliograph_messaging.answers import plain
from heliograph_messaging.faults import Fault, PluginFault, tell
from heliograph_messaging.isolation import codec
from heliograph_messaging.isolation.child import Life
from heliograph_messaging.isolation.codec import Garbled
from heliograph_messaging.isolation.frames import FROM_PLUGIN, TO_PLUGIN, TooLarge
from heliograph_messaging.isolation.line import Answered, Line, LineLost, Refused
from heliograph_messaging.isolation.process import PluginProcess, in_thread

_log = logging.getLogger(__name__)

_CLOSED = Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")
_HEALTH_SECONDS = 5.0
_RECEIVE_SECONDS = 5.0
_CLOSE_SECONDS = 8.0
_OBEY_SECONDS = 1.0
_SERVES = 64
_LISTEN_AGAIN = Backoff(timedelta(seconds=1), timedelta(minutes=1))


class IsolatedSender(Sender):
    """A sender in the plugin's process. When that ends, it is opened again in the next one on first use.

    What was handed over and not answered raises `PluginFault`: nobody knows what became of it. What was certainly not
    handed over whole is rejected as retryable.
    """

    def __init__(
        self,
        process: PluginProcess,
        channel: str,
        settings: Mapping[str, object],
        context: ProviderContext,
        *,
        listens: bool,
    ) -> None:
        """Take what is needed to open it, as often as it must be; one that `listens` is opened again by itself."""
        self._process = process
        self._name = channel
        self._limits = process.limits
        self._listens = listens
        self._settings = settings
        self._context = context
        self._line: Line | None = None
        self._life: Life | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._watching: asyncio.TimerHandle | None = None
        self._busy_since = 0.0
        self._again: asyncio.Task[None] | None = None
        self._retired: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Open it for the first time.

        Raises:
            PluginFault: as `IsolatedChannel.open`.
        """
        await self._opened()

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Hand messages over; a batch too large for one frame in parts.

        Raises:
            PluginFault: nobody knows what became of them.
        """
        if self._closed:
            return [_CLOSED] * len(messages)
        if not messages:
            return []
        try:
            line, life = await self._opened()
        except PluginFault as fault:
            return _not_sent(fault, len(messages))
        try:
            answered = await self._call(line, life, "send", [self._context.now().isoformat(), list(messages)])
        except TooLarge:
            return await self._in_parts(messages)
        except _NotDelivered as lost:
            return _not_sent(lost.fault, len(messages))
        try:
            match answered.body:
                case [results, int() as count, str() as wrong]:
                    if count:
                        tell(self._name, Fault.WRONG_TYPE, f"{wrong} ({count} of {len(messages)} results)"[:300])
                    return codec.results(results)
        except Garbled as error:
            raise self._garbled(life, str(error)) from None
        raise self._garbled(life, "a list of results")

    async def health(self) -> Health:
        """Ask the plugin; its process is started for it if it may be."""
        if self._closed:
            return Health(ok=False, detail="closed")
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                line, life = await self._opened()
                answered = await self._call(line, life, "health", [])
            return codec.health(answered.body)
        except TimeoutError:
            detail = f"the channel plugin {self._name!r} did not tell its health in {_HEALTH_SECONDS:g} s"
            return Health(ok=False, detail=detail)
        except Garbled:
            return Health(ok=False, detail=f"the channel plugin {self._name!r} told no health")
        except (PluginFault, _NotDelivered) as fault:
            return Health(ok=False, detail=str(fault))

    async def receive(self, request: WebhookRequest) -> Received:
        """Let the plugin understand a provider's call.

        Raises:
            Forged: the plugin says so.
            PluginFault: it failed; the call is to be answered with 503.
        """
        line, life = await self._opened()
        try:
            async with asyncio.timeout(_RECEIVE_SECONDS):
                answered = await self._call(line, life, "receive", request)
            return codec.received(answered.body, answered.blobs)
        except TimeoutError:
            problem = f"did not understand a call within {_RECEIVE_SECONDS:g} s"
            raise PluginFault(self._name, Fault.TIMED_OUT, problem) from None
        except _NotDelivered as lost:
            raise lost.fault from None
        except TooLarge:
            return Received(status=413)
        except Garbled as error:
            raise self._garbled(life, str(error)) from None

    async def close(self) -> None:
        """Close it over there, and hang up. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
        line, life = self._line, self._life
        if line is not None and life is not None and line.open:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._call(line, life, "close", [])
            except (PluginFault, _NotDelivered, TimeoutError) as error:
                _log.warning("a sender of the channel plugin %s was not closed: %s", self._name, error)
        await self._hang_up()
        await asyncio.gather(*self._retired, return_exceptions=True)

    # -- the line -------------------------------------------------------------------------------------------------------

    async def _opened(self) -> tuple[Line, Life]:
        if self._line is not None and self._life is not None and self._line.open:
            return self._line, self._life
        async with self._opening:
            if self._line is not None and self._life is not None and self._line.open:
                return self._line, self._life
            await self._hang_up()
            life, sock = await in_thread(
                self._process, self._process.connect, self._name, unwanted=lambda made: made[1].close()
            )
            line = Line(
                sock,
                self._serve,
                reads=FROM_PLUGIN,
                writes=TO_PLUGIN,
                serves=_SERVES,
                on_lost=self._on_lost,
                on_disobeyed=lambda: self._process.kill(
                    life, Fault.IGNORED_CANCELLATION, "ignored that its call was cancelled, and was killed"
                ),
                obey_seconds=_OBEY_SECONDS,
            )
            self._line, self._life = line, life
            context = self._context
            body = [context.project, self._settings, context.webhook_url, context.now().isoformat()]
            try:
                await self._call(line, life, "open", body)
            except _NotDelivered as lost:
                raise lost.fault from None
            except asyncio.CancelledError:
                # Not hung up yet: that it obeys is waited for, and seen to.
                self._line = self._life = None
                self._retire(line)
                raise
            except BaseException:
                await self._hang_up()
                raise
            return line, life

    async def _call(self, line: Line, life: Life, method: str, body: object) -> Answered:
        """Call the plugin.

        Raises:
            _NotDelivered: it ended, and certainly without the call.
            PluginFault: it failed, or ended, with the call.
            TooLarge: the call does not fit into a frame.
        """
        self._watch(line, life)
        name, seconds = self._name, self._limits.call_seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                return await line.call(method, body)
        except TimeoutError:
            if not limit.expired():
                raise
            problem = f"did not answer within {seconds:g} s, and was killed"
            self._process.kill(life, Fault.TIMED_OUT, problem)
            raise PluginFault(name, Fault.TIMED_OUT, problem) from None
        except LineLost as lost:
            if lost.garbled:
                self._process.kill(life, Fault.GARBLED, f"sent what is no answer: {lost.garbled}")
            fault = await self._buried(life)
            fault = PluginFault(name, fault.fault, fault.problem)
            raise (fault if lost.delivered else _NotDelivered(fault)) from None
        except Refused as refused:
            raise self._refused(life, method, refused) from None

    def _refused(self, life: Life, method: str, refused: Refused) -> Exception:
        name = self._name
        if method == "receive" and refused.kind == "Forged":
            return Forged("the plugin finds the call forged")
        if refused.kind == "Instead":
            return PluginFault(name, Fault.WRONG_TYPE, f"answered a {plain(refused.text, 80)} instead of a list")
        if refused.kind == "NoSender":
            problem = f"opened a {plain(refused.text, 80)}, which is no Sender"
            return PluginFault(name, Fault.WRONG_TYPE, problem)
        if refused.kind == "MemoryError":
            problem = f"ran out of its {self._limits.memory_mb} MB of memory"
            self._process.kill(life, Fault.OUT_OF_MEMORY, f"{problem}, and was killed")
            return PluginFault(name, Fault.OUT_OF_MEMORY, problem)
        if refused.kind == "CancelledError":
            return PluginFault(name, Fault.RAISED, "cancelled its own call")
        return PluginFault(name, Fault.RAISED, f"raised {plain(refused.kind, 80)}")

    async def _buried(self, life: Life) -> PluginFault:
        return await in_thread(self._process, self._process.bury, life)

    def _garbled(self, life: Life, expected: str) -> PluginFault:
        problem = f"answered something else than {expected}"
        self._process.kill(life, Fault.GARBLED, f"{problem}, and was killed")
        return PluginFault(self._name, Fault.GARBLED, problem)

    def _retire(self, line: Line) -> None:
        async def wait() -> None:
            while line.open and line.calls:
                await asyncio.sleep(_OBEY_SECONDS / 10)
            await line.close()

        task = asyncio.create_task(wait())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _hang_up(self) -> None:
        line, self._line, self._life = self._line, None, None
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if line is not None:
            await line.close()

    # -- signs of life --------------------------------------------------------------------------------------------------

    def _watch(self, line: Line, life: Life) -> None:
        if self._watching is None:
            self._busy_since = time.monotonic()
            self._look_later(line, life)

    def _look_later(self, line: Line, life: Life) -> None:
        pause = min(1.0, self._limits.stall_seconds / 4)
        self._watching = asyncio.get_running_loop().call_later(pause, self._look, line, life)

    def _look(self, line: Line, life: Life) -> None:
        self._watching = None
        if not line.open or not line.calls:
            return
        silent = time.monotonic() - max(line.heard, self._busy_since)
        if silent > self._limits.stall_seconds:
            self._process.kill(life, Fault.BLOCKED, f"blocked its event loop for {silent:.1f} s, and was killed")
            return
        line.ping()
        self._look_later(line, life)

    # -- what the plugin tells ------------------------------------------------------------------------------------------

    async def _serve(self, method: str, called: Answered) -> object:
        try:
            if method == "report":
                await self._context.report(codec.receipts(called.body))
            elif method == "deliver":
                await self._context.deliver(codec.inbound(called.body))
            else:
                raise Garbled("a report or a delivery")
        except Garbled as error:
            tell(self._name, Fault.GARBLED, f"handed over something else than {error}")
            raise Refused("ValueError") from None
        return None

    def _on_lost(self) -> None:
        if self._listens and not self._closed:
            self._again = asyncio.create_task(self._listen_again())

    async def _listen_again(self) -> None:
        """Open it again: what comes in by itself must not wait until somebody sends."""
        attempt = 0
        while not self._closed:
            try:
                await self._opened()
                return
            except PluginFault as fault:
                attempt += 1
                pause = _LISTEN_AGAIN.delay(attempt, random.random()).total_seconds()  # noqa: S311 (jitter)
                pause = max(pause, self._process.wait_seconds)
                _log.warning("%s; it is opened again in %.1f s", fault, pause)
                await asyncio.sleep(pause)

    async def _in_parts(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        if len(messages) == 1:
            detail = f"the message has more than {TO_PLUGIN // 1024**2} MB"
            return [Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=detail)]
        half = len(messages) // 2
        first = list(await self.send_batch(messages[:half]))
        if len(first) != half:
            return first
        try:
            second = await self.send_batch(messages[half:])
        except PluginFault as fault:
            # What became of the first half is known and must not be forgotten.
            return [*first, *[Unknown(str(fault))] * (len(messages) - half)]
        return [*first, *second]


class _NotDelivered(Exception):
    """The process ended before it had all of a call, for this reason."""

    def __init__(self, fault: PluginFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _not_sent(fault: PluginFault, count: int) -> list[SendResult]:
    return [Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(fault))] * count
