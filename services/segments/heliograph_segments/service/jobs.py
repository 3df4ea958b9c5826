"""Queueing and watching import jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_segments.domain.jobs import Job, JobFormat, check_definition, check_source
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import ImportJobNotFound, SegmentNotFound, refuse
from heliograph_segments.places.choosing import Places
from heliograph_segments.places.objects import NotAllowed
from heliograph_segments.service.job_desk import JobDesk
from heliograph_segments.store import segments
from heliograph_segments.store.jobs import IMPORTS
from heliograph_segments.store.requests import Request


@dataclass(frozen=True)
class Making:
    """What an import makes of its rows: endpoints or not, a segment or not. `found` is what could not be read of it."""

    skip_endpoints: bool = False
    given: bool = False
    name: str = ""
    segment_id: str = ""
    found: Sequence[Problem] = ()


NOTHING = Making()


class Jobs(JobDesk[Job]):
    """Use cases over import jobs."""

    def __init__(
        self, database: Database, clock: Clock, *, places: Places, limit: int, wake: Callable[[], None]
    ) -> None:
        """Take what a desk takes, and where imports may read."""
        super().__init__(database, clock, IMPORTS, limit=limit, missing=ImportJobNotFound, wake=wake)
        self._places = places

    async def create_import(
        self, project: str, format: JobFormat | None, source: str, request: Request, making: Making = NOTHING
    ) -> Job:
        """Queue an import. The same request again returns the first job, with its progress.

        Raises:
            InvalidArgument: no format, a source that may not be read, or a segment that cannot be made.
            SegmentNotFound: there is no such segment to make a version of.
            RequestIdReused, TooManyActiveJobs: as JobDesk.queue.
        """
        problems = check_source(source)
        if not problems:
            try:
                self._places.source(source)
            except NotAllowed as error:
                problems.append(Problem("import_job.source", "SOURCE_NOT_ALLOWED", str(error)))
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

        async def make(conn: AsyncConnection, job_id: str, now: datetime) -> Job:
            if making.segment_id:
                segment = await segments.get(conn, project, making.segment_id)
                if segment is None:
                    raise SegmentNotFound(project, making.segment_id, 0)
                if segment.rules.imported is None:
                    words = "was not imported; only imported segments get versions from imports"
                    refuse([Problem("import_job.segment_definition.segment", "NOT_IMPORTED", words)])
            return Job(
                project,
                job_id,
                kind,
                source,
                now,
                skip_endpoints=making.skip_endpoints,
                segment_name=making.name,
                segment_id=making.segment_id,
            )

        return await self.queue(project, request, make)
