"""Queueing and watching jobs of one kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import NotFound
from heliograph_kit.ids import new_id
from heliograph_segments.errors import TooManyActiveJobs
from heliograph_segments.store import requests
from heliograph_segments.store.job_rows import JobTable, Queued
from heliograph_segments.store.requests import Request
from heliograph_segments.store.segments import lock_project

J = TypeVar("J", bound=Queued)


class JobDesk(Generic[J]):
    """Where jobs are queued and asked for."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        table: JobTable[J],
        *,
        limit: int,
        missing: Callable[[str, str], NotFound],
        wake: Callable[[], None],
    ) -> None:
        """Take the record, the time, the rows, how many unfinished jobs a project may have, what is said of a job that
        there is not (from project and id), and what tells the worker of this process that there is a job.
        """
        self._database = database
        self._clock = clock
        self._table = table
        self._limit = limit
        self._missing = missing
        self._wake = wake

    async def queue(
        self, project: str, request: Request, make: Callable[[AsyncConnection, str, datetime], Awaitable[J]]
    ) -> J:
        """Queue what `make` returns for an id and an instant. The same request again returns the first job.

        Raises:
            RequestIdReused: the request id was used with other content.
            TooManyActiveJobs: the project has as many unfinished jobs as it may have.
        """

        async def work(conn: AsyncConnection) -> J:
            now, job_id = self._clock.now(), new_id()
            before = await requests.claim(conn, project, request, job_id, now)
            if before is not None:
                return await self._existing(conn, project, before)
            await lock_project(conn, project)
            if await self._table.active_count(conn, project) >= self._limit:
                raise TooManyActiveJobs(project, self._limit)
            job = await make(conn, job_id, now)
            await self._table.insert(conn, job)
            return job

        job = await self._database.run(work)
        self._wake()
        return job

    async def get(self, project: str, job_id: str) -> J:
        """Return a job.

        Raises:
            NotFound: there is none.
        """
        async with self._database.transaction() as conn:
            return await self._existing(conn, project, job_id)

    async def page(self, project: str, count: int, after: tuple[datetime, str] | None) -> Sequence[J]:
        """Return up to `count` jobs behind a position, newest first."""
        async with self._database.transaction() as conn:
            return await self._table.page(conn, project, count, after)

    async def _existing(self, conn: AsyncConnection, project: str, job_id: str) -> J:
        job = await self._table.get(conn, project, job_id)
        if job is None:
            raise self._missing(project, job_id)
        return job
