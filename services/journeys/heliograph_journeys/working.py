"""What all workers share: looking for work until told to stop, and the trace and table of a run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from heliograph_journeys.domain.table import StepTable
from heliograph_journeys.state import Run
from heliograph_kit.telemetry import extract, tracer

_tracer = tracer(__name__)
_MOST_TABLES = 200


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
    stopping: asyncio.Event, bell: Bell, poll_seconds: float, work: Callable[[], Awaitable[bool]]
) -> None:
    """Call `work` again and again; after it found nothing, wait for the bell or the next poll."""
    with bell.listening() as rung:
        while not stopping.is_set():
            rung.clear()
            if not await work():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(poll_seconds):
                        await rung.wait()


class Tables:
    """Remembers compiled journeys: a run's never changes."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[str, StepTable] = {}

    def of(self, run: Run) -> StepTable:
        """Return the table of steps of a run."""
        table = self._known.get(run.id)
        if table is None:
            if len(self._known) >= _MOST_TABLES:
                self._known.clear()
            table = self._known[run.id] = run.compiled()
        return table


def in_trace_of(run: Run, name: str) -> AbstractContextManager[object]:
    """Open a span that continues the trace of the call that published the journey."""
    context = extract({"traceparent": run.traceparent}) if run.traceparent else None
    return _tracer.start_as_current_span(
        name, context=context, attributes={"heliograph.project": run.project, "heliograph.run.id": run.id}
    )
