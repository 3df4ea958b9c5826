"""Who goes first in the event loop that workers share with the API: direct sends, and campaigns in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE_SECONDS = 0.005


class RightOfWay:
    """Lets one portion of a campaign's or journey's work into the event loop at a time; for one event loop.

    A batch of 500 costs 30 ms of Python. When several batches do theirs in one round of the loop, the round lasts 15 ms, and
    gRPC takes in one call every few rounds: with 100 a second they piled up in front of the server, where nobody sees
    them, for as long as the campaign lasted. A portion is about a millisecond of work without an await.
    """

    def __init__(self) -> None:
        """Begin with a free way."""
        self._portion = asyncio.Lock()
        self._ahead = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Do something that campaigns and journeys give way to; it is to be short, as a transaction is."""
        self._ahead += 1
        self._free.clear()
        try:
            yield
        finally:
            self._ahead -= 1
            if not self._ahead:
                self._free.set()

    async def give(self) -> None:
        """Let others go before the next portion: a round of the loop, and who is first, but not for more than 5 ms."""
        async with self._portion:
            await asyncio.sleep(0)
            if self._ahead:
                try:
                    await asyncio.wait_for(self._free.wait(), _PATIENCE_SECONDS)
                except TimeoutError:
                    # However many direct sends there are, campaigns get on.
                    return


async def next_round() -> None:
    """Let others go before the next portion of a direct send: a round of the loop, whoever waits."""
    await asyncio.sleep(0)
