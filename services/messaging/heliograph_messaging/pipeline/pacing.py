"""Keeping to what numbers may send: a batch takes its turns here before it hands messages over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heliograph_kit.clock import Clock, real_seconds
from heliograph_messaging.domain.origination import Originations, Throughput
from heliograph_messaging.domain.pacing import Turn, fitting, take
from heliograph_messaging.pipeline.run import Run
from heliograph_messaging.store.records import Row
from heliograph_messaging.store.turns import TurnStore

DIRECT = "direct:"
"""Direct sends keep a calendar of their own: they never wait for campaigns, only for each other."""


@dataclass(frozen=True)
class Granted:
    """Rows that may go now, and in how many seconds (of the machine) the others have their turn; None: there are none."""

    rows: Sequence[Row]
    wait_seconds: float | None


class Pacing:
    """Takes turns for batches, in one short transaction each time."""

    def __init__(self, store: TurnStore, clock: Clock) -> None:
        """Take the calendars and the product's clock."""
        self._store = store
        self._clock = clock

    async def take(self, run: Run, rows: Sequence[Row], originations: Originations | None) -> Granted:
        """Return the rows whose numbers let them go now, in their order."""
        if originations is None:
            return Granted(rows, None)
        queues: dict[str, tuple[Throughput, list[Row]]] = {}
        free: list[Row] = []
        for row in rows:
            throughput = originations.throughput(row.origination)
            if throughput is None:
                free.append(row)
            else:
                queues.setdefault(throughput.key, (throughput, []))[1].append(row)
        if not queues:
            return Granted(rows, None)
        now = self._clock.now()
        granted, next_start = await self._take(run, queues, now)
        chosen = sorted([*free, *granted], key=lambda row: row.position)
        wait = None if next_start is None else max(0.0, real_seconds(self._clock, next_start - now))
        return Granted(chosen, wait)

    async def _take(
        self, run: Run, queues: dict[str, tuple[Throughput, list[Row]]], now: datetime
    ) -> tuple[list[Row], datetime | None]:
        batch = run.hold.lease.key
        prefix = DIRECT if run.transactional else ""
        granted: list[Row] = []
        free_at: dict[str, datetime] = {}
        ahead: dict[str, Turn] = {}
        async with run.database.transaction() as conn:
            calendars = await self._store.lock(conn, batch, [prefix + key for key in queues], now)
            for key, (throughput, rows) in queues.items():
                calendar = calendars[prefix + key]
                sizes = [max(1, row.part_count) for row in rows]
                taken = take(
                    wanted=sum(sizes),
                    largest=max(sizes),
                    held=calendar.held,
                    free_at=calendar.free_at,
                    rate=throughput.parts_per_second,
                    now=now,
                )
                count = fitting(sizes, taken.parts)
                granted += rows[:count]
                free_at[prefix + key] = taken.free_at
                if taken.ahead is not None:
                    ahead[prefix + key] = taken.ahead
                if run.transactional and count:
                    # Campaigns give way by as much as was sent before them.
                    seconds = sum(sizes[:count]) / throughput.parts_per_second
                    await self._store.push(conn, batch.project, key, seconds=seconds, now=now)
            await self._store.put(conn, batch, free_at, ahead)
        return granted, min((turn.start for turn in ahead.values()), default=None)
