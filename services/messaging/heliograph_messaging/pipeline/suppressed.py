"""The suppression list at the door, and the receipts that feed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.pipeline.door import Passing, Refusal
from heliograph_messaging.store.receipts import PendingReceipt
from heliograph_messaging.store.suppressions import NewSuppression, SuppressionStore

_TOLD = {
    "BOUNCE": "messages to this address came back for good",
    "COMPLAINT": "the recipient complained",
    "MANUAL": "the address was put on the suppression list",
}


class SuppressionCheck:
    """Refuses addresses on the suppression list of their channel, whatever the class (pinpoint-2 2.2)."""

    def __init__(self, store: SuppressionStore) -> None:
        """Take the list."""
        self._store = store

    async def refuse(self, conn: AsyncConnection, passing: Passing) -> Mapping[int, Refusal]:
        """Look all addresses up at once."""
        rows = passing.rows
        found = await self._store.among(conn, passing.project, passing.batch.channel, [row.address for row in rows])
        return {rows[place].position: Refusal("SUPPRESSED", _TOLD[cause]) for place, cause in found.items()}


async def suppress(
    conn: AsyncConnection, store: SuppressionStore, pending: Sequence[PendingReceipt], *, now: datetime
) -> None:
    """Put the addresses of e-mail that bounced for good or was complained about on the list. Safe to repeat."""
    lists: dict[str, list[NewSuppression]] = {}
    for one in pending:
        if one.channel != "EMAIL" or not one.address:
            continue
        if one.kind == "COMPLAINED":
            cause = "COMPLAINT"
        elif one.kind == "BOUNCED" and one.permanent:
            cause = "BOUNCE"
        else:
            continue
        lists.setdefault(one.project, []).append(NewSuppression(one.address, cause, one.message_id, one.detail))
    for project in sorted(lists):
        await store.add(conn, project, "EMAIL", lists[project], by="messaging", now=now)
