"""What a service has applied, recorded in the transaction of the effect: a message that comes again does nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database

if TYPE_CHECKING:
    from heliograph_kit.consumer import Delivery
    from heliograph_kit.outbox import MailTables

KEPT = timedelta(days=14)
"""How long applied ids are remembered: longer than any stream keeps a message that could come again."""


class Inbox:
    """Answers which of some message ids are new to a consumer."""

    def __init__(self, tables: MailTables) -> None:
        """Take the mail tables of the service."""
        table = tables.inbox_name
        # A dead letter that an operator replays is new again; anything else that is known stays known.
        self._insert = text(
            f"INSERT INTO {table} AS known (consumer, id) SELECT :consumer, unnest(CAST(:ids AS text[])) "
            "ON CONFLICT (consumer, id) DO UPDATE SET dead = false, applied_at = now() WHERE known.dead RETURNING id"
        )
        self._bury = text(
            f"INSERT INTO {table} (consumer, id, dead) VALUES (:consumer, :id, true) "  # noqa: S608
            "ON CONFLICT (consumer, id) DO NOTHING"
        )
        self._known = text(f"SELECT DISTINCT id FROM {table} WHERE id = ANY(CAST(:ids AS text[]))")  # noqa: S608
        self._known_by = text(
            f"SELECT id FROM {table} WHERE id = ANY(CAST(:ids AS text[])) AND consumer = ANY(CAST(:names AS text[])) "  # noqa: S608
            "GROUP BY id HAVING count(*) = cardinality(CAST(:names AS text[]))"
        )
        self._prune = text(
            f"DELETE FROM {table} WHERE applied_at < now() - make_interval(secs => :seconds)"  # noqa: S608
        )

    async def first_seen(self, conn: AsyncConnection, consumer: str, ids: Sequence[str]) -> set[str]:
        """Record message ids as applied by this consumer and return those that never were before.

        Call it in the transaction of the effect and apply only what it returns. Of two transactions with the same id
        the second waits for the first. `consumer` is the durable name.
        """
        if not ids:
            return set()
        # Sorted, so that two batches that share ids cannot lock them in opposite order.
        parameters = {"consumer": consumer, "ids": sorted(set(ids))}
        return set((await conn.execute(self._insert, parameters)).scalars())

    async def bury(self, conn: AsyncConnection, consumer: str, id: str) -> None:
        """Record a message as given up, so that the reconciler leaves it alone; safe to repeat."""
        await conn.execute(self._bury, {"consumer": consumer, "id": id})

    async def applied(self, conn: AsyncConnection, ids: Sequence[str], consumers: Sequence[str] = ()) -> set[str]:
        """Return which ids were applied (or given up) by each of the consumers named, by any when none is named."""
        if not ids:
            return set()
        if not consumers:
            return set((await conn.execute(self._known, {"ids": list(ids)})).scalars())
        parameters = {"ids": list(ids), "names": sorted(set(consumers))}
        return set((await conn.execute(self._known_by, parameters)).scalars())

    async def prune(self, conn: AsyncConnection, older_than: timedelta = KEPT) -> int:
        """Forget ids applied longer ago than that; return how many."""
        return (await conn.execute(self._prune, {"seconds": older_than.total_seconds()})).rowcount

    def burial(self, database: Database, consumer: str) -> Callable[[Delivery, str], Awaitable[None]]:
        """Return the `on_dead` of a consumer that buries each dead letter in this inbox."""

        async def bury(delivery: Delivery, _reason: str) -> None:
            async with database.transaction() as conn:
                await self.bury(conn, consumer, delivery.id)

        return bury
