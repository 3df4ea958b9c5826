"""Who was the target of what and when: what caps are counted from.

Counting begins in a project with the first batch that carries a cap. From then on every campaign's and journey's message
counts, whether its own batch carries caps or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.caps import MAX_LIMIT, MAX_WINDOW, Touched
from heliograph_messaging.store.arrays import plain_array

_COUNTS = text(
    """INSERT INTO messaging.counted_projects (project) SELECT :project WHERE :begin ON CONFLICT DO NOTHING"""
)
_COUNTED = text("SELECT EXISTS (SELECT FROM messaging.counted_projects WHERE project = :project)")
# In one order everywhere, so that two batches with the same people wait for each other instead of in a circle.
_ADD = text(
    """INSERT INTO messaging.touches (project, ordinal)
    SELECT :project, ordinal FROM unnest(CAST(:ordinals AS bigint[])) AS x (ordinal) ORDER BY ordinal
    ON CONFLICT DO NOTHING"""
)
# The row of an endpoint is the lock of everything that is counted for it, its rows by source included.
_LOCK = text(
    """SELECT t.ordinal, t.campaign_times, t.journey_times FROM messaging.touches t WHERE t.project = :project AND t.ordinal = ANY(CAST(:ordinals AS bigint[]))
    ORDER BY t.ordinal FOR UPDATE"""
)
_OF_SOURCE = text(
    """SELECT ordinal, times, total FROM messaging.source_touches
    WHERE project = :project AND source = :source AND ordinal = ANY(CAST(:ordinals AS bigint[]))"""
)
_LAST = f"[greatest(1, cardinality({{times}}) - {MAX_LIMIT - 2}):]"
_NOTE = {
    kind: text(
        f"""UPDATE messaging.touches SET {kind}_times = {kind}_times{_LAST.format(times=f"{kind}_times")} || CAST(:now AS
            timestamptz), last_time = :now
        WHERE project = :project AND ordinal = ANY(CAST(:ordinals AS bigint[]))"""  # noqa: S608 (two words of ours)
    )
    for kind in ("campaign", "journey")
}
_NOTE_SOURCE = text(
    f"""INSERT INTO messaging.source_touches AS s (project, source, ordinal, times, total)
    SELECT :project, :source, ordinal, ARRAY[CAST(:now AS timestamptz)], 1
    FROM unnest(CAST(:ordinals AS bigint[])) AS x (ordinal) ORDER BY ordinal
    ON CONFLICT (project, source, ordinal) DO UPDATE
        SET times = s.times{_LAST.format(times="s.times")} || excluded.times, total = s.total + 1"""  # noqa: S608
)
_FORGET = text("DELETE FROM messaging.touches WHERE last_time < :before")
_ERASE = tuple(
    text(f"DELETE FROM messaging.{table} WHERE project = :project AND ordinal = ANY(CAST(:ordinals AS bigint[]))")  # noqa: S608
    for table in ("touches", "source_touches")
)


class TouchStore:
    """Reads and counts touches; every method runs in the transaction that claims the messages."""

    async def counted(self, conn: AsyncConnection, project: str, *, begin: bool) -> bool:
        """Tell whether a project is counted; `begin` starts it."""
        if begin:
            await conn.execute(_COUNTS, {"project": project, "begin": True})
            return True
        return bool((await conn.execute(_COUNTED, {"project": project})).scalar_one())

    async def lock(
        self, conn: AsyncConnection, project: str, source: str, ordinals: Sequence[int]
    ) -> Mapping[int, Touched]:
        """Return what endpoints were the target of; nobody else counts for them until this transaction ends."""
        parameters = {"project": project, "ordinals": plain_array(sorted(set(ordinals)))}
        await conn.execute(_ADD, parameters)
        rows = (await conn.execute(_LOCK, parameters)).all()
        of_source: dict[int, tuple[Sequence[datetime], int]] = {
            row.ordinal: (row.times, row.total)
            for row in await conn.execute(_OF_SOURCE, {**parameters, "source": source})
        }
        never: tuple[Sequence[datetime], int] = ((), 0)
        return {
            row.ordinal: Touched(
                (*row.campaign_times, *row.journey_times), row.journey_times, *of_source.get(row.ordinal, never)
            )
            for row in rows
        }

    async def note(
        self, conn: AsyncConnection, project: str, source: str, ordinals: Sequence[int], *, journey: bool, now: datetime
    ) -> None:
        """Count one more message for each endpoint; all of them are locked."""
        parameters = {"project": project, "ordinals": plain_array(ordinals), "now": now}
        await conn.execute(_NOTE["journey" if journey else "campaign"], parameters)
        await conn.execute(_NOTE_SOURCE, {**parameters, "source": source})

    async def forget(self, conn: AsyncConnection, now: datetime) -> int:
        """Drop what no window can reach any more; what sources counted stays for their totals."""
        return (await conn.execute(_FORGET, {"before": now - MAX_WINDOW - timedelta(days=1)})).rowcount


async def erase(conn: AsyncConnection, project: str, ordinals: Sequence[int]) -> None:
    """Drop everything counted for endpoints."""
    for statement in _ERASE:
        await conn.execute(statement, {"project": project, "ordinals": plain_array(ordinals)})
