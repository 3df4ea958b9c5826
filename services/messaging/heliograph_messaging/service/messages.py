"""Use cases over messages: what became of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heliograph_kit.database import Database
from heliograph_kit.names import format_name
from heliograph_messaging.errors import MessageNotFound
from heliograph_messaging.pipeline.erasing import messages_to
from heliograph_messaging.store.messages import Count, LedgerMessage, MessageStore, StoredAttempt, StoredReceipt

_MESSAGE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Story:
    """One message with everything that happened to it."""

    message: LedgerMessage
    attempts: Sequence[StoredAttempt]
    receipts: Sequence[StoredReceipt]


class Messages:
    """Use cases over messages."""

    def __init__(self, database: Database, store: MessageStore) -> None:
        """Take the ledger."""
        self._database = database
        self._store = store

    async def get(self, project: str, id: str) -> Story:
        """Return a message, the calls of providers it was part of, and what was reported of it.

        Raises:
            MessageNotFound: the ledger has none.
        """
        if not _MESSAGE_ID.fullmatch(id):
            raise MessageNotFound(format_name(project, "messages", id))
        async with self._database.transaction() as conn:
            message = await self._store.get(conn, project, id)
            if message is None:
                raise MessageNotFound(format_name(project, "messages", id))
            attempts = await self._store.attempts(conn, project, id)
            return Story(message, attempts, await self._store.receipts(conn, project, id))

    async def of_run(
        self, project: str, run_id: str, *, status: str, after: str | None, size: int
    ) -> Sequence[LedgerMessage]:
        """Return messages of a run with ids above `after`, by id; `status` empty: of every status."""
        async with self._database.transaction() as conn:
            return await self._store.of_run(conn, project, run_id, status=status, after=after, size=size)

    async def to_one(
        self,
        project: str,
        *,
        endpoint_id: str,
        address: str,
        status: str,
        before: tuple[datetime, str] | None,
        size: int,
    ) -> Sequence[LedgerMessage]:
        """Return messages to an endpoint, or to a bare address, the latest first, behind `before`.

        Direct sends have an index.
        """
        async with self._database.transaction() as conn:
            ids = await messages_to(conn, self._store, project, endpoint_id) if endpoint_id else []
            return await self._store.to_one(
                conn, project, endpoint_id=endpoint_id, address=address, ids=ids, status=status, before=before,
                size=size,
            )  # fmt: skip

    async def counts(self, project: str, run_id: str, *, treatment_id: str, activity_id: str) -> Sequence[Count]:
        """Count the messages of a run by status, reason, treatment and activity."""
        async with self._database.transaction() as conn:
            return await self._store.counts(conn, project, run_id, treatment_id=treatment_id, activity_id=activity_id)
