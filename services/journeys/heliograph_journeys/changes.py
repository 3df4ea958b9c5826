"""Drops what is held of a project that was deleted."""

from __future__ import annotations

from collections.abc import Sequence

from heliograph_journeys.store import JourneyStore
from heliograph_kit.consumer import Delivery
from heliograph_kit.database import Database
from heliograph_kit.inbox import Inbox

CHANGES_CONSUMER = "journeys-changes"


class Changes:
    """Handles announcements of projects; each is acted on once."""

    def __init__(self, *, database: Database, store: JourneyStore, inbox: Inbox) -> None:
        """Take the parts."""
        self._database = database
        self._store = store
        self._inbox = inbox

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Act on each announcement; the subject says everything there is to know."""
        for delivery in deliveries:
            async with self._database.transaction() as conn:
                if await self._inbox.first_seen(conn, CHANGES_CONSUMER, [delivery.id]):
                    await self._store.drop_project(conn, delivery.project)
