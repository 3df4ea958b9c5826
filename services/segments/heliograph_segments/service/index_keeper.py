"""The indexes of all projects in the memory of this replica.

An index is loaded when it is first asked for, follows the record through the audience log, is written to disk now and
then, and leaves the memory when others need it. Every question catches up with the log before it is answered, so that
an answer holds every write that was committed before the question, whichever replica made it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pyroaring import BitMap

from heliograph_kit.database import Database
from heliograph_segments.index.bitmaps import of_mask
from heliograph_segments.index.clauses import Node
from heliograph_segments.index.columns import microseconds
from heliograph_segments.index.comparing import difference, differing
from heliograph_segments.index.evaluation import ClauseCount, Moment, clause_counts, evaluate
from heliograph_segments.index.partition import PARTITION_BITS, Partition
from heliograph_segments.service.index_loading import ProjectIndex, build_as_of, catch_up, load, save
from heliograph_segments.store import audience_log

_log = logging.getLogger(__name__)

T = TypeVar("T")
_EXAMPLES = 10
_PRUNE_EVERY = 600.0
# The log is kept for longer than anybody may rely on it.
_MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Verified:
    """What the comparison of one partition with the record found."""

    partition: int
    endpoints: int
    differences: int
    examples: tuple[str, ...]
    skipped: int
    repaired: bool


class IndexKeeper:
    """Holds, follows, saves and evicts indexes."""

    def __init__(
        self,
        database: Database,
        *,
        folder: Path | None,
        memory_bytes: int,
        retention: timedelta,
        follow_seconds: float = 0.5,
        save_seconds: float = 300,
    ) -> None:
        """Take the record; `folder` for snapshots (None: always built from the record), the bound of memory (0: no index
        at all, everything is answered from the record), and how long the log of changes is kept.
        """
        self._database = database
        self._folder = folder
        self._memory = memory_bytes
        self._retention = retention
        self._follow_seconds = follow_seconds
        self._save_seconds = save_seconds
        self._loaded: dict[str, ProjectIndex] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._too_large: set[str] = set()
        self._uses = itertools.count(1)

    async def members(
        self, project: str, node: Node, moment: Moment, within: BitMap | None = None
    ) -> tuple[BitMap, int] | None:
        """Return the ordinals of the members, and how many endpoints there are in all; `within` looks at those only.

        The lists of the moment are of ordinals, here and in the other questions.

        None while there is no index: ask the record. It is being loaded then, unless it is too large.
        """

        async def ask(index: ProjectIndex) -> tuple[BitMap, int]:
            found = BitMap()
            for number, partition in sorted(index.partitions.items()):
                only = None if within is None else _local(within, number)
                if only is None or only:
                    members = await _stepwise(evaluate(partition, node, _local_moment(moment, number), only))
                    found |= members.shift(number << PARTITION_BITS)
            return found, index.total

        return await self._asked(project, ask)

    async def count(self, project: str, node: Node, moment: Moment) -> tuple[int, int] | None:
        """Return how many endpoints match, and how many there are in all; None as in `members`."""

        async def ask(index: ProjectIndex) -> tuple[int, int]:
            found = 0
            for number, partition in index.partitions.items():
                found += len(await _stepwise(evaluate(partition, node, _local_moment(moment, number))))
            return found, index.total

        return await self._asked(project, ask)

    async def clauses(self, project: str, node: Node, moment: Moment) -> list[ClauseCount] | None:
        """Return how many endpoints each clause matches and leaves; None as in `members`."""

        async def ask(index: ProjectIndex) -> list[ClauseCount]:
            sums: dict[str, ClauseCount] = {}
            for number, partition in index.partitions.items():
                for count in await _stepwise(clause_counts(partition, node, _local_moment(moment, number))):
                    before = sums.get(count.path, ClauseCount(count.path, 0, 0))
                    matched, remaining = before.match_count + count.match_count, before.remaining_count
                    sums[count.path] = ClauseCount(count.path, matched, remaining + count.remaining_count)
            return list(sums.values())

        return await self._asked(project, ask)

    async def active_between(self, project: str, since: datetime, until: datetime) -> BitMap | None:
        """Return the ordinals of those last active at or after `since` and before `until`; None as in `members`."""
        first, end = microseconds(since), microseconds(until)

        async def ask(index: ProjectIndex) -> BitMap:
            found = BitMap()
            for number, partition in index.partitions.items():
                within = (partition.last_active >= first) & (partition.last_active < end)
                found |= (of_mask(within) & partition.alive).shift(number << PARTITION_BITS)
                await asyncio.sleep(0)
            return found

        return await self._asked(project, ask)

    async def verify(self, project: str, number: int, *, repair: bool) -> Verified | None:
        """Compare a partition with the record, endpoint by endpoint; None when its index is not loaded."""
        fresh, position = await build_as_of(self._database, project, number)
        index = self._loaded.get(project)
        if index is None:
            return None
        async with index.lock:
            await catch_up(self._database, index)
            mine = index.partitions.setdefault(number, Partition(number))
        # The lock is held for single steps: whoever counts or writes meanwhile waits for milliseconds.
        comparison = differing(mine, fresh)
        found: BitMap | None = None
        while found is None:
            async with index.lock:
                found = await asyncio.to_thread(_next, comparison)
        async with index.lock:
            await catch_up(self._database, index)
            async with self._database.transaction() as conn:
                changed, _ = await audience_log.changed_since(conn, project, position)
            if self._loaded.get(project) is not index or index.partitions.get(number) is not mine:
                return None
            # What changed after the view of the record cannot be compared with it.
            skipped = _local(changed, number)
            found -= skipped
            examples = tuple(difference(mine, fresh, place) for place in found[:_EXAMPLES])
            if found and repair:
                index.partitions[number] = fresh
                # What changed after the view that the new partition comes from is applied again.
                index.position, index.known = min(index.position, position), set()
                index.dirty.add(number)
        if found:
            _log.error("partition %d of %s differed from the record in %d endpoints", number, project, len(found))
        repaired = bool(found) and repair
        return Verified(number, len(fresh.alive), len(found), examples, len(skipped), repaired)

    async def ready(self, project: str) -> bool:
        """Wait until the index of a project is loaded; tell whether it is, or is too large."""
        if project not in self._loaded and not self._is_off(project):
            self._begin(project)
            await asyncio.shield(self._loading[project])
        return project in self._loaded

    def numbers(self, project: str) -> list[int]:
        """Return the partitions of a project that are in memory."""
        index = self._loaded.get(project)
        return sorted(index.partitions) if index else []

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow the record, save and prune until told to stop; then save what changed."""
        loop = asyncio.get_running_loop()
        saved = pruned = loop.time()
        while not stopping.is_set():
            for index in list(self._loaded.values()):
                if not index.lock.locked():  # somebody who asks catches up himself
                    await self._follow(index)
            if loop.time() - saved > self._save_seconds:
                await self._save_all()
                saved = loop.time()
            if loop.time() - pruned > _PRUNE_EVERY:
                async with self._database.transaction() as conn:
                    await audience_log.prune(conn, self._retention + _MARGIN)
                pruned = loop.time()
            try:
                await asyncio.wait_for(stopping.wait(), self._follow_seconds)
            except TimeoutError:
                continue
        await self._save_all()

    async def close(self) -> None:
        """Stop loading."""
        for task in list(self._loading.values()):
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)

    async def _follow(self, index: ProjectIndex) -> None:
        async with index.lock:
            before = index.position.read_at
            await catch_up(self._database, index)
            if index.position.read_at - before > self._retention:
                # The log may have been pruned behind our back, for example while this process was suspended.
                self._loaded.pop(index.project, None)

    async def _asked(self, project: str, ask: Callable[[ProjectIndex], Awaitable[T]]) -> T | None:
        index = self._loaded.get(project)
        if index is None:
            if not self._is_off(project):
                self._begin(project)
            return None
        index.used = next(self._uses)
        await self._follow(index)
        if self._loaded.get(project) is not index:
            return None
        async with index.lock:
            return await ask(index)

    def _is_off(self, project: str) -> bool:
        return self._memory == 0 or project in self._too_large

    def _begin(self, project: str) -> None:
        if project not in self._loading:
            self._loading[project] = asyncio.create_task(self._load(project))

    async def _load(self, project: str) -> None:
        try:
            index = await load(self._database, project, self._folder, self._retention)
            await catch_up(self._database, index)
            index.used = next(self._uses)
            self._loaded[project] = index
            await self._make_room(index)
        except Exception:
            # Who asks next begins again; until then the record answers.
            _log.exception("the index of project %s could not be loaded", project)
        finally:
            self._loading.pop(project, None)

    async def _make_room(self, newest: ProjectIndex) -> None:
        if newest.nbytes > self._memory:
            _log.warning("the index of project %s does not fit: %d bytes", newest.project, newest.nbytes)
            self._too_large.add(newest.project)
            self._loaded.pop(newest.project)
            return
        while sum(index.nbytes for index in self._loaded.values()) > self._memory:
            oldest = min(self._loaded.values(), key=lambda index: index.used)
            if self._folder is not None:
                await save(oldest, self._folder)
            self._loaded.pop(oldest.project, None)

    async def _save_all(self) -> None:
        if self._folder is None:
            return
        for index in list(self._loaded.values()):
            await save(index, self._folder)


async def _stepwise(steps: Generator[None, None, T]) -> T:
    """Run an evaluation; between its steps everybody else has a turn."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)


def _next(comparison: Generator[None, None, BitMap]) -> BitMap | None:
    """Go one step further; the result at the end, None before it."""
    try:
        next(comparison)
    except StopIteration as end:
        found: BitMap = end.value
        return found
    return None


def _local(ordinals: BitMap, number: int) -> BitMap:
    """Return the positions in a partition."""
    first = number << PARTITION_BITS
    wanted = ordinals & BitMap(range(first, first + (1 << PARTITION_BITS)))
    return wanted.shift(-first)


def _local_moment(moment: Moment, number: int) -> Moment:
    return Moment(moment.now, {listed: _local(ordinals, number) for listed, ordinals in moment.listings.items()})
