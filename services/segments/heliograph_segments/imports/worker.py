"""The worker of import jobs: leases one, writes it piece by piece, goes on where a dead worker stopped.

A piece and the job's progress commit together, under the fence of the lease. Whoever continues therefore begins behind
exactly the rows that are written: none is doubled and none is lost. While one piece is written the next is parsed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id
from heliograph_kit.outages import is_outage
from heliograph_kit.outbox import Outbox
from heliograph_kit.telemetry import tracer
from heliograph_kit.working import Bell, until_stopped
from heliograph_segments import events
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.domain.endpoints import endpoint_key
from heliograph_segments.domain.import_rows import RowFailure, UnusableFile
from heliograph_segments.domain.jobs import Job, JobFormat, JobState
from heliograph_segments.domain.problems import Problem
from heliograph_segments.domain.segments import ImportedList, Rules
from heliograph_segments.imports.rows import Parsed, Rows, deriver, parse_piece, reader_of
from heliograph_segments.imports.source import SourceFile, path_of
from heliograph_segments.service.writing import EndpointWriter
from heliograph_segments.store import audience, imported
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store.endpoints import Written
from heliograph_segments.store.job_rows import Leased, LeaseLost
from heliograph_segments.store.jobs import IMPORTS
from heliograph_segments.store.races import Race
from heliograph_segments.store.segments import Segment

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)

PIECE_FAILED = "PIECE_FAILED"
_PIECE_ATTEMPTS = 5
# A file that ends its workers (or meets a mistake of ours) must not keep all other jobs waiting for ever.
_LEASES_WITHOUT_PIECE = 10
_PAUSE = timedelta(seconds=0.5)


class ImportWorker:
    """Takes import jobs, one at a time a process."""

    def __init__(
        self, database: Database, outbox: Outbox, clock: Clock, settings: SegmentsSettings, writer: EndpointWriter
    ) -> None:
        """Take what the jobs are written with."""
        self._writer = writer
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._settings = settings
        self._bell = Bell()

    def wake(self) -> None:
        """Look for jobs now instead of at the next poll."""
        self._bell.ring()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop; the piece in hand is finished and the job given back."""
        await until_stopped(stopping, self._bell, self._settings.import_poll_seconds, lambda: self.run_one(stopping))

    async def run_one(self, stopping: asyncio.Event) -> bool:
        """Take one job and work on it; tell whether there was one."""
        async with self._database.transaction() as conn:
            leased = await IMPORTS.lease(conn, self._settings.import_lease_seconds)
        if leased is None:
            return False
        run = ImportRun(self._database, self._outbox, self._clock, self._settings, leased, self._writer)
        attributes = {"heliograph.project": leased.job.project, "heliograph.job": leased.job.job_id}
        with _tracer.start_as_current_span("import", attributes=attributes):
            try:
                await run.work(stopping)
            except LeaseLost:
                _log.warning("import %s goes on elsewhere", leased.job.job_id)
        return True


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
    ) -> None:
        """Take the job as it was leased, with the progress of whoever had it before."""
        self._writer = writer
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
            path = path_of(self.job.source, self._settings.import_root)
            with await self._opened(path) as file:
                rows = await asyncio.to_thread(reader_of, self.job.format, file)
                await self._open(file)
                finished = await self._write_all(file, rows, stopping)
        except UnusableFile as error:
            piece = error.reason == PIECE_FAILED
            await self._end(self.job.failed(error.reason, error.message, self._clock.now(), piece=piece))
            return
        if finished:
            await self._end(self.job.completed(self._clock.now()))
            return
        async with self._database.transaction() as conn:
            await IMPORTS.release(conn, self._leased)

    async def _opened(self, path: Path) -> SourceFile:
        """Open the file in a thread and keep the lease meanwhile: a large one takes its time to be unpacked."""
        seconds = self._settings.import_lease_seconds
        opening = asyncio.create_task(asyncio.to_thread(SourceFile, path, self._settings.import_unpacked_bytes))
        try:
            while not (await asyncio.wait({opening}, timeout=seconds / 3))[0]:
                async with self._database.transaction() as conn:
                    self._leased = await IMPORTS.update(conn, self._leased, self.job, seconds)
        except BaseException:
            for opened in await asyncio.gather(opening, return_exceptions=True):
                if isinstance(opened, SourceFile):
                    opened.close()
            raise
        return opening.result()

    async def _open(self, file: SourceFile) -> None:
        job = self.job
        if job.done_bytes:
            if (job.size_bytes, job.modified_ns) != (file.size, file.modified_ns):
                raise UnusableFile("SOURCE_CHANGED", "the file changed while it was imported")
            return
        opened = job.opened(file.size, file.modified_ns, self._settings.import_piece_bytes)
        async with self._database.transaction() as conn:
            self._leased = await IMPORTS.update(conn, self._leased, opened, self._settings.import_lease_seconds)

    async def _write_all(self, file: SourceFile, rows: Rows, stopping: asyncio.Event) -> bool:
        coming = self._parsing(self.job, file, rows)
        try:
            while self.job.done_bytes < self.job.size_bytes:
                parsed = await coming
                if stopping.is_set():
                    return False
                after = self.job.advanced(
                    done_bytes=parsed.end,
                    done_lines=parsed.end_lines,
                    rows=parsed.rows,
                    failures=parsed.failures,
                    piece_bytes=self._settings.import_piece_bytes,
                )
                if after.done_bytes < after.size_bytes:
                    coming = self._parsing(after, file, rows)
                await self._write(after, parsed)
            return True
        finally:
            # The thread reads the file, which is closed behind us.
            await asyncio.gather(coming, return_exceptions=True)

    def _parsing(self, job: Job, file: SourceFile, rows: Rows) -> asyncio.Task[Parsed]:
        # To the next multiple, so that pieces begin at the same places however long the lines are.
        limit = self._settings.import_piece_bytes - job.done_bytes % self._settings.import_piece_bytes
        derive = deriver(job.project)

        def parse() -> Parsed:
            piece = file.piece(job.done_bytes, job.done_lines, limit)
            header = job.format is JobFormat.CSV
            return parse_piece(piece, rows, derive, header=header, lists_users=job.defines)

        return asyncio.create_task(asyncio.to_thread(parse))

    async def _write(self, after: Job, parsed: Parsed) -> None:
        """Write a piece; an outage is waited for, anything else that keeps failing ends the job."""
        attempt = 1
        while True:
            try:
                return await self._write_once(after, parsed)
            except (SQLAlchemyError, psycopg.Error, OSError, Race) as error:
                away = is_outage(error) or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
                if not away and attempt >= _PIECE_ATTEMPTS:
                    _log.exception("import %s: a piece cannot be written", self.job.job_id)
                    words = f"the lines behind line {self.job.done_lines} cannot be written"
                    raise UnusableFile(PIECE_FAILED, words) from error
                attempt += not away
                _log.warning("import %s: a piece is tried again: %s", self.job.job_id, error)
            await asyncio.sleep(_PAUSE.total_seconds())

    async def _write_once(self, after: Job, parsed: Parsed) -> None:
        async with self._database.transaction() as conn:
            written, problems = await self._written(conn, after, parsed)
            refused = [
                RowFailure(parsed.lines[place], found[0].reason, found[0].field, found[0].description)
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
