"""Files that go with e-mails, by an id made of their bytes. Whoever uses one keeps it for another while."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.tables import files

KEPT = timedelta(days=30)
"""How long a file stays unused: longer than the bus keeps a batch, or an outbox drives one again."""


def file_id(data: bytes) -> str:
    """Return the id of a file: 32 hexadecimal digits, the same for the same bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class FileStore:
    """Reads and writes files."""

    async def keep(self, conn: AsyncConnection, project: str, data: bytes) -> str:
        """Store a file and return its id; forget what was not used for long. Safe to repeat."""
        id = file_id(data)
        statement = insert(files).values(project=project, id=id, size_bytes=len(data), data=data)
        await conn.execute(
            statement.on_conflict_do_update(index_elements=["project", "id"], set_={"used_at": func.clock_timestamp()})
        )
        await conn.execute(delete(files).where(files.c.used_at < func.clock_timestamp() - KEPT))
        return id

    async def use(self, conn: AsyncConnection, project: str, ids: Sequence[str]) -> dict[str, int]:
        """Keep files for another while; return the sizes in bytes of those that exist."""
        at = (files.c.project == project) & files.c.id.in_(list(ids))
        touched = update(files).where(at).values(used_at=func.clock_timestamp())
        rows = await conn.execute(touched.returning(files.c.id, files.c.size_bytes))
        return {row.id: row.size_bytes for row in rows}

    async def read(self, conn: AsyncConnection, project: str, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the bytes of those files that exist."""
        query = select(files.c.id, files.c.data).where(files.c.project == project, files.c.id.in_(list(ids)))
        return {row.id: bytes(row.data) for row in await conn.execute(query)}
