"""Reading endpoints with the attributes of their users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.endpoints import Endpoint

_READ = (
    "SELECT e.*, coalesce(u.attributes, '{}') AS user_attributes FROM segments.endpoints e "
    "LEFT JOIN segments.users u ON u.project = e.project AND u.user_id = e.user_id "
    "WHERE e.project = :project AND "
)
_READ_KEYS = text(_READ + "e.endpoint_key = ANY (:keys)")
_READ_USER = text(_READ + "e.user_id = :user AND e.user_id <> '' ORDER BY e.ordinal")
_READ_ORDINALS = text(_READ + "e.ordinal = ANY (:ordinals) ORDER BY e.ordinal")


async def read_by_key(conn: AsyncConnection, project: str, keys: Sequence[str]) -> list[Endpoint]:
    """Return the endpoints of those keys that exist, in no promised order."""
    rows = (await conn.execute(_READ_KEYS, {"project": project, "keys": list(keys)})).all()
    return [_endpoint(row) for row in rows]


async def read_by_ordinal(conn: AsyncConnection, project: str, ordinals: Sequence[int]) -> list[Endpoint]:
    """Return the endpoints of those ordinals that exist, ascending."""
    rows = (await conn.execute(_READ_ORDINALS, {"project": project, "ordinals": list(ordinals)})).all()
    return [_endpoint(row) for row in rows]


async def read_by_user(conn: AsyncConnection, project: str, user_id: str) -> list[Endpoint]:
    """Return the endpoints of a user, oldest first."""
    rows = (await conn.execute(_READ_USER, {"project": project, "user": user_id})).all()
    return [_endpoint(row) for row in rows]


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
