"""Deletes old rows, a page at a time."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Receipts that are still to be applied are given up after a day, and old then.
_FORGET = {
    table: text(
        f"""DELETE FROM messaging.{table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM messaging.{table}
            WHERE received_at < clock_timestamp() - make_interval(secs => :seconds) {further}
            LIMIT :size FOR UPDATE SKIP LOCKED))"""  # noqa: S608 (words of ours)
    )
    for table, further in (("inbound_messages", ""), ("receipts", "AND state <> 'PENDING'"))
}


async def forget(conn: AsyncConnection, table: str, kept: timedelta, size: int) -> int:
    """Delete up to `size` rows of `inbound_messages` or `receipts` that came in before that long; return how many."""
    return (await conn.execute(_FORGET[table], {"seconds": kept.total_seconds(), "size": size})).rowcount
