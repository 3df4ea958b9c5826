"""The history: every move of every registration, never changed."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import RowMapping, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_registry10dlc.domain import Actor, Entry, Event, Kind, State
from heliograph_registry10dlc.tables import moves


class HistoryStore:
    """Appends and reads moves."""

    async def append(self, conn: AsyncConnection, entry: Entry) -> Entry | None:
        """Append a move and return it with its number; None when this decision is in the history already.

        The caller holds the project's lock, so that numbers become visible in their order.
        """
        values = {
            "project": entry.project,
            "registration_id": entry.registration_id,
            "kind": entry.kind,
            "event": entry.event,
            "from_state": entry.from_state,
            "to_state": entry.to_state,
            "actor": entry.actor,
            "cause": entry.cause,
            "field": entry.field,
            "words": entry.words,
            "time": entry.time,
            "decision_key": entry.key or None,
        }
        added = insert(moves).values(values).on_conflict_do_nothing().returning(moves.c.move_id)
        move_id = (await conn.execute(added)).scalar_one_or_none()
        return None if move_id is None else replace(entry, move_id=move_id)

    async def history(
        self, conn: AsyncConnection, project: str, registration_id: str, after: int, limit: int
    ) -> list[Entry]:
        """Read moves with numbers above `after`, oldest first; an empty id reads all of the project."""
        c = moves.c
        query = select(moves).where(c.project == project, c.move_id > after)
        if registration_id:
            query = query.where(c.registration_id == registration_id)
        rows = (await conn.execute(query.order_by(c.move_id).limit(limit))).mappings()
        return [_entry(row) for row in rows]

    async def latest(self, conn: AsyncConnection, project: str, registration_id: str) -> Entry | None:
        """Read the last move of a registration."""
        c = moves.c
        query = select(moves).where(c.project == project, c.registration_id == registration_id)
        row = (await conn.execute(query.order_by(c.move_id.desc()).limit(1))).mappings().one_or_none()
        return _entry(row) if row else None

    async def last(self, conn: AsyncConnection, project: str) -> int:
        """Return the number of the last move of a project, 0 when it has none."""
        query = select(func.coalesce(func.max(moves.c.move_id), 0)).where(moves.c.project == project)
        return int((await conn.execute(query)).scalar_one())


def _entry(row: RowMapping) -> Entry:
    return Entry(
        project=row["project"],
        registration_id=row["registration_id"],
        kind=Kind(row["kind"]),
        event=Event(row["event"]) if row["event"] else None,
        from_state=State(row["from_state"]) if row["from_state"] else None,
        to_state=State(row["to_state"]),
        actor=Actor(row["actor"]),
        time=row["time"],
        cause=row["cause"],
        field=row["field"],
        words=row["words"],
        key=row["decision_key"] or "",
        move_id=row["move_id"],
    )
