"""The keys of tracked links, kept here so that links are followed also while messaging is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import Protocol

from heliograph_gateway.domain.tokens import Link, LinkKind, key_id, key_named, read_token
from heliograph_gateway.errors import MessagingAway, NothingHere

AGAIN_SECONDS = 1.0
"""Between two attempts while there are no keys, and between two because of a key nobody has heard of."""
_FRESH_SECONDS = 60.0

_log = logging.getLogger(__name__)


class KeySource(Protocol):
    """Who knows the keys."""

    async def keys(self) -> Sequence[bytes]:
        """Return them.

        Raises:
            MessagingAway: not now.
        """
        ...


class Keys:
    """Reads tokens."""

    def __init__(
        self, source: KeySource, today: Callable[[], date], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Take who knows the keys, and the product's date."""
        self._source = source
        self._today = today
        self._monotonic = monotonic
        self._keys: Sequence[bytes] = ()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask for the keys until told to stop: soon while there are none, now and then when there are."""
        while not stopping.is_set():
            await self._ask()
            try:
                async with asyncio.timeout(_FRESH_SECONDS if self._keys else AGAIN_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def link(self, token: str, kinds: Collection[LinkKind]) -> Link:
        """Return what a token says.

        Raises:
            NothingHere: it is forged, expired, or of none of the kinds.
            MessagingAway: there are no keys yet, so nobody can tell.
        """
        named = key_named(token)
        if named is None:
            raise NothingHere
        if all(key_id(key) != named for key in self._keys):
            # Signed with a key that is newer than ours, or with none; forged tokens must not make us ask all the time.
            async with self._asking:
                if self._monotonic() - self._asked_at >= AGAIN_SECONDS:
                    await self._ask()
        return self.known(token, kinds)

    def known(self, token: str, kinds: Collection[LinkKind]) -> Link:
        """Return what a token says as far as is known here, at once; raises as `link`."""
        if key_named(token) is None:
            raise NothingHere
        if not self._keys:
            raise MessagingAway
        link = read_token(token, self._keys, kinds, today=self._today())
        if link is None:
            raise NothingHere
        return link

    async def _ask(self) -> None:
        try:
            self._keys = await self._source.keys()
        except MessagingAway:
            if not self._keys:
                _log.warning("there are no keys of tracked links yet: messaging does not answer")
        finally:
            # After the answer: whoever waited for it meanwhile must not ask the same again.
            self._asked_at = self._monotonic()
