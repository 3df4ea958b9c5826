"""Background tasks of a process: started together, started again when they fail, told to stop together."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from heliograph_kit.redelivery import Backoff
from heliograph_kit.telemetry import counter

log = logging.getLogger(__name__)
_restarts = counter("heliograph.worker.restarts")

RESTART = Backoff(timedelta(milliseconds=200), timedelta(seconds=30))
# A worker that ran this long before it failed starts over with short pauses.
STEADY_SECONDS = 60

Run = Callable[[asyncio.Event], Awaitable[None]]


class Workers:
    """Supervises named tasks. A task that returns is done; one that raises is logged, counted and started again."""

    def __init__(self) -> None:
        """Start with none."""
        self.stopping = asyncio.Event()
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, name: str, run: Run) -> None:
        """Add a task that runs until its event is set.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._runs:
            raise ValueError(f"there is a worker {name!r} already")
        self._runs[name] = run

    def start(self) -> None:
        """Start every task that is not running."""
        for name, run in self._runs.items():
            if name not in self._tasks:
                self._tasks[name] = asyncio.create_task(self._supervise(name, run), name=f"worker {name}")

    async def stop(self, grace_seconds: float) -> None:
        """Ask all to stop, wait, and cancel those that are still busy when the grace is over; safe to repeat."""
        self.stopping.set()
        if not self._tasks:
            return
        _, busy = await asyncio.wait(self._tasks.values(), timeout=grace_seconds)
        for task in busy:
            log.warning("worker did not stop in time and is cut", extra={"worker": task.get_name()})
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _supervise(self, name: str, run: Run) -> None:
        failures = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                await run(self.stopping)
            except Exception:
                if time.monotonic() - began > STEADY_SECONDS:
                    failures = 0
                failures += 1
                pause = RESTART.delay(failures, random.random())  # noqa: S311 - spreads restarts, hides nothing
                log.exception("worker failed and is started again", extra={"worker": name, "failures": failures})
                _restarts.add(1, {"heliograph.worker": name})
                await self._sleep(pause)
            else:
                if not self.stopping.is_set():
                    log.info("worker is done", extra={"worker": name})
                return

    async def _sleep(self, pause: timedelta) -> None:
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self.stopping.wait()
        except TimeoutError:
            pass
