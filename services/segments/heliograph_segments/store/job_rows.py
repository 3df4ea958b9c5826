"""Rows of jobs: queued, leased by one worker at a time, and moved on under the fence of the lease."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection


class Queued(Protocol):
    """What every kind of job has."""

    @property
    def project(self) -> str:
        """Whose it is."""
        ...

    @property
    def job_id(self) -> str:
        """Its id."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it was queued."""
        ...


J = TypeVar("J", bound=Queued)


@dataclass(frozen=True)
class Leased(Generic[J]):
    """A job and the fence of the lease under which it may be changed."""

    job: J
    fence: int


class LeaseLost(Exception):
    """Another worker has the job now, or the job is gone: nothing may be written for it any more."""


class JobTable(Generic[J]):
    """One kind of jobs. Leases run on the database's clock: the product's may be hurried."""

    def __init__(
        self,
        table: str,
        *,
        fixed: Sequence[str],
        progress: Sequence[str],
        json: Collection[str] = (),
        read: Callable[[Mapping[str, Any]], J],
        write: Callable[[J], Mapping[str, Any]],
    ) -> None:
        """Take the table, its columns that never change and those that do, which of them hold JSON, and how the columns
        become a job and a job its columns.
        """
        self._read, self._write = read, write
        self._progress = ("project", "job_id", *progress)
        self._columns = ("project", "job_id", "created_at", *fixed, *progress)
        table = f"segments.{table}"
        columns = ", ".join(self._columns)
        key = "project = :project AND job_id = :job_id"
        fenced = f"{key} AND fence = :fence AND completed_at IS NULL"
        until = "clock_timestamp() + make_interval(secs => :seconds)"
        given = {name: f"CAST(:{name} AS jsonb)" if name in json else f":{name}" for name in self._columns}
        self._insert = text(
            f"INSERT INTO {table} ({columns}, fence) VALUES ({', '.join(given.values())}, 0)"  # noqa: S608
        )
        self._get = text(f"SELECT {columns} FROM {table} WHERE {key}")  # noqa: S608
        self._page = text(
            f"SELECT {columns} FROM {table} WHERE project = :project AND (CAST(:time AS timestamptz) IS NULL "  # noqa: S608
            "OR (created_at, job_id) < (CAST(:time AS timestamptz), :job_id)) "
            "ORDER BY created_at DESC, job_id DESC LIMIT :count"
        )
        self._active = text(
            f"SELECT count(*) FROM {table} WHERE project = :project AND completed_at IS NULL"  # noqa: S608
        )
        self._lease = text(
            # "=" and not a join: the subquery locks a row each time that it runs, and a join may run it more than once.
            f"UPDATE {table} SET lease_until = {until}, fence = fence + 1 WHERE (project, job_id) = ("  # noqa: S608
            f"SELECT project, job_id FROM {table} WHERE completed_at IS NULL "
            "AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
            f"ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING fence, {columns}"
        )
        changes = ", ".join(f"{name} = {given[name]}" for name in progress)
        self._update = text(f"UPDATE {table} SET lease_until = {until}, {changes} WHERE {fenced}")  # noqa: S608
        self._release = text(f"UPDATE {table} SET lease_until = NULL WHERE {fenced}")  # noqa: S608

    async def insert(self, conn: AsyncConnection, job: J) -> None:
        """Queue a job."""
        await conn.execute(self._insert, self._write(job))

    async def get(self, conn: AsyncConnection, project: str, job_id: str) -> J | None:
        """Return a job, None when there is none."""
        row = (await conn.execute(self._get, {"project": project, "job_id": job_id})).one_or_none()
        return self._job(row) if row else None

    async def page(
        self, conn: AsyncConnection, project: str, count: int, after: tuple[datetime, str] | None
    ) -> Sequence[J]:
        """Return jobs behind a position, newest first."""
        time, job_id = after or (None, "")
        rows = await conn.execute(self._page, {"project": project, "time": time, "job_id": job_id, "count": count})
        return [self._job(row) for row in rows]

    async def active_count(self, conn: AsyncConnection, project: str) -> int:
        """Return how many jobs of a project have not ended."""
        return int((await conn.execute(self._active, {"project": project})).scalar_one())

    async def lease(self, conn: AsyncConnection, seconds: float) -> Leased[J] | None:
        """Take the oldest job that nobody works on for so many seconds; None when there is none."""
        row = (await conn.execute(self._lease, {"seconds": seconds})).one_or_none()
        return Leased(self._job(row), row.fence) if row else None

    async def update(self, conn: AsyncConnection, leased: Leased[J], job: J, seconds: float) -> Leased[J]:
        """Store the progress of a job and keep the lease for so many seconds more.

        In the transaction of what it tells of: whoever comes later goes on behind exactly that.

        Raises:
            LeaseLost: roll back.
        """
        given = self._write(job)
        parameters = {name: given[name] for name in self._progress} | {"fence": leased.fence, "seconds": seconds}
        if (await conn.execute(self._update, parameters)).rowcount != 1:
            raise LeaseLost
        return Leased(job, leased.fence)

    async def release(self, conn: AsyncConnection, leased: Leased[J]) -> None:
        """Give a job back, so that another worker need not wait for the end of the lease."""
        key = {"project": leased.job.project, "job_id": leased.job.job_id}
        await conn.execute(self._release, key | {"fence": leased.fence})

    def _job(self, row: Row[Any]) -> J:
        return self._read({name: getattr(row, name) for name in self._columns})
