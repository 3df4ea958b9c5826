"""Erasures of users, and what is deleted and changed for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyroaring import BitMap
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.erasures import Erasure, ErasureState

_COLUMNS = (
    "project, erasure_id, user_id, state, endpoint_ids, ordinals, endpoint_count, snapshot_count, snapshot_done, "
    "answered, asks, created_at, completed_at"
)
_INSERT = text(
    f"INSERT INTO segments.erasures ({_COLUMNS}, fence) VALUES (:project, :erasure, :user, 'RUNNING', "  # noqa: S608
    "CAST(:ids AS text[]), CAST(:ordinals AS bigint[]), :count, 0, '', '{}', 0, :now, NULL, 0)"
)
_GET = f"SELECT {_COLUMNS} FROM segments.erasures WHERE project = :project AND "  # noqa: S608
_GET_ONE = text(_GET + "erasure_id = :erasure")
_LOCK_ONE = text(_GET + "erasure_id = :erasure FOR UPDATE")
_LIST = text(
    _GET + "(CAST(:time AS timestamptz) IS NULL OR (created_at, erasure_id) < (CAST(:time AS timestamptz), :erasure)) "
    "ORDER BY created_at DESC, erasure_id DESC LIMIT :count"
)
_LEASE = text(
    "UPDATE segments.erasures SET fence = fence + 1, "  # noqa: S608
    "lease_until = clock_timestamp() + make_interval(secs => :seconds) "
    "WHERE (project, erasure_id) = (SELECT project, erasure_id FROM segments.erasures WHERE state = 'RUNNING' "
    "AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
    f"ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}, fence"
)
_PROGRESS = text(
    "UPDATE segments.erasures SET snapshot_done = :done, snapshot_count = snapshot_count + :count, "
    "lease_until = clock_timestamp() + make_interval(secs => :seconds) "
    "WHERE project = :project AND erasure_id = :erasure AND fence = :fence AND state = 'RUNNING'"
)
_ASK = text(
    "UPDATE segments.erasures SET state = 'WAITING', asks = asks + 1, asked_at = clock_timestamp() "  # noqa: S608
    "WHERE project = :project AND erasure_id = :erasure AND fence = :fence AND state = 'RUNNING' "
    f"RETURNING {_COLUMNS}"
)
# Not a subquery: a join may run that again for each row, and each time it finds other free ones.
_ASK_AGAIN = text(
    "WITH late AS MATERIALIZED (SELECT project, erasure_id FROM segments.erasures WHERE state = 'WAITING' "  # noqa: S608
    "AND asked_at < clock_timestamp() - make_interval(secs => :seconds) "
    "ORDER BY created_at LIMIT :count FOR UPDATE SKIP LOCKED) "
    "UPDATE segments.erasures SET asks = asks + 1, asked_at = clock_timestamp() "
    f"WHERE (project, erasure_id) IN (SELECT project, erasure_id FROM late) RETURNING {_COLUMNS}"
)
_ANSWERED = text(
    "UPDATE segments.erasures SET answered = answered || CAST(:service AS text) "
    "WHERE project = :project AND erasure_id = :erasure"
)
_COMPLETE = text(
    "UPDATE segments.erasures SET state = 'COMPLETE', completed_at = :now, endpoint_ids = '{}', ordinals = '{}' "
    "WHERE project = :project AND erasure_id = :erasure"
)
_NEXT_SNAPSHOT = text(
    "SELECT snapshot_id, members FROM segments.snapshots WHERE project = :project AND snapshot_id > :done "
    "ORDER BY snapshot_id LIMIT 1 FOR UPDATE"
)
_SET_SNAPSHOT = text(
    "UPDATE segments.snapshots SET members = :members, member_count = :count "
    "WHERE project = :project AND snapshot_id = :snapshot"
)


@dataclass(frozen=True)
class Leased:
    """An erasure and the fence of the lease under which it may be changed."""

    erasure: Erasure
    fence: int


class LeaseLost(Exception):
    """Another worker has the erasure now, or its project is gone: nothing may be written for it any more."""


async def insert(
    conn: AsyncConnection, project: str, erasure_id: str, user_id: str, gone: Iterable[tuple[str, int]], now: datetime
) -> Erasure:
    """Add an erasure of a user whose endpoints (id and ordinal) were deleted."""
    ids, ordinals = [], []
    for endpoint_id, ordinal in gone:
        ids.append(endpoint_id)
        ordinals.append(ordinal)
    parameters = {
        "project": project,
        "erasure": erasure_id,
        "user": user_id,
        "ids": ids,
        "ordinals": ordinals,
        "count": len(ids),
        "now": now,
    }
    await conn.execute(_INSERT, parameters)
    return Erasure(project, erasure_id, user_id, ErasureState.RUNNING, ids, ordinals, len(ids), 0, "", (), 0, now)


async def get(conn: AsyncConnection, project: str, erasure_id: str, *, lock: bool = False) -> Erasure | None:
    """Return an erasure, None when there is none."""
    statement = _LOCK_ONE if lock else _GET_ONE
    row = (await conn.execute(statement, {"project": project, "erasure": erasure_id})).one_or_none()
    return _erasure(row) if row else None


async def page(
    conn: AsyncConnection, project: str, count: int, after: tuple[datetime, str] | None
) -> Sequence[Erasure]:
    """Return erasures behind a position, newest first."""
    time, erasure_id = after or (None, "")
    parameters = {"project": project, "time": time, "erasure": erasure_id, "count": count}
    return [_erasure(row) for row in await conn.execute(_LIST, parameters)]


async def lease(conn: AsyncConnection, length: timedelta) -> Leased | None:
    """Take the oldest erasure whose snapshots are to be gone through; None when there is none."""
    row = (await conn.execute(_LEASE, {"seconds": length.total_seconds()})).one_or_none()
    return Leased(_erasure(row), row.fence) if row else None


async def clean_next_snapshot(conn: AsyncConnection, erasure: Erasure, done: str) -> tuple[str, bool] | None:
    """Take the endpoints out of the next snapshot; return its id and whether some were in it, None behind the last."""
    row = (await conn.execute(_NEXT_SNAPSHOT, {"project": erasure.project, "done": done})).one_or_none()
    if row is None:
        return None
    members, gone = BitMap.deserialize(bytes(row.members)), BitMap(erasure.ordinals)
    found = members.intersect(gone)
    if found:
        members -= gone
        members.run_optimize()
        parameters = {"members": members.serialize(), "count": len(members), "snapshot": row.snapshot_id}
        await conn.execute(_SET_SNAPSHOT, parameters | {"project": erasure.project})
    return row.snapshot_id, found


async def progress(conn: AsyncConnection, leased: Leased, *, done: str, cleaned: int, length: timedelta) -> None:
    """Note up to which snapshot an erasure is, and keep the lease for so long more.

    Raises:
        LeaseLost: roll back.
    """
    parameters = {
        "project": leased.erasure.project,
        "erasure": leased.erasure.erasure_id,
        "fence": leased.fence,
        "done": done,
        "count": cleaned,
        "seconds": length.total_seconds(),
    }
    if (await conn.execute(_PROGRESS, parameters)).rowcount != 1:
        raise LeaseLost


async def ask(conn: AsyncConnection, leased: Leased) -> Erasure:
    """Note that the others are asked now, all snapshots being clean, and return the erasure.

    Raises:
        LeaseLost: roll back.
    """
    key = {"project": leased.erasure.project, "erasure": leased.erasure.erasure_id, "fence": leased.fence}
    row = (await conn.execute(_ASK, key)).one_or_none()
    if row is None:
        raise LeaseLost
    return _erasure(row)


async def ask_again(conn: AsyncConnection, after: timedelta, count: int) -> list[Erasure]:
    """Note that the others are asked once more about erasures that wait for so long; return up to `count` of these."""
    rows = await conn.execute(_ASK_AGAIN, {"seconds": after.total_seconds(), "count": count})
    return [_erasure(row) for row in rows]


async def answered(conn: AsyncConnection, erasure: Erasure, service: str) -> None:
    """Note that a service has erased what it held; the erasure is locked."""
    parameters = {"project": erasure.project, "erasure": erasure.erasure_id, "service": service}
    await conn.execute(_ANSWERED, parameters)


async def complete(conn: AsyncConnection, erasure: Erasure, now: datetime) -> None:
    """End an erasure and forget which endpoints it was about."""
    await conn.execute(_COMPLETE, {"project": erasure.project, "erasure": erasure.erasure_id, "now": now})


def _erasure(row: Row[Any]) -> Erasure:
    values = {name: getattr(row, name) for name in _COLUMNS.split(", ")}
    return Erasure(**values | {"state": ErasureState(row.state)})
