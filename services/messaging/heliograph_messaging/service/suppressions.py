"""Use cases over the suppression list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from heliograph_channels import Kind, address_problem
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Violation, Violations
from heliograph_messaging.domain.outcomes import DETAIL_LENGTH
from heliograph_messaging.errors import AddressInvalid
from heliograph_messaging.providers import KINDS
from heliograph_messaging.store.suppressions import NewSuppression, Suppression, SuppressionStore

MAX_ADDRESSES = 1000
_ROLLOUT_SECONDS = 3600.0
_PAGE = 500


class Suppressions:
    """Use cases over the suppression list."""

    def __init__(self, database: Database, store: SuppressionStore, clock: Clock) -> None:
        """Take the list and the clock."""
        self._database = database
        self._store = store
        self._clock = clock

    async def add(self, project: str, channel: str, addresses: Sequence[str], detail: str, *, by: str) -> int:
        """Put addresses on the list and return how many are new; safe to repeat.

        Raises:
            InvalidArgument: no such kind of channel, too many or no addresses, a note that is too long.
            AddressInvalid: a violation for each address that is none.
        """
        _check(channel, addresses, detail)
        new = [NewSuppression(address, "MANUAL", "", detail) for address in addresses]
        async with self._database.transaction() as conn:
            return await self._store.add(conn, project, channel, new, by=by, now=self._clock.now())

    async def remove(self, project: str, channel: str, addresses: Sequence[str]) -> int:
        """Take addresses off the list and return how many were on it; safe to repeat.

        Raises:
            InvalidArgument: no such kind of channel, too many or no addresses.
        """
        _check_shape(channel, addresses, "")
        async with self._database.transaction() as conn:
            return await self._store.remove(conn, project, channel, addresses)

    async def find(self, project: str, channel: str, addresses: Sequence[str]) -> Sequence[Suppression]:
        """Return the entries of those that are on the list, in the order given.

        Raises:
            InvalidArgument: no such kind of channel, too many or no addresses.
        """
        _check_shape(channel, addresses, "")
        async with self._database.transaction() as conn:
            return await self._store.find(conn, project, channel, addresses)

    async def rekey(self, stopping: asyncio.Event) -> None:
        """Bring entries of before there was a key under it, an hour after the start: nobody who looks for them is left then."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _ROLLOUT_SECONDS)
        while not stopping.is_set():
            async with self._database.transaction() as conn:
                if await self._store.rekey(conn, _PAGE) < _PAGE:
                    return

    async def page(
        self, project: str, channel: str, *, after: str | None, size: int
    ) -> Sequence[tuple[str, Suppression]]:
        """Return up to `size` entries behind a position, with their positions."""
        async with self._database.transaction() as conn:
            return await self._store.page(conn, project, channel, after=after, size=size)


def _check(channel: str, addresses: Sequence[str], detail: str) -> None:
    _check_shape(channel, addresses, detail)
    bad = [
        Violation(f"addresses[{index}]", problem, AddressInvalid.reason)
        for index, address in enumerate(addresses)
        if (problem := address_problem(Kind(channel), address))
    ]
    if bad:
        raise AddressInvalid(bad)


def _check_shape(channel: str, addresses: Sequence[str], detail: str) -> None:
    found = Violations()
    if channel not in KINDS:
        found.add("parent", f"must end in one of {', '.join(KINDS)}", "INVALID_ARGUMENT")
    if not 1 <= len(addresses) <= MAX_ADDRESSES:
        found.add("addresses", f"must be 1 to {MAX_ADDRESSES:,}, not {len(addresses)}", "INVALID_ARGUMENT")
    if len(detail) > DETAIL_LENGTH:
        found.add("detail", f"must have at most {DETAIL_LENGTH} characters", "INVALID_ARGUMENT")
    found.check()
