"""Writing endpoints.

A write knows first which endpoints exist (they are locked), then gives ordinals to the new ones, then inserts these and
merges those: two plain statements, so that nothing has to be merged in Python. Of two writes that create the same
endpoint, or claim the same address, the second meets a unique violation and is run again (`Race`).
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
from heliograph_segments.domain.belonging import Held
from heliograph_segments.domain.endpoints import COHORTS, MAX_BYTES, EndpointUpdate, stored_bytes
from heliograph_segments.store.copying import copy_line
from heliograph_segments.store.races import Race


@dataclass(frozen=True)
class Written:
    """How many endpoints a write created, how many it found, their ordinals, and the keys of what is too large now."""

    created: int
    updated: int
    ordinals: Sequence[int] = ()
    oversized: Sequence[str] = ()


# Who is written and who holds an address that is claimed: in one statement and one order, or two writers that claim the
# addresses of each other's endpoints would wait for each other. What an update leaves out is as it was.
_LOCK = text(
    "WITH n AS (SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:channels AS text[]), CAST(:addresses AS text[]), "
    "CAST(:actives AS boolean[])) AS n (key, channel, address, active)), "
    "claimed AS (SELECT coalesce(n.channel, e.channel) AS channel, coalesce(n.address, e.address) AS address FROM n "
    "LEFT JOIN segments.endpoints e ON e.project = :project AND e.endpoint_key = n.key WHERE n.active) "
    "SELECT endpoint_key, user_id, channel, address, active FROM segments.endpoints "
    "WHERE project = :project AND endpoint_key = ANY (ARRAY(SELECT key FROM n UNION SELECT h.endpoint_key FROM claimed c "
    "JOIN segments.endpoints h ON h.project = :project AND h.channel = c.channel AND h.address = c.address "
    "WHERE h.active AND h.address <> '')) ORDER BY endpoint_key FOR NO KEY UPDATE"
)
_DEACTIVATE = text(
    "UPDATE segments.endpoints SET active = false WHERE project = :project AND endpoint_key = ANY (:keys) RETURNING ordinal"
)
# Without the numbers of metrics, which PostgreSQL writes out with up to 300 digits: eight bytes each, as it should be.
_SIZE = (
    "octet_length(CAST(e.attributes AS text)) + octet_length(CAST(e.demographic AS text)) "
    "+ octet_length(CAST(e.location AS text)) "
    "+ coalesce((SELECT sum(octet_length(name) + 8) FROM jsonb_object_keys(e.metrics) AS name), 0)"
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
RETURNING e.ordinal, e.endpoint_key, SIZE AS size
""".replace("SIZE", _SIZE)
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
_UNSTAGE = text("TRUNCATE pg_temp.staged_endpoints")
_COPY_STAGED = f"COPY pg_temp.staged_endpoints ({', '.join(name for name, _ in _COLUMNS)}) FROM STDIN"


async def lock(conn: AsyncConnection, project: str, updates: Mapping[str, EndpointUpdate]) -> dict[str, Held]:
    """Lock the endpoints that updates by key write, and those that hold an address they claim; return them by key."""
    given = {
        "keys": list(updates),
        "channels": [update.channel for update in updates.values()],
        "addresses": [update.address for update in updates.values()],
        "actives": [update.active for update in updates.values()],
    }
    rows = (await conn.execute(_LOCK, {"project": project, **given})).all()
    return {row[0]: Held(*row[1:]) for row in rows}


async def deactivate(conn: AsyncConnection, project: str, keys: Sequence[str]) -> Sequence[int]:
    """Make endpoints inactive; return their ordinals."""
    if not keys:
        return ()
    return (await conn.execute(_DEACTIVATE, {"project": project, "keys": list(keys)})).scalars().all()


async def write(
    conn: AsyncConnection,
    project: str,
    updates: Mapping[str, EndpointUpdate],
    existing: Iterable[str],
    now: datetime,
    *,
    bulk: bool,
) -> Written:
    """Write folded updates by key; `existing` is what `lock` found in this transaction, or more.

    `bulk` copies (thousands of rows), else arrays are sent (up to some hundred).

    Raises:
        Race: an endpoint that did not exist does now, or an address that was free belongs to somebody.
    """
    known = set(existing)
    old = {key: update for key, update in updates.items() if key in known}
    new = {key: update for key, update in updates.items() if key not in known}
    ordinals: list[int] = []
    oversized = [key for key, update in new.items() if _may_be_large(update) and stored_bytes(update) > MAX_BYTES]
    try:
        if new:
            rows = await _numbered(conn, project, new, now)
            if bulk:
                lines = [copy_line((project, now, row[-1], *row)) for row in rows]
                await _copy(conn, _COPY_NEW, lines)
            else:
                await conn.execute(_INSERT, {"project": project, "now": now, **_arrays(_NEW_COLUMNS, rows)})
            ordinals += [row[2] for row in rows]
        if old:
            merged = await _merge(conn, project, [_changes(*item, now) for item in sorted(old.items())], bulk=bulk)
            ordinals += [row.ordinal for row in merged]
            oversized += [row.endpoint_key for row in merged if row.size > MAX_BYTES]
    except (IntegrityError, UniqueViolation) as error:
        # COPY goes through the driver itself, whose errors SQLAlchemy does not wrap.
        raise Race from error
    return Written(len(new), len(old), ordinals, oversized)


async def _merge(
    conn: AsyncConnection, project: str, changes: Sequence[tuple[Any, ...]], *, bulk: bool
) -> Sequence[Row[Any]]:
    if not bulk:
        names = [name for name, _ in _COLUMNS]
        return (await conn.execute(_MERGE_ARRAYS, {"project": project, **_arrays(names, changes)})).all()
    await conn.execute(_STAGE)
    # Emptied here as well as at the commit: one transaction may write several times.
    await conn.execute(_UNSTAGE)
    await _copy(conn, _COPY_STAGED, map(copy_line, changes))
    return (await conn.execute(_MERGE_STAGED, {"project": project})).all()


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


def _may_be_large(update: EndpointUpdate) -> bool:
    """Tell whether it is worth while to write an update out in order to measure it."""
    values = sum(map(len, update.attributes.values()))
    # Names have up to 50 characters and values up to 100, of four bytes each; the rest has 12 fields of values.
    return (len(update.attributes) + len(update.metrics)) * 210 + values * 410 + 12 * 450 > MAX_BYTES


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


_DELETE = text("DELETE FROM segments.endpoints WHERE project = :project AND endpoint_key = ANY (:keys)")


async def delete(conn: AsyncConnection, project: str, keys: Sequence[str]) -> None:
    """Delete endpoints. The counter keeps their ordinals used."""
    await conn.execute(_DELETE, {"project": project, "keys": list(keys)})
