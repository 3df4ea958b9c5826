"""How workers look for work: as soon as somebody in this process has some for them, else now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager


class Bell:
    """Rings when there may be work, so that nobody in this process waits for the next poll."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._events: list[asyncio.Event] = []

    def ring(self) -> None:
        """Wake everybody who listens."""
        for event in self._events:
            event.set()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Hear the bell inside of the block."""
        event = asyncio.Event()
        self._events.append(event)
        try:
            yield event
        finally:
            self._events.remove(event)


async def until_stopped(
    stopping: asyncio.Event, bell: Bell, poll_seconds: float, work: Callable[[], Awaitable[object]]
) -> None:
    """Call `work` again and again; after it found nothing (was false), wait for the bell, the next poll or the end."""
    with bell.listening() as rung:
        while not stopping.is_set():
            rung.clear()
            if not await work():
                await _first_of(stopping, rung, poll_seconds)


async def _first_of(stopping: asyncio.Event, rung: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(stopping.wait()), asyncio.create_task(rung.wait())]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
