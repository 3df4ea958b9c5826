"""What the registrar is told without deciding anything, and which numbers are lent to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels import SubmissionKind
from heliograph_registry10dlc.tables import errands, share_grants


@dataclass(frozen=True)
class Errand:
    """One thing to tell the registrar."""

    project: str
    id: str
    registration_id: str
    kind: SubmissionKind
    fields: Mapping[str, str]
    registered_id: str
    parent_reference: str
    create_time: datetime


@dataclass(frozen=True)
class Grant:
    """A number of `project` that `borrower` sends from as well."""

    project: str
    id: str
    number_id: str
    borrower: str
    create_time: datetime


class ErrandStore:
    """Reads and writes errands."""

    async def add(self, conn: AsyncConnection, errand: Errand) -> None:
        """Store an errand."""
        await conn.execute(
            insert(errands).values(
                project=errand.project, errand_id=errand.id, registration_id=errand.registration_id, kind=errand.kind,
                fields=dict(errand.fields), registered_id=errand.registered_id, parent_reference=errand.parent_reference,
                create_time=errand.create_time,
            )
        )  # fmt: skip

    async def page(self, conn: AsyncConnection, after: tuple[str, str], limit: int) -> list[Errand]:
        """Read errands in the order of project and id."""
        c = errands.c
        query = select(errands).where(tuple_(c.project, c.errand_id) > after)
        rows = (await conn.execute(query.order_by(c.project, c.errand_id).limit(limit))).mappings()
        return [
            Errand(
                row["project"], row["errand_id"], row["registration_id"], SubmissionKind(row["kind"]), row["fields"],
                row["registered_id"], row["parent_reference"], row["create_time"],
            )
            for row in rows
        ]  # fmt: skip

    async def done(self, conn: AsyncConnection, errand: Errand) -> None:
        """Forget an errand the registrar knows."""
        c = errands.c
        await conn.execute(errands.delete().where(c.project == errand.project, c.errand_id == errand.id))


class GrantStore:
    """Reads and writes who borrows which number."""

    async def add(self, conn: AsyncConnection, grant: Grant) -> Grant:
        """Store a grant; returns the one there is when the number is lent to this project already."""
        values = {
            "project": grant.project, "grant_id": grant.id, "number_id": grant.number_id, "borrower": grant.borrower,
            "create_time": grant.create_time,
        }  # fmt: skip
        await conn.execute(insert(share_grants).values(values).on_conflict_do_nothing())
        c = share_grants.c
        query = select(share_grants).where(
            c.project == grant.project, c.number_id == grant.number_id, c.borrower == grant.borrower
        )
        row = (await conn.execute(query)).mappings().one()
        return Grant(row["project"], row["grant_id"], row["number_id"], row["borrower"], row["create_time"])

    async def get(self, conn: AsyncConnection, project: str, grant_id: str) -> Grant | None:
        """Read a grant."""
        found = await self._read(conn, project, grant_id=grant_id)
        return found[0] if found else None

    async def of_number(self, conn: AsyncConnection, project: str, number_id: str) -> list[Grant]:
        """Read who borrows a number."""
        return await self._read(conn, project, number_id=number_id)

    async def page(self, conn: AsyncConnection, project: str, after: str, limit: int) -> list[Grant]:
        """Read the grants of a project behind an id, by id."""
        c = share_grants.c
        query = select(share_grants).where(c.project == project, c.grant_id > after).order_by(c.grant_id).limit(limit)
        return [
            Grant(row["project"], row["grant_id"], row["number_id"], row["borrower"], row["create_time"])
            for row in (await conn.execute(query)).mappings()
        ]

    async def remove(self, conn: AsyncConnection, grant: Grant) -> None:
        """Forget a grant."""
        c = share_grants.c
        await conn.execute(share_grants.delete().where(c.project == grant.project, c.grant_id == grant.id))

    async def _read(self, conn: AsyncConnection, project: str, **where: str) -> list[Grant]:
        query = select(share_grants).where(share_grants.c.project == project)
        for column, value in where.items():
            query = query.where(share_grants.c[column] == value)
        return [
            Grant(row["project"], row["grant_id"], row["number_id"], row["borrower"], row["create_time"])
            for row in (await conn.execute(query.order_by(share_grants.c.grant_id))).mappings()
        ]
