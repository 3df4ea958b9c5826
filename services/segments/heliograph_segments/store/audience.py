"""Counting, sampling and freezing segments; snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.index.bitmaps import of_numbers
from heliograph_segments.store.compiler import Compiled

PARTITION_BITS = 20


@dataclass(frozen=True)
class Snapshot:
    """A frozen audience without its members."""

    project: str
    snapshot_id: str
    segment_id: str
    segment_version: int
    member_count: int
    as_of: datetime


_TOTAL = text("SELECT count(*) FROM segments.endpoints e WHERE e.project = :project")
_FIND = (
    "SELECT snapshot_id, segment_id, segment_version, member_count, as_of FROM segments.snapshots "
    "WHERE project = :project AND snapshot_id = :snapshot"
)
_GET = text(_FIND)
_MEMBERS = text("SELECT members FROM segments.snapshots WHERE project = :project AND snapshot_id = :snapshot")
_ORDINALS = text(
    "SELECT endpoint_key, ordinal FROM segments.endpoints WHERE project = :project "
    "AND endpoint_key = ANY (CAST(:keys AS text[]))"
)
_ACTIVE = text(
    "SELECT ordinal FROM segments.endpoints WHERE project = :project "
    "AND last_active_at >= :since AND last_active_at < :until"
)
_FORGET = text("DELETE FROM segments.snapshots WHERE as_of < :before")
_INSERT = text(
    "INSERT INTO segments.snapshots "
    "(project, snapshot_id, segment_id, segment_version, member_count, as_of, members) "
    "VALUES (:project, :snapshot, :segment, :version, :count, :as_of, :members) ON CONFLICT DO NOTHING"
)


async def count(conn: AsyncConnection, project: str, segment: Compiled) -> int:
    """Return how many endpoints match."""
    statement = text(f"SELECT count(*) FROM {segment.source} WHERE {segment.where}")  # noqa: S608
    return int((await conn.execute(statement, {"project": project, **segment.parameters})).scalar_one())


async def total(conn: AsyncConnection, project: str) -> int:
    """Return how many endpoints the project has."""
    return int((await conn.execute(_TOTAL, {"project": project})).scalar_one())


async def sample(conn: AsyncConnection, project: str, segment: Compiled, size: int) -> list[int]:
    """Return the ordinals of some members: those that a fixed hash puts first, so a repetition draws the same."""
    statement = text(
        f"SELECT e.ordinal FROM {segment.source} WHERE {segment.where} "  # noqa: S608
        "ORDER BY hashint8extended(e.ordinal, 1), e.ordinal LIMIT :size"
    )
    rows = await conn.execute(statement, {"project": project, "size": size, **segment.parameters})
    return sorted(rows.scalars())


async def members(conn: AsyncConnection, project: str, segment: Compiled, within: BitMap | None = None) -> BitMap:
    """Return the ordinals of all members; `within` looks at those only.

    They come packed, eight bytes each and a partition of 2^20 ordinals a row: a row object per member would take
    seconds per million. Ordinals fit into 32 bits: four thousand million endpoints a project, deleted ones included.
    """
    statement = text(
        "SELECT string_agg(int8send(e.ordinal), ''::bytea) AS packed "  # noqa: S608
        f"FROM {segment.source} WHERE {segment.where} "
        + ("" if within is None else "AND e.ordinal = ANY (CAST(:within AS bigint[])) ")
        + f"GROUP BY e.ordinal >> {PARTITION_BITS}"
    )
    parameters = {"project": project, **segment.parameters}
    if within is not None:
        parameters["within"] = within.to_array().tolist()
    found = BitMap()
    for packed in (await conn.execute(statement, parameters)).scalars():
        found |= of_numbers(np.frombuffer(packed, dtype=">i8"))
    return found


async def active_between(conn: AsyncConnection, project: str, since: datetime, until: datetime) -> BitMap:
    """Return the ordinals of those whose last activity was at or after `since` and before `until`."""
    return BitMap((await conn.execute(_ACTIVE, {"project": project, "since": since, "until": until})).scalars())


async def get_snapshot(conn: AsyncConnection, project: str, snapshot_id: str) -> Snapshot | None:
    """Return a snapshot, None when there is none."""
    row = (await conn.execute(_GET, {"project": project, "snapshot": snapshot_id})).one_or_none()
    return Snapshot(project, *row) if row else None


async def read_members(conn: AsyncConnection, project: str, snapshot_id: str) -> BitMap | None:
    """Return the members of a snapshot, None when there is no snapshot."""
    packed = (await conn.execute(_MEMBERS, {"project": project, "snapshot": snapshot_id})).scalar_one_or_none()
    return None if packed is None else BitMap.deserialize(bytes(packed))


async def ordinals_of(conn: AsyncConnection, project: str, keys: Sequence[str]) -> dict[str, int]:
    """Return the ordinals of those endpoint keys that exist."""
    rows = await conn.execute(_ORDINALS, {"project": project, "keys": list(keys)})
    return {row.endpoint_key: row.ordinal for row in rows}


async def forget_snapshots(conn: AsyncConnection, before: datetime) -> int:
    """Delete the snapshots frozen before an instant; return how many."""
    return (await conn.execute(_FORGET, {"before": before})).rowcount


async def insert_snapshot(conn: AsyncConnection, snapshot: Snapshot, ordinals: BitMap) -> bool:
    """Store a snapshot; tell whether it is stored, or there was one of that id before."""
    ordinals.run_optimize()
    parameters = {
        "project": snapshot.project,
        "snapshot": snapshot.snapshot_id,
        "segment": snapshot.segment_id,
        "version": snapshot.segment_version,
        "count": snapshot.member_count,
        "as_of": snapshot.as_of,
        "members": ordinals.serialize(),
    }
    return (await conn.execute(_INSERT, parameters)).rowcount > 0
