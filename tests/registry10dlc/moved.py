"""A history to read: moves as other processes make them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_registry10dlc.domain import Actor, Entry, Event, Kind, State

SHOP = "shop"


class Moves:
    """Reads and writes the history as the store does."""

    def __init__(self) -> None:
        """Count the reads."""
        self.reads = 0

    async def history(
        self, conn: AsyncConnection, project: str, registration_id: str, after: int, limit: int
    ) -> Sequence[Entry]:
        self.reads += 1
        rows = await conn.execute(
            text("""
                SELECT * FROM registry10dlc.moves WHERE project = :project AND move_id > :after
                AND :registration_id IN ('', registration_id) ORDER BY move_id LIMIT :limit
            """),
            {"project": project, "registration_id": registration_id, "after": after, "limit": limit},
        )
        return [
            Entry(
                row["project"], row["registration_id"], Kind(row["kind"]), Event(row["event"]) if row["event"] else None,
                State(row["from_state"]) if row["from_state"] else None, State(row["to_state"]), Actor(row["actor"]),
                row["time"], row["cause"], row["field"], row["words"], row["decision_key"] or "", row["move_id"],
            )
            for row in rows.mappings()
        ]  # fmt: skip

    async def write(self, conn: AsyncConnection, entry: Entry) -> Entry:
        """Write one move under the project's lock, and return it with its number."""
        await conn.execute(text("SELECT pg_advisory_xact_lock(hashtext(:project))"), {"project": entry.project})
        row = await conn.execute(
            text("""
                INSERT INTO registry10dlc.moves
                    (project, registration_id, kind, event, from_state, to_state, actor, cause, field, words, time)
                VALUES (:project, :id, :kind, :event, :from_state, :to_state, :actor, :cause, :field, :words, :time)
                RETURNING move_id
            """),
            {
                "project": entry.project, "id": entry.registration_id, "kind": entry.kind, "event": entry.event,
                "from_state": entry.from_state, "to_state": entry.to_state, "actor": entry.actor,
                "cause": entry.cause, "field": entry.field, "words": entry.words, "time": entry.time,
            },
        )  # fmt: skip
        return Entry(**{**vars(entry), "move_id": row.scalar_one()})


def an_entry(registration_id: str = "b1", project: str = SHOP, **changes: object) -> Entry:
    """Return a move that is not stored; without changes: a brand that was created."""
    made: dict[str, object] = {
        "project": project,
        "registration_id": registration_id,
        "kind": Kind.BRAND,
        "event": None,
        "from_state": None,
        "to_state": State.DRAFT,
        "actor": Actor.USER,
        "time": datetime(2026, 11, 27, 12, tzinfo=UTC),
    }
    return Entry(**{**made, **changes})  # type: ignore[arg-type]
