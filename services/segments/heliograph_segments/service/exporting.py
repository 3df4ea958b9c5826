"""The worker of export jobs: finds out whom, then writes object after object under a lease.

An object appears under its name when it is whole, and a killed worker's successor writes the one in hand again.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Sequence

import orjson
from pyroaring import BitMap

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import HeliographError, Unavailable
from heliograph_kit.working import Bell, until_stopped
from heliograph_segments.domain.endpoints import Endpoint
from heliograph_segments.domain.exports import ExportJob, document_of
from heliograph_segments.domain.segments import Rules
from heliograph_segments.places.choosing import Places
from heliograph_segments.places.objects import Destination, NotAllowed, NotWritten
from heliograph_segments.service.reading import Reader
from heliograph_segments.service.segments import question_of
from heliograph_segments.store import endpoint_reading as reading
from heliograph_segments.store import exports as store
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store.exports import EXPORTS
from heliograph_segments.store.job_rows import Leased, LeaseLost

_log = logging.getLogger(__name__)

# What ends its workers must not keep all other jobs waiting for ever.
_LEASES_WITHOUT_PIECE = 10
_POLL_SECONDS = 1.0
_READ_AT_ONCE = 5_000
# Fast, and a third of the size: exports are read once.
_LEVEL = 1


class Unwritable(Exception):
    """The export cannot go on; the job fails with this reason."""

    def __init__(self, reason: str, message: str, *, piece: bool = False) -> None:
        """Take the reason for code, words for people, and whether a piece failed."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.piece = piece


class ExportWorker:
    """Takes export jobs, one at a time a process."""

    def __init__(
        self, database: Database, clock: Clock, reader: Reader, *, places: Places, piece: int, lease_seconds: float
    ) -> None:
        """Take the record, the time, what finds members, where to write, and how many endpoints an object has."""
        self._database = database
        self._clock = clock
        self._reader = reader
        self._places = places
        self._piece = piece
        self._lease_seconds = lease_seconds
        self._bell = Bell()

    def wake(self) -> None:
        """Look for jobs now instead of at the next poll."""
        self._bell.ring()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop; the object in hand is finished and the job given back."""
        await until_stopped(stopping, self._bell, _POLL_SECONDS, lambda: self.run_one(stopping))

    async def run_one(self, stopping: asyncio.Event) -> bool:
        """Take one job and work on it; tell whether there was one."""
        async with self._database.transaction() as conn:
            leased = await EXPORTS.lease(conn, self._lease_seconds)
            members = await store.members(conn, leased.job) if leased else None
        if leased is None:
            return False
        try:
            await self._work(leased, members, stopping)
        except LeaseLost:
            _log.warning("export %s goes on elsewhere", leased.job.job_id)
        except Unavailable as error:
            # Whoever keeps a list that decides the segment is away. The lease keeps the job until it is tried again.
            _log.warning("export %s waits: %s", leased.job.job_id, error.message)
        return True

    async def _work(self, leased: Leased[ExportJob], members: BitMap | None, stopping: asyncio.Event) -> None:
        try:
            if members is not None and leased.fence > leased.job.completed_pieces + _LEASES_WITHOUT_PIECE:
                raise Unwritable("PIECE_FAILED", "the workers of an object ended again and again", piece=True)
            destination = self._destination(leased.job)
            if members is None:
                members = await self._members(leased.job)
                leased = await self._begin(leased, members)
            while leased.job.completed_pieces < leased.job.total_pieces:
                if stopping.is_set():
                    async with self._database.transaction() as conn:
                        await EXPORTS.release(conn, leased)
                    return
                first = leased.job.completed_pieces * leased.job.piece_endpoints
                piece = members[first : first + leased.job.piece_endpoints]
                written = await self._write(destination, leased, piece)
                leased = await self._store(leased, leased.job.advanced(written))
        except Unwritable as error:
            now = self._clock.now()
            await self._store(leased, leased.job.failed(error.reason, error.message, now, piece=error.piece))
        else:
            await self._store(leased, leased.job.completed(self._clock.now()))

    def _destination(self, job: ExportJob) -> Destination:
        try:
            return self._places.destination(job.destination)
        except NotAllowed as error:
            raise Unwritable("DESTINATION_NOT_ALLOWED", str(error)) from None

    async def _members(self, job: ExportJob) -> BitMap:
        async with self._database.transaction() as conn:
            rules = Rules()
            if job.segment_id:
                segment = await segment_store.get(conn, job.project, job.segment_id, job.segment_version)
                if segment is None:
                    raise Unwritable("SEGMENT_NOT_FOUND", "the segment was deleted")
                rules = segment.rules
            try:
                question = await question_of(conn, job.project, rules, self._clock.now(), own_id=job.segment_id or None)
            except HeliographError as error:
                raise Unwritable("SEGMENT_NOT_FOUND", f"the sources of the segment changed: {error}") from error
        return await self._reader.members(question)

    async def _write(self, destination: Destination, leased: Leased[ExportJob], ordinals: BitMap) -> int:
        """Write one object and return how many endpoints it holds; those deleted meanwhile are left out."""
        lines: list[bytes] = []
        for start in range(0, len(ordinals), _READ_AT_ONCE):
            async with self._database.transaction() as conn:
                some = ordinals[start : start + _READ_AT_ONCE].to_array().tolist()
                endpoints = await reading.read_by_ordinal(conn, leased.job.project, some)
            lines += await asyncio.to_thread(_lines, endpoints)
            # An object may take longer than a lease.
            await self._store(leased, leased.job)
        try:
            name = leased.job.object_name(leased.job.completed_pieces)
            await asyncio.to_thread(lambda: destination.put(name, _packed(lines)))
        except NotWritten as error:
            raise Unwritable("DESTINATION_UNWRITABLE", str(error), piece=True) from None
        return len(lines)

    async def _begin(self, leased: Leased[ExportJob], members: BitMap) -> Leased[ExportJob]:
        async with self._database.transaction() as conn:
            await store.put_members(conn, leased.job, members)
            begun = leased.job.begun(len(members), self._piece)
            return await EXPORTS.update(conn, leased, begun, self._lease_seconds)

    async def _store(self, leased: Leased[ExportJob], job: ExportJob) -> Leased[ExportJob]:
        async with self._database.transaction() as conn:
            if job.state.ended:
                # Who was exported is known no longer than it is needed.
                await store.put_members(conn, job, None)
            return await EXPORTS.update(conn, leased, job, self._lease_seconds)


def _lines(endpoints: Sequence[Endpoint]) -> list[bytes]:
    return [orjson.dumps(document_of(endpoint), option=orjson.OPT_APPEND_NEWLINE) for endpoint in endpoints]


def _packed(lines: Sequence[bytes]) -> bytes:
    # Without a time, so that the same endpoints are the same bytes.
    return gzip.compress(b"".join(lines), compresslevel=_LEVEL, mtime=0)
