"""The calendars of numbers: when each is free again, and the turns that batches hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.pacing import Turn
from heliograph_messaging.store.arrays import plain_array, text_array
from heliograph_messaging.store.records import BatchKey

_ADD = text(
    """INSERT INTO messaging.calendars (project, key, free_at)
    SELECT :project, key, :now FROM unnest(CAST(:keys AS text[])) AS x (key) ORDER BY key ON CONFLICT DO NOTHING"""
)
_LOCK = text(
    """SELECT c.key, c.free_at, t.start_time, t.part_count FROM messaging.calendars c
    LEFT JOIN messaging.turns t ON t.project = c.project AND t.batch_id = CAST(:batch AS uuid) AND t.key = c.key
    WHERE c.project = :project AND c.key = ANY(CAST(:keys AS text[])) ORDER BY c.key FOR UPDATE OF c"""
)
_FREE = text(
    """UPDATE messaging.calendars AS c SET free_at = x.free_at
    FROM unnest(CAST(:keys AS text[]), CAST(:times AS timestamptz[])) AS x (key, free_at)
    WHERE c.project = :project AND c.key = x.key"""
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


@dataclass(frozen=True)
class Calendar:
    """When a number is free again, and the turn this batch holds at it."""

    free_at: datetime
    held: Turn | None


class TurnStore:
    """Reads and writes calendars; what was locked stays so until the transaction ends."""

    async def lock(
        self, conn: AsyncConnection, key: BatchKey, keys: Sequence[str], now: datetime
    ) -> Mapping[str, Calendar]:
        """Return the calendars of numbers; those used for the first time are free now."""
        parameters = {"project": key.project, "keys": text_array(sorted(keys))}
        await conn.execute(_ADD, {**parameters, "now": now})
        rows = await conn.execute(_LOCK, {**parameters, "batch": key.batch_id})
        return {
            row.key: Calendar(row.free_at, Turn(row.start_time, row.part_count) if row.start_time else None)
            for row in rows
        }

    async def put(
        self, conn: AsyncConnection, key: BatchKey, free: Mapping[str, datetime], ahead: Mapping[str, Turn]
    ) -> None:
        """Write when numbers are free again and the turns this batch holds from now on, in place of those of before."""
        await conn.execute(
            _FREE,
            {
                "project": key.project,
                "keys": text_array(list(free)),
                "times": plain_array([time.isoformat() for time in free.values()]),
            },
        )
        await conn.execute(_DROP, key.parameters())
        if ahead:
            await conn.execute(
                _HOLD,
                {
                    **key.parameters(),
                    "keys": text_array(list(ahead)),
                    "times": plain_array([turn.start.isoformat() for turn in ahead.values()]),
                    "parts": plain_array([turn.parts for turn in ahead.values()]),
                },
            )

    async def push(self, conn: AsyncConnection, project: str, key: str, *, seconds: float, now: datetime) -> None:
        """Move a number's free instant by what somebody sent outside of turns."""
        from_now = {"project": project, "key": key, "now": now, "seconds": seconds}
        await conn.execute(_PUSH, {**from_now, "pushed": now})
