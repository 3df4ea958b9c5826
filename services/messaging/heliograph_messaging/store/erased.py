"""Endpoints of erased users, by ordinal: ordinals are never given again, so nobody else is meant by them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import plain_array

KEPT = timedelta(days=30)
"""How long they are known: longer than the bus keeps a batch, or an outbox drives one again."""

_ADD = text(
    """INSERT INTO messaging.erased (project, ordinal, erased_at)
    SELECT :project, ordinal, clock_timestamp() FROM unnest(CAST(:ordinals AS bigint[])) AS gone (ordinal)
    ON CONFLICT DO NOTHING"""
)
_AMONG = text(
    "SELECT ordinal FROM messaging.erased WHERE project = :project AND ordinal = ANY(CAST(:ordinals AS bigint[]))"
)
_FORGET = text("DELETE FROM messaging.erased WHERE erased_at < clock_timestamp() - make_interval(secs => :seconds)")


async def add(conn: AsyncConnection, project: str, ordinals: Sequence[int]) -> None:
    """Note that these endpoints are erased, and forget those of long ago. Safe to repeat."""
    await conn.execute(_ADD, {"project": project, "ordinals": plain_array(ordinals)})
    await conn.execute(_FORGET, {"seconds": KEPT.total_seconds()})


async def among(conn: AsyncConnection, project: str, ordinals: Sequence[int]) -> frozenset[int]:
    """Return those of the ordinals that are erased."""
    rows = await conn.execute(_AMONG, {"project": project, "ordinals": plain_array(ordinals)})
    return frozenset(rows.scalars())
