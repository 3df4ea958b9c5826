"""Export jobs, and whom each of them exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.exports import ExportJob
from heliograph_segments.domain.jobs import JobState
from heliograph_segments.store.job_rows import JobTable


def _read(row: Mapping[str, Any]) -> ExportJob:
    return ExportJob(**{**row, "state": JobState(row["state"])})


def _write(job: ExportJob) -> Mapping[str, Any]:
    return vars(job) | {"state": job.state.value}


EXPORTS = JobTable(
    "export_jobs",
    fixed=("destination", "segment_id", "segment_version"),
    progress=(
        "state",
        "failure_reason",
        "failure_message",
        "total_pieces",
        "completed_pieces",
        "failed_pieces",
        "processed_count",
        "piece_endpoints",
        "completed_at",
    ),
    read=_read,
    write=_write,
)

_MEMBERS = text("SELECT members FROM segments.export_jobs WHERE project = :project AND job_id = :job")
_PUT = text("UPDATE segments.export_jobs SET members = :members WHERE project = :project AND job_id = :job")


async def members(conn: AsyncConnection, job: ExportJob) -> BitMap | None:
    """Return the ordinals of those whom a job exports, None before that is known."""
    packed = (await conn.execute(_MEMBERS, {"project": job.project, "job": job.job_id})).scalar_one_or_none()
    return None if packed is None else BitMap.deserialize(bytes(packed))


async def put_members(conn: AsyncConnection, job: ExportJob, found: BitMap | None) -> None:
    """Store whom a job exports, or forget it; in a transaction that updates the job under its lease."""
    packed = None if found is None else found.serialize()
    await conn.execute(_PUT, {"project": job.project, "job": job.job_id, "members": packed})
