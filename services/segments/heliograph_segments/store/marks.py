"""What was learnt of endpoints that exist: an opt-out, an address that is gone. Their rows must be locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_OPT_OUT = text(
    "UPDATE segments.endpoints SET opted_out = true "
    "WHERE project = :project AND endpoint_key = ANY (:keys) AND NOT opted_out RETURNING ordinal"
)
_GONE = text(
    "UPDATE segments.endpoints AS e SET active = false "
    "FROM unnest(CAST(:keys AS text[]), CAST(:addresses AS text[])) AS n (key, address) "
    "WHERE e.project = :project AND e.endpoint_key = n.key AND e.address = n.address AND e.active RETURNING e.ordinal"
)


async def opt_out(conn: AsyncConnection, project: str, keys: Sequence[str]) -> Sequence[int]:
    """Opt endpoints out; return the ordinals of those that were not."""
    return (await conn.execute(_OPT_OUT, {"project": project, "keys": list(keys)})).scalars().all()


async def address_gone(conn: AsyncConnection, project: str, gone: Mapping[str, str]) -> Sequence[int]:
    """Make active endpoints that still have these addresses inactive; return their ordinals."""
    given = {"keys": list(gone), "addresses": list(gone.values())}
    return (await conn.execute(_GONE, {"project": project, **given})).scalars().all()
