"""Locks on what has no row of its own. They end with the transaction, so that a pooler between us and PostgreSQL does no harm.

Always taken in the order of their names, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import text_array

_EXCLUSIVE = text(
    """SELECT pg_advisory_xact_lock(hashtextextended(name, 0))
    FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS x (name, place) ORDER BY place"""
)
_SHARED = text(
    """SELECT pg_advisory_xact_lock_shared(hashtextextended(name, 0))
    FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS x (name, place) ORDER BY place"""
)


async def exclusive(conn: AsyncConnection, names: Iterable[str]) -> None:
    """Wait until nobody else holds these names, and hold them alone."""
    await conn.execute(_EXCLUSIVE, {"names": text_array(sorted(set(names)))})


async def shared(conn: AsyncConnection, names: Iterable[str]) -> None:
    """Wait until nobody holds these names alone, and hold them with others."""
    await conn.execute(_SHARED, {"names": text_array(sorted(set(names)))})


def numbers_of(project: str) -> str:
    """Return the name under which the numbers, pools and lists of a project are changed, one change after the other."""
    return f"messaging numbers {project}"


def opt_outs_of(project: str, list: str) -> str:
    """Return the name under which entries of an opt-out list are made, and held by whoever sends by it."""
    return f"messaging opt-outs {project} {list}"
