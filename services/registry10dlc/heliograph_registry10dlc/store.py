"""Registrations and their history in PostgreSQL. Every method works inside the caller's transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import RowMapping, and_, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_registry10dlc.domain import Actor, Kind, Move, Registration, State
from heliograph_registry10dlc.tables import moves, registrations

_AT_REGISTRAR = (State.PENDING, State.APPROVED, State.SUSPENDED)


class RegistryStore:
    """The record of registrations."""

    async def of_request(self, conn: AsyncConnection, project: str, request_id: str) -> tuple[str, Registration] | None:
        """Find what a request id created, with the fingerprint of that request."""
        c = registrations.c
        query = select(registrations).where(c.project == project, c.request_id == request_id)
        row = (await conn.execute(query)).mappings().one_or_none()
        return (row["request_hash"], _registration(row)) if row else None

    async def add(
        self,
        conn: AsyncConnection,
        registration: Registration,
        *,
        request_id: str,
        fingerprint: str,
    ) -> bool:
        """Store a new registration; False when its number or its request id is taken."""
        values = {
            "project": registration.project,
            "registration_id": registration.id,
            "kind": registration.kind,
            "parent_id": registration.parent_id,
            **_changing(registration),
            "create_time": registration.create_time,
            "request_id": request_id or None,
            "request_hash": fingerprint,
        }
        added = insert(registrations).values(values).on_conflict_do_nothing().returning(registrations.c.registration_id)
        return (await conn.execute(added)).first() is not None

    async def get(
        self,
        conn: AsyncConnection,
        project: str,
        kind: Kind,
        registration_id: str,
        *,
        lock: bool = False,
    ) -> Registration | None:
        """Read a registration; `lock` keeps others from changing it."""
        c = registrations.c
        query = select(registrations).where(c.project == project, c.registration_id == registration_id, c.kind == kind)
        row = (await conn.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
        return _registration(row) if row else None

    async def change(self, conn: AsyncConnection, registration: Registration) -> None:
        """Write a registration that the caller has locked."""
        c = registrations.c
        await conn.execute(
            update(registrations)
            .where(c.project == registration.project, c.registration_id == registration.id)
            .values(parent_id=registration.parent_id, **_changing(registration))
        )

    async def page(
        self,
        conn: AsyncConnection,
        project: str,
        kind: Kind,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Registration]:
        """Read registrations of one kind, newest first."""
        c = registrations.c
        query = select(registrations).where(c.project == project, c.kind == kind)
        if after is not None:
            query = query.where(tuple_(c.create_time, c.registration_id) < after)
        rows = await conn.execute(query.order_by(c.create_time.desc(), c.registration_id.desc()).limit(limit))
        return [_registration(row) for row in rows.mappings()]

    async def count_numbers(self, conn: AsyncConnection, project: str, use_case_id: str) -> int:
        """Count the numbers of a use case that are not released."""
        c = registrations.c
        query = select(func.count()).where(
            c.project == project,
            c.parent_id == use_case_id,
            c.kind == Kind.NUMBER,
            c.state != State.RELEASED,
        )
        return int((await conn.execute(query)).scalar_one())

    async def at_registrar(self, conn: AsyncConnection, after: tuple[str, str], limit: int) -> list[Registration]:
        """Read registrations that a registrar has, or is to get, in the order of project and id."""
        c = registrations.c
        waiting = or_(
            and_(c.kind == Kind.NUMBER, c.state == State.PENDING),
            and_(c.kind == Kind.BRAND, c.state == State.PENDING),
            and_(c.kind == Kind.USE_CASE, c.state.in_(_AT_REGISTRAR)),
        )
        query = (
            select(registrations)
            .where(
                c.state.in_(_AT_REGISTRAR),
                waiting,
                tuple_(c.project, c.registration_id) > after,
            )
            .order_by(c.project, c.registration_id)
            .limit(limit)
        )
        return [_registration(row) for row in (await conn.execute(query)).mappings()]

    async def remember(self, conn: AsyncConnection, move: Move) -> bool:
        """Append to the history; False when this decision is in it already."""
        values = {
            "project": move.project,
            "registration_id": move.registration_id,
            "kind": move.kind,
            "from_state": move.from_state,
            "to_state": move.to_state,
            "actor": move.actor,
            "cause": move.cause,
            "field": move.field,
            "time": move.time,
            "decision_key": move.key or None,
        }
        added = insert(moves).values(values).on_conflict_do_nothing().returning(moves.c.move_id)
        return (await conn.execute(added)).first() is not None

    async def history(
        self,
        conn: AsyncConnection,
        project: str,
        registration_id: str,
        after: int,
        limit: int,
    ) -> list[tuple[int, Move]]:
        """Read moves, oldest first, each with its number; an empty id reads all of the project."""
        c = moves.c
        query = select(moves).where(c.project == project, c.move_id > after)
        if registration_id:
            query = query.where(c.registration_id == registration_id)
        rows = (await conn.execute(query.order_by(c.move_id).limit(limit))).mappings()
        return [
            (
                row["move_id"],
                Move(
                    project=row["project"],
                    registration_id=row["registration_id"],
                    kind=Kind(row["kind"]),
                    from_state=State(row["from_state"]) if row["from_state"] else None,
                    to_state=State(row["to_state"]),
                    actor=Actor(row["actor"]),
                    time=row["time"],
                    cause=row["cause"],
                    field=row["field"],
                ),
            )
            for row in rows
        ]

    async def drop_project(self, conn: AsyncConnection, project: str) -> None:
        """Forget everything of a project."""
        for table in (moves, registrations):
            await conn.execute(table.delete().where(table.c.project == project))


def _changing(registration: Registration) -> dict[str, object]:
    released = registration.state is State.RELEASED
    return {
        "state": registration.state,
        "state_cause": registration.state_cause,
        "state_field": registration.state_field,
        "fields": dict(registration.fields),
        "vetting_score": registration.vetting_score,
        "revision": registration.revision,
        "reference": registration.reference,
        "submitted_at": registration.submitted_at,
        "number": None if released else registration.number or None,
        "update_time": registration.update_time,
    }


def _registration(row: RowMapping) -> Registration:
    return Registration(
        project=row["project"],
        id=row["registration_id"],
        kind=Kind(row["kind"]),
        state=State(row["state"]),
        fields=row["fields"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        parent_id=row["parent_id"],
        state_cause=row["state_cause"],
        state_field=row["state_field"],
        vetting_score=row["vetting_score"],
        revision=row["revision"],
        reference=row["reference"],
        submitted_at=row["submitted_at"],
    )
