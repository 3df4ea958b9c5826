"""The log of changed endpoints: how an index learns what the record has and it has not.

Each writing transaction adds one row with the ordinals it touched. A reader remembers the oldest transaction that was
still running when he read (`Position`) and reads from there the next time: a transaction that commits late is met then,
one that was met already is met again, which does no harm because the rows themselves are read from the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_NOTE = text(
    "INSERT INTO segments.audience_log (project, transaction_id, ordinals, written_at) "
    "VALUES (:project, CAST(CAST(pg_current_xact_id() AS text) AS bigint), :ordinals, clock_timestamp())"
)
_POSITION = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint), clock_timestamp()")
_SINCE = text(
    "SELECT entry, ordinals FROM segments.audience_log WHERE project = :project AND transaction_id >= :since "
    "AND entry <> ALL (CAST(:known AS bigint[]))"
)
_PRUNE = text(
    "DELETE FROM segments.audience_log WHERE written_at < clock_timestamp() - make_interval(secs => :seconds)"
)


@dataclass(frozen=True, order=True)
class Position:
    """How far a reader has read: every transaction before this one is known to him; and when that was."""

    transaction_id: int
    read_at: datetime


async def note(conn: AsyncConnection, project: str, ordinals: Iterable[int]) -> None:
    """Note that these endpoints were created, changed or deleted, in the transaction that does it."""
    touched = BitMap(ordinals)
    if touched:
        touched.run_optimize()
        await conn.execute(_NOTE, {"project": project, "ordinals": touched.serialize()})


async def position(conn: AsyncConnection) -> Position:
    """Return the position of a reader whose next statements see at least what is committed now."""
    row = (await conn.execute(_POSITION)).one()
    return Position(*row)


async def changed_since(
    conn: AsyncConnection, project: str, since: Position, known: Iterable[int] = ()
) -> tuple[BitMap, list[int]]:
    """Return the ordinals touched by transactions that were not all known at a position, and the entries they are in.

    `known` are entries that were met before.
    """
    changed, entries = BitMap(), []
    parameters = {"project": project, "since": since.transaction_id, "known": list(known)}
    for entry, packed in await conn.execute(_SINCE, parameters):
        changed |= BitMap.deserialize(bytes(packed))
        entries.append(entry)
    return changed, entries


async def prune(conn: AsyncConnection, kept: timedelta) -> int:
    """Forget what was written longer ago; whoever stands before it must read the whole record again."""
    return (await conn.execute(_PRUNE, {"seconds": kept.total_seconds()})).rowcount
