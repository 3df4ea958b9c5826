"""One import job under one lease: object by object, piece by piece.

A piece and the job's progress commit together, under the fence of the lease. Whoever continues therefore begins behind
exactly the rows that are written: none is doubled and none is lost. While one piece is written the next is parsed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id
from heliograph_kit.outages import is_outage
from heliograph_kit.outbox import Outbox
from heliograph_segments import events
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.domain.endpoints import endpoint_key
from heliograph_segments.domain.import_rows import OTHER_FORMAT, OtherFormat, RowFailure, UnusableFile
from heliograph_segments.domain.jobs import Job, JobFormat, JobState
from heliograph_segments.domain.problems import Problem
from heliograph_segments.domain.segments import ImportedList, Rules
from heliograph_segments.imports.rows import Parsed, Rows, deriver, parse_piece, reader_of
from heliograph_segments.imports.source import SourceFile
from heliograph_segments.places.choosing import Places
from heliograph_segments.places.objects import Interrupted, NotAllowed, Source, StoredObject
from heliograph_segments.service.writing import EndpointWriter
from heliograph_segments.store import audience, imported
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store.endpoints import Written
from heliograph_segments.store.job_rows import Leased
from heliograph_segments.store.jobs import IMPORTS
from heliograph_segments.store.races import Race
from heliograph_segments.store.segments import Segment

_log = logging.getLogger(__name__)

PIECE_FAILED = "PIECE_FAILED"
_PIECE_ATTEMPTS = 5
# A file that ends its workers (or meets a mistake of ours) must not keep all other jobs waiting for ever.
_LEASES_WITHOUT_PIECE = 10
_PAUSE = timedelta(seconds=0.5)

T = TypeVar("T")


class ImportRun:
    """One job under one lease."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        clock: Clock,
        settings: SegmentsSettings,
        leased: Leased[Job],
        writer: EndpointWriter,
        places: Places,
    ) -> None:
        """Take the job as it was leased, with the progress of whoever had it before."""
        self._writer = writer
        self._places = places
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._settings = settings
        self._leased = leased

    @property
    def job(self) -> Job:
        """The job as it is stored now."""
        return self._leased.job

    async def work(self, stopping: asyncio.Event) -> None:
        """Write what is left of the job and end it, or give it back when told to stop.

        Raises:
            LeaseLost: another worker has it.
        """
        try:
            if self._leased.fence > self.job.completed_pieces + _LEASES_WITHOUT_PIECE:
                words = f"the workers of the lines behind line {self.job.done_lines} ended again and again"
                raise UnusableFile(PIECE_FAILED, words)
            finished = await self._import(self._places.source(self.job.source), stopping)
        except NotAllowed as error:
            await self._end(self.job.failed("SOURCE_NOT_ALLOWED", str(error), self._clock.now()))
            return
        except UnusableFile as error:
            piece = error.reason == PIECE_FAILED
            await self._end(self.job.failed(error.reason, error.message, self._clock.now(), piece=piece))
            return
        if finished:
            await self._end(self.job.completed(self._clock.now()))
            return
        async with self._database.transaction() as conn:
            await IMPORTS.release(conn, self._leased)

    async def _import(self, source: Source, stopping: asyncio.Event) -> bool:
        """Write all objects, behind what is written; False when told to stop."""
        try:
            objects = await self._kept(source.objects)
            sizes = [each.size for each in objects]
            await self._begin(objects)
            for place in range(self.job.done_objects, len(objects)):
                found, later = objects[place], sizes[place + 1 :]
                with _named(found.name):
                    if not await self._import_one(source, found, later, stopping):
                        return False
        except Interrupted:
            return False
        if not self.job.completed_objects:
            raise UnusableFile(OTHER_FORMAT, f"none of the {len(objects)} objects has rows of this format")
        return True

    async def _import_one(
        self, source: Source, found: StoredObject, later: Sequence[int], stopping: asyncio.Event
    ) -> bool:
        """Write what is left of an object, or pass it over; False when told to stop."""
        piece_bytes = self._settings.import_piece_bytes

        def look() -> tuple[SourceFile, str]:
            content, version = source.open(found, stopping.is_set)
            return SourceFile(content, self._settings.import_unpacked_bytes), version

        file, version = await self._kept(look)
        with file:
            try:
                rows = await asyncio.to_thread(reader_of, self.job.format, file)
            except UnusableFile as error:
                # Among others, what is empty or of another format is passed over (pinpoint-1 3.5).
                if self.job.object_count == 1 or not (isinstance(error, OtherFormat) or error.reason == "SOURCE_EMPTY"):
                    raise
                await self._store(self.job.skipped(later, piece_bytes))
                return True
            if self.job.object_bytes and version != self.job.object_version:
                raise UnusableFile("SOURCE_CHANGED", "the source changed while it was imported")
            await self._store(self.job.opened(version, file.size, later, piece_bytes))
            return await self._write_all(found.name, file, rows, stopping)

    async def _begin(self, objects: Sequence[StoredObject]) -> None:
        listing = derived_id("listing", *(f"{each.name} {each.size} {each.version}" for each in objects))
        if not self.job.begun:
            piece_bytes = self._settings.import_piece_bytes
            await self._store(self.job.listed([each.size for each in objects], listing, piece_bytes))
        elif self.job.listing not in ("", listing):
            raise UnusableFile("SOURCE_CHANGED", "the source changed while it was imported")

    async def _kept(self, work: Callable[[], T]) -> T:
        """Work in a thread and keep the lease meanwhile: what is far or packed takes its time."""
        working = asyncio.create_task(asyncio.to_thread(work))
        try:
            while not (await asyncio.wait({working}, timeout=self._settings.import_lease_seconds / 3))[0]:
                await self._store(self.job)
        except BaseException:
            for found in await asyncio.gather(working, return_exceptions=True):
                if isinstance(found, tuple) and isinstance(found[0], SourceFile):
                    found[0].close()
            raise
        return working.result()

    async def _store(self, job: Job) -> None:
        async with self._database.transaction() as conn:
            self._leased = await IMPORTS.update(conn, self._leased, job, self._settings.import_lease_seconds)

    async def _write_all(self, name: str, file: SourceFile, rows: Rows, stopping: asyncio.Event) -> bool:
        coming = self._parsing(name, self.job, file, rows)
        try:
            while True:
                parsed = await coming
                if stopping.is_set():
                    return False
                whole = parsed.end >= file.size
                after = self.job.advanced(
                    object_bytes=parsed.end,
                    done_lines=parsed.end_lines,
                    whole=whole,
                    rows=parsed.rows,
                    failures=parsed.failures,
                )
                if not whole:
                    coming = self._parsing(name, after, file, rows)
                await self._write(name, after, parsed)
                if whole:
                    return True
        finally:
            # The thread reads the file, which is closed behind us.
            await asyncio.gather(coming, return_exceptions=True)

    def _parsing(self, name: str, job: Job, file: SourceFile, rows: Rows) -> asyncio.Task[Parsed]:
        # To the next multiple, so that pieces begin at the same places however long the lines are.
        limit = self._settings.import_piece_bytes - job.object_bytes % self._settings.import_piece_bytes
        derive = deriver(job.project)

        def parse() -> Parsed:
            piece = file.piece(job.object_bytes, job.done_lines, limit)
            header = job.format is JobFormat.CSV
            parsed = parse_piece(piece, rows, derive, header=header, lists_users=job.defines)
            return replace(parsed, failures=[failure._replace(object=name) for failure in parsed.failures])

        return asyncio.create_task(asyncio.to_thread(parse))

    async def _write(self, name: str, after: Job, parsed: Parsed) -> None:
        """Write a piece; an outage is waited for, anything else that keeps failing ends the job."""
        attempt = 1
        while True:
            try:
                return await self._write_once(name, after, parsed)
            except (SQLAlchemyError, psycopg.Error, OSError, Race) as error:
                away = is_outage(error) or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
                if not away and attempt >= _PIECE_ATTEMPTS:
                    _log.exception("import %s: a piece cannot be written", self.job.job_id)
                    words = f"the lines behind line {self.job.done_lines} cannot be written"
                    raise UnusableFile(PIECE_FAILED, words) from error
                attempt += not away
                _log.warning("import %s: a piece is tried again: %s", self.job.job_id, error)
            await asyncio.sleep(_PAUSE.total_seconds())

    async def _write_once(self, name: str, after: Job, parsed: Parsed) -> None:
        async with self._database.transaction() as conn:
            written, problems = await self._written(conn, after, parsed)
            refused = [
                RowFailure(parsed.lines[place], found[0].reason, found[0].field, found[0].description, name)
                for place, found in problems.items()
            ]
            job = after.with_refused(refused).with_created(written.created)
            leased = await IMPORTS.update(conn, self._leased, job, self._settings.import_lease_seconds)
        self._leased = leased

    async def _written(
        self, conn: AsyncConnection, job: Job, parsed: Parsed
    ) -> tuple[Written, Mapping[int, Sequence[Problem]]]:
        """Write the rows of a piece, list them, or both; return what is wrong with some, by place."""
        if job.skip_endpoints:
            keys = [endpoint_key(update.endpoint_id) for update in parsed.updates]
            known = await audience.ordinals_of(conn, job.project, keys)
            missing = [Problem("endpoint_id", "ENDPOINT_NOT_FOUND", "there is no such endpoint to list")]
            written = Written(0, 0, list(known.values()))
            problems: Mapping[int, Sequence[Problem]]
            problems = {place: missing for place, key in enumerate(keys) if key not in known}
        else:
            written, problems = await self._writer.write_some(conn, job.project, parsed.updates, bulk=True)
        if job.defines:
            await imported.add(conn, job.project, job.job_id, job.done_bytes, written.ordinals, parsed.users)
        return written, problems

    async def _end(self, job: Job) -> None:
        async with self._database.transaction() as conn:
            if job.defines and job.state is JobState.COMPLETED:
                job = await self._define(conn, job)
            if job.defines and job.state is JobState.FAILED:
                await imported.forget(conn, job.project, [job.job_id])
            self._leased = await IMPORTS.update(conn, self._leased, job, self._settings.import_lease_seconds)
            await self._outbox.add(conn, events.import_finished(job))

    async def _define(self, conn: AsyncConnection, job: Job) -> Job:
        """Make the segment, or its next version; the job fails when the segment is gone."""
        now = self._clock.now()
        rules = Rules(imported=ImportedList(job.job_id))
        await segment_store.lock_project(conn, job.project)
        if not job.segment_id:
            segment_id = derived_id("imported segment", job.project, job.job_id)
            segment = Segment(job.project, segment_id, 1, job.segment_name, rules, {}, now, now)
            await segment_store.insert(conn, segment)
        else:
            latest = await segment_store.get(conn, job.project, job.segment_id)
            if latest is None:
                return job.failed("SEGMENT_NOT_FOUND", "the segment was deleted meanwhile", now)
            segment = replace(latest, version=latest.version + 1, rules=rules, updated_at=now)
            await segment_store.add_version(conn, segment)
        await self._outbox.add(conn, events.segment_updated(job.project, segment.segment_id, segment.version))
        return replace(job, segment_id=segment.segment_id)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Let what is wrong with one of several objects say with which."""
    try:
        yield
    except UnusableFile as error:
        if not name:
            raise
        raise UnusableFile(error.reason, f"{name}: {error.message}") from error
