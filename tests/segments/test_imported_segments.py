"""Segments that imports make: RegisterEndpoints and DefineSegment of pinpoint-1 3.5, and rows of users."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from heliograph.segments.v1 import audience_pb2, endpoints_pb2, erasures_pb2, jobs_pb2, segments_pb2
from heliograph_kit.clock import SystemClock
from heliograph_kit.database import Database
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_segments.domain.jobs import Job, JobFormat, check_definition
from heliograph_segments.store.jobs import IMPORTS
from tests.segments.builders import PARENT, a_segment, an_endpoint_message, having
from tests.segments.conftest import Api
from tests.segments.test_imports import ended

CSV = jobs_pb2.ImportJob.FORMAT_CSV
NDJSON = jobs_pb2.ImportJob.FORMAT_NDJSON
COMPLETED = jobs_pb2.ImportJob.STATE_COMPLETED
HEADER = "Id,ChannelType,Address,User.UserId\n"
NEW = jobs_pb2.SegmentDefinition(display_name="Guests")


async def create(
    api: Api,
    folder: Path,
    content: str,
    definition: jobs_pb2.SegmentDefinition | None = NEW,
    *,
    skip: bool = False,
    format: jobs_pb2.ImportJob.Format.ValueType = CSV,
) -> jobs_pb2.ImportJob:
    (folder / "people").write_text(content)
    job = jobs_pb2.ImportJob(format=format, source="file:people", skip_endpoints=skip, segment_definition=definition)
    made = await api.jobs.CreateImportJob(jobs_pb2.CreateImportJobRequest(parent=PARENT, import_job=job))
    return await ended(api, made.name)


async def write(api: Api, *ids: str, user: str = "") -> None:
    given = {"user": endpoints_pb2.EndpointUser(user_id=user)} if user else {}
    endpoints = [an_endpoint_message(id, **given) for id in ids]
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))


async def members(api: Api, segment: str, snapshot: str = "s1") -> set[str]:
    count = await api.segments.CountSegment(segments_pb2.CountSegmentRequest(parent=PARENT, segment=segment))
    frozen = await api.audience.FreezeSegment(audience_pb2.FreezeSegmentRequest(segment=segment, snapshot_id=snapshot))
    pages = api.audience.StreamMembers(audience_pb2.StreamMembersRequest(snapshot=frozen.name))
    found = {id async for page in pages for id in page.endpoint_ids}
    assert count.member_count == len(found)
    return found


async def test_endpoints_are_stored_and_the_segment_is_made(api: Api, tmp_path: Path) -> None:
    await write(api, "other")
    rows = "".join(f"e{n},EMAIL,p{n}@example.com,\n" for n in range(300))
    job = await create(api, tmp_path, HEADER + rows + "bad,PIGEON,x,\n")
    assert (job.state, job.processed_count, job.failed_count, job.created_count) == (COMPLETED, 301, 1, 300)
    assert job.completed_pieces > 1
    assert await members(api, job.defined_segment) == {f"e{n}" for n in range(300)}
    segment = await api.segments.GetSegment(segments_pb2.GetSegmentRequest(name=job.defined_segment))
    assert (segment.display_name, segment.type, segment.version) == ("Guests", segments_pb2.Segment.TYPE_IMPORT, 1)
    assert segment.import_job == job.name


async def test_nothing_is_stored_when_endpoints_are_skipped(api: Api, tmp_path: Path) -> None:
    await write(api, "e1", "e2")
    rows = "E1,EMAIL,changed@example.com,u9\nunknown,EMAIL,x@example.com,\n"
    job = await create(api, tmp_path, HEADER + rows, skip=True)
    assert (job.state, job.processed_count, job.failed_count, job.created_count) == (COMPLETED, 2, 1, 0)
    assert [(row.line, row.reason) for row in job.failures] == [(3, "ENDPOINT_NOT_FOUND")]
    assert await members(api, job.defined_segment) == {"e1"}
    endpoint = await api.endpoints.GetEndpoint(endpoints_pb2.GetEndpointRequest(name=f"{PARENT}/endpoints/e1"))
    assert (endpoint.address, endpoint.user.user_id) == ("e1@example.com", "")


@pytest.mark.parametrize("format", [CSV, NDJSON])
async def test_rows_of_users_mean_all_their_endpoints(
    api: Api, tmp_path: Path, format: jobs_pb2.ImportJob.Format.ValueType
) -> None:
    await write(api, "a1", "a2", user="anna")
    await write(api, "b1", user="bert")
    await write(api, "c1", user="carl")
    users = [{"User": {"UserId": "anna"}}, {"User": {"UserId": "bert"}}, {"Id": "d1"}]
    lines = "\n".join(map(json.dumps, users)) if format == NDJSON else "Id,User.UserId\n,anna bert\nd1,\n"
    job = await create(api, tmp_path, lines, format=format)
    assert (job.state, job.failed_count, job.created_count) == (COMPLETED, 0, 1)
    assert await members(api, job.defined_segment) == {"a1", "a2", "b1", "d1"}
    # Whoever they have later is meant as well.
    await write(api, "b2", user="bert")
    assert await members(api, job.defined_segment, "s2") == {"a1", "a2", "b1", "b2", "d1"}


async def test_rows_of_users_fail_where_no_segment_is_made(api: Api, tmp_path: Path) -> None:
    job = await create(api, tmp_path, "User.UserId\nanna\n", None)
    assert [(row.line, row.reason, row.field) for row in job.failures] == [(2, "REQUIRED", "Id")]


async def test_a_user_id_has_at_most_128_characters(api: Api, tmp_path: Path) -> None:
    job = await create(api, tmp_path, f"User.UserId\n{'u' * 128}\n{'u' * 129}\n")
    assert [(row.line, row.reason, row.field) for row in job.failures] == [(3, "TOO_LONG", "User.UserId")]


async def test_an_erased_user_is_on_no_list(api: Api, tmp_path: Path) -> None:
    await write(api, "a1", user="anna")
    job = await create(api, tmp_path, "User.UserId\nanna\n")
    await api.erasures.EraseUser(erasures_pb2.EraseUserRequest(parent=PARENT, user_id="anna"))
    await write(api, "again", user="anna")
    assert await members(api, job.defined_segment) == set()


async def test_another_import_makes_another_version(api: Api, tmp_path: Path) -> None:
    first = await create(api, tmp_path, HEADER + "e1,EMAIL,1@example.com,\n")
    definition = jobs_pb2.SegmentDefinition(segment=first.defined_segment)
    second = await create(api, tmp_path, HEADER + "e2,EMAIL,2@example.com,\n", definition)
    assert second.defined_segment == first.defined_segment
    assert second.segment_definition == definition
    assert await members(api, first.defined_segment) == {"e2"}
    frozen = audience_pb2.FreezeSegmentRequest(segment=first.defined_segment, segment_version=1, snapshot_id="old")
    assert (await api.audience.FreezeSegment(frozen)).member_count == 1


async def test_an_imported_segment_is_a_source_and_changes_its_name_only(api: Api, tmp_path: Path) -> None:
    job = await create(api, tmp_path, HEADER + "e1,EMAIL,1@example.com,\ne2,EMAIL,2@example.com,\n")
    built = a_segment(having("tier", "gold"))
    built.segment.rules.groups[0].source_segments.add(segment=job.defined_segment)
    built.segment.rules.groups[0].dimensions[0].attributes[
        "tier"
    ].operator = segments_pb2.AttributeDimension.OPERATOR_EXCLUSIVE
    on_top = await api.segments.CreateSegment(built)
    await write(api, "outside")
    assert await members(api, on_top.name) == {"e1", "e2"}
    renamed = segments_pb2.Segment(name=job.defined_segment, display_name="Friends")
    request = segments_pb2.UpdateSegmentRequest(segment=renamed)
    request.update_mask.paths.append("display_name")
    assert (await api.segments.UpdateSegment(request)).import_job == job.name
    assert await members(api, job.defined_segment, "s2") == {"e1", "e2"}
    request.update_mask.paths[:] = ["rules"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.UpdateSegment(request)
    assert [violation[0] for violation in violations_of(refused.value)] == ["segment.rules"]


async def test_a_deleted_segment_gets_no_version(api: Api, tmp_path: Path) -> None:
    first = await create(api, tmp_path, HEADER + "e1,EMAIL,1@example.com,\n")
    await api.segments.DeleteSegment(segments_pb2.DeleteSegmentRequest(name=first.defined_segment))
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await create(api, tmp_path, HEADER, jobs_pb2.SegmentDefinition(segment=first.defined_segment))
    assert reason_of(missing.value) == "SEGMENT_NOT_FOUND"


async def test_a_segment_that_is_deleted_meanwhile_fails_the_job_and_leaves_no_list(
    api: Api, database_of_segments: str, tmp_path: Path
) -> None:
    (tmp_path / "people").write_text(HEADER + "e1,EMAIL,1@example.com,\n,,,anna\n")
    job = Job("shop", "a" * 32, JobFormat.CSV, "file:people", SystemClock().now(), segment_id="b" * 32)
    database = Database(database_of_segments, application_name="tests")
    try:
        async with database.transaction() as conn:
            await IMPORTS.insert(conn, job)
        failed = await ended(api, f"{PARENT}/importJobs/{job.job_id}")
        assert (failed.state, failed.failure_reason) == (jobs_pb2.ImportJob.STATE_FAILED, "SEGMENT_NOT_FOUND")
        assert not failed.defined_segment
        async with database.transaction() as conn:
            for table in ("imported_endpoints", "imported_users"):
                left = text(f"SELECT count(*) FROM segments.{table}")
                assert (await conn.execute(left)).scalar_one() == 0
    finally:
        await database.close()


async def test_only_imported_segments_get_versions_from_imports(api: Api, tmp_path: Path) -> None:
    made = await api.segments.CreateSegment(a_segment(having("tier", "gold")))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(api, tmp_path, HEADER, jobs_pb2.SegmentDefinition(segment=made.name))
    assert [violation[0] for violation in violations_of(refused.value)] == ["import_job.segment_definition.segment"]


@pytest.mark.parametrize(
    ("given", "name", "segment", "skip", "reasons"),
    [
        (False, "", False, False, []),
        (False, "", False, True, ["REQUIRED"]),
        (True, "x" * 64, False, True, []),
        (True, "x" * 65, False, False, ["TOO_LONG"]),
        (True, "", True, False, []),
        (True, "", False, False, ["REQUIRED"]),
        (True, "x", True, False, ["REQUIRED"]),
    ],
)
def test_what_an_import_may_make(given: bool, name: str, segment: bool, skip: bool, reasons: list[str]) -> None:
    found = check_definition(given=given, name=name, segment=segment, skip_endpoints=skip)
    assert [problem.reason for problem in found] == reasons
