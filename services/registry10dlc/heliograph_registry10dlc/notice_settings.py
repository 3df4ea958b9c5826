"""The use cases over where notices go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels.destinations import Destination, Forbidden, Network, url_problem
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Violations
from heliograph_kit.secretbox import SecretBox
from heliograph_registry10dlc import notice_store as store
from heliograph_registry10dlc.watch_errors import PrivateAddress

OWNER = "notices"
"""What the secret is sealed for."""
SECRET_LENGTH = (16, 256)
_RESOLVE_SECONDS = 5.0


@dataclass(frozen=True)
class Reach:
    """Where calls may go besides public addresses, as the operator allows it."""

    networks: Sequence[Network] = ()
    insecure_loopback: bool = False

    def destination(self, url: str) -> Destination:
        """Return a good URL as something to call."""
        return Destination(url, allowed=self.networks, insecure_loopback=self.insecure_loopback)


@dataclass(frozen=True)
class NoticeState:
    """Where notices of a project go, and how that goes. The secret stays inside."""

    url: str
    has_secret: bool
    waiting_count: int
    last_error: str


class NoticeSettings:
    """Reads and changes where notices go."""

    def __init__(
        self, *, database: Database, box: SecretBox, reach: Reach, clock: Clock, wake: Callable[[], None]
    ) -> None:
        """Take the parts. `clock` is the machine's; `wake` is called after a change, for what waits already."""
        self._database = database
        self._box = box
        self._reach = reach
        self._clock = clock
        self._wake = wake

    async def get(self, project: str) -> NoticeState:
        """Return the settings; those of a project that set nothing are empty."""
        async with self._database.transaction() as conn:
            return await _state(conn, project, await store.address_of(conn, project))

    async def update(self, project: str, url: str, secret: str) -> NoticeState:
        """Change the settings; what waits goes to the new address. An empty `url` ends notices and drops what waits.

        An empty `secret` keeps the one there is. Safe to repeat.

        Raises:
            InvalidArgument: with every violation, below `notice_settings`.
            PrivateAddress: the host has an address inside of a private network.
            SecretKeyMissing: there is no key to store the secret under.
        """
        violations = Violations()
        fewest, most = SECRET_LENGTH
        if secret and not fewest <= len(secret) <= most:
            violations.add("notice_settings.secret", f"must be {fewest} to {most} characters", "INVALID_LENGTH")
        problem = url_problem(url, insecure_loopback=self._reach.insecure_loopback) if url else None
        if problem:
            violations.add("notice_settings.url", problem, "INVALID_FORMAT")
        if url and not secret and not (await self._address(project)).secret:
            violations.add("notice_settings.secret", "is required with a url: it signs what is sent", "REQUIRED")
        violations.check()
        if url:
            await self._require_public(url)
        sealed = self._box.seal(project, OWNER, {"secret": secret} if secret else {})
        async with self._database.transaction() as conn:
            present = await store.address_of(conn, project, lock=True)
            address = store.Address(url, sealed or present.secret)
            if not url or not present.url:
                # Also what came in between, when notices were off: old news is worse than none.
                await store.drop_waiting(conn, project)
            await store.write_address(conn, project, address, self._clock.now())
            state = await _state(conn, project, address)
        self._wake()
        return state

    async def _address(self, project: str) -> store.Address:
        async with self._database.transaction() as conn:
            return await store.address_of(conn, project)

    async def _require_public(self, url: str) -> None:
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                await self._reach.destination(url).addresses()
        except Forbidden as error:
            raise PrivateAddress("notice_settings.url", str(error)) from None
        except OSError:
            # The name may resolve later; it is looked up, and its addresses are checked, before every call.
            return


async def _state(conn: AsyncConnection, project: str, address: store.Address) -> NoticeState:
    waiting = await store.waiting_count(conn, project)
    return NoticeState(address.url, bool(address.secret), waiting, address.last_error)
