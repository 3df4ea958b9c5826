"""Import jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from heliograph_segments.domain.import_rows import RowFailure
from heliograph_segments.domain.jobs import Job, JobFormat, JobState
from heliograph_segments.store.job_rows import JobTable


def _read(row: Mapping[str, Any]) -> Job:
    kinds = {"format": JobFormat(row["format"]), "state": JobState(row["state"])}
    return Job(**{**row, **kinds, "failures": tuple(RowFailure(*failure) for failure in row["failures"])})


def _write(job: Job) -> Mapping[str, Any]:
    failures = orjson.dumps([list(failure) for failure in job.failures]).decode()
    return vars(job) | {"format": job.format.value, "state": job.state.value, "failures": failures}


IMPORTS = JobTable(
    "import_jobs",
    fixed=("format", "source", "skip_endpoints", "segment_name"),
    progress=(
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
        "done_bytes",
        "object_count",
        "completed_objects",
        "skipped_objects",
        "listing",
        "object_version",
        "object_bytes",
        "done_lines",
        "failures",
        "completed_at",
        # Which segment it is comes with the end, when it is a new one.
        "segment_id",
    ),
    json=("failures",),
    read=_read,
    write=_write,
)
