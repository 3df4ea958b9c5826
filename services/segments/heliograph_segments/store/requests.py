"""What creating calls answered before, by request id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.errors import RequestIdReused


@dataclass(frozen=True)
class Request:
    """A call that may come again: its method, the id its caller gave (empty: none) and the hash of its content."""

    method: str
    request_id: str
    fingerprint: str


_CLAIM = text(
    "INSERT INTO segments.requests AS r (project, method, request_id, fingerprint, resource_id, created_at) "
    "VALUES (:project, :method, :request, :fingerprint, :resource, :now) "
    "ON CONFLICT (project, method, request_id) DO UPDATE SET fingerprint = r.fingerprint "
    "RETURNING fingerprint, resource_id"
)


async def claim(conn: AsyncConnection, project: str, request: Request, resource_id: str, now: datetime) -> str | None:
    """Note that a call makes this resource; return the resource the same call made before, None when it is new.

    Two calls at once wait for each other on the row.

    Raises:
        RequestIdReused: the id was used with other content.
    """
    if not request.request_id:
        return None
    parameters = {
        "project": project,
        "method": request.method,
        "request": request.request_id,
        "fingerprint": request.fingerprint,
        "resource": resource_id,
        "now": now,
    }
    row = (await conn.execute(_CLAIM, parameters)).one()
    if row.fingerprint != request.fingerprint:
        raise RequestIdReused(request.request_id)
    return None if row.resource_id == resource_id else str(row.resource_id)
