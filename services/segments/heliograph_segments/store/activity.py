"""Bulk changes that come over the bus."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.store import audience_log

_PORTION = 20_000

_LOCK = text(
    "SELECT FROM segments.endpoints WHERE project = :project AND endpoint_key = ANY (:keys) "
    "ORDER BY endpoint_key FOR NO KEY UPDATE"
)
_MOVE = text(
    "UPDATE segments.endpoints AS e SET last_active_at = n.at "
    "FROM unnest(CAST(:keys AS text[]), CAST(:times AS timestamptz[])) AS n (key, at) "
    "WHERE e.project = :project AND e.endpoint_key = n.key AND e.last_active_at < n.at "
    "RETURNING e.ordinal"
)
_ERASE_ENDPOINTS = text(
    "DELETE FROM segments.endpoints WHERE project = :project AND endpoint_key IN "
    "(SELECT endpoint_key FROM segments.endpoints WHERE project = :project LIMIT :portion) RETURNING ordinal"
)
_ERASED = (
    "memberships",
    "deleted_endpoints",
    "users",
    "vocabularies",
    "removals",
    "segment_versions",
    "segments",
    "snapshots",
    "import_jobs",
    "export_jobs",
    "imported_endpoints",
    "imported_users",
    "requests",
    "segment_uses",
    "counters",
)


async def move(conn: AsyncConnection, project: str, latest: Mapping[str, datetime]) -> None:
    """Move the last activity of endpoints forward, never back; unknown endpoints are passed over."""
    keys = sorted(latest)
    await conn.execute(_LOCK, {"project": project, "keys": keys})
    moved = await conn.execute(_MOVE, {"project": project, "keys": keys, "times": [latest[key] for key in keys]})
    await audience_log.note(conn, project, moved.scalars())


async def erase_endpoints(conn: AsyncConnection, project: str) -> int:
    """Delete some endpoints of a project; return how many, 0 when none is left."""
    erased = (await conn.execute(_ERASE_ENDPOINTS, {"project": project, "portion": _PORTION})).scalars().all()
    await audience_log.note(conn, project, erased)
    return len(erased)


async def erase_rest(conn: AsyncConnection, project: str) -> None:
    """Delete everything else of a project. Its ordinals may begin anew: nobody holds any of them."""
    for table in _ERASED:
        await conn.execute(text(f"DELETE FROM segments.{table} WHERE project = :project"), {"project": project})  # noqa: S608
