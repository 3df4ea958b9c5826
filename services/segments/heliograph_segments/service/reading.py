"""Who belongs to a segment: by the index where it is loaded, else by the record. Both mean the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pyroaring import BitMap

from heliograph_kit.database import Database
from heliograph_segments.domain.segments import Library, Listed, Rules
from heliograph_segments.errors import IndexNotLoaded
from heliograph_segments.index.bitmaps import positions_of
from heliograph_segments.index.clauses import Node, plan
from heliograph_segments.index.evaluation import ClauseCount, Moment
from heliograph_segments.service.index_keeper import IndexKeeper
from heliograph_segments.service.listings import Listings
from heliograph_segments.store import audience
from heliograph_segments.store.compiler import Compiled, compile_rules


@dataclass(frozen=True)
class Question:
    """Who is meant by a segment whose sources are checked, at one instant."""

    project: str
    rules: Rules
    library: Library
    now: datetime

    def plan(self) -> Node:
        """Return it for the index."""
        return plan(self.rules, self.library)

    def compiled(self, listings: Mapping[Listed, BitMap]) -> Compiled:
        """Return it for the record, with the lists it needs."""
        return compile_rules(self.rules, self.now, self.library, listings)


@dataclass(frozen=True)
class Counted:
    """How many match, of how many, at which instant, and whether the record had to answer."""

    members: int
    total: int
    as_of: datetime
    from_record: bool


class Reader:
    """Answers questions."""

    def __init__(self, database: Database, keeper: IndexKeeper, listings: Listings) -> None:
        """Take the record, the indexes, and what finds lists that are kept elsewhere."""
        self._database = database
        self._keeper = keeper
        self._listings = listings

    async def listings(self, question: Question) -> Mapping[Listed, BitMap]:
        """Return the lists that a question needs, as ordinals."""
        return await self._listings.resolve(question.project, question.rules, question.library, question.now)

    async def count(self, question: Question) -> Counted:
        """Count the members."""
        listings = await self.listings(question)
        found = await self._keeper.count(question.project, question.plan(), Moment(question.now, listings))
        if found is not None:
            return Counted(*found, question.now, from_record=False)
        async with self._database.transaction() as conn:
            members = await audience.count(conn, question.project, question.compiled(listings))
            return Counted(members, await audience.total(conn, question.project), question.now, from_record=True)

    async def clause_counts(self, question: Question) -> Sequence[ClauseCount]:
        """Count every clause.

        Raises:
            IndexNotLoaded: the index of the project is too large for the memory.
        """
        await self._keeper.ready(question.project)
        moment = Moment(question.now, await self.listings(question))
        counts = await self._keeper.clauses(question.project, question.plan(), moment)
        if counts is None:
            raise IndexNotLoaded(question.project)
        return counts

    async def members(self, question: Question, within: BitMap | None = None) -> BitMap:
        """Return the ordinals of all members; `within` looks at those only."""
        listings = await self.listings(question)
        moment = Moment(question.now, listings)
        found = await self._keeper.members(question.project, question.plan(), moment, within)
        if found is not None:
            return found[0]
        async with self._database.transaction() as conn:
            return await audience.members(conn, question.project, question.compiled(listings), within)

    async def active_between(self, project: str, since: datetime, until: datetime) -> BitMap:
        """Return the ordinals of those whose last activity was at or after `since` and before `until`."""
        found = await self._keeper.active_between(project, since, until)
        if found is not None:
            return found
        async with self._database.transaction() as conn:
            return await audience.active_between(conn, project, since, until)

    async def sample(self, question: Question, size: int) -> Sequence[int]:
        """Return the ordinals of some members, ascending: those that a fixed hash puts first."""
        members = await self.members(question)
        # In a thread: ten million members take half a second, most of it outside of Python.
        return await asyncio.to_thread(_drawn, members, size)


def _drawn(members: BitMap, size: int) -> list[int]:
    ordinals = positions_of(members).astype(np.uint64)
    if len(ordinals) <= size:
        return [int(ordinal) for ordinal in ordinals]
    chosen = ordinals[np.argpartition(_mixed(ordinals), size)[:size]]
    return sorted(int(ordinal) for ordinal in chosen)


def _mixed(ordinals: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return well mixed numbers, one to one (the finalizer of splitmix64)."""
    mixed = ordinals * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
