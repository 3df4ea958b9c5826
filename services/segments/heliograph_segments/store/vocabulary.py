"""The attribute names of a project, the patterns that are dropped, and the removal of stored values.

Writers look at the names after their transaction has its id, and lock them only to bring new ones. A removal is
therefore sure to meet all values when it waits for every transaction that had an id when it was committed (its
horizon): whoever looks later drops the names himself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.vocabulary import Kind, Vocabulary
from heliograph_segments.store import audience_log

PORTION = 5_000

_BEGIN = text("SELECT pg_current_xact_id()")
_READ = "SELECT names, denied FROM segments.vocabularies WHERE project = :project"
_LOOK = text(_READ)
_OPEN = text(
    "INSERT INTO segments.vocabularies (project, names, denied) VALUES (:project, '{}', '{}') ON CONFLICT DO NOTHING"
)
_OWN = text(f"{_READ} FOR UPDATE")
_STORE = text(
    "UPDATE segments.vocabularies SET names = CAST(:names AS jsonb), denied = CAST(:denied AS jsonb) "
    "WHERE project = :project"
)
_QUEUE = text("INSERT INTO segments.removals (project, kind, names) VALUES (:project, :kind, CAST(:names AS jsonb))")
_PENDING = text(
    "SELECT DISTINCT jsonb_array_elements_text(names) FROM segments.removals WHERE project = :project AND kind = :kind"
)
# A removal that waits for old transactions lets the others pass.
_NEXT = text(
    "SELECT * FROM segments.removals WHERE horizon IS NULL OR horizon <= "
    "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) "
    "ORDER BY removal LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_SET_HORIZON = text(
    "UPDATE segments.removals SET horizon = CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) "
    "WHERE project = :project AND removal = :removal"
)
_ADVANCE = text(
    "UPDATE segments.removals SET done_ordinal = :ordinal, done_user = :user "
    "WHERE project = :project AND removal = :removal"
)
_FINISH = text("DELETE FROM segments.removals WHERE project = :project AND removal = :removal")
_LAST = text("SELECT last_ordinal FROM segments.counters WHERE project = :project")
# In the order in which writers lock.
_LOCK_ENDPOINTS = text(
    "SELECT FROM segments.endpoints WHERE project = :project AND ordinal > :after AND ordinal <= :upto "
    "ORDER BY endpoint_key FOR NO KEY UPDATE"
)
_STRIP = {
    kind: text(
        f"UPDATE segments.endpoints SET {kind} = {kind} - CAST(:names AS text[]) WHERE project = :project "  # noqa: S608
        f"AND ordinal > :after AND ordinal <= :upto AND {kind} ?| CAST(:names AS text[]) RETURNING ordinal"
    )
    for kind in (Kind.ATTRIBUTES, Kind.METRICS)
}
_USERS = text(
    "SELECT user_id FROM segments.users WHERE project = :project AND user_id > :after ORDER BY user_id LIMIT :portion"
)
# jsonb_each, by which writers lock users, goes by length and then by bytes.
_LOCK_USERS = text(
    "SELECT FROM segments.users WHERE project = :project AND user_id = ANY (:users) "
    'ORDER BY octet_length(user_id), user_id COLLATE "C" FOR NO KEY UPDATE'
)
_STRIP_USERS = text(
    "UPDATE segments.users SET attributes = attributes - CAST(:names AS text[]) WHERE project = :project "
    "AND user_id = ANY (:users) AND attributes ?| CAST(:names AS text[]) RETURNING user_id"
)
_ORDINALS_OF_USERS = text(
    "SELECT ordinal FROM segments.endpoints WHERE project = :project AND user_id <> '' AND user_id = ANY (:users)"
)


@dataclass(frozen=True)
class Removal:
    """Names whose stored values are to be removed, and how far that went; locked by whoever has it."""

    project: str
    number: int
    kind: Kind
    names: Sequence[str]
    waits: bool
    done_ordinal: int
    done_user: str

    @property
    def place(self) -> dict[str, Any]:
        """The key of its row."""
        return {"project": self.project, "removal": self.number}


async def begin(conn: AsyncConnection) -> None:
    """Give the transaction its id, for one that has locked nothing yet and will look at names."""
    await conn.execute(_BEGIN)


async def look(conn: AsyncConnection, project: str) -> Vocabulary:
    """Read without locking; names that are in use stay so long enough for a transaction that has an id."""
    return _vocabulary((await conn.execute(_LOOK, {"project": project})).one_or_none())


async def own(conn: AsyncConnection, project: str) -> Vocabulary:
    """Read, and let nobody else add or remove names before the commit."""
    await conn.execute(_OPEN, {"project": project})
    return _vocabulary((await conn.execute(_OWN, {"project": project})).one())


async def store(conn: AsyncConnection, project: str, vocabulary: Vocabulary) -> None:
    """Write what was owned."""
    names, denied = _document(vocabulary.names), _document(vocabulary.denied)
    await conn.execute(_STORE, {"project": project, "names": names, "denied": denied})


async def queue_removal(conn: AsyncConnection, project: str, kind: Kind, names: Sequence[str]) -> None:
    """Have stored values of these names removed; the vocabulary is owned."""
    given = {"project": project, "kind": kind.value, "names": orjson.dumps(list(names)).decode()}
    await conn.execute(_QUEUE, given)


async def being_removed(conn: AsyncConnection, project: str, kind: Kind) -> set[str]:
    """Return the names whose values are still being removed."""
    return set((await conn.execute(_PENDING, {"project": project, "kind": kind.value})).scalars())


async def next_removal(conn: AsyncConnection) -> Removal | None:
    """Lock and return a removal that has something to do now."""
    row = (await conn.execute(_NEXT)).one_or_none()
    if row is None:
        return None
    return Removal(
        row.project, row.removal, Kind(row.kind), row.names, row.horizon is None, row.done_ordinal, row.done_user
    )


async def remove_portion(conn: AsyncConnection, removal: Removal) -> None:
    """Remove stored values from some endpoints or users, or fix whom to wait for.

    A portion commits with how far it went, so that another process continues behind a killed one.
    """
    if removal.waits:
        await conn.execute(_SET_HORIZON, removal.place)
        return
    strip = _strip_users if removal.kind is Kind.USER_ATTRIBUTES else _strip_endpoints
    if await strip(conn, removal):
        await conn.execute(_FINISH, removal.place)


async def _strip_endpoints(conn: AsyncConnection, removal: Removal) -> bool:
    last = (await conn.execute(_LAST, {"project": removal.project})).scalar_one_or_none() or 0
    upto = min(removal.done_ordinal + PORTION, last)
    span = {"project": removal.project, "after": removal.done_ordinal, "upto": upto}
    await conn.execute(_LOCK_ENDPOINTS, span)
    stripped = await conn.execute(_STRIP[removal.kind], {**span, "names": removal.names})
    await audience_log.note(conn, removal.project, stripped.scalars())
    await conn.execute(_ADVANCE, {**removal.place, "ordinal": upto, "user": ""})
    return upto == last


async def _strip_users(conn: AsyncConnection, removal: Removal) -> bool:
    given = {"project": removal.project, "after": removal.done_user, "portion": PORTION}
    users = list((await conn.execute(_USERS, given)).scalars())
    if users:
        named = {"project": removal.project, "users": users}
        await conn.execute(_LOCK_USERS, named)
        stripped = list((await conn.execute(_STRIP_USERS, {**named, "names": removal.names})).scalars())
        touched = await conn.execute(_ORDINALS_OF_USERS, {**named, "users": stripped})
        await audience_log.note(conn, removal.project, touched.scalars())
        await conn.execute(_ADVANCE, {**removal.place, "ordinal": 0, "user": users[-1]})
    return len(users) < PORTION


def _document(held: Mapping[Kind, Any]) -> str:
    return orjson.dumps({kind.value: list(held[kind]) for kind in Kind}).decode()


def _vocabulary(row: Row[Any] | None) -> Vocabulary:
    if row is None:
        return Vocabulary()
    names = {kind: frozenset(row.names.get(kind, ())) for kind in Kind}
    return Vocabulary(names, {kind: tuple(row.denied.get(kind, ())) for kind in Kind})
