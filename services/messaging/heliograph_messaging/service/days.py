"""What was sent of the day that a number shares with others."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_messaging.domain.allowances import Span, allowance_of, window_of
from heliograph_messaging.store.allowances import AllowanceStore, Slot
from heliograph_messaging.store.originations import StoredOrigination


@dataclass(frozen=True)
class Today:
    """Message parts that were handed over since midnight US Pacific time, and how many may be; limit 0: there is none."""

    used: int = 0
    limit: int = 0


class Days:
    """Use cases over what may be sent in a day."""

    def __init__(self, database: Database, store: AllowanceStore, clock: Clock, *, share: float) -> None:
        """Take the counts, the clock, and the share of recipients that the carrier which counts days is taken to have."""
        self._database = database
        self._store = store
        self._clock = clock
        self._share = share

    async def today(self, number: StoredOrigination) -> Today:
        """Return what was sent of the day of a number; of all numbers of its brand, whoever borrows them."""
        allowance = allowance_of(number, self._share)
        if allowance is None:
            return Today()
        start = window_of(Span.DAY, self._clock.now()).start
        slot = Slot(allowance.project or number.project, allowance.key, Span.DAY, start)
        async with self._database.transaction() as conn:
            return Today(await self._store.used(conn, slot), allowance.limits[Span.DAY])
