"""Whom imports listed: the members of imported segments. A list has the id of the job that made it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ADD_ENDPOINTS = text(
    "INSERT INTO segments.imported_endpoints (project, list_id, piece, ordinals) "
    "VALUES (:project, :list, :piece, :ordinals)"
)
_ADD_USERS = text(
    "INSERT INTO segments.imported_users (project, list_id, user_id) "
    "SELECT :project, :list, unnest(CAST(:users AS text[])) ON CONFLICT DO NOTHING"
)
_ENDPOINTS = text("SELECT ordinals FROM segments.imported_endpoints WHERE project = :project AND list_id = :list")
_OF_USERS = text(
    "SELECT e.ordinal FROM segments.imported_users u JOIN segments.endpoints e "
    "ON e.project = u.project AND e.user_id = u.user_id AND e.user_id <> '' "
    "WHERE u.project = :project AND u.list_id = :list"
)
_LISTS_OF_SEGMENT = text(
    "SELECT rules ->> 'imported' FROM segments.segment_versions "
    "WHERE project = :project AND segment_id = :segment AND rules ? 'imported'"
)
_FORGET = tuple(
    text(f"DELETE FROM segments.{table} WHERE project = :project AND list_id = ANY (:lists)")  # noqa: S608
    for table in ("imported_endpoints", "imported_users")
)
_FORGET_USER = text("DELETE FROM segments.imported_users WHERE project = :project AND user_id = :user")


async def add(
    conn: AsyncConnection, project: str, list_id: str, piece: int, ordinals: Iterable[int], users: Collection[str]
) -> None:
    """List the endpoints and the users of one piece; pieces are told apart by a number of the caller's."""
    listed = BitMap(ordinals)
    if listed:
        listed.run_optimize()
        given = {"project": project, "list": list_id, "piece": piece, "ordinals": listed.serialize()}
        await conn.execute(_ADD_ENDPOINTS, given)
    if users:
        await conn.execute(_ADD_USERS, {"project": project, "list": list_id, "users": sorted(users)})


async def members(conn: AsyncConnection, project: str, list_id: str) -> BitMap:
    """Return the ordinals of the endpoints on a list and of those that its users have now."""
    parameters = {"project": project, "list": list_id}
    found = BitMap((await conn.execute(_OF_USERS, parameters)).scalars())
    for packed in (await conn.execute(_ENDPOINTS, parameters)).scalars():
        found |= BitMap.deserialize(bytes(packed))
    return found


async def forget(conn: AsyncConnection, project: str, lists: Iterable[str]) -> None:
    """Delete lists."""
    for statement in _FORGET:
        await conn.execute(statement, {"project": project, "lists": list(lists)})


async def forget_segment(conn: AsyncConnection, project: str, segment_id: str) -> None:
    """Delete the lists of all versions of a segment, which is about to be deleted."""
    lists = (await conn.execute(_LISTS_OF_SEGMENT, {"project": project, "segment": segment_id})).scalars().all()
    if lists:
        await forget(conn, project, lists)


async def forget_user(conn: AsyncConnection, project: str, user_id: str) -> None:
    """Take a user from all lists."""
    await conn.execute(_FORGET_USER, {"project": project, "user": user_id})
