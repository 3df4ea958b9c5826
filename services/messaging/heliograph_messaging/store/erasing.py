"""What messaging holds of a person, emptied or deleted. Rows of the ledger stay, as they are counted, and say nothing of him."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import plain_array, text_array

AGAIN_AFTER = timedelta(hours=1)
"""A batch that was being claimed while its recipient was erased writes him down afterwards; in an hour it has done so."""

_DIRECT = text(
    """SELECT message_id FROM messaging.messages
    WHERE project = :project AND direct_recipient = ANY(CAST(:recipients AS text[])) AND (endpoint_id = '') = :bare"""
)
_ADDRESSES = text(
    """SELECT DISTINCT address FROM messaging.messages
    WHERE project = :project AND message_id = ANY(CAST(:ids AS uuid[])) AND address <> ''"""
)
# A message that is still to be sent takes its recipient from its batch, where he is passed over.
_LEDGER = text(
    """UPDATE messaging.messages SET endpoint_id = '', user_id = '', address = '', address_key = NULL, detail = '',
        direct_recipient = NULL
    WHERE project = :project AND message_id = ANY(CAST(:ids AS uuid[]))"""
)
_RECEIPTS = text(
    """UPDATE messaging.receipts SET user_agent = '', ip_address = '', link = '', detail = ''
    WHERE project = :project AND message_id = ANY(CAST(:ids AS uuid[]))"""
)
_BY_ADDRESS = tuple(
    text(f"DELETE FROM messaging.{table} WHERE project = :project AND {column} = ANY(CAST(:addresses AS text[]))")  # noqa: S608
    for table, column in (
        ("inbound_messages", "origination"),
        ("conversations", "person"),
        ("automatic_replies", "person"),
    )
)
_MARKS = text(
    "DELETE FROM messaging.endpoint_marks WHERE project = :project AND endpoint_id = ANY(CAST(:endpoints AS text[]))"
)
_REMEMBER = text(
    """INSERT INTO messaging.erasures AS e (project, erasure, endpoint_ids, addresses, again_at)
    VALUES (:project, :erasure, CAST(:endpoints AS text[]), CAST(:addresses AS text[]),
        clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (project, erasure) DO UPDATE SET again_at = excluded.again_at,
        addresses = ARRAY(SELECT unnest(e.addresses) UNION SELECT unnest(excluded.addresses))"""
)
_DUE = text(
    """DELETE FROM messaging.erasures WHERE (project, erasure) = (SELECT project, erasure FROM messaging.erasures
        WHERE again_at <= clock_timestamp() ORDER BY again_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING project, endpoint_ids, addresses"""
)


async def direct_to(conn: AsyncConnection, project: str, recipients: Collection[str], *, bare: bool) -> set[str]:
    """Return the ids of direct messages to bare addresses, or to endpoints: one may be called as another's address."""
    parameters = {"project": project, "recipients": text_array(sorted(recipients)), "bare": bare}
    rows = await conn.execute(_DIRECT, parameters)
    return {id.hex for id in rows.scalars()}


async def addresses_of(conn: AsyncConnection, project: str, ids: Collection[str]) -> set[str]:
    """Return the addresses that messages went to."""
    return set((await conn.execute(_ADDRESSES, {"project": project, "ids": plain_array(sorted(ids))})).scalars())


async def empty_messages(conn: AsyncConnection, project: str, ids: Collection[str]) -> None:
    """Empty rows of the ledger of everything that says who they went to, with what was reported of them. Safe to repeat."""
    parameters = {"project": project, "ids": plain_array(sorted(ids))}
    await conn.execute(_LEDGER, parameters)
    await conn.execute(_RECEIPTS, parameters)


async def delete_of(
    conn: AsyncConnection, project: str, endpoint_ids: Sequence[str], addresses: Collection[str]
) -> None:
    """Delete what people of these addresses sent, and what is remembered of them. Safe to repeat."""
    parameters = {"project": project, "addresses": text_array(sorted(addresses))}
    for statement in _BY_ADDRESS:
        await conn.execute(statement, parameters)
    await conn.execute(_MARKS, {"project": project, "endpoints": text_array(endpoint_ids)})


async def remember(
    conn: AsyncConnection, project: str, erasure: str, endpoint_ids: Sequence[str], addresses: Collection[str]
) -> None:
    """Note that an erasure is to be looked after once more; it is forgotten then."""
    parameters = {
        "project": project, "erasure": erasure, "endpoints": text_array(endpoint_ids),
        "addresses": text_array(sorted(addresses)), "seconds": AGAIN_AFTER.total_seconds(),
    }  # fmt: skip
    await conn.execute(_REMEMBER, parameters)


async def due(conn: AsyncConnection) -> tuple[str, list[str], list[str]] | None:
    """Take an erasure whose time has come again, and return its project, endpoints and addresses; None when there is none."""
    row = (await conn.execute(_DUE)).one_or_none()
    return None if row is None else (row.project, list(row.endpoint_ids), list(row.addresses))
