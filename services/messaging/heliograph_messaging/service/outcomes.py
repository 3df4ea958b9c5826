"""Waiting for what providers answer to messages of direct sends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from heliograph_kit.database import Database
from heliograph_messaging.domain.results import Delivery, Result, result_of
from heliograph_messaging.store.messages import MessageStore

_log = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 0.01, 0.25


@dataclass(eq=False)
class _Waiter:
    project: str
    open: set[str]
    began: float
    found: dict[str, Result] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Outcomes:
    """Looks into the ledger for all callers that wait, in one statement; nothing is done while nobody waits.

    The workers may be other processes, and their events about all campaigns would have to be read for the few direct sends
    that somebody waits for.
    """

    def __init__(self, database: Database, store: MessageStore) -> None:
        """Take the ledger."""
        self._database = database
        self._store = store
        self._waiters: set[_Waiter] = set()
        self._looking: asyncio.Task[None] | None = None

    async def of(self, project: str, ids: Sequence[str], within: float) -> dict[str, Result]:
        """Return what became of messages, by id, as soon as all are answered, or after so many seconds.

        Those that no worker has claimed by then are missing; those that are tried again are QUEUED.
        """
        waiter = _Waiter(project, set(ids), time.monotonic())
        if not ids or within <= 0:
            return {}
        self._waiters.add(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="outcomes")
        try:
            await asyncio.wait_for(waiter.done.wait(), within)
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(waiter)
        return waiter.found

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while self._waiters:
            # Often while somebody has just begun to wait, more rarely for those whose provider is slow.
            youngest = time.monotonic() - max(waiter.began for waiter in self._waiters)
            await asyncio.sleep(min(_LONGEST, max(_SHORTEST, youngest / 4)))
            try:
                await self._look_once(list(self._waiters))
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                _log.warning("outcomes cannot be read: %s", type(error).__name__)

    async def _look_once(self, waiters: Sequence[_Waiter]) -> None:
        pairs = [(waiter.project, id) for waiter in waiters for id in waiter.open]
        if not pairs:
            return
        async with self._database.statement() as conn:
            outcomes = await self._store.outcomes(conn, pairs)
        for waiter in waiters:
            for id in list(waiter.open):
                row = outcomes.get((waiter.project, id))
                if row is None:
                    continue
                result = result_of(id, row.status, row.reason, row.detail, accepted=row.accepted)
                waiter.found[id] = result
                if result.delivery is not Delivery.QUEUED:
                    waiter.open.discard(id)
            if not waiter.open:
                waiter.done.set()
