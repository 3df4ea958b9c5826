"""Writing users, and who has which endpoints. Whoever gives a user an endpoint has locked the user: counts are exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.belonging import Owned
from heliograph_segments.store.races import Race

# One document instead of two arrays: the driver writes arrays element by element, in Python. Its keys come in one order
# for everybody, so two writers cannot lock the same users crosswise.
_MERGE_USERS = text(
    "INSERT INTO segments.users AS u (project, user_id, attributes) "
    "SELECT :project, n.key, n.value FROM jsonb_each(CAST(:changes AS jsonb)) AS n "
    "ON CONFLICT (project, user_id) DO UPDATE SET attributes = u.attributes || excluded.attributes "
    # Without a change the row is locked all the same: whoever gives a user an endpoint waits for whoever changes him.
    "WHERE u.attributes || excluded.attributes <> u.attributes "
    # A user who is new has no endpoints but those of this transaction.
    "RETURNING user_id, xmax = 0 AS added, octet_length(CAST(u.attributes AS text)) AS size"
)
_OF_USERS = text(
    "SELECT ordinal FROM segments.endpoints WHERE project = :project AND user_id = ANY (:users) AND user_id <> ''"
)
_REMOVE_USER_ATTRIBUTES = text(
    "UPDATE segments.users AS u SET attributes = u.attributes - ARRAY(SELECT jsonb_array_elements_text(n.value)) "
    "FROM jsonb_each(CAST(:removals AS jsonb)) AS n WHERE u.project = :project AND u.user_id = n.key "
    "RETURNING u.user_id, octet_length(CAST(u.attributes AS text)) AS size"
)
_CROWDED = text(
    "SELECT user_id FROM segments.endpoints WHERE project = :project AND user_id = ANY (:users) AND user_id <> '' "
    "GROUP BY user_id HAVING count(*) > :limit"
)
_OWNED = text(
    "SELECT user_id, endpoint_key, channel, effective_at, ordinal FROM segments.endpoints "
    "WHERE project = :project AND user_id = ANY (:users) AND user_id <> ''"
)
_EVICT = text(
    "UPDATE segments.endpoints SET active = false, user_id = '' "
    "WHERE project = :project AND endpoint_key = ANY (:keys) RETURNING ordinal"
)
_LOCK_ENDPOINTS = text(
    "SELECT endpoint_key, endpoint_id, ordinal FROM segments.endpoints WHERE project = :project AND user_id = :user "
    "AND user_id <> '' ORDER BY endpoint_key FOR UPDATE"
)
_COUNT = text("SELECT count(*) FROM segments.endpoints WHERE project = :project AND user_id = :user AND user_id <> ''")
_LOCK_USER = text("SELECT FROM segments.users WHERE project = :project AND user_id = :user FOR UPDATE")
_DELETE = text("DELETE FROM segments.users WHERE project = :project AND user_id = :user")


class Theirs(NamedTuple):
    """Which endpoint a user has."""

    key: str
    endpoint_id: str
    ordinal: int


async def write(
    conn: AsyncConnection, project: str, changes: Mapping[str, Mapping[str, Sequence[str]]]
) -> tuple[Mapping[str, int], Sequence[str]]:
    """Merge attribute changes of users and lock them; an empty list removes the name. Users not known yet are added.

    Returns the size of the attributes in bytes of those who are new or not what they were, and who was there before.
    """
    if not changes:
        return {}, ()
    given = {user: {name: held for name, held in named.items() if held} for user, named in changes.items()}
    merged = (await conn.execute(_MERGE_USERS, {"project": project, "changes": orjson.dumps(given).decode()})).all()
    sizes: dict[str, int] = {row.user_id: row.size for row in merged}
    changed = {row.user_id for row in merged if not row.added}
    removals = {
        user: gone for user, named in changes.items() if (gone := [name for name, held in named.items() if not held])
    }
    if removals:
        parameters = {"project": project, "removals": orjson.dumps(removals).decode()}
        for row in await conn.execute(_REMOVE_USER_ATTRIBUTES, parameters):
            sizes[row.user_id] = row.size
            changed.add(row.user_id)
    return sizes, sorted(changed)


async def ordinals_of(conn: AsyncConnection, project: str, users: Sequence[str]) -> Sequence[int]:
    """Return the ordinals of all endpoints of users."""
    if not users:
        return ()
    return (await conn.execute(_OF_USERS, {"project": project, "users": list(users)})).scalars().all()


async def crowded(conn: AsyncConnection, project: str, users: Sequence[str], limit: int) -> dict[str, list[Owned]]:
    """Return all endpoints of those of the users, who are locked, that have more than `limit`."""
    parameters = {"project": project, "users": list(users)}
    many = (await conn.execute(_CROWDED, {**parameters, "limit": limit})).scalars().all()
    if not many:
        return {}
    owned: dict[str, list[Owned]] = {user: [] for user in many}
    for row in await conn.execute(_OWNED, {"project": project, "users": many}):
        owned[row.user_id].append(Owned(*row[1:]))
    return owned


async def evict(conn: AsyncConnection, project: str, keys: Sequence[str]) -> Sequence[int]:
    """Take endpoints from their users and make them inactive; return their ordinals."""
    if not keys:
        return ()
    return (await conn.execute(_EVICT, {"project": project, "keys": sorted(keys)})).scalars().all()


async def lock(conn: AsyncConnection, project: str, user_id: str) -> Sequence[Theirs]:
    """Lock a user with all endpoints, so that nobody gives the user another before the commit; return these by key.

    Raises:
        Race: the user was given one meanwhile.
    """
    parameters = {"project": project, "user": user_id}
    # In the order in which writers lock: endpoints first.
    locked = [Theirs(*row) for row in await conn.execute(_LOCK_ENDPOINTS, parameters)]
    await conn.execute(_LOCK_USER, parameters)
    if (await conn.execute(_COUNT, parameters)).scalar_one() != len(locked):
        raise Race
    return locked


async def delete(conn: AsyncConnection, project: str, user_id: str) -> None:
    """Delete a user; the endpoints are deleted before."""
    await conn.execute(_DELETE, {"project": project, "user": user_id})
