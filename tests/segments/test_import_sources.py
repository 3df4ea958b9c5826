"""Where imports read from: folders, hosts over TLS, buckets; and how an object becomes lines."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from sqlalchemy import text

from heliograph.segments.v1 import jobs_pb2
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import running
from heliograph_kit.testing import eventually
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.domain.import_rows import UnusableFile
from heliograph_segments.domain.jobs import MAX_SOURCE, check_source
from heliograph_segments.imports.source import SourceFile
from heliograph_segments.main import PACKAGE, build
from heliograph_segments.places import objects
from heliograph_segments.places.buckets import bucket_and_key
from heliograph_segments.places.objects import NotAllowed
from heliograph_segments.places.web import WebSource
from heliograph_segments.tables import metadata
from tests.segments.conftest import SECRET, Api
from tests.segments.far import Buckets, Web
from tests.segments.test_imports import COMPLETED, FAILED, NDJSON, drawn, ended, start, total


@pytest.fixture
def settings(settings: SegmentsSettings, web: Web, buckets: Buckets, tmp_path: Path) -> SegmentsSettings:
    """Settings of a service that may read from a host and from buckets, and write into one."""
    return settings.with_values(
        import_hosts=[web.host],
        import_buckets=["audience", "shared/ours"],
        import_unpacked_bytes=100_000,
        export_buckets=["exports/of"],
        s3_endpoint=buckets.url,
        s3_path_style=True,
    )


def rows(*names: str) -> bytes:
    return ("Id\n" + "".join(f"{name}\n" for name in names)).encode()


async def ids(api: Api) -> list[str]:
    return sorted(endpoint.endpoint_id for endpoint in await drawn(api))


async def test_all_files_of_a_folder_are_imported_in_the_order_of_their_names(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    (folder / "b" / "c").mkdir(parents=True)
    (folder / "a.csv").write_bytes(rows("one", "x" * 300))
    (folder / "b" / "c" / "deep.csv.gz").write_bytes(gzip.compress(rows(*(f"p{n}" for n in range(2000)))))
    (folder / "b" / "bad.csv").write_bytes(rows("two", "y" * 300))
    (folder / "b" / "empty.csv").write_bytes(b"")
    (folder / "b" / "other.json").write_bytes(b'{"Id": "json"}')
    (folder / ".hidden.csv").write_bytes(rows("hidden"))
    for source in ("file:people", "file:people/"):
        job = await ended(api, await start(api, source))
        assert job.state == COMPLETED, job.failure_message
        assert (job.object_count, job.completed_objects, job.skipped_objects) == (5, 3, 2)
        assert (job.processed_count, job.failed_count) == (2004, 2)
        assert [(row.object, row.line, row.reason) for row in job.failures] == [
            ("a.csv", 3, "TOO_LONG"),
            ("b/bad.csv", 3, "TOO_LONG"),
        ]
        assert job.done_bytes == job.size_bytes
        assert job.completed_pieces == job.total_pieces > 4
    assert await total(api) == 2002
    job = await ended(api, await start(api, "file:people/", NDJSON))
    assert (job.state, job.created_count, job.skipped_objects) == (COMPLETED, 1, 4)


async def test_a_folder_that_cannot_be_imported_fails_with_a_reason(api: Api, tmp_path: Path) -> None:
    for name, contents, reason in (
        ("none", {}, "SOURCE_EMPTY"),
        ("all other", {"a.json": b'{"Id": "a"}', "b.bin": b"\x00"}, "WRONG_FORMAT"),
        ("one unknown", {"a.csv": rows("a"), "b.csv": b"Colour\nred\n"}, "UNKNOWN_COLUMNS"),
    ):
        (tmp_path / name).mkdir()
        for each, content in contents.items():
            (tmp_path / name / each).write_bytes(content)
        job = await ended(api, await start(api, f"file:{name}/"))
        assert (name, job.state, job.failure_reason) == (name, FAILED, reason)
    assert job.failure_message.startswith("b.csv: ")
    assert await ids(api) == ["a"]  # what came before stays written
    (tmp_path / "none" / "link.csv").symlink_to("/etc/hostname")
    job = await ended(api, await start(api, "file:none/"))
    assert (job.state, job.failure_reason) == (FAILED, "SOURCE_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("listing", "version", "state"),
    [("another", "", FAILED), ("", "1 1", FAILED), ("", "", COMPLETED)],
)
async def test_only_the_same_source_is_continued(
    settings: SegmentsSettings, tmp_path: Path, listing: str, version: str, state: jobs_pb2.ImportJob.State.ValueType
) -> None:
    """As a killed worker left it; without a listing, as the code of before several objects did."""
    file = tmp_path / "a.csv"
    file.write_bytes(rows("a", "b", "c"))
    left = {
        "listing": listing,
        "version": version or f"{file.stat().st_size} {file.stat().st_mtime_ns}",
        "bytes": len(rows("a")),
    }
    async with (
        running(settings, build, package=PACKAGE, metadata=metadata, role="api") as front,
        channel(front.address, tokens=InternalTokens(SECRET), caller="tests") as opened,
    ):
        api = Api(opened)
        name = await start(api, "file:a.csv")
        async with front.database.transaction() as conn:
            statement = (
                "UPDATE segments.import_jobs SET listing = :listing, object_version = :version, object_count = 1, "
                "size_bytes = 9, done_bytes = :bytes, object_bytes = :bytes, done_lines = 2, processed_count = 1"
            )
            await conn.execute(text(statement), left)
        async with running(settings, build, package=PACKAGE, metadata=metadata, role="worker"):
            job = await ended(api, name)
        assert (job.state, job.failure_reason) == (state, "SOURCE_CHANGED" if state == FAILED else "")
        assert await ids(api) == (["b", "c"] if state == COMPLETED else [])
        assert job.processed_count == (3 if state == COMPLETED else 1)


async def test_a_folder_has_as_many_files_as_a_job_may_have(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_segments.places.objects.MAX_OBJECTS", 3)
    (tmp_path / "people").mkdir()
    for n, state in ((0, None), (1, None), (2, COMPLETED), (3, FAILED)):
        (tmp_path / "people" / f"{n}.csv").write_bytes(rows(f"p{n}"))
        if state is not None:
            job = await ended(api, await start(api, "file:people/"))
            assert job.state == state
    assert job.failure_reason == "SOURCE_TOO_LARGE"
    assert objects.MAX_OBJECTS == 3


async def test_an_object_of_the_web_is_imported_over_tls(api: Api, web: Web) -> None:
    web.objects["/people.csv"] = rows("a", "b")
    web.objects["/people.csv.gz"] = gzip.compress(rows("c"))
    web.redirects["/moved"] = "/people.csv.gz"
    for path in ("/people.csv?signature=a%2Fb", "/moved"):
        job = await ended(api, await start(api, f"https://{web.host}{path}"))
        assert job.state == COMPLETED, job.failure_message
        assert job.done_bytes == job.size_bytes > 0
    assert await ids(api) == ["a", "b", "c"]
    assert {method for method, _ in web.asked} == {"GET"}
    assert ("GET", "/people.csv?signature=a%2Fb") in web.asked


async def test_a_host_that_fails_for_a_moment_is_asked_again(api: Api, web: Web) -> None:
    web.objects["/people.csv"] = rows(*(f"p{n}" for n in range(5_000)))
    web.troubles["/people.csv"] = ["503", "breaks off", "503"]
    job = await ended(api, await start(api, f"https://{web.host}/people.csv"))
    assert (job.state, job.created_count) == (COMPLETED, 5_000), job.failure_message
    web.troubles["/people.csv"] = ["503"] * 5
    job = await ended(api, await start(api, f"https://{web.host}/people.csv"), 30)
    assert (job.state, job.failure_reason) == (FAILED, "SOURCE_UNREADABLE")


async def test_what_a_host_refuses_fails_the_job_with_a_reason(api: Api, web: Web) -> None:
    web.objects["/fits"] = rows("x" * 100_000)[:100_000]
    web.objects["/large"] = web.objects["/fits"] + b"\n"
    web.troubles["/forbidden"] = ["403"] * 10
    web.redirects["/away"] = "https://example.com/people.csv"
    web.redirects["/plain"] = f"http://{web.host}/fits"
    web.redirects["/round"] = "/round"
    for path, reason in (
        ("/missing", "SOURCE_NOT_FOUND"),
        ("/large", "SOURCE_TOO_LARGE"),
        ("/forbidden", "SOURCE_UNREADABLE"),
        ("/away", "SOURCE_NOT_ALLOWED"),
        ("/plain", "SOURCE_NOT_ALLOWED"),
        ("/round", "SOURCE_UNREADABLE"),
    ):
        job = await ended(api, await start(api, f"https://{web.host}{path}"))
        assert (path, job.state, job.failure_reason) == (path, FAILED, reason)
    job = await ended(api, await start(api, f"https://{web.host}/fits"))
    assert (job.state, job.processed_count) == (COMPLETED, 1), job.failure_message


async def test_a_download_is_given_up_when_the_service_stops(web: Web) -> None:
    web.objects["/people.csv"] = rows("a")
    source = WebSource(f"https://{web.host}/people.csv", [web.host], 1_000)
    (found,) = source.objects()
    with pytest.raises(objects.Interrupted):
        source.open(found, lambda: True)


async def test_objects_of_a_bucket_are_imported(api: Api, buckets: Buckets) -> None:
    buckets.put("audience/people/a.csv", rows("a"))
    buckets.put("audience/people/b/c d é.csv.gz", gzip.compress(rows("c", "c2")))
    buckets.put("audience/people/notes.json", b'{"Id": "json"}')
    buckets.put("audience/people2/d.csv", rows("d"))
    buckets.put("shared/ours/e.csv", rows("e"))
    for source, count, created in (
        ("s3://audience/people/a.csv", 1, 1),
        ("s3://audience/people", 3, 2),
        ("s3://audience/people/", 3, 0),
        ("s3://audience/", 4, 1),
        ("s3://shared/ours/e.csv", 1, 1),
    ):
        job = await ended(api, await start(api, source))
        assert (source, job.state) == (source, COMPLETED), job.failure_message
        assert (source, job.object_count, job.created_count) == (source, count, created)
    assert await ids(api) == ["a", "c", "c2", "d", "e"]
    for source, reason in (
        ("s3://audience/nothing.csv", "SOURCE_NOT_FOUND"),
        ("s3://audience/nothing/", "SOURCE_EMPTY"),
    ):
        job = await ended(api, await start(api, source))
        assert (source, job.state, job.failure_reason) == (source, FAILED, reason)


async def test_a_wrong_secret_fails_the_job(api: Api, buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets.put("audience/a.csv", rows("a"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    job = await ended(api, await start(api, "s3://audience/a.csv"))
    assert (job.state, job.failure_reason) == (FAILED, "SOURCE_UNREADABLE")
    assert buckets.secret not in job.failure_message


async def test_an_export_to_a_bucket_imports_back(api: Api, buckets: Buckets, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(rows(*(f"p{n}" for n in range(50))))
    await ended(api, await start(api, "file:a.csv"))
    made = jobs_pb2.ExportJob(destination="s3://exports/of/today")
    job = await api.jobs.CreateExportJob(jobs_pb2.CreateExportJobRequest(parent="projects/shop", export_job=made))

    async def finished() -> jobs_pb2.ExportJob | None:
        found = await api.jobs.GetExportJob(jobs_pb2.GetExportJobRequest(name=job.name))
        return found if found.HasField("complete_time") else None

    done = await eventually(finished, 15)
    assert done is not None
    assert (done.state, done.processed_count) == (COMPLETED, 50), done.failure_message
    assert [path.name for path in sorted((buckets.folder / "exports/of/today").iterdir())] == list(done.objects)
    (copied,) = (buckets.folder / "exports/of/today").iterdir()
    buckets.put("audience/copy.ndjson.gz", copied.read_bytes())
    again = await ended(api, await start(api, "s3://audience/copy.ndjson.gz", NDJSON))
    assert (again.processed_count, again.failed_count, again.created_count) == (50, 0, 0)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("s3://a/b/c", "b/c"),
        ("s3://a/", ""),
        ("s3://b/in", "in"),
        ("s3://b/in/", "in/"),
        ("s3://b/in/deep", "in/deep"),
        ("s3://b/", None),
        ("s3://b/inner", None),
        ("s3://b/i", None),
        ("s3://c/x", None),
        ("s3://A/x", None),
    ],
)
def test_buckets_are_permitted_by_name_and_prefix(url: str, key: str | None) -> None:
    if key is None:
        with pytest.raises(NotAllowed):
            bucket_and_key(url, ["a", "b/in"], "SETTING")
    else:
        assert bucket_and_key(url, ["a", "b/in"], "SETTING")[1] == key


@pytest.mark.parametrize(
    ("url", "permitted"),
    [
        ("https://files.example.com/a", True),
        ("https://FILES.example.com:443/a", True),
        ("https://files.example.com:8443/a", False),
        ("https://other.example.com:8443/a", True),
        ("https://a.b.example.org/a", True),
        ("https://example.org/a", False),
        ("https://evilexample.org/a", False),
        ("https://files.example.com.evil.net/a", False),
        ("https://files.example.com@evil.net/a", False),
        ("https://evil.net/files.example.com", False),
        ("https://[::1]/a", False),
        ("https://exa mple/a", False),
    ],
)
def test_hosts_are_permitted_by_name_and_port(url: str, permitted: bool) -> None:
    hosts = ["files.example.com", "other.example.com:8443", "*.example.org"]
    if permitted:
        WebSource(url, hosts, 1)
    else:
        with pytest.raises(NotAllowed):
            WebSource(url, hosts, 1)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "REQUIRED"),
        ("file:", "MALFORMED"),
        ("file:a\x00", "MALFORMED"),
        ("/a", "MALFORMED"),
        ("http://example.com/a", "MALFORMED"),
        ("https://", "MALFORMED"),
        ("https://example.com/a b", "MALFORMED"),
        ("s3://", "MALFORMED"),
        ("s3://bucket", "MALFORMED"),
        ("file:" + "a" * (MAX_SOURCE - 4), "TOO_LONG"),
        ("file:" + "a" * (MAX_SOURCE - 5), None),
        ("https://example.com/a?b", None),
        ("s3://bucket/", None),
        ("s3://bucket/a b é", None),
    ],
)
def test_a_source_names_a_file_a_url_or_an_object(source: str, reason: str | None) -> None:
    assert [problem.reason for problem in check_source(source)] == ([reason] if reason else [])


def test_a_packed_file_is_read_as_if_it_were_not() -> None:
    plain = b"".join(b"line %d\n" % n for n in range(10_000))
    packed = gzip.compress(plain)
    with SourceFile(io.BytesIO(packed), len(plain)) as file:
        assert file.size == len(plain)
        piece = file.piece(0, 0, 4096)
        assert piece.lines[0].content == b"line 0"
        again = file.piece(piece.end, piece.end_lines, len(plain))
        assert again.lines[-1].content == b"line 9999"
        assert again.end_lines == 10_000
    with pytest.raises(UnusableFile) as refused:
        SourceFile(io.BytesIO(packed), len(plain) - 1)
    assert refused.value.reason == "SOURCE_TOO_LARGE"


@pytest.mark.parametrize("spoiled", [slice(0, -9), slice(0, 12)])
def test_a_packed_file_that_is_not_whole_is_refused(spoiled: slice) -> None:
    with pytest.raises(UnusableFile) as refused:
        SourceFile(io.BytesIO(gzip.compress(b"Id\n" * 1000)[spoiled]), 10_000)
    assert refused.value.reason == "WRONG_FORMAT"
