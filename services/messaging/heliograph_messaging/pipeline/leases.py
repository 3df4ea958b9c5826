"""Keeping the leases of this process alive, and knowing when one is not ours any more."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from heliograph_kit.database import Database
from heliograph_messaging.store.ledger import Ledger
from heliograph_messaging.store.records import BatchKey, Lease

_log = logging.getLogger(__name__)
_BEATS = 4


@dataclass(eq=False)
class Hold:
    """A lease in this process. `until` is on the monotonic clock and moves forward with every renewal."""

    lease: Lease
    until: float
    lost: bool = field(default=False)

    def remaining(self, margin: float) -> float:
        """Return for how many seconds a call may still run so that it ends `margin` before the lease does."""
        return 0.0 if self.lost else max(0.0, self.until - margin - time.monotonic())


class Leases:
    """The leases this process holds, renewed together in one statement, four times in the life of a lease."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        """Take the database and the ledger."""
        self._database = database
        self._ledger = ledger
        self._held: dict[BatchKey, Hold] = {}

    def hold(self, lease: Lease, *, asked_at: float) -> Hold:
        """Keep a lease alive from now on; `asked_at` is the monotonic time before it was acquired."""
        hold = Hold(lease, asked_at + self._ledger.lease_seconds)
        self._held[lease.key] = hold
        return hold

    def drop(self, hold: Hold) -> None:
        """Stop keeping it alive."""
        if self._held.get(hold.lease.key) is hold:
            del self._held[hold.lease.key]

    async def keep_alive(self) -> None:
        """Renew until cancelled. While the database is away leases run out, and calls are cut off in time."""
        while True:
            await asyncio.sleep(self._ledger.lease_seconds / _BEATS)
            if self._held:
                try:
                    await self._renew()
                except (SQLAlchemyError, OSError, TimeoutError) as error:
                    _log.warning("leases cannot be renewed: %s", type(error).__name__)

    async def _renew(self) -> None:
        holds = list(self._held.values())
        asked_at = time.monotonic()
        async with self._database.transaction() as conn:
            ours = await self._ledger.renew(conn, [hold.lease for hold in holds])
        for hold in holds:
            if hold.lease.key in ours:
                hold.until = asked_at + self._ledger.lease_seconds
            elif self._held.get(hold.lease.key) is hold:
                # Finished a moment ago, or taken over: either way nobody may call a provider under it any more.
                hold.lost = True
