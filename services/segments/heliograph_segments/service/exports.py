"""Queueing and watching export jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_segments.domain.exports import ExportJob, check_destination
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import ExportJobNotFound, SegmentNotFound, refuse
from heliograph_segments.places.choosing import Places
from heliograph_segments.places.objects import NotAllowed
from heliograph_segments.service.job_desk import JobDesk
from heliograph_segments.store import segments
from heliograph_segments.store.exports import EXPORTS
from heliograph_segments.store.requests import Request


class Exports(JobDesk[ExportJob]):
    """Use cases over export jobs."""

    def __init__(
        self, database: Database, clock: Clock, *, places: Places, limit: int, wake: Callable[[], None]
    ) -> None:
        """Take what a desk takes, and where exports may write."""
        super().__init__(database, clock, EXPORTS, limit=limit, missing=ExportJobNotFound, wake=wake)
        self._places = places

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
            RequestIdReused, TooManyActiveJobs: as JobDesk.queue.
        """
        problems = check_destination(destination)
        if not problems:
            try:
                self._places.destination(destination)
            except NotAllowed as error:
                problems.append(Problem("export_job.destination", "DESTINATION_NOT_ALLOWED", str(error)))
        refuse([*found, *problems])
        segment_id, version = segment or ("", 0)

        async def make(conn: AsyncConnection, job_id: str, now: datetime) -> ExportJob:
            if segment_id and await segments.get(conn, project, segment_id, version) is None:
                raise SegmentNotFound(project, segment_id, version)
            return ExportJob(project, job_id, destination, now, segment_id, version)

        return await self.queue(project, request, make)
