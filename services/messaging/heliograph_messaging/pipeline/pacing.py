"""Keeping to what numbers may send: a batch takes its turns here before it hands messages over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock, real_seconds
from heliograph_messaging.domain.numbers import Throughput
from heliograph_messaging.domain.origination import Originations
from heliograph_messaging.domain.pacing import Turn, fitting, take
from heliograph_messaging.pipeline.allowances import Allowances
from heliograph_messaging.pipeline.run import Run
from heliograph_messaging.store.records import Row
from heliograph_messaging.store.turns import Place, TurnStore

_NO_TURN = "the number has no throughput left at this moment"
_NO_ALLOWANCE = "what may be sent in this day is used up"
DIRECT = "direct:"
"""Direct sends keep a calendar of their own: they never wait for campaigns, only for each other."""


@dataclass(frozen=True)
class Granted:
    """Rows that may go now, and in how many seconds (of the machine) the others have their turn; None: there are none."""

    rows: Sequence[Row]
    wait_seconds: float | None
    why: str = ""


class Pacing:
    """Takes turns for batches, in one short transaction each time."""

    def __init__(self, store: TurnStore, allowances: Allowances, clock: Clock) -> None:
        """Take the calendars, what may be sent in a day, and the product's clock."""
        self._store = store
        self._allowances = allowances
        self._clock = clock

    async def take(self, run: Run, rows: Sequence[Row], originations: Originations | None) -> Granted:
        """Return the rows whose numbers let them go now, in their order; what may be sent in a day is counted with them."""
        if originations is None or all(originations.throughput(row.origination) is None for row in rows):
            return Granted(rows, None)
        now = self._clock.now()
        async with run.database.transaction() as conn:
            # Days before turns: nobody takes a turn for what has to wait for another day.
            admitted = await self._allowances.admit(conn, run, rows, originations, now)
            queues, free = _queues(run, admitted.rows, originations)
            granted, next_start = await self._take(conn, run, queues, now)
            await self._allowances.count(conn, run, admitted, granted)
        run.counted.update(
            (row.position, (row, admitted.slots[row.position])) for row in granted if row.position in admitted.slots
        )
        chosen = sorted([*free, *granted], key=lambda row: row.position)
        again = [instant for instant in (next_start, admitted.until) if instant is not None]
        if not again:
            return Granted(chosen, None)
        if run.batch.HasField("expire_time"):
            again.append(run.batch.expire_time.ToDatetime(UTC))
        why = _NO_TURN if next_start is not None else _NO_ALLOWANCE
        return Granted(chosen, max(0.0, real_seconds(self._clock, min(again) - now)), why)

    async def give_back(self, run: Run) -> bool:
        """Take back what was counted of messages that were not handed over, and tell whether there were any."""
        left = [counted for position, counted in run.counted.items() if position not in run.handed]
        run.counted.clear()
        if left:
            async with run.database.transaction() as conn:
                await self._allowances.give_back(conn, left)
        return bool(left)

    async def _take(
        self, conn: AsyncConnection, run: Run, queues: Mapping[Place, tuple[Throughput, list[Row]]], now: datetime
    ) -> tuple[list[Row], datetime | None]:
        batch = run.hold.lease.key
        granted: list[Row] = []
        free_at: dict[Place, datetime] = {}
        ahead: dict[Place, Turn] = {}
        calendars = await self._store.lock(conn, batch, [_lane(run, place) for place in queues], now)
        # Sorted, so that direct sends push campaigns' calendars in the order in which these are locked.
        for place, (throughput, rows) in sorted(queues.items()):
            lane = _lane(run, place)
            calendar = calendars[lane]
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
            free_at[lane] = taken.free_at
            if taken.ahead is not None:
                ahead[lane] = taken.ahead
            if run.transactional and count:
                # Campaigns give way by as much as was sent before them.
                seconds = sum(sizes[:count]) / throughput.parts_per_second
                await self._store.push(conn, place, seconds=seconds, now=now)
        await self._store.put(conn, batch, free_at, ahead)
        return granted, min((turn.start for turn in ahead.values()), default=None)


def _queues(
    run: Run, rows: Sequence[Row], originations: Originations
) -> tuple[dict[Place, tuple[Throughput, list[Row]]], list[Row]]:
    """Return rows by the calendar of their number, and those of no number."""
    queues: dict[Place, tuple[Throughput, list[Row]]] = {}
    free: list[Row] = []
    for row in rows:
        throughput = originations.throughput(row.origination)
        if throughput is None:
            free.append(row)
        else:
            place = Place(throughput.project or run.hold.lease.key.project, throughput.key)
            queues.setdefault(place, (throughput, []))[1].append(row)
    return queues, free


def _lane(run: Run, place: Place) -> Place:
    return Place(place.project, DIRECT + place.key) if run.transactional else place
