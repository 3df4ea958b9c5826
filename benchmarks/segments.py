"""Figures of the audience: import, upserts, counts and member pages, through the service's own calls.

Endpoints have three attributes, two metrics and two attributes of their users. 50,000 are imported; the rest of the
200,000 are copies made with one statement, so that the area does not spend its minute on them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import orjson
import psycopg

from benchmarks.figures import Figure, figure, percentile
from benchmarks.parts import Servers, bare, calling, servers, until
from benchmarks.people import FIELDS, PARENT, PROJECT, change_of, write_csv
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

IMPORTED = 50_000
PEOPLE = 4 * IMPORTED
STREAMED = PEOPLE // 2
BATCH = 100
BATCHES = 200
AT_ONCE = 4
PAGE = 1000
_COUNTS = 9

_BARE_COUNT = (
    "SELECT count(*) FROM segments.endpoints WHERE project = %s AND attributes -> 'Plan' ?| %s "
    "AND (metrics ->> 'Score')::double precision >= 500"
)
_BARE_UPSERT = """
INSERT INTO bare_upserts AS b (project, endpoint_key, address, attributes, metrics, demographic, seen_at)
SELECT %(project)s, key, address, attributes, metrics, demographic, now()
FROM unnest(%(keys)s::text[], %(addresses)s::text[], %(attributes)s::jsonb[], %(metrics)s::jsonb[],
    %(demographics)s::jsonb[]) AS n (key, address, attributes, metrics, demographic)
ON CONFLICT (project, endpoint_key) DO UPDATE SET address = excluded.address,
    attributes = b.attributes || excluded.attributes, metrics = b.metrics || excluded.metrics,
    demographic = b.demographic || excluded.demographic, seen_at = excluded.seen_at
"""


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    with servers() as parts:
        imports = parts.folder / "imports"
        imports.mkdir()
        service = parts.service("segments", segments_import_root=imports)
        with service:
            async with calling(service.address) as channel:
                return [
                    await _imported(parts, channel, imports / "people.csv"),
                    await _counted(parts, channel),
                    *await _streamed(channel),
                    await _upserted(parts, channel),
                ]


async def _imported(parts: Servers, channel: grpc.aio.Channel, source: Path) -> Figure:
    await asyncio.to_thread(write_csv, source, IMPORTED)
    jobs: jobs_pb2_grpc.JobServiceAsyncStub = jobs_pb2_grpc.JobServiceStub(channel)
    wanted = jobs_pb2.ImportJob(format=jobs_pb2.ImportJob.FORMAT_CSV, source=source.as_uri())
    began = time.perf_counter()
    job = await jobs.CreateImportJob(jobs_pb2.CreateImportJobRequest(parent=PARENT, import_job=wanted))

    async def over() -> jobs_pb2.ImportJob | None:
        seen = await jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=job.name))
        return seen if seen.HasField("complete_time") else None

    done = await until("the import", over, within=120, every=0.05)
    seconds = time.perf_counter() - began
    if done.created_count != IMPORTED:
        raise RuntimeError(f"{done.created_count} of {IMPORTED} endpoints were imported: {done.failure_message}")
    copied = await asyncio.to_thread(_copy_again, parts.dsn)
    await asyncio.to_thread(_multiply, parts.dsn)
    return figure(
        "import of a CSV file", IMPORTED / seconds, "rows/s", bare=IMPORTED / copied,
        against="COPY of the same rows (endpoints with both keys, users) into empty tables", target="30,000 rows/s",
    )  # fmt: skip


def _copy_again(dsn: str) -> float:
    """Copy what was imported into tables like those it is in; returns the seconds of the copying in."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        rows: dict[str, list[bytes]] = {}
        for table in ("endpoints", "users"):
            conn.execute(f"CREATE TABLE bare_{table} (LIKE segments.{table} INCLUDING ALL)")
            with conn.cursor() as cursor, cursor.copy(f"COPY segments.{table} TO STDOUT") as out:
                rows[table] = [bytes(block) for block in out]
        began = time.perf_counter()
        for start in range(0, IMPORTED, 10_000):
            with conn.transaction():
                for table, lines in rows.items():
                    with conn.cursor() as cursor, cursor.copy(f"COPY bare_{table} FROM STDIN") as copy:
                        copy.write(b"".join(lines[start : start + 10_000]))
        seconds = time.perf_counter() - began
        for table in rows:
            conn.execute(f"DROP TABLE bare_{table}")
    return seconds


def _multiply(dsn: str) -> None:
    """Copy what was imported until there are PEOPLE endpoints; copies belong to the same users."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "CREATE TEMPORARY TABLE copies AS SELECT e.*, turn FROM segments.endpoints e, generate_series(1, %s) turn",
            (PEOPLE // IMPORTED - 1,),
        )
        conn.execute(
            "UPDATE copies SET endpoint_id = 'e' || (ordinal - 1 + turn * %(many)s), "
            "endpoint_key = 'e' || (ordinal - 1 + turn * %(many)s), ordinal = ordinal + turn * %(many)s, "
            # An address belongs to one active endpoint.
            "address = 'person' || (ordinal - 1 + turn * %(many)s) || '@example.com'",
            {"many": IMPORTED},
        )
        conn.execute("ALTER TABLE copies DROP COLUMN turn")
        conn.execute("INSERT INTO segments.endpoints SELECT * FROM copies")
        conn.execute("UPDATE segments.counters SET last_ordinal = %s", (PEOPLE,))
        for table in ("endpoints", "users"):
            conn.execute(f"VACUUM ANALYZE segments.{table}")


async def _counted(parts: Servers, channel: grpc.aio.Channel) -> Figure:
    segments: segments_pb2_grpc.SegmentServiceAsyncStub = segments_pb2_grpc.SegmentServiceStub(channel)
    plans = ["gold", "platinum"]
    attribute = segments_pb2.AttributeDimension(
        operator=segments_pb2.AttributeDimension.OPERATOR_INCLUSIVE, values=plans
    )
    metric = segments_pb2.MetricDimension(
        operator=segments_pb2.MetricDimension.OPERATOR_GREATER_THAN_OR_EQUAL, value=500
    )
    request = segments_pb2.CountSegmentRequest(
        parent=PARENT,
        rules=_rules(segments_pb2.SegmentDimensions(attributes={"Plan": attribute}, metrics={"Score": metric})),
    )
    # Counts of clauses wait for the index. Until it is loaded the record answers, and loading takes half of the machine.
    loaded = await segments.CountSegment(
        segments_pb2.CountSegmentRequest(parent=PARENT, rules=request.rules, with_clauses=True)
    )
    if loaded.from_record:
        raise RuntimeError("the index is not loaded")
    ours, theirs, members = [], [], 0
    async with await psycopg.AsyncConnection.connect(parts.dsn, autocommit=True) as conn:
        for _ in range(_COUNTS):
            began = time.perf_counter()
            members = (await segments.CountSegment(request)).member_count
            ours.append(1000 * (time.perf_counter() - began))
            began = time.perf_counter()
            row = await (await conn.execute(_BARE_COUNT, (PROJECT, plans))).fetchone()
            theirs.append(1000 * (time.perf_counter() - began))
            if row is None or row[0] != members:
                raise RuntimeError(f"the service counts {members}, bare SQL {row}")
    return figure(
        f"count of a segment over {PEOPLE:,} endpoints ({members:,} members), p50", percentile(ours, 0.5), "ms",
        bare=percentile(theirs, 0.5), against="one hand-written SQL count over the same table",
        target="150 ms over 10 M (area audience)",
    )  # fmt: skip


async def _streamed(channel: grpc.aio.Channel) -> list[Figure]:
    segments: segments_pb2_grpc.SegmentServiceAsyncStub = segments_pb2_grpc.SegmentServiceStub(channel)
    email = segments_pb2.SetDimension(operator=segments_pb2.SetDimension.OPERATOR_INCLUSIVE, values=["EMAIL"])
    rules = _rules(segments_pb2.SegmentDimensions(demographic=segments_pb2.DemographicDimensions(channel=email)))
    segment = await segments.CreateSegment(
        segments_pb2.CreateSegmentRequest(
            parent=PARENT, segment=segments_pb2.Segment(display_name="All", rules=rules), request_id="bench"
        )
    )
    audience: audience_pb2_grpc.AudienceServiceAsyncStub = audience_pb2_grpc.AudienceServiceStub(channel)
    snapshot = await audience.FreezeSegment(
        audience_pb2.FreezeSegmentRequest(segment=segment.name, snapshot_id="bench")
    )
    figures = []
    with bare("members", str(STREAMED)) as address:
        async with grpc.aio.insecure_channel(address) as plain:
            other: audience_pb2_grpc.AudienceServiceAsyncStub = audience_pb2_grpc.AudienceServiceStub(plain)
            for words, fields, target in (
                ("ids and addresses", (), "250,000/s"),
                (f"with {len(FIELDS)} fields", FIELDS, "60,000/s"),
            ):
                request = audience_pb2.StreamMembersRequest(
                    snapshot=snapshot.name, after_ordinal=PEOPLE - STREAMED, page_size=PAGE, fields=fields
                )
                await _members(other, request)
                # By turns, and the better of two: what else runs on the machine comes and goes.
                runs = [(await _members(other, request), await _members(audience, request)) for _ in range(2)]
                reached, ours = (max(column) for column in zip(*runs, strict=True))
                figures.append(
                    figure(
                        f"members streamed in pages of {PAGE:,}, {words}", ours, "members/s", bare=reached,
                        against="gRPC stream of the same columns from memory", target=target,
                    )
                )  # fmt: skip
    return figures


async def _members(
    stub: audience_pb2_grpc.AudienceServiceAsyncStub, request: audience_pb2.StreamMembersRequest
) -> float:
    began, members = time.perf_counter(), 0
    async for page in stub.StreamMembers(request, timeout=60):
        # Read as a consumer reads them: the columns are lists only then.
        members += min(len(list(page.endpoint_ids)), len(list(page.addresses)))
    if members != STREAMED:
        raise RuntimeError(f"{members} of {STREAMED} members came")
    return members / (time.perf_counter() - began)


async def _upserted(parts: Servers, channel: grpc.aio.Channel) -> Figure:
    endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub = endpoints_pb2_grpc.EndpointServiceStub(channel)
    chosen = random.Random(1).sample(range(PEOPLE), BATCH * BATCHES)
    groups = [[change_of(n) for n in chosen[start : start + BATCH]] for start in range(0, len(chosen), BATCH)]
    requests = [endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=group) for group in groups]
    waiting = iter(requests)

    async def call() -> None:
        for request in waiting:
            await endpoints.UpdateEndpoints(request)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(AT_ONCE)))
    ours = len(chosen) / (time.perf_counter() - began)
    theirs = await _bare_upserts(parts.dsn, [_arrays(group) for group in groups])
    return figure(
        f"UpdateEndpoints, {BATCH} a call, {AT_ONCE} calls at once", ours, "rows/s", bare=theirs,
        against=f"INSERT ... ON CONFLICT of {BATCH} rows from arrays, {AT_ONCE} connections", target="8,000 rows/s",
    )  # fmt: skip


async def _bare_upserts(dsn: str, groups: Sequence[dict[str, Any]]) -> float:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute(
            "CREATE TABLE bare_upserts AS SELECT project, endpoint_key, address, attributes, metrics, demographic, "
            "last_active_at AS seen_at FROM segments.endpoints"
        )
        await conn.execute("ALTER TABLE bare_upserts ADD PRIMARY KEY (project, endpoint_key)")
        await conn.execute("VACUUM ANALYZE bare_upserts")
    waiting = iter(groups)

    async def work(connected: asyncio.Barrier) -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            await connected.wait()
            for group in waiting:
                await conn.execute(_BARE_UPSERT, group)

    connected = asyncio.Barrier(AT_ONCE + 1)
    tasks = [asyncio.create_task(work(connected)) for _ in range(AT_ONCE)]
    await connected.wait()
    began = time.perf_counter()
    await asyncio.gather(*tasks)
    return BATCH * len(groups) / (time.perf_counter() - began)


def _arrays(group: Sequence[endpoints_pb2.Endpoint]) -> dict[str, Any]:
    def document(value: dict[str, Any]) -> str:
        return orjson.dumps(value).decode()

    return {
        "project": PROJECT,
        "keys": [one.endpoint_id for one in group],
        "addresses": [one.address for one in group],
        "attributes": [document({name: list(held.values) for name, held in one.attributes.items()}) for one in group],
        "metrics": [document(dict(one.metrics)) for one in group],
        "demographics": [
            document({"AppVersion": one.demographic.app_version, "Platform": one.demographic.platform}) for one in group
        ],
    }


def _rules(dimensions: segments_pb2.SegmentDimensions) -> segments_pb2.SegmentRules:
    return segments_pb2.SegmentRules(groups=[segments_pb2.SegmentGroup(dimensions=[dimensions])])
