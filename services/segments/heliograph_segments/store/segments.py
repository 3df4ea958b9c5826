"""Segments, their versions, and the request ids of creating calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.codec import from_document, to_document
from heliograph_segments.domain.segments import Rules, SegmentReference


@dataclass(frozen=True)
class Segment:
    """One version of a segment."""

    project: str
    segment_id: str
    version: int
    display_name: str
    rules: Rules
    tags: Mapping[str, str]
    created_at: datetime
    updated_at: datetime


_GET = (
    "SELECT s.segment_id, v.version, v.display_name, v.rules, s.tags, s.created_at, v.created_at AS updated_at "
    "FROM segments.segments s JOIN segments.segment_versions v "
    "ON v.project = s.project AND v.segment_id = s.segment_id "
    "WHERE s.project = :project AND "
)
_GET_VERSION = text(
    _GET + "s.segment_id = :segment AND v.version = CASE WHEN :version = 0 THEN s.version ELSE :version END"
)
_LIST = text(
    _GET + "v.version = s.version AND (CAST(:time AS timestamptz) IS NULL "
    "OR (s.created_at, s.segment_id) < (CAST(:time AS timestamptz), :segment)) "
    "ORDER BY s.created_at DESC, s.segment_id DESC LIMIT :count"
)
_VERSIONS = text(
    _GET + "s.segment_id = :segment AND (:before = 0 OR v.version < :before) ORDER BY v.version DESC LIMIT :count"
)
_RULES = text(
    "SELECT a.segment_id, a.version AS asked, v.rules "
    "FROM unnest(CAST(:ids AS text[]), CAST(:versions AS integer[])) AS a (segment_id, version) "
    "JOIN segments.segments s ON s.project = :project AND s.segment_id = a.segment_id "
    "JOIN segments.segment_versions v ON v.project = s.project AND v.segment_id = s.segment_id "
    "AND v.version = CASE WHEN a.version = 0 THEN s.version ELSE a.version END"
)
_LOCK_PROJECT = text("SELECT pg_advisory_xact_lock(hashtextextended('segments of ' || :project, 0))")
_INSERT = text(
    "INSERT INTO segments.segments (project, segment_id, version, tags, created_at) "
    "VALUES (:project, :segment, 1, CAST(:tags AS jsonb), :now)"
)
_INSERT_VERSION = text(
    "INSERT INTO segments.segment_versions (project, segment_id, version, display_name, rules, created_at) "
    "VALUES (:project, :segment, :version, :display_name, CAST(:rules AS jsonb), :now)"
)
_RAISE_VERSION = text(
    "UPDATE segments.segments SET version = :version WHERE project = :project AND segment_id = :segment"
)
_DELETE_VERSIONS = text("DELETE FROM segments.segment_versions WHERE project = :project AND segment_id = :segment")
_DELETE = text("DELETE FROM segments.segments WHERE project = :project AND segment_id = :segment")


async def lock_project(conn: AsyncConnection, project: str) -> None:
    """Let changes of the segments of a project come one after another, so that no two together make a circle."""
    await conn.execute(_LOCK_PROJECT, {"project": project})


async def get(conn: AsyncConnection, project: str, segment_id: str, version: int = 0) -> Segment | None:
    """Return a version of a segment, the latest for 0; None when there is none."""
    parameters = {"project": project, "segment": segment_id, "version": version}
    row = (await conn.execute(_GET_VERSION, parameters)).one_or_none()
    return _segment(project, row) if row else None


async def page(
    conn: AsyncConnection, project: str, count: int, after: tuple[datetime, str] | None
) -> Sequence[Segment]:
    """Return the latest versions behind a position, newest segment first."""
    time, segment_id = after or (None, "")
    rows = await conn.execute(_LIST, {"project": project, "time": time, "segment": segment_id, "count": count})
    return [_segment(project, row) for row in rows]


async def versions(conn: AsyncConnection, project: str, segment_id: str, count: int, before: int) -> Sequence[Segment]:
    """Return versions older than `before` (0: all), newest first."""
    parameters = {"project": project, "segment": segment_id, "count": count, "before": before}
    return [_segment(project, row) for row in await conn.execute(_VERSIONS, parameters)]


async def library(conn: AsyncConnection, project: str, rules: Rules) -> dict[SegmentReference, Rules]:
    """Return the rules of every source that the rules lead to, directly or through others; missing ones are left out."""
    found: dict[SegmentReference, Rules] = {}
    open_ones = set(rules.references())
    while open_ones:
        asked = sorted(open_ones)
        parameters = {
            "project": project,
            "ids": [reference.segment_id for reference in asked],
            "versions": [reference.version for reference in asked],
        }
        for row in await conn.execute(_RULES, parameters):
            found[SegmentReference(row.segment_id, row.asked)] = from_document(row.rules)
        deeper: Iterable[SegmentReference] = (
            source for reference in asked if reference in found for source in found[reference].references()
        )
        # A reference that was asked and not found is not asked again: the loop ends.
        open_ones = {source for source in deeper if source not in found} - open_ones
    return found


async def insert(conn: AsyncConnection, segment: Segment) -> None:
    """Add a segment with its first version."""
    key = {"project": segment.project, "segment": segment.segment_id, "now": segment.created_at}
    await conn.execute(_INSERT, key | {"tags": orjson.dumps(dict(segment.tags)).decode()})
    await _insert_version(conn, segment)


async def add_version(conn: AsyncConnection, segment: Segment) -> None:
    """Add the next version; the caller holds the lock of the project."""
    key = {"project": segment.project, "segment": segment.segment_id}
    await conn.execute(_RAISE_VERSION, key | {"version": segment.version})
    await _insert_version(conn, segment)


async def delete(conn: AsyncConnection, project: str, segment_id: str) -> None:
    """Delete a segment with all versions."""
    for statement in (_DELETE_VERSIONS, _DELETE):
        await conn.execute(statement, {"project": project, "segment": segment_id})


async def _insert_version(conn: AsyncConnection, segment: Segment) -> None:
    await conn.execute(
        _INSERT_VERSION,
        {
            "project": segment.project,
            "segment": segment.segment_id,
            "version": segment.version,
            "display_name": segment.display_name,
            "rules": orjson.dumps(to_document(segment.rules)).decode(),
            "now": segment.updated_at,
        },
    )


def _segment(project: str, row: Row[Any]) -> Segment:
    return Segment(
        project=project,
        segment_id=row.segment_id,
        version=row.version,
        display_name=row.display_name,
        rules=from_document(row.rules),
        tags=row.tags,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
