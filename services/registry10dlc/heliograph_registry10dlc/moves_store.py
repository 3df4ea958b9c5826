"""What watching asks of the history besides its pages. Every function works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# One step down the primary key for each project, however long its history is.
_NEWEST = text("""
SELECT asked.project, coalesce(
    (SELECT max(m.move_id) FROM registry10dlc.moves m WHERE m.project = asked.project), 0
) AS move_id
FROM unnest(CAST(:projects AS text[])) AS asked(project)
""")
_KNOWN = text("""
SELECT EXISTS (
    SELECT 1 FROM registry10dlc.moves WHERE project = :project AND registration_id = :registration_id AND kind = :kind
)
""")


async def newest_moves(conn: AsyncConnection, projects: Sequence[str]) -> dict[str, int]:
    """Return the last move_id of each project, 0 for one without any.

    The moves of a project become visible in the order of their ids, so none at or below it is still to come.
    """
    rows = await conn.execute(_NEWEST, {"projects": list(projects)})
    return {str(row.project): int(row.move_id) for row in rows}


async def has_moved(conn: AsyncConnection, project: str, kind: str, registration_id: str) -> bool:
    """Tell whether there is, or ever was, such a registration: creating it is its first move."""
    row = await conn.execute(_KNOWN, {"project": project, "registration_id": registration_id, "kind": kind})
    return bool(row.scalar_one())
