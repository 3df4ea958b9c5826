"""Exports: objects of packed NDJSON that import again as they are, from a worker that may die."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from heliograph.segments.v1 import endpoints_pb2, jobs_pb2, segments_pb2
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel, reason_of, violations_of
from heliograph_kit.runtime import running
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.domain.exports import check_destination
from heliograph_segments.main import PACKAGE, build
from heliograph_segments.tables import metadata
from tests.segments.builders import PARENT, a_segment, an_endpoint_message, having, lists
from tests.segments.conftest import SECRET, Api

Message = endpoints_pb2.Endpoint
COMPLETED = jobs_pb2.ImportJob.STATE_COMPLETED
FAILED = jobs_pb2.ImportJob.STATE_FAILED
COPY = "projects/copy"
PIECE = 7


@pytest.fixture
def settings(settings: SegmentsSettings, tmp_path: Path) -> SegmentsSettings:
    """Settings of a service that may export into the test's own folder, a few endpoints an object."""
    return settings.with_values(export_root=tmp_path, export_piece_endpoints=PIECE)


def people(count: int) -> list[Message]:
    """Return endpoints that differ in everything an endpoint has; some have lost their address, some have a user."""
    effective = datetime(2026, 3, 4, 12, 30, 15, 123456, tzinfo=UTC)
    made = []
    for n in range(count):
        message = an_endpoint_message(
            f"Id/{n} é",
            attributes=lists(plan=["gold", "b,\"'"], **{f"only {n}": [""]}),
            metrics={"score": n + 0.1, "huge": 1e300, "zero": 0.0},
            demographic=endpoints_pb2.Demographic(platform="ios", time_zone="Europe/Berlin") if n % 2 else None,
            location=endpoints_pb2.Location(city="Kiel", latitude=47.6, longitude=-122.3) if n % 3 else None,
            user=endpoints_pb2.EndpointUser(user_id=f"u{n}", attributes=lists(first=["Ann"])) if n % 4 else None,
            opt_out=Message.OPT_OUT_ALL if n % 5 == 0 else Message.OPT_OUT_NONE,
            status=Message.STATUS_INACTIVE if n % 6 == 0 else Message.STATUS_ACTIVE,
            request_id=f"r{n}",
        )
        message.effective_time.FromDatetime(effective + timedelta(seconds=n))
        made.append(message)
    made.append(Message(endpoint_id="bare"))
    made.append(an_endpoint_message("rival", address=made[1].address))
    return made


async def write(api: Api, *endpoints: Message) -> None:
    request = endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints)
    await api.endpoints.UpdateEndpoints(request)


async def export(api: Api, destination: str, **given: Any) -> jobs_pb2.ExportJob:
    request_id = given.pop("request_id", "")
    job = jobs_pb2.ExportJob(destination=destination, **given)
    request = jobs_pb2.CreateExportJobRequest(parent=PARENT, export_job=job, request_id=request_id)
    return await api.jobs.CreateExportJob(request)


async def ended(api: Api, name: str, within: float = 20) -> jobs_pb2.ExportJob:
    async def look() -> jobs_pb2.ExportJob | None:
        job = await api.jobs.GetExportJob(jobs_pb2.GetExportJobRequest(name=name))
        return job if job.HasField("complete_time") else None

    job = await eventually(look, within)
    assert job is not None
    return job


def documents(folder: Path, job: jobs_pb2.ExportJob) -> list[dict[str, Any]]:
    return [json.loads(line) for name in job.objects for line in gzip.open(folder / name)]


async def everybody(api: Api, parent: str) -> dict[str, Message]:
    """Return all endpoints of a project without what belongs to their project and to the time of their writing."""
    request = segments_pb2.SampleSegmentRequest(parent=parent, rules=segments_pb2.SegmentRules(), sample_size=100)
    found = (await api.segments.SampleSegment(request)).endpoints
    for endpoint in found:
        for field in ("name", "ordinal", "cohort", "create_time", "last_active_time"):
            endpoint.ClearField(field)
    return {endpoint.endpoint_id: endpoint for endpoint in found}


async def test_a_full_export_imports_back_to_an_equal_audience(api: Api, tmp_path: Path) -> None:
    await write(api, *people(40))
    job = await ended(api, (await export(api, "file:out/all")).name)
    assert (job.state, job.processed_count, job.total_pieces) == (COMPLETED, 42, 6)
    assert len(job.objects) == job.completed_pieces == 6
    assert sorted(path.name for path in (tmp_path / "out" / "all").iterdir()) == list(job.objects)
    for name in job.objects:
        asked = jobs_pb2.ImportJob(format=jobs_pb2.ImportJob.FORMAT_NDJSON, source=f"file:out/all/{name}")
        created = await api.jobs.CreateImportJob(jobs_pb2.CreateImportJobRequest(parent=COPY, import_job=asked))

        async def over(name: str = created.name) -> jobs_pb2.ImportJob | None:
            found = await api.jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=name))
            return found if found.HasField("complete_time") else None

        imported = await eventually(over, 20)
        assert imported is not None
        assert (imported.state, imported.failed_count) == (COMPLETED, 0), imported
    assert await everybody(api, COPY) == await everybody(api, PARENT)


async def test_an_export_of_a_segment_holds_its_members(api: Api, tmp_path: Path) -> None:
    await write(
        api, *(an_endpoint_message(f"e{n}", attributes=lists(plan=["gold" if n % 2 else "free"])) for n in range(20))
    )
    segment = await api.segments.CreateSegment(a_segment(having("plan", "gold")))
    job = await ended(api, (await export(api, f"file:{tmp_path}/out", segment=segment.name)).name)
    assert (job.state, job.processed_count, job.total_pieces, job.segment) == (COMPLETED, 10, 2, segment.name)
    assert [found["Id"] for found in documents(tmp_path / "out", job)] == [f"e{n}" for n in range(1, 20, 2)]


async def test_an_export_of_nobody_is_complete_without_objects(api: Api, tmp_path: Path) -> None:
    job = await ended(api, (await export(api, "file:out")).name)
    assert (job.state, job.total_pieces, list(job.objects)) == (COMPLETED, 0, [])


async def test_a_folder_that_cannot_be_written_fails_the_job(api: Api, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    await write(api, an_endpoint_message("e1"))
    job = await ended(api, (await export(api, "file:taken/out")).name)
    assert (job.state, job.failure_reason, job.failed_pieces) == (FAILED, "DESTINATION_UNWRITABLE", 1)
    assert str(tmp_path) not in job.failure_message


@pytest.mark.parametrize(
    "destination", ["", "out", "https://example.com/x", "file:../elsewhere", "file:/etc", "file:a\0b"]
)
async def test_destinations_that_may_not_be_written_are_refused(api: Api, destination: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await export(api, destination, segment="people", segment_version=-1)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(violation[0] for violation in violations_of(refused.value)) == [
        "export_job.destination",
        "export_job.segment",
        "export_job.segment_version",
    ]


def test_a_destination_has_at_most_1024_characters() -> None:
    assert check_destination("file:" + "x" * 1019) == []
    assert [problem.reason for problem in check_destination("file:" + "x" * 1020)] == ["TOO_LONG"]


async def test_an_export_is_queued_once_by_request_id_and_listed(api: Api) -> None:
    first = await export(api, "file:out", request_id="r1")
    assert (await export(api, "file:out", request_id="r1")).name == first.name
    second = await export(api, "file:out")
    page = await api.jobs.ListExportJobs(jobs_pb2.ListExportJobsRequest(parent=PARENT, page_size=1))
    assert [job.name for job in page.export_jobs] == [second.name]
    request = jobs_pb2.ListExportJobsRequest(parent=PARENT, page_size=1, page_token=page.next_page_token)
    rest = await api.jobs.ListExportJobs(request)
    assert [job.name for job in rest.export_jobs] == [first.name]
    assert not rest.next_page_token


async def test_unknown_segments_and_jobs_are_not_found(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await export(api, "file:out", segment=f"{PARENT}/segments/{'0' * 32}")
    assert reason_of(missing.value) == "SEGMENT_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await api.jobs.GetExportJob(jobs_pb2.GetExportJobRequest(name=f"{PARENT}/exportJobs/{'0' * 32}"))
    assert reason_of(missing.value) == "EXPORT_JOB_NOT_FOUND"


async def test_a_worker_killed_twice_in_an_export_leaves_whole_objects_and_each_endpoint_once(
    settings: SegmentsSettings, database_of_segments: str, nats_url: str, tmp_path: Path
) -> None:
    count = 6_000
    worker = ServiceProcess(
        "heliograph_segments.main",
        service="segments",
        directory=tmp_path / "worker",
        environment={
            "HELIOGRAPH_DATABASE_URL": database_of_segments,
            "HELIOGRAPH_NATS_URL": nats_url,
            "HELIOGRAPH_INTERNAL_SECRET": SECRET,
            "HELIOGRAPH_SEGMENTS_EXPORT_ROOT": str(tmp_path),
            "HELIOGRAPH_SEGMENTS_EXPORT_LEASE_SECONDS": "0.5",
            "HELIOGRAPH_SEGMENTS_EXPORT_PIECE_ENDPOINTS": "10",
        },
        arguments=["--role", "worker"],
    )
    async with running(settings, build, package=PACKAGE, metadata=metadata, role="api") as front:
        opened = channel(front.address, tokens=InternalTokens(SECRET), caller="tests")
        api = Api(opened)
        messages = (
            endpoints_pb2.StreamEndpointsRequest(
                parent=PARENT, endpoints=[an_endpoint_message(f"e{n}") for n in range(start, start + 1000)]
            )
            for start in range(0, count, 1000)
        )
        await api.endpoints.StreamEndpoints(messages)
        job = await export(api, "file:out")
        try:
            worker.start()
            for share in (0.15, 0.5):

                async def far_enough(share: float = share) -> bool:
                    found = await api.jobs.GetExportJob(jobs_pb2.GetExportJobRequest(name=job.name))
                    if found.HasField("complete_time"):
                        pytest.fail("the export was over before its worker could be killed")
                    return found.completed_pieces > share * found.total_pieces > 0

                await eventually(far_enough, 120, 0.01)
                worker.kill()
                worker.start()
            job = await ended(api, job.name, 60)
        finally:
            worker.kill()
        assert (job.state, job.processed_count, job.total_pieces) == (COMPLETED, count, 600), job.failure_message
        assert [each["Id"] for each in documents(tmp_path / "out", job)] == [f"e{n}" for n in range(count)]
        await opened.close(grace=None)
