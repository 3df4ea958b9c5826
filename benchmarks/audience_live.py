"""Figures of a service with its index in memory: rebuilt from the record, written to, and asked at the same time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.audience_made import SEGMENTS, csv_of
from benchmarks.figures import Figure, figure, percentile
from benchmarks.parts import Servers, bare, calling, servers, until
from heliograph.segments.v1 import (
    audience_pb2,
    audience_pb2_grpc,
    endpoints_pb2,
    endpoints_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    segments_pb2,
    segments_pb2_grpc,
)
from heliograph_kit.testing import ServiceProcess
from heliograph_segments.servicers.segment_messages import write_rules

PROJECT = "audience"
PARENT = f"projects/{PROJECT}"
BATCH = 100
_SINGLES = 2000
_BATCHES = 100
_AT_ONCE = 4
_STREAMED = 1000
_IN_STREAM = 5
_FRESH = 100
_LOADED_SECONDS = 10.0
_HOUR = 3600.0


async def live(count: int) -> list[Figure]:
    """Return the figures of a service with so many endpoints."""
    with servers() as parts:
        folder = parts.folder / "imports"
        folder.mkdir()
        service = parts.service("segments", segments_import_root=folder)
        other = parts.service("segments", segments_import_root=folder)
        with service:
            imported = await _imported(parts, service, folder / "people.csv", count)
        with service, other:
            rebuilt = await _rebuilt(parts, service, count)
            async with calling(service.address) as channel, calling(other.address) as second:
                await _load(second)
                with bare("members", "1") as address:
                    async with grpc.aio.insecure_channel(address) as plain:
                        empty = audience_pb2_grpc.AudienceServiceStub(plain)
                        return [
                            imported,
                            rebuilt,
                            *await _updated(channel, empty, count),
                            await _fresh(channel, second, empty, count),
                            *await _counted_while_writing(channel, count),
                        ]


async def _imported(parts: Servers, service: ServiceProcess, file: Path, count: int) -> Figure:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(csv_of(count))
    async with calling(service.address) as channel:
        jobs: jobs_pb2_grpc.JobServiceAsyncStub = jobs_pb2_grpc.JobServiceStub(channel)
        wanted = jobs_pb2.ImportJob(format=jobs_pb2.ImportJob.FORMAT_CSV, source=file.as_uri())
        began = time.perf_counter()
        job = await jobs.CreateImportJob(jobs_pb2.CreateImportJobRequest(parent=PARENT, import_job=wanted))

        async def over() -> jobs_pb2.ImportJob | None:
            seen = await jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=job.name))
            return seen if seen.HasField("complete_time") else None

        done = await until("the import", over, within=_HOUR, every=0.1)
    seconds = time.perf_counter() - began
    if done.created_count != count:
        raise RuntimeError(f"{done.created_count} of {count} endpoints were imported: {done.failure_message}")
    copied = await asyncio.to_thread(_copied, parts.dsn, "FROM")
    return figure(
        "import of a CSV file with 25 columns", count / seconds, "rows/s", bare=count / copied,
        against="COPY of what was stored into empty tables, keys included",
    )  # fmt: skip


def _copied(dsn: str, way: str) -> float:
    """Copy endpoints and users out, and for `FROM` into tables like theirs; returns the seconds of the last step."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        seconds = 0.0
        for table in ("endpoints", "users"):
            began = time.perf_counter()
            with conn.cursor() as cursor, cursor.copy(f"COPY segments.{table} TO STDOUT") as out:
                blocks = [bytes(block) for block in out]
            if way == "FROM":
                conn.execute(f"CREATE TABLE bare_{table} (LIKE segments.{table} INCLUDING ALL)")
                began = time.perf_counter()
                with conn.cursor() as cursor, cursor.copy(f"COPY bare_{table} FROM STDIN") as copy:
                    for block in blocks:
                        copy.write(block)
            seconds += time.perf_counter() - began
            if way == "FROM":
                conn.execute(f"DROP TABLE bare_{table}")
    return seconds


async def _load(channel: grpc.aio.Channel) -> None:
    """Have the index loaded: counts of clauses are never taken from the record."""
    request = segments_pb2.CountSegmentRequest(parent=PARENT, rules=_rules("equality"), with_clauses=True)
    segments: segments_pb2_grpc.SegmentServiceAsyncStub = segments_pb2_grpc.SegmentServiceStub(channel)
    answer = await segments.CountSegment(request, timeout=_HOUR)
    if answer.from_record:
        raise RuntimeError("the index is not loaded")


async def _rebuilt(parts: Servers, service: ServiceProcess, count: int) -> Figure:
    await asyncio.to_thread(_vacuumed, parts.dsn)
    async with calling(service.address) as channel:
        began = time.perf_counter()
        await _load(channel)
        seconds = time.perf_counter() - began
    copied = await asyncio.to_thread(_copied, parts.dsn, "TO")
    return figure(
        "rebuild from the record", count / seconds, "rows/s", bare=count / copied,
        against=f"COPY of the same rows out; all {count:,} took {seconds:.1f} s",
    )  # fmt: skip


def _vacuumed(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for table in ("endpoints", "users"):
            conn.execute(f"VACUUM ANALYZE segments.{table}")


def _change(number: int, count: int, turn: int) -> endpoints_pb2.Endpoint:
    """Return a change of some endpoint, spread over all of them."""
    return endpoints_pb2.Endpoint(
        endpoint_id=f"e{number * 7919 % count + 1}",
        attributes={"plan": endpoints_pb2.StringList(values=[f"plan{turn % 4}"])},
        metrics={"score": float(turn)},
    )


async def _updated(
    channel: grpc.aio.Channel, empty: audience_pb2_grpc.AudienceServiceAsyncStub, count: int
) -> list[Figure]:
    endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub = endpoints_pb2_grpc.EndpointServiceStub(channel)

    async def nothing(_: endpoints_pb2.UpdateEndpointsRequest) -> object:
        return await empty.GetSnapshot(audience_pb2.GetSnapshotRequest(name="x"))

    figures = []
    for words, size, calls, at_once in (
        ("one a call", 1, _SINGLES, 16),
        (f"{BATCH} a call", BATCH, _BATCHES, _AT_ONCE),
    ):
        requests = [
            endpoints_pb2.UpdateEndpointsRequest(
                parent=PARENT, endpoints=[_change(call * size + n, count, call) for n in range(size)]
            )
            for call in range(calls)
        ]
        plain = calls * size / await _seconds(nothing, requests, at_once)
        ours = calls * size / await _seconds(endpoints.UpdateEndpoints, requests, at_once)
        figures.append(
            figure(
                f"UpdateEndpoints, {words}, {at_once} calls at once, index loaded", ours, "rows/s", bare=plain,
                against="as many calls that do nothing",
            )
        )  # fmt: skip
    figures.append(await _streamed(endpoints, empty, count))
    return figures


async def _streamed(
    endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub,
    empty: audience_pb2_grpc.AudienceServiceAsyncStub,
    count: int,
) -> Figure:
    """Write by streams of full messages, as bulk writers do."""

    def stream(number: int) -> list[endpoints_pb2.StreamEndpointsRequest]:
        first = number * _IN_STREAM
        return [
            endpoints_pb2.StreamEndpointsRequest(
                parent=PARENT, endpoints=[_change((first + place) * _STREAMED + n, count, 0) for n in range(_STREAMED)]
            )
            for place in range(_IN_STREAM)
        ]

    streams = [stream(number) for number in range(_AT_ONCE)]
    rows = _AT_ONCE * _IN_STREAM * _STREAMED
    began = time.perf_counter()
    for _ in range(_AT_ONCE * _IN_STREAM):
        await empty.GetSnapshot(audience_pb2.GetSnapshotRequest(name="x"))
    plain = rows / (time.perf_counter() - began)
    began = time.perf_counter()
    await asyncio.gather(*(endpoints.StreamEndpoints(iter(messages)) for messages in streams))
    ours = rows / (time.perf_counter() - began)
    return figure(
        f"StreamEndpoints, {_STREAMED} a message, {_AT_ONCE} streams at once, index loaded", ours, "rows/s", bare=plain,
        against="as many calls that do nothing, one after the other",
    )  # fmt: skip


async def _seconds(
    call: Callable[[endpoints_pb2.UpdateEndpointsRequest], Awaitable[object]],
    requests: Sequence[endpoints_pb2.UpdateEndpointsRequest],
    at_once: int,
) -> float:
    waiting = iter(requests)

    async def work() -> None:
        for request in waiting:
            await call(request)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return time.perf_counter() - began


async def _fresh(
    channel: grpc.aio.Channel,
    second: grpc.aio.Channel,
    empty: audience_pb2_grpc.AudienceServiceAsyncStub,
    count: int,
) -> Figure:
    """Write through one replica and count through the other until the write is counted."""
    endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub = endpoints_pb2_grpc.EndpointServiceStub(channel)
    segments: segments_pb2_grpc.SegmentServiceAsyncStub = segments_pb2_grpc.SegmentServiceStub(second)
    times, plain = [], []
    for turn in range(_FRESH):
        value = f"fresh {turn}"
        changed = _change(turn, count, turn)
        changed.attributes["plan"].values[:] = [value]
        attribute = segments_pb2.AttributeDimension(values=[value])
        rules = segments_pb2.SegmentRules(
            groups=[
                segments_pb2.SegmentGroup(dimensions=[segments_pb2.SegmentDimensions(attributes={"plan": attribute})])
            ]
        )
        began = time.perf_counter()
        await endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=[changed]))
        request = segments_pb2.CountSegmentRequest(parent=PARENT, rules=rules)
        while (await segments.CountSegment(request)).member_count != 1:
            if time.perf_counter() - began > 10:
                raise RuntimeError("a write was not counted within 10 s")
        times.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        for _ in range(2):
            await empty.GetSnapshot(audience_pb2.GetSnapshotRequest(name="x"))
        plain.append(1000 * (time.perf_counter() - began))
    return figure(
        "from a write to a count of it by another replica, p99", percentile(times, 0.99), "ms",
        bare=percentile(plain, 0.99), against="two calls that do nothing", target="1 s",
    )  # fmt: skip


async def _counted_while_writing(channel: grpc.aio.Channel, count: int) -> list[Figure]:
    """Count, and look how long the event loop stands still, before and while others write as fast as they can."""
    endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub = endpoints_pb2_grpc.EndpointServiceStub(channel)
    quiet_counts, quiet_beats = await _watched(channel, _LOADED_SECONDS / 3)
    stopping, written = asyncio.Event(), 0

    async def write() -> None:
        nonlocal written
        for turn in itertools.count():
            if stopping.is_set():
                return
            changes = [_change(turn * BATCH + n, count, turn) for n in range(BATCH)]
            await endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=changes))
            written += len(changes)

    writers = [asyncio.create_task(write()) for _ in range(2)]
    began = time.perf_counter()
    counts, beats = await _watched(channel, _LOADED_SECONDS)
    rate = written / (time.perf_counter() - began)
    stopping.set()
    await asyncio.gather(*writers)
    words = f"while the same process takes {rate:,.0f} updates/s"
    return [
        figure(
            f"count of three groups {words}, p99", percentile(counts, 0.99), "ms",
            bare=percentile(quiet_counts, 0.99), against="the same without updates",
        ),
        figure(
            f"health check {words}, p99", percentile(beats, 0.99), "ms",
            bare=percentile(quiet_beats, 0.99), against="the same without updates: how long the event loop is taken",
        ),
    ]  # fmt: skip


async def _watched(channel: grpc.aio.Channel, seconds: float) -> tuple[list[float], list[float]]:
    """Count and check the health again and again for some seconds; returns both their times, in milliseconds."""
    segments: segments_pb2_grpc.SegmentServiceAsyncStub = segments_pb2_grpc.SegmentServiceStub(channel)
    health = health_pb2_grpc.HealthStub(channel)
    request = segments_pb2.CountSegmentRequest(parent=PARENT, rules=_rules("three groups"))
    end = time.perf_counter() + seconds

    async def repeated(call: Callable[[], Awaitable[object]]) -> list[float]:
        times = []
        while (began := time.perf_counter()) < end:
            await call()
            times.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(0.005)
        return times

    counts, beats = await asyncio.gather(
        repeated(lambda: segments.CountSegment(request)),
        repeated(lambda: health.Check(health_pb2.HealthCheckRequest(service="readiness"))),
    )
    return counts, beats


def _rules(name: str) -> segments_pb2.SegmentRules:
    return write_rules(PROJECT, SEGMENTS[name])
