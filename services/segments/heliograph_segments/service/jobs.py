"""Queueing and watching import jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_segments.domain.import_rows import UnusableFile
from heliograph_segments.domain.jobs import Job, JobFormat, check_definition, check_source
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import ImportJobNotFound, SegmentNotFound, TooManyActiveJobs, refuse
from heliograph_segments.imports.source import path_of
from heliograph_segments.store import jobs as store
from heliograph_segments.store import requests
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store.requests import Request
from heliograph_segments.store.segments import lock_project


@dataclass(frozen=True)
class Making:
    """What an import makes of its rows: endpoints or not, a segment or not. `found` is what could not be read of it."""

    skip_endpoints: bool = False
    given: bool = False
    name: str = ""
    segment_id: str = ""
    found: Sequence[Problem] = ()


NOTHING = Making()


class Jobs:
    """Use cases over jobs."""

    def __init__(
        self, database: Database, clock: Clock, *, root: Path | None, limit: int, wake: Callable[[], None]
    ) -> None:
        """Take the record, the time, the folder imports may read, how many unfinished jobs a project may have, and
        what tells the worker of this process that there is a job.
        """
        self._database = database
        self._clock = clock
        self._root = root
        self._limit = limit
        self._wake = wake

    async def create_import(
        self, project: str, format: JobFormat | None, source: str, request: Request, making: Making = NOTHING
    ) -> Job:
        """Queue an import. The same request again returns the first job, with its progress.

        Raises:
            InvalidArgument: no format, a source that may not be read, or a segment that cannot be made.
            SegmentNotFound: there is no such segment to make a version of.
            RequestIdReused: the request id was used with other content.
            TooManyActiveJobs: the project has as many unfinished jobs as it may have.
        """
        problems = check_source(source)
        if not problems:
            try:
                path_of(source, self._root)
            except UnusableFile as error:
                problems.append(Problem("import_job.source", error.reason, error.message))
        if format is None:
            problems.append(Problem("import_job.format", "REQUIRED", "must be CSV or NDJSON"))
        problems += making.found
        problems += check_definition(
            given=making.given,
            name=making.name,
            segment=bool(making.segment_id),
            skip_endpoints=making.skip_endpoints,
        )
        refuse(problems)
        kind = format or JobFormat.CSV

        async def work(conn: AsyncConnection) -> Job:
            now, job_id = self._clock.now(), new_id()
            before = await requests.claim(conn, project, request, job_id, now)
            if before is not None:
                return await _existing(conn, project, before)
            await lock_project(conn, project)
            if await store.active_count(conn, project) >= self._limit:
                raise TooManyActiveJobs(project, self._limit)
            if making.segment_id:
                segment = await segment_store.get(conn, project, making.segment_id)
                if segment is None:
                    raise SegmentNotFound(project, making.segment_id, 0)
                if segment.rules.imported is None:
                    words = "was not imported; only imported segments get versions from imports"
                    refuse([Problem("import_job.segment_definition.segment", "NOT_IMPORTED", words)])
            job = Job(
                project,
                job_id,
                kind,
                source,
                now,
                skip_endpoints=making.skip_endpoints,
                segment_name=making.name,
                segment_id=making.segment_id,
            )
            await store.insert(conn, job)
            return job

        job = await self._database.run(work)
        self._wake()
        return job

    async def get(self, project: str, job_id: str) -> Job:
        """Return a job.

        Raises:
            ImportJobNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            return await _existing(conn, project, job_id)

    async def page(self, project: str, count: int, after: tuple[datetime, str] | None) -> Sequence[Job]:
        """Return up to `count` jobs behind a position, newest first."""
        async with self._database.transaction() as conn:
            return await store.page(conn, project, count, after)


async def _existing(conn: AsyncConnection, project: str, job_id: str) -> Job:
    job = await store.get(conn, project, job_id)
    if job is None:
        raise ImportJobNotFound(project, job_id)
    return job
