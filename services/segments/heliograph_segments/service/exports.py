"""Queueing and watching export jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_segments.domain.exports import ExportJob, check_destination
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import ExportJobNotFound, SegmentNotFound, TooManyActiveJobs, refuse
from heliograph_segments.imports.source import below
from heliograph_segments.store import exports as store
from heliograph_segments.store import requests
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store.requests import Request
from heliograph_segments.store.segments import lock_project


class Exports:
    """Use cases over export jobs."""

    def __init__(
        self, database: Database, clock: Clock, *, root: Path | None, limit: int, wake: Callable[[], None]
    ) -> None:
        """Take the record, the time, the folder exports may write, how many unfinished ones a project may have, and
        what tells the worker of this process that there is one.
        """
        self._database = database
        self._clock = clock
        self._root = root
        self._limit = limit
        self._wake = wake

    async def create(
        self,
        project: str,
        destination: str,
        segment: tuple[str, int] | None,
        found: Sequence[Problem],
        request: Request,
    ) -> ExportJob:
        """Queue an export of a segment, or of all endpoints. The same request again returns the first job.

        Raises:
            InvalidArgument: a destination that may not be written, or `found`.
            SegmentNotFound: there is no such segment or version.
            RequestIdReused: the request id was used with other content.
            TooManyActiveJobs: the project has as many unfinished jobs as it may have.
        """
        problems = check_destination(destination)
        if not problems and (self._root is None or below(self._root, destination) is None):
            words = "must be a folder below the one that exports may write (HELIOGRAPH_SEGMENTS_EXPORT_ROOT)"
            problems.append(Problem("export_job.destination", "DESTINATION_NOT_ALLOWED", words))
        refuse([*found, *problems])
        segment_id, version = segment or ("", 0)

        async def work(conn: AsyncConnection) -> ExportJob:
            now, job_id = self._clock.now(), new_id()
            before = await requests.claim(conn, project, request, job_id, now)
            if before is not None:
                return await _existing(conn, project, before)
            await lock_project(conn, project)
            if await store.active_count(conn, project) >= self._limit:
                raise TooManyActiveJobs(project, self._limit)
            if segment_id and await segment_store.get(conn, project, segment_id, version) is None:
                raise SegmentNotFound(project, segment_id, version)
            job = ExportJob(project, job_id, destination, now, segment_id, version)
            await store.insert(conn, job)
            return job

        job = await self._database.run(work)
        self._wake()
        return job

    async def get(self, project: str, job_id: str) -> ExportJob:
        """Return a job.

        Raises:
            ExportJobNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            return await _existing(conn, project, job_id)

    async def page(self, project: str, count: int, after: tuple[datetime, str] | None) -> Sequence[ExportJob]:
        """Return up to `count` jobs behind a position, newest first."""
        async with self._database.transaction() as conn:
            return await store.page(conn, project, count, after)


async def _existing(conn: AsyncConnection, project: str, job_id: str) -> ExportJob:
    job = await store.get(conn, project, job_id)
    if job is None:
        raise ExportJobNotFound(project, job_id)
    return job
