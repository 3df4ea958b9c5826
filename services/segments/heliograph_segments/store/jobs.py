"""Import jobs and their leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.import_rows import RowFailure
from heliograph_segments.domain.jobs import Job, JobFormat, JobState


@dataclass(frozen=True)
class Leased:
    """A job and the fence of the lease under which it may be changed."""

    job: Job
    fence: int


_PROGRESS = (
    "state",
    "failure_reason",
    "failure_message",
    "total_pieces",
    "completed_pieces",
    "failed_pieces",
    "processed_count",
    "failed_count",
    "created_count",
    "size_bytes",
    "modified_ns",
    "done_bytes",
    "done_lines",
    "failures",
    "completed_at",
    # Which segment it is comes with the end, when it is a new one.
    "segment_id",
)
_FIXED = ("format", "source", "created_at", "skip_endpoints", "segment_name")
_COLUMNS = ("project", "job_id", *_FIXED, *_PROGRESS)
_VALUES = ", ".join("CAST(:failures AS jsonb)" if name == "failures" else f":{name}" for name in _COLUMNS)
_INSERT = text(
    f"INSERT INTO segments.import_jobs ({', '.join(_COLUMNS)}, fence) VALUES ({_VALUES}, 0)"  # noqa: S608
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM segments.import_jobs WHERE project = :project AND "  # noqa: S608
_GET = text(_SELECT + "job_id = :job")
_LIST = text(
    _SELECT + "(CAST(:time AS timestamptz) IS NULL "
    "OR (created_at, job_id) < (CAST(:time AS timestamptz), :job)) ORDER BY created_at DESC, job_id DESC LIMIT :count"
)
_ACTIVE = text("SELECT count(*) FROM segments.import_jobs WHERE project = :project AND completed_at IS NULL")
_LEASE = text(
    "UPDATE segments.import_jobs AS j SET lease_until = clock_timestamp() + make_interval(secs => :seconds), "  # noqa: S608
    "fence = j.fence + 1 FROM (SELECT project, job_id FROM segments.import_jobs WHERE completed_at IS NULL "
    "AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
    "ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS free "
    "WHERE j.project = free.project AND j.job_id = free.job_id "
    f"RETURNING j.fence, {', '.join(f'j.{name}' for name in _COLUMNS)}"
)
_UPDATE = text(
    "UPDATE segments.import_jobs SET lease_until = clock_timestamp() + make_interval(secs => :seconds), "  # noqa: S608
    + ", ".join(
        f"{name} = CAST(:failures AS jsonb)" if name == "failures" else f"{name} = :{name}" for name in _PROGRESS
    )
    + " WHERE project = :project AND job_id = :job_id AND fence = :fence AND completed_at IS NULL"
)
_RELEASE = text(
    "UPDATE segments.import_jobs SET lease_until = NULL "
    "WHERE project = :project AND job_id = :job AND fence = :fence AND completed_at IS NULL"
)


class LeaseLost(Exception):
    """Another worker has the job now, or the job is gone: nothing may be written for it any more."""


async def insert(conn: AsyncConnection, job: Job) -> None:
    """Queue a job."""
    await conn.execute(_INSERT, _parameters(job))


async def get(conn: AsyncConnection, project: str, job_id: str) -> Job | None:
    """Return a job, None when there is none."""
    row = (await conn.execute(_GET, {"project": project, "job": job_id})).one_or_none()
    return _job(row) if row else None


async def page(conn: AsyncConnection, project: str, count: int, after: tuple[datetime, str] | None) -> Sequence[Job]:
    """Return jobs behind a position, newest first."""
    time, job_id = after or (None, "")
    rows = await conn.execute(_LIST, {"project": project, "time": time, "job": job_id, "count": count})
    return [_job(row) for row in rows]


async def active_count(conn: AsyncConnection, project: str) -> int:
    """Return how many jobs of a project have not ended."""
    return int((await conn.execute(_ACTIVE, {"project": project})).scalar_one())


async def lease(conn: AsyncConnection, seconds: float) -> Leased | None:
    """Take the oldest job that nobody works on for so many seconds; None when there is none."""
    row = (await conn.execute(_LEASE, {"seconds": seconds})).one_or_none()
    return Leased(_job(row), row.fence) if row else None


async def update(conn: AsyncConnection, leased: Leased, job: Job, seconds: float) -> Leased:
    """Store the progress of a job and keep the lease for so many seconds more.

    In the transaction of the rows it tells of: whoever comes later goes on behind exactly these rows.

    Raises:
        LeaseLost: roll back.
    """
    parameters = _parameters(job) | {"fence": leased.fence, "seconds": seconds}
    for unused in _FIXED:
        parameters.pop(unused)
    if (await conn.execute(_UPDATE, parameters)).rowcount != 1:
        raise LeaseLost
    return Leased(job, leased.fence)


async def release(conn: AsyncConnection, leased: Leased) -> None:
    """Give a job back, so that another worker need not wait for the end of the lease."""
    parameters = {"project": leased.job.project, "job": leased.job.job_id, "fence": leased.fence}
    await conn.execute(_RELEASE, parameters)


def _parameters(job: Job) -> dict[str, Any]:
    values = {name: getattr(job, name) for name in _COLUMNS}
    return values | {
        "format": job.format.value,
        "state": job.state.value,
        "failures": orjson.dumps([list(failure) for failure in job.failures]).decode(),
    }


def _job(row: Row[Any]) -> Job:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return Job(
        **values
        | {
            "format": JobFormat(row.format),
            "state": JobState(row.state),
            "failures": tuple(RowFailure(*failure) for failure in row.failures),
        }
    )
