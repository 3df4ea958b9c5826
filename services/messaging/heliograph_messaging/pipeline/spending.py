"""What SMS cost: the limit at the door, the charge with the intent, and what a refusal gives back.

A month's spending is always what its messages cost together, whatever crashes: both are written in the transaction that hands a
message over, and in the one that says it was refused. As the month is locked from the look at the limit to the end of the
transaction, the limit is never passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.spending import month_of, over
from heliograph_messaging.pipeline.door import Passing, Refusal
from heliograph_messaging.store.records import Row
from heliograph_messaging.store.sms_settings import SpendingStore

_TOLD = Refusal("SPEND_LIMIT", "NO_QUOTA_LEFT_ON_ACCOUNT: the spend limit of this month is reached")


class Spending:
    """Keeps to the spend limit of each project. As a check it comes last: who is refused by another costs nothing."""

    def __init__(self, store: SpendingStore) -> None:
        """Take where it is kept."""
        self._store = store

    async def refuse(self, conn: AsyncConnection, passing: Passing) -> Mapping[int, Refusal]:
        """Refuse what no longer fits into the month."""
        costs = [row.cost for row in passing.rows]
        if not any(costs):
            return {}
        month = await self._store.lock(conn, passing.project, month_of(passing.now))
        if month is None:
            return {}
        spent, limit = month
        return {passing.rows[place].position: _TOLD for place in over(costs, spent=spent, limit=limit)}

    async def charge(
        self, conn: AsyncConnection, project: str, rows: Sequence[Row], now: datetime, *, idempotent: bool
    ) -> None:
        """Charge messages that are about to be handed over.

        One that was handed over before and left in doubt is charged again, unless its provider knows that it had it.
        """
        costs = {row.message_id: row.cost for row in rows if row.cost}
        if costs:
            await self._store.charge(conn, project, month_of(now), costs, free=idempotent)

    async def give_back(self, conn: AsyncConnection, project: str, rows: Sequence[Row], charged: datetime) -> None:
        """Undo the charge of messages that the provider certainly did not take; `charged` is when they were handed over."""
        costs = {row.message_id: row.cost for row in rows if row.cost}
        if costs:
            await self._store.give_back(conn, project, month_of(charged), costs)
