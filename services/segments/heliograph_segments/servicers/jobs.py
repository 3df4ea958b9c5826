"""gRPC face of jobs."""

from __future__ import annotations

from typing import Any

import grpc

from heliograph.segments.v1 import jobs_pb2, jobs_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_segments.domain.jobs import Job, JobFormat, JobState
from heliograph_segments.errors import refuse
from heliograph_segments.service.jobs import Jobs
from heliograph_segments.servicers.segments import check_request_id, position_of
from heliograph_segments.store.requests import Request

Context = grpc.aio.ServicerContext[Any, Any]

_FORMATS = {
    jobs_pb2.ImportJob.FORMAT_CSV: JobFormat.CSV,
    jobs_pb2.ImportJob.FORMAT_NDJSON: JobFormat.NDJSON,
}
_FORMAT_NUMBERS = {value: number for number, value in _FORMATS.items()}
_STATES = {state: jobs_pb2.ImportJob.State.Value(f"STATE_{state}") for state in JobState}


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, jobs: Jobs) -> None:
        """Take the use cases."""
        self._jobs = jobs

    async def CreateImportJob(self, request: jobs_pb2.CreateImportJobRequest, context: Context) -> jobs_pb2.ImportJob:
        """Queue an import."""
        project = project_of(request.parent, field="parent")
        refuse(check_request_id(request.request_id))
        asked = Request("CreateImportJob", request.request_id, fingerprint(request))
        kind = _FORMATS.get(request.import_job.format)
        return _write_job(await self._jobs.create_import(project, kind, request.import_job.source, asked))

    async def GetImportJob(self, request: jobs_pb2.GetImportJobRequest, context: Context) -> jobs_pb2.ImportJob:
        """Return a job."""
        name = parse_name(request.name, "importJobs")
        return _write_job(await self._jobs.get(name.project, name.id))

    async def ListImportJobs(
        self, request: jobs_pb2.ListImportJobsRequest, context: Context
    ) -> jobs_pb2.ListImportJobsResponse:
        """List jobs."""
        project = project_of(request.parent, field="parent")
        call = f"ListImportJobs {project}"
        page = page_of(call, request.page_size, request.page_token)
        jobs = await self._jobs.page(project, page.size + 1, position_of(page.after))
        shown, token = jobs[: page.size], ""
        if len(jobs) > page.size:
            token = next_token(call, (shown[-1].created_at.isoformat(), shown[-1].job_id))
        messages = [_write_job(job, failures=False) for job in shown]
        return jobs_pb2.ListImportJobsResponse(import_jobs=messages, next_page_token=token)


def _write_job(job: Job, *, failures: bool = True) -> jobs_pb2.ImportJob:
    return jobs_pb2.ImportJob(
        name=format_name(job.project, "importJobs", job.job_id),
        format=_FORMAT_NUMBERS[job.format],
        source=job.source,
        state=_STATES[job.state],
        failure_reason=job.failure_reason,
        failure_message=job.failure_message,
        total_pieces=job.total_pieces,
        completed_pieces=job.completed_pieces,
        failed_pieces=job.failed_pieces,
        processed_count=job.processed_count,
        failed_count=job.failed_count,
        created_count=job.created_count,
        size_bytes=job.size_bytes,
        done_bytes=job.done_bytes,
        failures=[
            jobs_pb2.ImportFailure(line=row.line, reason=row.reason, field=row.field, message=row.message)
            for row in (job.failures if failures else ())
        ],
        create_time=timestamp(job.created_at),
        complete_time=timestamp(job.completed_at),
    )
