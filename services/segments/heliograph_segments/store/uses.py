"""What campaigns and journeys announced about the segments they use."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.segments import Group, Library, Rules, SegmentReference
from heliograph_segments.domain.uses import Use, UseKind
from heliograph_segments.store import segments

# Those that ended stay: an announcement that comes late must find that it is late.
_PUT = text(
    "INSERT INTO segments.segment_uses AS u (project, kind, user_key, revision, state, in_use, segment_ids) "
    "VALUES (:project, :kind, :user, :revision, :state, :in_use, CAST(:segments AS text[])) "
    "ON CONFLICT (project, kind, user_key) DO UPDATE SET revision = excluded.revision, state = excluded.state, "
    "in_use = excluded.in_use, segment_ids = excluded.segment_ids WHERE u.revision < excluded.revision"
)
_NAMED = text(
    "SELECT DISTINCT unnest(segment_ids) AS segment_id FROM segments.segment_uses "
    "WHERE in_use AND project = :project ORDER BY segment_id"
)
_PROJECTS = text("SELECT DISTINCT project FROM segments.segment_uses WHERE in_use ORDER BY project")
_PAGE = text(
    "SELECT kind, user_key, revision, state, segment_ids FROM segments.segment_uses WHERE in_use "
    "AND project = :project AND segment_ids && CAST(:segments AS text[]) AND (kind, user_key) > (:kind, :user) "
    "ORDER BY kind, user_key LIMIT :count"
)


async def put(conn: AsyncConnection, use: Use) -> None:
    """Store an announcement unless a later one of the same campaign or journey is stored; safe to repeat."""
    parameters = {
        "project": use.project,
        "kind": use.kind.value,
        "user": use.user_id,
        "revision": use.revision,
        "state": use.state,
        "in_use": use.is_open,
        "segments": list(use.segment_ids),
    }
    await conn.execute(_PUT, parameters)


async def projects(conn: AsyncConnection) -> list[str]:
    """Return the projects in which some segment is in use."""
    return list((await conn.execute(_PROJECTS)).scalars())


async def named(conn: AsyncConnection, project: str) -> list[str]:
    """Return the segments that campaigns and journeys name which have not ended, deleted segments included."""
    return list((await conn.execute(_NAMED, {"project": project})).scalars())


async def library_of(conn: AsyncConnection, project: str, segment_ids: Collection[str]) -> Library:
    """Return the latest rules of segments and everything they are built on; missing ones are left out."""
    wanted = tuple(SegmentReference(segment_id) for segment_id in segment_ids)
    return await segments.library(conn, project, Rules(groups=(Group(sources=wanted),)))


async def page(
    conn: AsyncConnection, project: str, segment_ids: Collection[str], count: int, after: tuple[str, str] | None
) -> Sequence[Use]:
    """Return those behind a position (kind, id) that name one of the segments and have not ended."""
    kind, user_id = after or ("", "")
    parameters = {
        "project": project,
        "segments": sorted(segment_ids),
        "kind": kind,
        "user": user_id,
        "count": count,
    }
    rows = await conn.execute(_PAGE, parameters)
    return [
        Use(project, UseKind(row.kind), row.user_key, row.revision, row.state, tuple(row.segment_ids)) for row in rows
    ]
