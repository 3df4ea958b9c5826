"""Export jobs and their leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyroaring import BitMap
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.exports import ExportJob
from heliograph_segments.domain.jobs import JobState
from heliograph_segments.store.jobs import LeaseLost


@dataclass(frozen=True)
class Leased:
    """A job, whom it exports (None before that is known), and the fence of the lease under which it may be changed."""

    job: ExportJob
    members: BitMap | None
    fence: int


_PROGRESS = (
    "state",
    "failure_reason",
    "failure_message",
    "total_pieces",
    "completed_pieces",
    "failed_pieces",
    "processed_count",
    "piece_endpoints",
    "completed_at",
)
_COLUMNS = ("project", "job_id", "destination", "segment_id", "segment_version", "created_at", *_PROGRESS)
_INSERT = text(
    f"INSERT INTO segments.export_jobs ({', '.join(_COLUMNS)}, fence) "  # noqa: S608
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)}, 0)"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM segments.export_jobs WHERE project = :project AND "  # noqa: S608
_GET = text(_SELECT + "job_id = :job")
_LIST = text(
    _SELECT + "(CAST(:time AS timestamptz) IS NULL "
    "OR (created_at, job_id) < (CAST(:time AS timestamptz), :job)) ORDER BY created_at DESC, job_id DESC LIMIT :count"
)
_ACTIVE = text("SELECT count(*) FROM segments.export_jobs WHERE project = :project AND completed_at IS NULL")
_LEASE = text(
    "UPDATE segments.export_jobs AS j SET lease_until = clock_timestamp() + make_interval(secs => :seconds), "  # noqa: S608
    "fence = j.fence + 1 FROM (SELECT project, job_id FROM segments.export_jobs WHERE completed_at IS NULL "
    "AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
    "ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS free "
    "WHERE j.project = free.project AND j.job_id = free.job_id "
    f"RETURNING j.fence, j.members, {', '.join(f'j.{name}' for name in _COLUMNS)}"
)
# Who was exported is kept no longer than it is needed.
_UPDATE = text(
    "UPDATE segments.export_jobs SET lease_until = clock_timestamp() + make_interval(secs => :seconds), "  # noqa: S608
    "members = CASE WHEN :ended THEN NULL ELSE coalesce(CAST(:members AS bytea), members) END, "
    + ", ".join(f"{name} = :{name}" for name in _PROGRESS)
    + " WHERE project = :project AND job_id = :job_id AND fence = :fence AND completed_at IS NULL"
)
_RELEASE = text(
    "UPDATE segments.export_jobs SET lease_until = NULL "
    "WHERE project = :project AND job_id = :job AND fence = :fence AND completed_at IS NULL"
)


async def insert(conn: AsyncConnection, job: ExportJob) -> None:
    """Queue a job."""
    await conn.execute(_INSERT, _parameters(job))


async def get(conn: AsyncConnection, project: str, job_id: str) -> ExportJob | None:
    """Return a job, None when there is none."""
    row = (await conn.execute(_GET, {"project": project, "job": job_id})).one_or_none()
    return _job(row) if row else None


async def page(
    conn: AsyncConnection, project: str, count: int, after: tuple[datetime, str] | None
) -> Sequence[ExportJob]:
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
    if row is None:
        return None
    members = None if row.members is None else BitMap.deserialize(bytes(row.members))
    return Leased(_job(row), members, row.fence)


async def update(
    conn: AsyncConnection, leased: Leased, job: ExportJob, seconds: float, members: BitMap | None = None
) -> Leased:
    """Store the progress of a job, and whom it exports when that is known now; keep the lease for so many seconds more.

    Raises:
        LeaseLost: roll back.
    """
    parameters = {name: value for name, value in _parameters(job).items() if name in (*_PROGRESS, "project", "job_id")}
    packed = None if members is None else members.serialize()
    parameters |= {"fence": leased.fence, "seconds": seconds, "members": packed, "ended": job.state.ended}
    if (await conn.execute(_UPDATE, parameters)).rowcount != 1:
        raise LeaseLost
    return Leased(job, leased.members if members is None else members, leased.fence)


async def release(conn: AsyncConnection, leased: Leased) -> None:
    """Give a job back, so that another worker need not wait for the end of the lease."""
    parameters = {"project": leased.job.project, "job": leased.job.job_id, "fence": leased.fence}
    await conn.execute(_RELEASE, parameters)


def _parameters(job: ExportJob) -> dict[str, Any]:
    return {name: getattr(job, name) for name in _COLUMNS} | {"state": job.state.value}


def _job(row: Row[Any]) -> ExportJob:
    return ExportJob(**{name: getattr(row, name) for name in _COLUMNS} | {"state": JobState(row.state)})
