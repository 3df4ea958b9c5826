"""The rows of the record as an index wants them: one JSON document for some thousand endpoints, parsed in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.index.partition import Row

# OFFSET 0 keeps the planner from joining all users of a table for some hundred of them.
_READ = (
    "SELECT CAST(json_agg(json_build_array(e.ordinal, e.channel, "
    "CAST(extract(epoch FROM e.last_active_at) * 1000000 AS bigint), "
    "e.attributes, coalesce(u.attributes, '{}'), e.metrics, e.demographic, e.location)) AS text) "
    "FROM segments.endpoints e LEFT JOIN LATERAL (SELECT attributes FROM segments.users "
    "WHERE project = e.project AND user_id = e.user_id OFFSET 0) u ON true WHERE e.project = :project AND "
)
_GIVEN = text(_READ + "e.ordinal = ANY (CAST(:ordinals AS bigint[]))")
_RANGE = text(_READ + "e.ordinal >= :first AND e.ordinal < :end")
_LAST = text("SELECT coalesce(max(ordinal), 0) FROM segments.endpoints WHERE project = :project")


async def read_given(conn: AsyncConnection, project: str, ordinals: Sequence[int]) -> list[Row]:
    """Return those endpoints of the given ordinals that exist, in no promised order."""
    return await _rows(conn, _GIVEN, {"project": project, "ordinals": list(ordinals)})


async def read_range(conn: AsyncConnection, project: str, first: int, end: int) -> list[Row]:
    """Return the endpoints with `first <= ordinal < end`, in no promised order."""
    return await _rows(conn, _RANGE, {"project": project, "first": first, "end": end})


async def last_ordinal(conn: AsyncConnection, project: str) -> int:
    """Return the greatest ordinal that an endpoint has, 0 when there are none."""
    return int((await conn.execute(_LAST, {"project": project})).scalar_one())


async def _rows(conn: AsyncConnection, statement: TextClause, parameters: dict[str, Any]) -> list[Row]:
    document = (await conn.execute(statement, parameters)).scalar_one()
    return [Row(*cells) for cells in orjson.loads(document)] if document else []
