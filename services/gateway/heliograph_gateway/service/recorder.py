"""Opens and clicks, held for a moment and handed over together; nobody who opens a letter waits for a database."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

from heliograph.messaging.v1 import edge_pb2
from heliograph_gateway.errors import MessagingAway
from heliograph_kit.ids import derived_id
from heliograph_kit.instants import timestamp
from heliograph_kit.redelivery import Backoff
from heliograph_kit.telemetry import counter

BATCH = 500
_RETRY = Backoff(timedelta(milliseconds=250), timedelta(seconds=10))
_CLOSE_SECONDS = 5.0

_events = counter("heliograph.gateway.events")
_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Who takes events."""

    async def record(self, events: Sequence[edge_pb2.TrackingEvent]) -> int:
        """Take events; return how many had no good token. Safe to repeat.

        Raises:
            MessagingAway: not now.
        """
        ...


def event_of(token: str, now: datetime, *, user_agent: str, ip_address: str) -> edge_pb2.TrackingEvent:
    """Return the event of a call. Calls of one link within one second are one: nobody opens a letter more often."""
    return edge_pb2.TrackingEvent(
        id=derived_id(token, str(int(now.timestamp()))),
        token=token,
        time=timestamp(now),
        user_agent=user_agent[:256],
        ip_address=ip_address[:64],
    )


class Recorder:
    """Holds events and hands them over. What it holds is lost when the process is killed: half a second of opens."""

    def __init__(self, sink: Sink, *, flush_seconds: float, most: int) -> None:
        """Take who takes events, how long they wait for others, and how many may wait (more are dropped)."""
        self._sink = sink
        self._flush_seconds = flush_seconds
        self._most = most
        self._held: dict[str, edge_pb2.TrackingEvent] = {}
        self._full = asyncio.Event()

    @property
    def held(self) -> int:
        """How many events wait."""
        return len(self._held)

    def add(self, event: edge_pb2.TrackingEvent) -> None:
        """Hold an event; the same one again changes nothing."""
        if event.id in self._held:
            return
        if len(self._held) >= self._most:
            _events.add(1, {"heliograph.outcome": "dropped"})
            return
        self._held[event.id] = event
        if len(self._held) >= BATCH:
            self._full.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Hand events over until told to stop; what comes later is handed over by `close`."""
        failures = 0
        while not stopping.is_set():
            pause = _RETRY.delay(failures, random.random()).total_seconds() if failures else self._flush_seconds  # noqa: S311
            await self._wait(stopping, pause, early=not failures)
            failures = 0 if await self._hand_over() else failures + 1

    async def close(self) -> None:
        """Hand over what is left; called when no request can come any more."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._hand_over()
        except TimeoutError:
            pass
        if self._held:
            _log.error("%d opens and clicks are lost: messaging does not answer", len(self._held))

    async def _hand_over(self) -> bool:
        """Hand everything over that is held; False when messaging is away."""
        while batch := list(islice(self._held.values(), BATCH)):
            try:
                invalid = await self._sink.record(batch)
            except MessagingAway:
                return False
            for event in batch:
                del self._held[event.id]
            _events.add(len(batch) - invalid, {"heliograph.outcome": "recorded"})
            if invalid:
                _events.add(invalid, {"heliograph.outcome": "invalid"})
        self._full.clear()
        return True

    async def _wait(self, stopping: asyncio.Event, seconds: float, *, early: bool) -> None:
        waits = [asyncio.create_task(stopping.wait())]
        if early:
            waits.append(asyncio.create_task(self._full.wait()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
