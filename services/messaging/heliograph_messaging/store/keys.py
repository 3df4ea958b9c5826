"""The key of tracked links that an installation without one of its own makes once."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.tables import tracking_keys

_FIRST = 1


async def find(conn: AsyncConnection) -> bytes | None:
    """Return the stored key, None when none was ever needed."""
    key = (await conn.execute(select(tracking_keys.c.key).where(tracking_keys.c.id == _FIRST))).scalar_one_or_none()
    return None if key is None else bytes(key)


async def keep(conn: AsyncConnection, key: bytes) -> None:
    """Store a key unless there is one; whoever asked for it reads afterwards which it is."""
    await conn.execute(insert(tracking_keys).values(id=_FIRST, key=key).on_conflict_do_nothing())
