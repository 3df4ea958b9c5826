"""Import jobs: real files, a real record, and a worker that is killed."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import grpc
import pytest

from heliograph.segments.v1 import audience_pb2, endpoints_pb2, jobs_pb2, segments_pb2
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel, reason_of, violations_of
from heliograph_kit.runtime import running
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.domain.import_rows import (
    COORDINATES,
    DEMOGRAPHIC_COLUMNS,
    ENDPOINT_COLUMNS,
    IGNORED_COLUMNS,
    LOCATION_COLUMNS,
)
from heliograph_segments.main import PACKAGE, build
from heliograph_segments.tables import metadata
from tests.segments.builders import PARENT
from tests.segments.conftest import SECRET, Api

GUIDE = Path(__file__).parents[2] / "docs/imports.md"
CSV, NDJSON = jobs_pb2.ImportJob.FORMAT_CSV, jobs_pb2.ImportJob.FORMAT_NDJSON
COMPLETED, FAILED = jobs_pb2.ImportJob.STATE_COMPLETED, jobs_pb2.ImportJob.STATE_FAILED

HEADER = "ChannelType,Address,Attributes.plan,Attributes.plan,Metrics.score,User.UserId,User.UserAttributes.first\n"


async def start(api: Api, source: str, format: jobs_pb2.ImportJob.Format.ValueType = CSV, request_id: str = "") -> str:
    job = jobs_pb2.ImportJob(format=format, source=source)
    request = jobs_pb2.CreateImportJobRequest(parent=PARENT, import_job=job, request_id=request_id)
    return (await api.jobs.CreateImportJob(request)).name


async def ended(api: Api, name: str, within: float = 15) -> jobs_pb2.ImportJob:
    async def look() -> jobs_pb2.ImportJob | None:
        job = await api.jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=name))
        return job if job.HasField("complete_time") else None

    job = await eventually(look, within)
    assert job is not None
    return job


async def imported(
    api: Api, folder: Path, content: bytes, format: jobs_pb2.ImportJob.Format.ValueType = CSV, name: str = "people"
) -> jobs_pb2.ImportJob:
    (folder / name).write_bytes(content)
    return await ended(api, await start(api, f"file:{name}", format))


async def total(api: Api) -> int:
    everybody = segments_pb2.CountSegmentRequest(parent=PARENT, rules=segments_pb2.SegmentRules())
    return (await api.segments.CountSegment(everybody)).member_count


async def drawn(api: Api) -> list[endpoints_pb2.Endpoint]:
    everybody = segments_pb2.SampleSegmentRequest(parent=PARENT, rules=segments_pb2.SegmentRules(), sample_size=100)
    return list((await api.segments.SampleSegment(everybody)).endpoints)


async def test_a_csv_file_becomes_endpoints_and_users(api: Api, tmp_path: Path) -> None:
    rows = [f"EMAIL,p{number}@example.com,gold,new,{number}.5,u{number},Ann {number}\n" for number in range(200)]
    job = await imported(api, tmp_path, (HEADER + "".join(rows)).encode())
    assert (job.state, job.processed_count, job.failed_count, job.created_count) == (COMPLETED, 200, 0, 200)
    assert job.total_pieces == job.completed_pieces > 1
    assert job.done_bytes == job.size_bytes
    endpoint = min(await drawn(api), key=lambda each: each.ordinal)
    number = endpoint.ordinal - 1
    assert endpoint.address == f"p{number}@example.com"
    assert list(endpoint.attributes["plan"].values) == ["gold", "new"]
    assert endpoint.metrics["score"] == number + 0.5
    assert list(endpoint.user.attributes["first"].values) == [f"Ann {number}"]


async def test_the_same_file_again_changes_no_number(api: Api, tmp_path: Path) -> None:
    content = (HEADER + "EMAIL,a@example.com,gold,,1,,\nSMS,+12065550100,,,2,,\n").encode()
    await imported(api, tmp_path, content)
    job = await imported(api, tmp_path, content)
    assert (job.processed_count, job.created_count) == (2, 0)
    assert [endpoint.ordinal for endpoint in await drawn(api)] == [1, 2]


async def test_an_ndjson_file_becomes_endpoints(api: Api, tmp_path: Path) -> None:
    rows = [
        {
            "Id": "e1",
            "ChannelType": "EMAIL",
            "Address": "a@example.com",
            "Attributes": {"Ride": ["Bus", 'a "b", c\\d\te']},
            "Metrics": {"score": 3},
            "Demographic": {"Platform": "ios", "Timezone": "Europe/Berlin"},
            "Location": {"Country": "DE", "Latitude": 47.61, "Longitude": 8},
            "User": {"UserId": "u1", "UserAttributes": {"First": "Wang"}},
            "OptOut": "ALL",
            "EffectiveDate": "2020-01-02T03:04:05.678Z",
            "EndpointStatus": "INACTIVE",
        }
    ]
    job = await imported(api, tmp_path, "\n".join(map(json.dumps, rows)).encode(), NDJSON)
    assert (job.state, job.processed_count, job.failed_count) == (COMPLETED, 1, 0)
    (endpoint,) = await drawn(api)
    assert list(endpoint.attributes["Ride"].values) == ["Bus", 'a "b", c\\d\te']
    assert list(endpoint.user.attributes["First"].values) == ["Wang"]
    assert endpoint.location.latitude == 47.6
    assert endpoint.opt_out == endpoints_pb2.Endpoint.OPT_OUT_ALL
    assert endpoint.effective_time.ToJsonString() == "2020-01-02T03:04:05.678Z"
    assert endpoint.last_active_time == endpoint.effective_time
    assert endpoint.status == endpoints_pb2.Endpoint.STATUS_INACTIVE  # as exports tell it


async def test_bad_rows_are_listed_with_line_and_reason_and_the_others_are_written(api: Api, tmp_path: Path) -> None:
    rows = [
        b"EMAIL,good@example.com,,,1,,",
        b"EMAIL,b@example.com,,,twelve,,",
        b"EMAIL,c\xff@example.com,,,1,,",
        b"EMAIL,,,,1,,",
        b"PIGEON,d@example.com,,,1,,",
        b"EMAIL,e@example.com,,,1",
        b'EMAIL,"f@example.com,,,1,,',
        b"EMAIL,g@example.com," + b"x" * 101 + b",,1,,",
        b"EMAIL,h@example.com,,,1,,Ann",
        b"EMAIL,i@example.com,,,nan,,",
        b"EMAIL,j@example.com," + b"x" * 300_000 + b",,1,,",
        b"",
        b"EMAIL,last@example.com,,,1,,",
    ]
    job = await imported(api, tmp_path, HEADER.encode() + b"\n".join(rows))
    assert job.state == COMPLETED
    assert (job.processed_count, job.failed_count, job.created_count) == (12, 10, 2)
    assert [(failure.line, failure.reason, failure.field) for failure in job.failures] == [
        (3, "NOT_A_NUMBER", "Metrics.score"),
        (4, "NOT_UTF8", ""),
        (5, "REQUIRED", "Id"),
        (6, "UNKNOWN_VALUE", "ChannelType"),
        (7, "MALFORMED_ROW", ""),
        (8, "MALFORMED_ROW", ""),
        (9, "TOO_LONG", "Attributes.plan"),
        (10, "REQUIRED", "User.UserId"),
        (11, "NOT_A_NUMBER", "Metrics.score"),
        (12, "LINE_TOO_LONG", ""),
    ]
    assert all(failure.message for failure in job.failures)
    assert {endpoint.address for endpoint in await drawn(api)} == {"good@example.com", "last@example.com"}


async def test_only_the_first_hundred_failures_are_kept(api: Api, tmp_path: Path) -> None:
    job = await imported(api, tmp_path, b"Id,Metrics.x\n" + b"a,no\n" * 150)
    assert (job.failed_count, len(job.failures)) == (150, 100)
    assert [failure.line for failure in job.failures] == list(range(2, 102))


async def test_bad_ndjson_rows_say_which_field(api: Api, tmp_path: Path) -> None:
    rows = [
        '{"Id": "a"}',
        '{"Id": "b", "Colour": "red"}',
        '{"Id": "c", "Metrics": {"x": "1"}}',
        '{"Id": "d", "Attributes": {"x": [1]}}',
        '{"Id": "e"',
        '{"Id": "f", "Metrics": {"x": NaN}}',
        '["g"]',
        '{"Id": "h", "Attributes": {"x": ["\\ud800"]}}',
        '{"Id": "i", "User": {"UserAttributes": {"x": ["1"]}}}',
        '{"Id": "j", "Location": {"Latitude": 1}}',
        '{"Id": "k", "Attributes": {"x": ["\\u0000"]}}',
        "[" * 100_000,
    ]
    job = await imported(api, tmp_path, "\n".join(rows).encode(), NDJSON)
    assert [(failure.line, failure.reason, failure.field) for failure in job.failures] == [
        (2, "UNKNOWN_FIELD", "Colour"),
        (3, "NOT_A_NUMBER", "Metrics.x"),
        (4, "WRONG_TYPE", "Attributes.x"),
        (5, "MALFORMED_ROW", ""),
        (6, "MALFORMED_ROW", ""),
        (7, "WRONG_TYPE", ""),
        (8, "NOT_UTF8", "Attributes.x"),
        (9, "REQUIRED", "User.UserId"),
        (10, "REQUIRED", "Location"),
        (11, "MALFORMED", "Attributes.x"),
        (12, "MALFORMED_ROW", ""),
    ]
    assert job.created_count == 1


# One service for all of them: starting it for each would cost more than everything else here.
UNUSABLE: list[tuple[str, bytes, jobs_pb2.ImportJob.Format.ValueType, str]] = [
    ("empty file", b"", CSV, "SOURCE_EMPTY"),
    ("empty ndjson", b"", NDJSON, "SOURCE_EMPTY"),
    ("unknown column", b"Id,Colour,Metrics.x\n", CSV, "UNKNOWN_COLUMNS"),
    ("one line without a header", b"a@example.com\n", CSV, "UNKNOWN_COLUMNS"),
    ("a repeated column that may not be", b"Id,Id\n", CSV, "WRONG_FORMAT"),
    ("ndjson as csv", b'{"Id": "a"}\n', CSV, "WRONG_FORMAT"),
    ("csv as ndjson", b"Id,Address\n", NDJSON, "WRONG_FORMAT"),
    ("gzip", b"\x1f\x8b\x08\x00", CSV, "WRONG_FORMAT"),
    ("binary", b"Id\n\x00\x01", CSV, "WRONG_FORMAT"),
    ("utf-16", "Id,Address\n".encode("utf-16"), CSV, "NOT_UTF8"),
    ("a header in another encoding", b"Id,Attributes.\xe9\n", CSV, "NOT_UTF8"),
]


async def test_a_file_that_cannot_be_imported_fails_its_job_with_a_reason(api: Api, tmp_path: Path) -> None:
    for words, content, format, reason in UNUSABLE:
        job = await imported(api, tmp_path, content, format)
        assert (words, job.state, job.failure_reason) == (words, FAILED, reason)
        assert job.failure_message
    assert await total(api) == 0


async def test_a_file_with_one_line_is_imported(api: Api, tmp_path: Path) -> None:
    header_only = await imported(api, tmp_path, b"Id,Address\n")
    assert (header_only.state, header_only.processed_count) == (COMPLETED, 0)
    one = await imported(api, tmp_path, b'\xef\xbb\xbf{"Id": "a"}', NDJSON)
    assert (one.state, one.processed_count, one.created_count) == (COMPLETED, 1, 1)


async def test_files_outside_of_the_import_folder_are_refused(api: Api, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    for source in (
        "file:/etc/hostname",
        "file:../x",
        "file:link",
        "file:///etc/hostname",
        "https://example.com/x",
        "s3://a/b",
        "",
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await start(api, source)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert [field for field, _ in violations_of(refused.value)] == ["import_job.source"]
    job = await ended(api, await start(api, f"file://{tmp_path}/nothing%20here.csv"))
    assert (job.state, job.failure_reason) == (FAILED, "SOURCE_NOT_FOUND")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await start(api, "file:x", jobs_pb2.ImportJob.FORMAT_UNSPECIFIED)
    assert violations_of(refused.value) == [("import_job.format", "REQUIRED")]


async def test_a_job_is_queued_once_by_request_id_and_listed(api: Api, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Id\na\n")
    first = await start(api, "file:a.csv", request_id="r")
    assert await start(api, "file:a.csv", request_id="r") == first
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await start(api, "file:b.csv", request_id="r")
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"
    second = await start(api, "file:a.csv")
    listed = await api.jobs.ListImportJobs(jobs_pb2.ListImportJobsRequest(parent=PARENT))
    assert [job.name for job in listed.import_jobs] == [second, first]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=f"{PARENT}/importJobs/nothing"))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "IMPORT_JOB_NOT_FOUND")


async def test_the_files_of_the_guide_are_imported(api: Api, tmp_path: Path) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    csv, ndjson = (re.findall(f"```{kind}\n(.*?)```", guide, re.DOTALL)[0] for kind in ("csv", "json"))
    job = await imported(api, tmp_path, csv.encode())
    assert (job.state, job.failed_count, job.created_count) == (COMPLETED, 0, 3)
    job = await imported(api, tmp_path, ndjson.encode(), NDJSON)
    assert (job.state, job.failed_count, job.created_count) == (COMPLETED, 0, 2)
    addresses = {endpoint.address for endpoint in await drawn(api)}
    assert 'bo"b@example.com",x' in addresses


def test_the_guide_names_every_column() -> None:
    table = re.findall(r"^\| `.*$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name for row in table for name in re.findall(r"`([A-Z][A-Za-z.]+)`", row.split("|")[1])}
    known = {*ENDPOINT_COLUMNS, *DEMOGRAPHIC_COLUMNS, *LOCATION_COLUMNS, *COORDINATES, *IGNORED_COLUMNS}
    assert told == known


async def test_rows_that_the_record_refuses_cost_nothing_to_the_others(api: Api, tmp_path: Path) -> None:
    """Too many names for a project, too many endpoints for a user, and an endpoint that grows too large on the way."""
    rows: list[dict[str, object]] = [{"Id": "first", "Metrics": {"m": 0}}]
    rows += [{"Id": f"n{n}", "Attributes": {f"name{n}": ["1"]}} for n in range(300)]
    rows += [{"Id": f"u{n}", "User": {"UserId": "crowded"}} for n in range(17)]
    rows += [{"Id": "big", "Metrics": {"m": turn}, "Attributes": {"name0": ["v" * 100] * 50}} for turn in range(2)]
    rows += [{"Id": "big", "Attributes": {f"name{n}": ["v" * 100] * 50 for n in range(4)}}]
    rows += [{"Id": "big", "Metrics": {"m": 7}}, {"Id": "last"}]
    job = await imported(api, tmp_path, "\n".join(map(json.dumps, rows)).encode(), NDJSON)
    # 249 names and the metric; 15 endpoints of the user.
    assert (job.state, job.processed_count, job.failed_count) == (COMPLETED, 323, 51 + 2 + 1)
    reasons = [failure.reason for failure in job.failures]
    assert reasons == ["TOO_MANY_ATTRIBUTE_NAMES"] * 51 + ["TOO_MANY_ENDPOINTS"] * 2 + ["TOO_LARGE"]
    endpoint = await api.endpoints.GetEndpoint(endpoints_pb2.GetEndpointRequest(name=f"{PARENT}/endpoints/big"))
    assert set(endpoint.attributes) == {"name0"}
    assert endpoint.metrics["m"] == 7


async def verified(api: Api) -> audience_pb2.VerifiedPartition:
    [found] = [each async for each in api.audience.VerifyAudience(audience_pb2.VerifyAudienceRequest(project=PARENT))]
    return found


async def test_a_worker_killed_twice_in_an_import_loses_and_doubles_nothing(
    settings: SegmentsSettings, database_of_segments: str, nats_url: str, tmp_path: Path
) -> None:
    rows = 20_000
    lines = [f"EMAIL,p{n}@example.com,gold,,{n},u{n % 5000},Ann\n" for n in range(rows)]
    lines[15_000] = "EMAIL,bad@example.com,gold,,x,u1,Ann\n"
    folder = tmp_path / "people"
    folder.mkdir()
    for part in range(4):
        content = (HEADER + "".join(lines[part * 5_000 : (part + 1) * 5_000])).encode()
        (folder / f"{part}.csv").write_bytes(gzip.compress(content) if part == 1 else content)
    (folder / "2.json").write_text('{"Id": "other"}')
    worker = ServiceProcess(
        "heliograph_segments.main",
        service="segments",
        directory=tmp_path / "worker",
        environment={
            "HELIOGRAPH_DATABASE_URL": database_of_segments,
            "HELIOGRAPH_NATS_URL": nats_url,
            "HELIOGRAPH_INTERNAL_SECRET": SECRET,
            "HELIOGRAPH_SEGMENTS_IMPORT_ROOT": str(tmp_path),
            "HELIOGRAPH_SEGMENTS_IMPORT_LEASE_SECONDS": "0.5",
            "HELIOGRAPH_SEGMENTS_IMPORT_POLL_SECONDS": "0.05",
            "HELIOGRAPH_SEGMENTS_IMPORT_PIECE_BYTES": "8192",
        },
        arguments=["--role", "worker"],
    )
    async with running(settings, build, package=PACKAGE, metadata=metadata, role="api") as front:
        opened = channel(front.address, tokens=InternalTokens(SECRET), caller="tests")
        api = Api(opened)
        # The index of this replica is in memory from the beginning and follows another process through its deaths.
        before = await verified(api)
        name = await start(api, "file:people/")
        try:
            worker.start()
            for share in (0.15, 0.5):

                async def far_enough(share: float = share) -> bool:
                    job = await api.jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=name))
                    if job.HasField("complete_time"):
                        pytest.fail("the import was over before its worker could be killed")
                    return job.done_bytes > share * job.size_bytes > 0

                await eventually(far_enough, 40, 0.01)
                worker.kill()
                worker.start()
            job = await ended(api, name, 60)
        finally:
            worker.kill()
        assert job.state == COMPLETED, job.failure_message
        assert (job.processed_count, job.failed_count, job.created_count) == (rows, 1, rows - 1)
        assert [(failure.object, failure.line) for failure in job.failures] == [("3.csv", 2)]
        assert (job.object_count, job.completed_objects, job.skipped_objects) == (5, 4, 1)
        assert job.completed_pieces == job.total_pieces
        after = await verified(api)
        assert (before.loaded, before.endpoint_count, before.difference_count) == (True, 0, 0)
        assert (after.endpoint_count, after.difference_count) == (rows - 1, 0), after.differences
        assert await total(api) == rows - 1
        # Ordinals without a gap: what a killed worker had begun left nothing behind.
        assert max(endpoint.ordinal for endpoint in await drawn(api)) <= rows - 1
        await opened.close(grace=None)
