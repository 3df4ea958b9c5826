"""Forgets what people sent and what was reported of messages, after the days that the operator keeps them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from heliograph_kit.database import Database
from heliograph_messaging.pipeline.erasing import Eraser
from heliograph_messaging.store import retention

PAGE = 1000
"""Rows deleted in one transaction: none is long, and whoever writes meanwhile does not wait."""
_PAUSE_SECONDS = 600.0


class Retention:
    """Deletes what is older than it is kept, and looks after erasures once more. Several may work side by side."""

    def __init__(self, database: Database, eraser: Eraser, *, inbound: timedelta, receipts: timedelta) -> None:
        """Take the database, what erases, and how long messages of people and receipts are kept."""
        self._database = database
        self._eraser = eraser
        self._kept = {"inbound_messages": inbound, "receipts": receipts}

    async def run(self, stopping: asyncio.Event) -> None:
        """Work now and then until told to stop."""
        while not stopping.is_set():
            for table in self._kept:
                while not stopping.is_set() and await self.forget_page(table) == PAGE:
                    pass
            while not stopping.is_set() and await self.erase_again():
                pass
            try:
                await asyncio.wait_for(stopping.wait(), _PAUSE_SECONDS)
            except TimeoutError:
                continue

    async def forget_page(self, table: str) -> int:
        """Delete up to 1,000 rows that are too old and return how many there were."""
        async with self._database.transaction() as conn:
            return await retention.forget(conn, table, self._kept[table], PAGE)

    async def erase_again(self) -> bool:
        """Look after one erasure of a while ago; False when none is due."""
        async with self._database.transaction() as conn:
            return await self._eraser.erase_again(conn)
