"""Registrations: reading, writing, and finding those that are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, and_, exists, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_registry10dlc.domain import GONE, IN_FORCE, Finding, Kind, Registration, State
from heliograph_registry10dlc.tables import errands, moves, registrations, share_grants

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('registry10dlc ' || :project, 0))")
_DONE = ("DELETED", "RELEASED", "CLOSED")
_DECIDED_FOR_GOOD = (State.SCORED, State.FAILED, State.REJECTED)
_EXPIRABLE = {kind: states | {State.SUSPENDED} for kind, states in IN_FORCE.items() if kind is not Kind.TOLL_FREE}


class RegistrationStore:
    """The record of registrations."""

    async def lock(self, conn: AsyncConnection, project: str) -> None:
        """Let nobody else write papers of a project until the transaction ends.

        Papers move a few times a day: one writer for each project makes every rule that looks at several of them true, and
        the history gapless in its order.
        """
        await conn.execute(_LOCK, {"project": project})

    async def of_request(self, conn: AsyncConnection, project: str, request_id: str) -> tuple[str, Registration] | None:
        """Find what a request id created, with the fingerprint of that request."""
        c = registrations.c
        query = select(registrations).where(c.project == project, c.request_id == request_id)
        row = (await conn.execute(query)).mappings().one_or_none()
        return (row["request_hash"], _registration(row)) if row else None

    async def add(
        self, conn: AsyncConnection, registration: Registration, *, request_id: str, fingerprint: str
    ) -> bool:
        """Store a new registration; False when its number or its request id is taken."""
        values = {
            "project": registration.project,
            "registration_id": registration.id,
            "kind": registration.kind,
            **_changing(registration),
            "create_time": registration.create_time,
            "request_id": request_id or None,
            "request_hash": fingerprint,
        }
        added = insert(registrations).values(values).on_conflict_do_nothing().returning(registrations.c.registration_id)
        return (await conn.execute(added)).first() is not None

    async def get(self, conn: AsyncConnection, project: str, kind: Kind, registration_id: str) -> Registration | None:
        """Read a registration, a deleted one as well."""
        c = registrations.c
        query = select(registrations).where(c.project == project, c.registration_id == registration_id, c.kind == kind)
        row = (await conn.execute(query)).mappings().one_or_none()
        return _registration(row) if row else None

    async def of_reference(self, conn: AsyncConnection, reference: str) -> Registration | None:
        """Find what a registrar means."""
        query = select(registrations).where(registrations.c.reference == reference).limit(1)
        row = (await conn.execute(query)).mappings().one_or_none()
        return _registration(row) if row else None

    async def change(self, conn: AsyncConnection, registration: Registration) -> None:
        """Write a registration; the caller holds the project's lock."""
        c = registrations.c
        await conn.execute(
            update(registrations)
            .where(c.project == registration.project, c.registration_id == registration.id)
            .values(**_changing(registration))
        )

    async def number_taken(self, conn: AsyncConnection, number: str) -> bool:
        """Tell whether a number is in an inventory."""
        query = select(exists().where(registrations.c.number == number))
        return bool((await conn.execute(query)).scalar_one())

    async def page(
        self, conn: AsyncConnection, project: str, kind: Kind, after: tuple[datetime, str] | None, limit: int,
        *, parent_id: str = "", deleted: bool = False,
    ) -> list[Registration]:  # fmt: skip
        """Read registrations of one kind, newest first; released numbers are among them, deleted ones when asked for."""
        c = registrations.c
        query = select(registrations).where(c.project == project, c.kind == kind)
        if not deleted:
            query = query.where(c.state != State.DELETED)
        if parent_id:
            query = query.where(c.parent_id == parent_id)
        if after is not None:
            query = query.where(tuple_(c.create_time, c.registration_id) < after)
        return await _all(conn, query.order_by(c.create_time.desc(), c.registration_id.desc()).limit(limit))

    async def children(self, conn: AsyncConnection, project: str, parent_id: str, kind: Kind) -> list[Registration]:
        """Read all that hang on a registration and are not gone, oldest first."""
        c = registrations.c
        query = select(registrations).where(c.project == project, c.parent_id == parent_id, c.kind == kind)
        query = query.where(c.state.not_in(sorted(GONE)))
        return await _all(conn, query.order_by(c.create_time, c.registration_id))

    async def count(
        self, conn: AsyncConnection, project: str, kind: Kind, *, parent_id: str = "", region: str | None = None
    ) -> int:
        """Count the registrations of a kind that are not gone, of a parent or a region's numbers."""
        c = registrations.c
        query = select(func.count()).where(c.project == project, c.kind == kind, c.state.not_in(sorted(GONE)))
        if parent_id:
            query = query.where(c.parent_id == parent_id)
        if region is not None:
            query = query.where(func.coalesce(c.fields["region"].astext, "") == region)
        return int((await conn.execute(query)).scalar_one())

    async def numbers_of(self, conn: AsyncConnection, project: str, parent_ids: Sequence[str]) -> dict[str, int]:
        """Count the numbers of many use cases that are not gone; one without numbers is left out."""
        c = registrations.c
        query = select(c.parent_id, func.count()).where(c.project == project, c.parent_id.in_(parent_ids))
        query = query.where(c.kind == Kind.NUMBER, c.state.not_in(sorted(GONE))).group_by(c.parent_id)
        return {str(parent_id): int(count) for parent_id, count in await conn.execute(query)}

    async def at_registrar(self, conn: AsyncConnection, after: tuple[str, str], limit: int) -> list[Registration]:
        """Read registrations that a registrar has, or is to get, in the order of project and id."""
        c = registrations.c
        query = (
            select(registrations)
            .where(c.submitted_at.is_not(None), c.state.not_in(_DONE), tuple_(c.project, c.registration_id) > after)
            .where(c.state.not_in(_DECIDED_FOR_GOOD))
        )
        return await _all(conn, query.order_by(c.project, c.registration_id).limit(limit))

    async def waiting(
        self, conn: AsyncConnection, states: Collection[tuple[Kind, State]], after: tuple[datetime, str] | None, limit: int
    ) -> list[Registration]:  # fmt: skip
        """Read what waits for a decision in all projects, oldest first; `states`: where something waits."""
        c = registrations.c
        query = select(registrations).where(
            c.submitted_at.is_not(None), c.reference != "", c.state.not_in(_DONE),
            tuple_(c.kind, c.state).in_(sorted(states)),
        )  # fmt: skip
        if after is not None:
            query = query.where(tuple_(c.submitted_at, c.registration_id) > after)
        return await _all(conn, query.order_by(c.submitted_at, c.registration_id).limit(limit))

    async def due(
        self, conn: AsyncConnection, *, authenticated_before: datetime, expiring_before: datetime, limit: int
    ) -> list[Registration]:
        """Read what the clock may have to move: proofs that did not come, and what runs out, those longest due first."""
        c = registrations.c
        running = or_(
            *(and_(c.kind == kind, c.state.in_(sorted(states))) for kind, states in _EXPIRABLE.items())
        )  # fmt: skip
        query = select(registrations).where(
            or_(
                and_(c.state == State.REQUIRES_AUTHENTICATION, c.update_time <= authenticated_before),
                and_(c.expire_time <= expiring_before, running),
            )
        )
        return await _all(conn, query.order_by(func.coalesce(c.expire_time, c.update_time)).limit(limit))

    async def drop_project(self, conn: AsyncConnection, project: str) -> None:
        """Forget everything of a project, and that numbers were lent to it."""
        for table in (moves, registrations, errands, share_grants):
            await conn.execute(table.delete().where(table.c.project == project))
        await conn.execute(share_grants.delete().where(share_grants.c.borrower == project))


async def _all(conn: AsyncConnection, query: Select[Any]) -> list[Registration]:
    return [_registration(row) for row in (await conn.execute(query)).mappings()]


def _changing(registration: Registration) -> dict[str, object]:
    held = registration.kind is Kind.NUMBER and registration.state not in GONE
    return {
        "parent_id": registration.parent_id,
        "state": registration.state,
        "state_cause": registration.state_cause,
        "state_field": registration.state_field,
        "fields": dict(registration.fields),
        "vetting_score": registration.vetting_score,
        "revision": registration.revision,
        "reference": registration.reference,
        "submitted_at": registration.submitted_at,
        "number": (registration.number or None) if held else None,
        "update_time": registration.update_time,
        "findings": [{"field": one.field, "cause": one.cause, "words": one.words} for one in registration.findings],
        "draft_fields": dict(registration.draft_fields),
        "vetting_time": registration.vetting_time,
        "expire_time": registration.expire_time,
        "registered_id": registration.registered_id,
        "earlier_reference": registration.earlier_reference,
        "external_reference": registration.external_reference,
    }


def _findings(kept: Sequence[dict[str, str]]) -> tuple[Finding, ...]:
    return tuple(Finding(one["field"], one["cause"], one["words"]) for one in kept)


def _registration(row: RowMapping) -> Registration:
    plain = (
        "project", "fields", "create_time", "update_time", "parent_id", "state_cause", "state_field", "vetting_score",
        "revision", "reference", "submitted_at", "draft_fields", "vetting_time", "expire_time", "registered_id",
        "earlier_reference", "external_reference",
    )  # fmt: skip
    return Registration(
        id=row["registration_id"], kind=Kind(row["kind"]), state=State(row["state"]),
        findings=_findings(row["findings"]), **{name: row[name] for name in plain},
    )  # fmt: skip
