"""Frozen audiences: a segment becomes a snapshot, a snapshot becomes pages of members."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta

from pyroaring import BitMap

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_segments.domain.endpoints import endpoint_key
from heliograph_segments.domain.fields import Field, fields_of
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import SegmentNotFound, SnapshotIdTaken, SnapshotNotFound, refuse
from heliograph_segments.service.reading import Reader
from heliograph_segments.service.segments import question_of
from heliograph_segments.store import audience as store
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store.audience import Snapshot
from heliograph_segments.store.members import Members, Projection

DEFAULT_PAGE = 500
MAX_PAGE = 1000
MAX_READ = 1000
MAX_USERS = 100
# Members that one statement reads; projected fields take as long to parse as so many of them for each fixed column.
_READ_AT_ONCE = 8000
_FIELDS_AS_MEMBER = 4
_FORGET_EVERY = 3600.0
_SNAPSHOT_ID = re.compile(r"[a-z0-9-]{1,64}")


class Audiences:
    """Use cases over frozen audiences."""

    def __init__(self, database: Database, clock: Clock, reader: Reader) -> None:
        """Take the record, the time, and what knows who is in a segment."""
        self._reader = reader
        self._database = database
        self._clock = clock

    async def freeze(self, project: str, segment_id: str, version: int, snapshot_id: str) -> Snapshot:
        """Store who is in a segment now under a snapshot id; the same id again returns the first snapshot.

        Raises:
            InvalidArgument: the snapshot id is malformed.
            SegmentNotFound: there is no such segment or version.
            SnapshotIdTaken: the id belongs to another segment or version.
            SegmentCycle, SourceSegmentMissing, SegmentTooLarge: the sources of the segment changed.
        """
        problems: list[Problem] = []
        if not _SNAPSHOT_ID.fullmatch(snapshot_id):
            problems.append(Problem("snapshot_id", "MALFORMED", "must be 1 to 64 characters of a-z, 0-9 and -"))
        if version < 0:
            problems.append(Problem("segment_version", "OUT_OF_RANGE", "must not be negative"))
        refuse(problems)
        async with self._database.transaction() as conn:
            before = await store.get_snapshot(conn, project, snapshot_id)
            if before is not None:
                return _same(before, segment_id, version)
            segment = await segment_store.get(conn, project, segment_id, version)
            if segment is None:
                raise SegmentNotFound(project, segment_id, version)
            now = self._clock.now()
            question = await question_of(conn, project, segment.rules, now, own_id=segment_id)
        ordinals = await self._reader.members(question)
        async with self._database.transaction() as conn:
            snapshot = Snapshot(project, snapshot_id, segment_id, segment.version, len(ordinals), now)
            if await store.insert_snapshot(conn, snapshot, ordinals):
                return snapshot
        # Somebody froze the same id meanwhile: theirs is the first, and visible only to a new statement.
        return _same(await self.get(project, snapshot_id), segment_id, version)

    async def get(self, project: str, snapshot_id: str) -> Snapshot:
        """Return a snapshot.

        Raises:
            SnapshotNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            snapshot = await store.get_snapshot(conn, project, snapshot_id)
        if snapshot is None:
            raise SnapshotNotFound(project, snapshot_id)
        return snapshot

    async def pages(
        self, project: str, snapshot_id: str, after: int, page_size: int, paths: Sequence[str]
    ) -> AsyncIterator[Members]:
        """Yield the members of a snapshot behind an ordinal, `page_size` ordinals a page (0: 500).

        A page holds fewer members than ordinals when some were deleted, and is left out when all were. While
        some pages are being sent the next ones are read.

        Raises:
            InvalidArgument: a field that does not exist, a size or a position out of range.
            SnapshotNotFound: there is no such snapshot.
        """
        fields, problems = fields_of(list(paths))
        if not 0 <= page_size <= MAX_PAGE:
            problems.append(
                Problem("page_size", "OUT_OF_RANGE", f"must be from 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}")
            )
        if after < 0:
            problems.append(Problem("after_ordinal", "OUT_OF_RANGE", "must not be negative"))
        refuse(problems)
        async with self._database.transaction() as conn:
            ordinals = await store.read_members(conn, project, snapshot_id)
        if ordinals is None:
            raise SnapshotNotFound(project, snapshot_id)
        size, projection = page_size or DEFAULT_PAGE, Projection(fields)
        # A position above everything is behind the last member; the bitmap itself knows 32 bits only.
        first = ordinals.rank(after) if after < 2**32 else len(ordinals)
        # One statement for several pages: the way to the database and back costs as much as a thousand members. But what
        # comes back is parsed in one step, and must not hold the event loop for more than some milliseconds.
        at_once = _READ_AT_ONCE // (1 + len(fields) // _FIELDS_AS_MEMBER)
        step = size * max(1, at_once // size)
        coming: asyncio.Task[Iterator[Members]] | None = None
        try:
            for start in range(first, len(ordinals), step):
                current = coming or self._reading(project, projection, ordinals[start : start + step], size)
                coming = None
                pages = await current
                if start + step < len(ordinals):
                    following = ordinals[start + step : start + 2 * step]
                    coming = self._reading(project, projection, following, size)
                for members in pages:
                    if len(members):
                        yield members
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    def _reading(
        self, project: str, projection: Projection, ordinals: BitMap, size: int
    ) -> asyncio.Task[Iterator[Members]]:
        async def read() -> Iterator[Members]:
            async with self._database.transaction() as conn:
                return await projection.by_ordinal(conn, project, list(ordinals), size)

        return asyncio.create_task(read())

    async def filter(self, project: str, snapshot_id: str, endpoint_ids: Sequence[str]) -> list[str]:
        """Return those of the given endpoints that are in a snapshot, as they were given; deleted ones are not.

        Raises:
            InvalidArgument: no ids, or more than 1,000.
            SnapshotNotFound: there is no such snapshot.
        """
        if not 1 <= len(endpoint_ids) <= MAX_READ:
            refuse([Problem("endpoint_ids", "OUT_OF_RANGE", f"must name 1 to {MAX_READ} endpoints")])
        async with self._database.transaction() as conn:
            members = await store.read_members(conn, project, snapshot_id)
            if members is None:
                raise SnapshotNotFound(project, snapshot_id)
            ordinals = await store.ordinals_of(conn, project, sorted({endpoint_key(name) for name in endpoint_ids}))
        return [name for name in endpoint_ids if ordinals.get(endpoint_key(name), 0) in members]

    async def forget_old(self, kept: timedelta, stopping: asyncio.Event) -> None:
        """Delete snapshots that are older than `kept`, once an hour, until told to stop."""
        while not stopping.is_set():
            async with self._database.transaction() as conn:
                await store.forget_snapshots(conn, self._clock.now() - kept)
            try:
                await asyncio.wait_for(stopping.wait(), _FORGET_EVERY)
            except TimeoutError:
                continue

    async def read(self, project: str, endpoint_ids: Sequence[str], paths: Sequence[str]) -> Members:
        """Return given endpoints as one page, in the order asked; unknown ids are left out.

        Raises:
            InvalidArgument: more than 1,000 ids, or a field that does not exist.
        """
        fields: list[Field]
        fields, problems = fields_of(list(paths))
        if len(endpoint_ids) > MAX_READ:
            problems.append(Problem("endpoint_ids", "TOO_MANY", f"must name at most {MAX_READ} endpoints"))
        refuse(problems)
        async with self._database.transaction() as conn:
            return await Projection(fields).by_key(conn, project, [endpoint_key(name) for name in endpoint_ids])

    async def of_users(self, project: str, user_ids: Sequence[str], paths: Sequence[str]) -> Members:
        """Return all endpoints of given users as one page, user by user in the order asked.

        Raises:
            InvalidArgument: more than 100 users, or a field that does not exist.
        """
        fields: list[Field]
        fields, problems = fields_of(list(paths))
        if len(user_ids) > MAX_USERS:
            problems.append(Problem("user_ids", "TOO_MANY", f"must name at most {MAX_USERS} users"))
        refuse(problems)
        async with self._database.transaction() as conn:
            return await Projection(fields).by_user(conn, project, list(dict.fromkeys(user_ids)))


def _same(snapshot: Snapshot, segment_id: str, version: int) -> Snapshot:
    if snapshot.segment_id != segment_id or version not in (0, snapshot.segment_version):
        raise SnapshotIdTaken(snapshot.project, snapshot.snapshot_id)
    return snapshot
