"""Who was in each segment in use when its changes were last announced, and the leases of those who look again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.store.audience_log import Position


@dataclass(frozen=True)
class Membership:
    """What is known of a segment in use, without its members, and the fence of the lease under which it may change.

    `position` and `as_of` are None before the first evaluation.
    """

    project: str
    segment_id: str
    version: int
    fingerprint: str
    sequence: int
    as_of: datetime | None
    position: Position | None
    fence: int


_LISTED = text("SELECT segment_id FROM segments.memberships WHERE project = :project")
_PROJECTS = text("SELECT DISTINCT project FROM segments.memberships")
_BEGIN = text(
    "INSERT INTO segments.memberships (project, segment_id, version, fingerprint, sequence, fence) "
    "SELECT :project, id, 0, '', CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), 0 "
    "FROM unnest(CAST(:segments AS text[])) AS wanted (id) ON CONFLICT DO NOTHING"
)
_END = text(
    "DELETE FROM segments.memberships WHERE project = :project AND segment_id <> ALL (CAST(:segments AS text[]))"
)
# Not a subquery: a join may run that again for each row, and each time it finds other free ones.
_LEASE = text(
    "WITH free AS MATERIALIZED (SELECT segment_id FROM segments.memberships WHERE project = :project "
    "AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
    "AND (checked_at IS NULL OR checked_at <= clock_timestamp() - make_interval(secs => :every)) "
    "ORDER BY checked_at NULLS FIRST, segment_id LIMIT :count FOR UPDATE SKIP LOCKED) "
    "UPDATE segments.memberships AS m SET fence = m.fence + 1, "
    "lease_until = clock_timestamp() + make_interval(secs => :seconds) FROM free "
    "WHERE m.project = :project AND m.segment_id = free.segment_id "
    "RETURNING m.segment_id, m.version, m.fingerprint, m.sequence, m.as_of, m.transaction_id, m.read_at, m.fence"
)
_FENCED = "WHERE project = :project AND segment_id = :segment AND fence = :fence"
_MEMBERS = text(f"SELECT members FROM segments.memberships {_FENCED}")  # noqa: S608
_STORE = text(
    "UPDATE segments.memberships SET version = :version, fingerprint = :fingerprint, sequence = :sequence, "  # noqa: S608
    "as_of = :as_of, transaction_id = :transaction, read_at = :read_at, members = coalesce(:members, members), "
    f"lease_until = clock_timestamp() + make_interval(secs => :seconds) {_FENCED}"
)
_RELEASE = text(
    "UPDATE segments.memberships AS m SET lease_until = NULL, checked_at = clock_timestamp() "
    "FROM unnest(CAST(:segments AS text[]), CAST(:fences AS bigint[])) AS mine (segment_id, fence) "
    "WHERE m.project = :project AND m.segment_id = mine.segment_id AND m.fence = mine.fence"
)
_IDS = text(
    "SELECT ordinal, endpoint_id FROM segments.endpoints "
    "WHERE project = :project AND ordinal = ANY (CAST(:ordinals AS bigint[])) UNION ALL "
    "SELECT ordinal, endpoint_id FROM segments.deleted_endpoints "
    "WHERE project = :project AND ordinal = ANY (CAST(:ordinals AS bigint[]))"
)
_FORGET = text(
    "DELETE FROM segments.deleted_endpoints d WHERE deleted_at < clock_timestamp() - make_interval(secs => :seconds) "
    "AND NOT EXISTS (SELECT FROM segments.memberships m WHERE m.project = d.project "
    "AND m.read_at < d.deleted_at + make_interval(secs => :seconds))"
)


class LeaseLost(Exception):
    """Another worker has the segment now, or it is not in use any more: nothing may be written for it."""


async def listed(conn: AsyncConnection, project: str) -> set[str]:
    """Return the segments whose members are followed."""
    return set((await conn.execute(_LISTED, {"project": project})).scalars())


async def projects(conn: AsyncConnection) -> list[str]:
    """Return the projects in which segments are followed."""
    return list((await conn.execute(_PROJECTS)).scalars())


async def follow_only(conn: AsyncConnection, project: str, segment_ids: Collection[str]) -> None:
    """Follow these segments of a project and no others; those followed already go on."""
    parameters = {"project": project, "segments": sorted(segment_ids)}
    for statement in (_END, _BEGIN):
        await conn.execute(statement, parameters)


async def lease(
    conn: AsyncConnection, project: str, count: int, lease: timedelta, every: timedelta
) -> list[Membership]:
    """Take up to `count` segments of a project that nobody works on and nobody has looked at for the time `every`."""
    parameters = {
        "project": project,
        "count": count,
        "seconds": lease.total_seconds(),
        "every": every.total_seconds(),
    }
    return [
        Membership(
            project,
            row.segment_id,
            row.version,
            row.fingerprint,
            row.sequence,
            row.as_of,
            None if row.transaction_id is None else Position(row.transaction_id, row.read_at),
            row.fence,
        )
        for row in await conn.execute(_LEASE, parameters)
    ]


async def members(conn: AsyncConnection, membership: Membership) -> BitMap:
    """Return who was in the segment; nobody before the first evaluation.

    Raises:
        LeaseLost: another worker may have changed it.
    """
    row = (await conn.execute(_MEMBERS, _key(membership))).one_or_none()
    if row is None:
        raise LeaseLost
    return BitMap.deserialize(bytes(row.members)) if row.members is not None else BitMap()


async def store(conn: AsyncConnection, membership: Membership, members: BitMap | None, lease: timedelta) -> None:
    """Store what is known now, with the members unless they are the same, and keep the lease for so long more.

    In the transaction that announces the difference.

    Raises:
        LeaseLost: roll back.
    """
    if members is not None:
        members.run_optimize()
    position = membership.position
    parameters = _key(membership) | {
        "version": membership.version,
        "fingerprint": membership.fingerprint,
        "sequence": membership.sequence,
        "as_of": membership.as_of,
        "transaction": position.transaction_id if position else None,
        "read_at": position.read_at if position else None,
        "members": None if members is None else members.serialize(),
        "seconds": lease.total_seconds(),
    }
    if (await conn.execute(_STORE, parameters)).rowcount != 1:
        raise LeaseLost


async def release(conn: AsyncConnection, memberships: Sequence[Membership]) -> None:
    """Give segments of one project back that were looked at; those lost meanwhile are passed over."""
    parameters = {
        "project": memberships[0].project,
        "segments": [membership.segment_id for membership in memberships],
        "fences": [membership.fence for membership in memberships],
    }
    await conn.execute(_RELEASE, parameters)


async def ids_of(conn: AsyncConnection, project: str, ordinals: Iterable[int]) -> Mapping[int, str]:
    """Return the ids of endpoints, also of those that were deleted."""
    rows = await conn.execute(_IDS, {"project": project, "ordinals": list(ordinals)})
    return {row.ordinal: row.endpoint_id for row in rows}


async def forget_deleted(conn: AsyncConnection, margin: timedelta) -> int:
    """Forget the ids of deleted endpoints whose leaving is announced; return how many.

    `margin` is how long a transaction may last that deletes: it is seen by others only when it commits.
    """
    return (await conn.execute(_FORGET, {"seconds": margin.total_seconds()})).rowcount


def _key(membership: Membership) -> dict[str, object]:
    return {"project": membership.project, "segment": membership.segment_id, "fence": membership.fence}
