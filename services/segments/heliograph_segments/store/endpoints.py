"""Writing and reading endpoints and users.

A write knows first which endpoints exist (they are locked), then gives ordinals to the new ones, then inserts these and
merges those: two plain statements, so that nothing has to be merged in Python. Of two writes that create the same
endpoint the second meets a unique violation and is run again (`Race`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.errors import UniqueViolation
from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import driver_connection
from heliograph_kit.ids import derived_ids
from heliograph_segments.domain.endpoints import COHORTS, Endpoint, EndpointUpdate
from heliograph_segments.store.copying import copy_line


class Race(Exception):
    """Another transaction created one of the same endpoints meanwhile; run the whole transaction again."""


@dataclass(frozen=True)
class Written:
    """How many endpoints a write created, and how many it found; the ordinals of both."""

    created: int
    updated: int
    ordinals: Sequence[int] = ()


_LOCK = text(
    "SELECT endpoint_key, user_id FROM segments.endpoints WHERE project = :project AND endpoint_key = ANY (:keys) "
    "ORDER BY endpoint_key FOR NO KEY UPDATE"
)

_TAKE_ORDINALS = text(
    "INSERT INTO segments.counters AS c (project, last_ordinal) VALUES (:project, :count) "
    "ON CONFLICT (project) DO UPDATE SET last_ordinal = c.last_ordinal + excluded.last_ordinal RETURNING last_ordinal"
)

# Name and type of each column of a write. Null means unchanged; null inside of the documents removes.
_COLUMNS = (
    ("endpoint_key", "text"),
    ("channel", "text"),
    ("address", "text"),
    ("attributes", "jsonb"),
    ("metrics", "jsonb"),
    ("demographic", "jsonb"),
    ("location", "jsonb"),
    ("user_id", "text"),
    ("active", "boolean"),
    ("opted_out", "boolean"),
    ("request_id", "text"),
    ("effective_at", "timestamptz"),
)
_NEW_COLUMNS = ("endpoint_key", "endpoint_id", "ordinal", "cohort", *(name for name, _ in _COLUMNS[1:]))
_NEW_TYPES = ("text", "text", "bigint", "smallint", *(kind for _, kind in _COLUMNS[1:]))

_INSERT = text(
    f"INSERT INTO segments.endpoints (project, created_at, last_active_at, {', '.join(_NEW_COLUMNS)}) "  # noqa: S608
    f"SELECT :project, :now, n.effective_at, {', '.join(f'n.{name}' for name in _NEW_COLUMNS)} "
    f"FROM unnest({', '.join(f'CAST(:{n} AS {k}[])' for n, k in zip(_NEW_COLUMNS, _NEW_TYPES, strict=True))}) "
    f"AS n ({', '.join(_NEW_COLUMNS)})"
)

_COPY_NEW = f"COPY segments.endpoints (project, created_at, last_active_at, {', '.join(_NEW_COLUMNS)}) FROM STDIN"

_MERGE = """
UPDATE segments.endpoints AS e SET
    channel = coalesce(n.channel, e.channel),
    address = coalesce(n.address, e.address),
    attributes = CASE WHEN n.attributes = '{}' THEN e.attributes
        ELSE jsonb_strip_nulls(e.attributes || n.attributes) END,
    metrics = e.metrics || n.metrics,
    demographic = CASE WHEN n.demographic = '{}' THEN e.demographic
        ELSE jsonb_strip_nulls(e.demographic || n.demographic) END,
    location = CASE WHEN n.location = '{}' THEN e.location ELSE jsonb_strip_nulls(e.location || n.location) END,
    user_id = coalesce(n.user_id, e.user_id),
    active = n.active,
    opted_out = coalesce(n.opted_out, e.opted_out),
    request_id = n.request_id,
    effective_at = n.effective_at,
    last_active_at = greatest(e.last_active_at, n.effective_at)
FROM SOURCE AS n WHERE e.project = :project AND e.endpoint_key = n.endpoint_key
RETURNING e.ordinal
"""
_MERGE_ARRAYS = text(
    _MERGE.replace(
        "SOURCE AS n",
        f"unnest({', '.join(f'CAST(:{name} AS {kind}[])' for name, kind in _COLUMNS)}) "
        f"AS n ({', '.join(name for name, _ in _COLUMNS)})",
    )
)
_MERGE_STAGED = text(_MERGE.replace("SOURCE", "pg_temp.staged_endpoints"))
_STAGE = text(
    "CREATE TEMPORARY TABLE IF NOT EXISTS staged_endpoints "
    f"({', '.join(f'{name} {kind}' for name, kind in _COLUMNS)}) ON COMMIT DELETE ROWS"
)
_COPY_STAGED = f"COPY pg_temp.staged_endpoints ({', '.join(name for name, _ in _COLUMNS)}) FROM STDIN"

# One document instead of two arrays: the driver writes arrays element by element, in Python. Its keys come in one order
# for everybody, so two writers cannot lock the same users crosswise.
_MERGE_USERS = text(
    "INSERT INTO segments.users AS u (project, user_id, attributes) "
    "SELECT :project, n.key, n.value FROM jsonb_each(CAST(:changes AS jsonb)) AS n "
    "ON CONFLICT (project, user_id) DO UPDATE SET attributes = u.attributes || excluded.attributes "
    # Without a change the row is locked all the same: whoever gives a user an endpoint waits for whoever changes him.
    "WHERE u.attributes || excluded.attributes <> u.attributes "
    # A user who is new has no endpoints but those of this transaction.
    "RETURNING user_id, xmax = 0 AS added"
)
_OF_USERS = text("SELECT ordinal FROM segments.endpoints WHERE project = :project AND user_id = ANY (:users)")
_REMOVE_USER_ATTRIBUTES = text(
    "UPDATE segments.users AS u SET attributes = u.attributes - CAST(:names AS text[]) "
    "WHERE u.project = :project AND u.user_id = :user"
)


async def lock_existing(conn: AsyncConnection, project: str, keys: Sequence[str]) -> dict[str, str]:
    """Lock the endpoints of those keys that exist; return the user id (maybe empty) of each."""
    rows = (await conn.execute(_LOCK, {"project": project, "keys": list(keys)})).all()
    return {row.endpoint_key: row.user_id for row in rows}


async def write(
    conn: AsyncConnection,
    project: str,
    updates: Mapping[str, EndpointUpdate],
    existing: Iterable[str],
    now: datetime,
    *,
    bulk: bool,
) -> Written:
    """Write folded updates by key; `existing` is what `lock_existing` found in this transaction.

    `bulk` copies (thousands of rows), else arrays are sent (up to some hundred).

    Raises:
        Race: an endpoint that did not exist does now.
    """
    known = set(existing)
    old = {key: update for key, update in updates.items() if key in known}
    new = {key: update for key, update in updates.items() if key not in known}
    ordinals: list[int] = []
    if new:
        rows = await _numbered(conn, project, new, now)
        try:
            if bulk:
                lines = [copy_line((project, now, row[-1], *row)) for row in rows]
                await _copy(conn, _COPY_NEW, lines)
            else:
                await conn.execute(_INSERT, {"project": project, "now": now, **_arrays(_NEW_COLUMNS, rows)})
        except (IntegrityError, UniqueViolation) as error:
            # COPY goes through the driver itself, whose errors SQLAlchemy does not wrap.
            raise Race from error
        ordinals += [row[2] for row in rows]
    if old:
        changes = [_changes(key, update, now) for key, update in sorted(old.items())]
        if bulk:
            await conn.execute(_STAGE)
            await _copy(conn, _COPY_STAGED, map(copy_line, changes))
            merged = await conn.execute(_MERGE_STAGED, {"project": project})
        else:
            names = [name for name, _ in _COLUMNS]
            merged = await conn.execute(_MERGE_ARRAYS, {"project": project, **_arrays(names, changes)})
        ordinals += merged.scalars()
    return Written(len(new), len(old), ordinals)


async def write_users(
    conn: AsyncConnection, project: str, changes: Mapping[str, Mapping[str, Sequence[str]]]
) -> Sequence[int]:
    """Merge attribute changes of users; an empty list removes the name. Users not known yet are added.

    Returns the ordinals of the endpoints of those who changed.
    """
    if not changes:
        return ()
    given = {user: {name: held for name, held in named.items() if held} for user, named in changes.items()}
    merged = await conn.execute(_MERGE_USERS, {"project": project, "changes": orjson.dumps(given).decode()})
    changed = {row.user_id for row in merged if not row.added}
    for user in sorted(changes):
        removed = [name for name, held in changes[user].items() if not held]
        if removed:
            await conn.execute(_REMOVE_USER_ATTRIBUTES, {"project": project, "user": user, "names": removed})
            changed.add(user)
    if not changed:
        return ()
    return list((await conn.execute(_OF_USERS, {"project": project, "users": sorted(changed)})).scalars())


async def _numbered(
    conn: AsyncConnection, project: str, new: Mapping[str, EndpointUpdate], now: datetime
) -> list[tuple[Any, ...]]:
    last = (await conn.execute(_TAKE_ORDINALS, {"project": project, "count": len(new)})).scalar_one()
    first = last - len(new) + 1
    drawn = derived_ids(("cohort", project), new)
    return [
        (key, update.endpoint_id, first + place, int(drawn[place][:8], 16) % COHORTS, *_additions(key, update, now)[1:])
        for place, (key, update) in enumerate(new.items())
    ]


def _additions(key: str, update: EndpointUpdate, now: datetime) -> tuple[Any, ...]:
    """Return the columns of an endpoint that does not exist: nothing is unchanged, nothing can be removed."""
    return (
        key,
        update.channel or "",
        update.address or "",
        _document({name: held for name, held in update.attributes.items() if held}),
        _document(update.metrics),
        _document({member: held for member, held in update.demographic.items() if held is not None}),
        _document({member: held for member, held in update.location.items() if held is not None}),
        update.user_id or "",
        update.active,
        bool(update.opted_out),
        update.request_id or "",
        effective_at(update, now),
    )


def _changes(key: str, update: EndpointUpdate, now: datetime) -> tuple[Any, ...]:
    """Return the columns of a merge: null is unchanged, null inside of a document removes."""
    return (
        key,
        update.channel,
        update.address,
        _document({name: held or None for name, held in update.attributes.items()}),
        _document(update.metrics),
        _document(update.demographic),
        _document(update.location),
        update.user_id,
        update.active,
        update.opted_out,
        update.request_id or "",
        effective_at(update, now),
    )


def effective_at(update: EndpointUpdate, now: datetime) -> datetime:
    """Return when an update counts as made: never later than now, or the endpoint would be active in the future."""
    return min(update.effective_time, now) if update.effective_time else now


def _document(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode() if value else "{}"


def _arrays(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


async def _copy(conn: AsyncConnection, statement: str, lines: Iterable[bytes]) -> None:
    driver = await driver_connection(conn)
    async with driver.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(b"".join(lines))


_READ = (
    "SELECT e.*, coalesce(u.attributes, '{}') AS user_attributes FROM segments.endpoints e "
    "LEFT JOIN segments.users u ON u.project = e.project AND u.user_id = e.user_id "
    "WHERE e.project = :project AND "
)
_READ_KEYS = text(_READ + "e.endpoint_key = ANY (:keys)")
_READ_ORDINALS = text(_READ + "e.ordinal = ANY (:ordinals) ORDER BY e.ordinal")
_DELETE = text("DELETE FROM segments.endpoints WHERE project = :project AND endpoint_key = :key")


async def read_by_key(conn: AsyncConnection, project: str, keys: Sequence[str]) -> list[Endpoint]:
    """Return the endpoints of those keys that exist, in no promised order."""
    rows = (await conn.execute(_READ_KEYS, {"project": project, "keys": list(keys)})).all()
    return [_endpoint(row) for row in rows]


async def read_by_ordinal(conn: AsyncConnection, project: str, ordinals: Sequence[int]) -> list[Endpoint]:
    """Return the endpoints of those ordinals that exist, ascending."""
    rows = (await conn.execute(_READ_ORDINALS, {"project": project, "ordinals": list(ordinals)})).all()
    return [_endpoint(row) for row in rows]


async def delete(conn: AsyncConnection, project: str, key: str) -> bool:
    """Delete an endpoint; tell whether it was there. The counter keeps its ordinal used."""
    return (await conn.execute(_DELETE, {"project": project, "key": key})).rowcount > 0


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        endpoint_id=row.endpoint_id,
        ordinal=row.ordinal,
        cohort=row.cohort,
        created_at=row.created_at,
        effective_at=row.effective_at,
        last_active_at=row.last_active_at,
        channel=row.channel,
        address=row.address,
        attributes=row.attributes,
        metrics={name: float(value) for name, value in row.metrics.items()},
        demographic=row.demographic,
        location={
            member: float(value) if member in ("Latitude", "Longitude") else value
            for member, value in row.location.items()
        },
        user_id=row.user_id,
        user_attributes=row.user_attributes,
        active=row.active,
        opted_out=row.opted_out,
        request_id=row.request_id,
    )
