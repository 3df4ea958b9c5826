"""The attribute names of a project: which there are, and removing some for good (pinpoint-1 2.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_kit.errors import Aborted
from heliograph_kit.working import Bell, until_stopped
from heliograph_segments.domain.problems import Problem
from heliograph_segments.domain.vocabulary import Kind, Vocabulary, check_patterns
from heliograph_segments.errors import refuse
from heliograph_segments.store import vocabulary as store

# Every write is held against them all.
MAX_DENIED = 250
_POLL_SECONDS = 1


class Attributes:
    """Use cases over attribute names, and the worker that removes stored values."""

    def __init__(self, database: Database, limit: int) -> None:
        """Take the record, and how many names a project may have."""
        self._database = database
        self._bell = Bell()
        self.limit = limit

    async def names(self, project: str) -> Vocabulary:
        """Return the names in use and the patterns that are dropped."""
        async with self._database.transaction() as conn:
            return await store.look(conn, project)

    async def remove(
        self, project: str, kind: Kind | None, patterns: Sequence[str], found: Sequence[Problem] = ()
    ) -> Sequence[str]:
        """Drop names from now on, have stored values removed, and return the names that were in use, sorted.

        Raises:
            InvalidArgument: no kind, unusable patterns, or more than MAX_DENIED of them with those of before.
        """
        chosen = _checked(kind, patterns, found)

        async def work(conn: AsyncConnection) -> Sequence[str]:
            narrower, gone = (await store.own(conn, project)).without(chosen, patterns)
            if len(narrower.denied[chosen]) > MAX_DENIED:
                words = f"at most {MAX_DENIED} patterns of a kind can be dropped; allow some again"
                refuse([Problem("patterns", "TOO_MANY", words)])
            await store.store(conn, project, narrower)
            if gone:
                await store.queue_removal(conn, project, chosen, gone)
            return gone

        removed = await self._database.run(work)
        self._bell.ring()
        return removed

    async def allow(
        self, project: str, kind: Kind | None, patterns: Sequence[str], found: Sequence[Problem] = ()
    ) -> Vocabulary:
        """Capture names again; return what holds then.

        Raises:
            InvalidArgument: no kind, or unusable patterns.
            Aborted: values of such names are still being removed, and new ones would go with them.
        """
        chosen = _checked(kind, patterns, found)

        async def work(conn: AsyncConnection) -> Vocabulary:
            vocabulary = (await store.own(conn, project)).allowing(chosen, patterns)
            waiting = await store.being_removed(conn, project, chosen)
            if any(not vocabulary.drops(chosen, name) for name in waiting):
                raise Aborted("values of these names are still being removed; repeat the request later")
            await store.store(conn, project, vocabulary)
            return vocabulary

        return await self._database.run(work)

    async def run(self, stopping: asyncio.Event) -> None:
        """Remove stored values until told to stop; any number of processes may."""
        await until_stopped(stopping, self._bell, _POLL_SECONDS, self.remove_some)

    async def remove_some(self) -> bool:
        """Remove a portion of stored values; tell whether there was anything to do."""

        async def work(conn: AsyncConnection) -> bool:
            removal = await store.next_removal(conn)
            if removal is not None:
                await store.remove_portion(conn, removal)
            return removal is not None

        return await self._database.run(work)


def _checked(kind: Kind | None, patterns: Sequence[str], found: Sequence[Problem]) -> Kind:
    refuse([*found, *(check_patterns(kind, patterns) if not found or kind else [])])
    if kind is None:
        raise AssertionError("a kind that is missing is refused")
    return kind
