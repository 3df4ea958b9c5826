"""The calendars of numbers: when each is free again, and the turns that batches hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.pacing import Turn
from heliograph_messaging.store.arrays import plain_array, text_array
from heliograph_messaging.store.records import BatchKey

_ADD = text(
    """INSERT INTO messaging.calendars (project, key, free_at)
    SELECT project, key, :now FROM unnest(CAST(:projects AS text[]), CAST(:keys AS text[])) AS x (project, key)
    ORDER BY project COLLATE "C", key COLLATE "C" ON CONFLICT DO NOTHING"""
)
_LOCK = text(
    """SELECT c.project, c.key, c.free_at, t.start_time, t.part_count
    FROM unnest(CAST(:projects AS text[]), CAST(:keys AS text[])) AS x (project, key)
    JOIN messaging.calendars c ON c.project = x.project AND c.key = x.key
    LEFT JOIN messaging.turns t ON t.project = :project AND t.batch_id = CAST(:batch AS uuid) AND t.key = c.key
    ORDER BY c.project COLLATE "C", c.key COLLATE "C" FOR UPDATE OF c"""
)
_FREE = text(
    """UPDATE messaging.calendars AS c SET free_at = x.free_at
    FROM unnest(CAST(:projects AS text[]), CAST(:keys AS text[]), CAST(:times AS timestamptz[]))
        AS x (project, key, free_at)
    WHERE c.project = x.project AND c.key = x.key"""
)
_PUSH = text(
    """INSERT INTO messaging.calendars AS c (project, key, free_at) VALUES (:project, :key, :pushed)
    ON CONFLICT (project, key) DO UPDATE SET free_at = greatest(c.free_at, :now) + make_interval(secs => :seconds)"""
)
_DROP = text("DELETE FROM messaging.turns WHERE project = :project AND batch_id = CAST(:batch AS uuid)")
_HOLD = text(
    """INSERT INTO messaging.turns (project, batch_id, key, start_time, part_count)
    SELECT :project, CAST(:batch AS uuid), key, start_time, part_count
    FROM unnest(CAST(:keys AS text[]), CAST(:times AS timestamptz[]), CAST(:parts AS integer[]))
        AS x (key, start_time, part_count)"""
)


class Place(NamedTuple):
    """Whose calendar: the project that owns a number or its use case, and the key of `Throughput`."""

    project: str
    key: str


@dataclass(frozen=True)
class Calendar:
    """When a number is free again, and the turn this batch holds at it."""

    free_at: datetime
    held: Turn | None


class TurnStore:
    """Reads and writes calendars; what was locked stays so until the transaction ends."""

    async def lock(
        self, conn: AsyncConnection, key: BatchKey, places: Sequence[Place], now: datetime
    ) -> Mapping[Place, Calendar]:
        """Return the calendars of numbers, locked in one order everywhere; those used for the first time are free now."""
        await conn.execute(_ADD, {**_arrays(places), "now": now})
        rows = await conn.execute(_LOCK, {**_arrays(places), **key.parameters()})
        return {
            Place(row.project, row.key): Calendar(
                row.free_at, Turn(row.start_time, row.part_count) if row.start_time else None
            )
            for row in rows
        }

    async def put(
        self, conn: AsyncConnection, key: BatchKey, free: Mapping[Place, datetime], ahead: Mapping[Place, Turn]
    ) -> None:
        """Write when numbers are free again and the turns this batch holds from now on, in place of those of before."""
        times = plain_array([time.isoformat() for time in free.values()])
        await conn.execute(_FREE, {**_arrays([*free]), "times": times})
        await conn.execute(_DROP, key.parameters())
        if ahead:
            await conn.execute(
                _HOLD,
                {
                    **key.parameters(),
                    "keys": text_array([place.key for place in ahead]),
                    "times": plain_array([turn.start.isoformat() for turn in ahead.values()]),
                    "parts": plain_array([turn.parts for turn in ahead.values()]),
                },
            )

    async def push(self, conn: AsyncConnection, place: Place, *, seconds: float, now: datetime) -> None:
        """Move a number's free instant by what somebody sent outside of turns."""
        from_now = {**place._asdict(), "now": now, "seconds": seconds}
        await conn.execute(_PUSH, {**from_now, "pushed": now})


def _arrays(places: Sequence[Place]) -> dict[str, object]:
    return {
        "projects": text_array([place.project for place in places]),
        "keys": text_array([place.key for place in places]),
    }
