"""gRPC face of jobs."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc

from heliograph.segments.v1 import jobs_pb2, jobs_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import InvalidName, format_name, parse_name, project_of
from heliograph_kit.rpc import fingerprint
from heliograph_segments.domain.exports import ExportJob
from heliograph_segments.domain.jobs import Job, JobFormat, JobState
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import refuse
from heliograph_segments.service.exports import Exports
from heliograph_segments.service.jobs import Jobs, Making
from heliograph_segments.servicers.paging import newest_first
from heliograph_segments.servicers.segments import check_request_id
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

    def __init__(self, jobs: Jobs, exports: Exports) -> None:
        """Take the use cases."""
        self._jobs = jobs
        self._exports = exports

    async def CreateImportJob(self, request: jobs_pb2.CreateImportJobRequest, context: Context) -> jobs_pb2.ImportJob:
        """Queue an import."""
        project = project_of(request.parent, field="parent")
        refuse(check_request_id(request.request_id))
        asked = Request("CreateImportJob", request.request_id, fingerprint(request))
        kind = _FORMATS.get(request.import_job.format)
        making = _read_making(project, request.import_job)
        return _write_job(await self._jobs.create_import(project, kind, request.import_job.source, asked, making))

    async def GetImportJob(self, request: jobs_pb2.GetImportJobRequest, context: Context) -> jobs_pb2.ImportJob:
        """Return a job."""
        name = parse_name(request.name, "importJobs")
        return _write_job(await self._jobs.get(name.project, name.id))

    async def ListImportJobs(
        self, request: jobs_pb2.ListImportJobsRequest, context: Context
    ) -> jobs_pb2.ListImportJobsResponse:
        """List jobs."""
        project = project_of(request.parent, field="parent")
        shown, token = await newest_first(
            f"ListImportJobs {project}", request, partial(self._jobs.page, project), lambda job: job.job_id
        )
        messages = [_write_job(job, failures=False) for job in shown]
        return jobs_pb2.ListImportJobsResponse(import_jobs=messages, next_page_token=token)

    async def CreateExportJob(self, request: jobs_pb2.CreateExportJobRequest, context: Context) -> jobs_pb2.ExportJob:
        """Queue an export."""
        project = project_of(request.parent, field="parent")
        asked = request.export_job
        segment_id, found = _segment_id(project, asked.segment, "export_job.segment")
        problems = [*check_request_id(request.request_id), *found]
        segment = (segment_id, asked.segment_version) if asked.segment else None
        if asked.segment_version < 0:
            problems.append(Problem("export_job.segment_version", "OUT_OF_RANGE", "must not be negative"))
        call = Request("CreateExportJob", request.request_id, fingerprint(request))
        return _write_export(await self._exports.create(project, asked.destination, segment, problems, call))

    async def GetExportJob(self, request: jobs_pb2.GetExportJobRequest, context: Context) -> jobs_pb2.ExportJob:
        """Return an export."""
        name = parse_name(request.name, "exportJobs")
        return _write_export(await self._exports.get(name.project, name.id))

    async def ListExportJobs(
        self, request: jobs_pb2.ListExportJobsRequest, context: Context
    ) -> jobs_pb2.ListExportJobsResponse:
        """List exports."""
        project = project_of(request.parent, field="parent")
        shown, token = await newest_first(
            f"ListExportJobs {project}", request, partial(self._exports.page, project), lambda job: job.job_id
        )
        return jobs_pb2.ListExportJobsResponse(export_jobs=map(_write_export, shown), next_page_token=token)


def _segment_id(project: str, name: str, path: str) -> tuple[str, list[Problem]]:
    """Return the id in the name of a segment, if one is named, and what is wrong with the name."""
    if not name:
        return "", []
    try:
        parsed = parse_name(name, "segments", field=path)
    except InvalidName as error:
        return name, [Problem(path, "MALFORMED", error.violations[0].description)]
    if parsed.project != project:
        return parsed.id, [Problem(path, "OUT_OF_RANGE", "must be a segment of the same project")]
    return parsed.id, []


def _read_making(project: str, job: jobs_pb2.ImportJob) -> Making:
    definition = job.segment_definition
    segment_id, found = _segment_id(project, definition.segment, "import_job.segment_definition.segment")
    given = job.HasField("segment_definition")
    return Making(job.skip_endpoints, given, definition.display_name, segment_id, found)


def _write_definition(job: Job) -> jobs_pb2.SegmentDefinition | None:
    if not job.defines:
        return None
    if job.segment_name:
        return jobs_pb2.SegmentDefinition(display_name=job.segment_name)
    return jobs_pb2.SegmentDefinition(segment=format_name(job.project, "segments", job.segment_id))


def _write_export(job: ExportJob) -> jobs_pb2.ExportJob:
    return jobs_pb2.ExportJob(
        name=format_name(job.project, "exportJobs", job.job_id),
        destination=job.destination,
        segment=format_name(job.project, "segments", job.segment_id) if job.segment_id else "",
        segment_version=job.segment_version,
        state=_STATES[job.state],
        failure_reason=job.failure_reason,
        failure_message=job.failure_message,
        total_pieces=job.total_pieces,
        completed_pieces=job.completed_pieces,
        failed_pieces=job.failed_pieces,
        processed_count=job.processed_count,
        objects=[job.object_name(piece) for piece in range(job.completed_pieces)],
        create_time=timestamp(job.created_at),
        complete_time=timestamp(job.completed_at),
    )


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
        object_count=job.object_count,
        completed_objects=job.completed_objects,
        skipped_objects=job.skipped_objects,
        skip_endpoints=job.skip_endpoints,
        segment_definition=_write_definition(job),
        defined_segment=format_name(job.project, "segments", job.segment_id)
        if job.segment_id and job.state is JobState.COMPLETED
        else "",
        failures=[
            jobs_pb2.ImportFailure(
                line=row.line, reason=row.reason, field=row.field, message=row.message, object=row.object
            )
            for row in (job.failures if failures else ())
        ],
        create_time=timestamp(job.created_at),
        complete_time=timestamp(job.completed_at),
    )
