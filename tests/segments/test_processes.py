"""The segments service as real processes: two replicas of it, and one that is killed in the middle of everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import psycopg
import pytest
import pytest_asyncio

from heliograph.segments.v1 import audience_pb2, endpoints_pb2, jobs_pb2, segments_pb2
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.testing import ServiceProcess, eventually
from tests.segments.builders import PARENT, an_endpoint_message, having, lists, rules_message
from tests.segments.conftest import SECRET, Api

PROJECT = PARENT.removeprefix("projects/")
HEADER = "Id,ChannelType,Address,Attributes.plan,Metrics.score,User.UserId,User.UserAttributes.tier\n"
BATCH = 100
WRITERS = 6
# What a call sees of a service that was killed.
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Replica:
    """One process of the service, and stubs for it."""

    def __init__(self, process: ServiceProcess, opened: grpc.aio.Channel) -> None:
        self.process = process
        self.api = Api(opened)

    async def count(self, *dimensions: segments_pb2.SegmentDimensions) -> int:
        """Count by the index; 0 conditions count everybody."""
        rules = rules_message(*dimensions) if dimensions else segments_pb2.SegmentRules()
        request = segments_pb2.CountSegmentRequest(parent=PARENT, rules=rules)
        answer = await self.api.segments.CountSegment(request, timeout=30)
        assert not answer.from_record
        return answer.member_count

    async def load(self) -> None:
        """Have the index of the project loaded: counts of clauses are never taken from the record."""
        request = segments_pb2.CountSegmentRequest(parent=PARENT, rules=rules_message(having("plan", "x")))
        request.with_clauses = True
        await self.api.segments.CountSegment(request, timeout=60, wait_for_ready=True)

    async def verified(self) -> tuple[int, int, list[str]]:
        """Compare index and record; returns endpoints, differences and words for some of them."""
        request = audience_pb2.VerifyAudienceRequest(project=PARENT)

        async def compared() -> list[audience_pb2.VerifiedPartition]:
            stream = self.api.audience.VerifyAudience(request, timeout=120, wait_for_ready=True)
            parts = [part async for part in stream]
            # What was written a moment ago is left out of a comparison; later it is in.
            assert all(part.loaded and not part.skipped_count for part in parts)
            return parts

        parts = await eventually(compared, 60)
        words = [word for part in parts for word in part.differences]
        return sum(part.endpoint_count for part in parts), sum(part.difference_count for part in parts), words


Start = Callable[..., Replica]


@pytest_asyncio.fixture
async def start(database_of_segments: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Start replicas on one database; all of them end with the test."""
    async with AsyncExitStack() as stack:

        def start(name: str, role: str = "all", **settings: object) -> Replica:
            process = ServiceProcess(
                "heliograph_segments.main",
                service="segments",
                directory=tmp_path / name,
                environment={
                    "HELIOGRAPH_DATABASE_URL": database_of_segments,
                    "HELIOGRAPH_NATS_URL": nats_url,
                    "HELIOGRAPH_INTERNAL_SECRET": SECRET,
                    "HELIOGRAPH_SEGMENTS_IMPORT_ROOT": str(tmp_path),
                    "HELIOGRAPH_SEGMENTS_INDEX_FOLDER": str(tmp_path / name),
                    "HELIOGRAPH_SEGMENTS_INDEX_SAVE_SECONDS": "1",
                    "HELIOGRAPH_SEGMENTS_IMPORT_LEASE_SECONDS": "0.5",
                    "HELIOGRAPH_SEGMENTS_IMPORT_POLL_SECONDS": "0.05",
                    **{f"HELIOGRAPH_SEGMENTS_{field.upper()}": str(value) for field, value in settings.items()},
                },
                arguments=["--role", role],
            )
            stack.callback(process.kill)
            opened = channel(process.address, tokens=InternalTokens(SECRET), caller="tests")
            stack.push_async_callback(opened.close, None)
            process.start().ready()
            return Replica(process, opened)

        yield start


async def test_a_write_through_one_process_is_counted_by_the_other_within_a_second(start: Start) -> None:
    one, other = start("one"), start("other")
    await asyncio.gather(one.load(), other.load())
    longest = 0.0

    async def counted(by: Replica, expected: int, *dimensions: segments_pb2.SegmentDimensions) -> None:
        nonlocal longest
        began = time.perf_counter()
        await eventually(lambda: _is(by, expected, *dimensions), 5, 0.01)
        longest = max(longest, time.perf_counter() - began)

    gold, silver = having("plan", "gold"), having("plan", "silver")
    for turn in range(10):
        writer, reader = (one, other) if turn % 2 else (other, one)
        await write(writer, [f"e{turn * BATCH + n}" for n in range(BATCH)], "gold")
        await counted(reader, (turn + 1) * BATCH, gold)
    await write(one, [f"e{n}" for n in range(30)], "silver")
    await counted(other, 970, gold)
    await counted(other, 30, silver)
    for n in range(10):
        await one.api.endpoints.DeleteEndpoint(endpoints_pb2.DeleteEndpointRequest(name=f"{PARENT}/endpoints/e{n}"))
    await counted(other, 20, silver)
    assert longest < 1, f"{longest:.3f} s"
    assert [await replica.verified() for replica in (one, other)] == [(990, 0, [])] * 2


async def _is(replica: Replica, expected: int, *dimensions: segments_pb2.SegmentDimensions) -> bool:
    return await replica.count(*dimensions) == expected


async def write(replica: Replica, names: list[str], plan: str) -> None:
    endpoints = [an_endpoint_message(name, attributes=lists(plan=[plan])) for name in names]
    request = endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints)
    await replica.api.endpoints.UpdateEndpoints(request, timeout=30)


class Writer:
    """Updates endpoints in batches of 100 until told to stop; a batch that was not answered is written again.

    One half of each batch are endpoints that the import writes as well, the other half are his own; each batch has a
    number of its own, so that what was written last can be told.
    """

    def __init__(self, number: int, replica: Replica, imported: int) -> None:
        self._own = f"w{number}-"
        self._shared = range(number, imported, WRITERS)
        self._replica = replica
        self.last: dict[str, float] = {}
        self.calling = False

    async def run(self, stopping: asyncio.Event) -> None:
        turn = 0
        while not stopping.is_set():
            turn += 1
            begin = turn * (BATCH // 2)
            names = [f"e{self._shared[(begin + n) % len(self._shared)]}" for n in range(BATCH // 2)]
            names += [f"{self._own}{(begin + n) % 5000}" for n in range(BATCH // 2)]
            endpoints = [endpoints_pb2.Endpoint(endpoint_id=name, metrics={"touched": turn}) for name in names]
            request = endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints)
            self.calling = True
            while self.calling:
                try:
                    await self._replica.api.endpoints.UpdateEndpoints(request, timeout=20, wait_for_ready=True)
                    self.calling = False
                except grpc.aio.AioRpcError as error:
                    if error.code() not in _AWAY:
                        raise
                    await asyncio.sleep(0.05)
            self.last |= dict.fromkeys(names, float(turn))
            # Not as fast as possible: the import shall have its share of the machine.
            await asyncio.sleep(0.005)


async def count_all_the_time(replica: Replica, stopping: asyncio.Event) -> None:
    """Keep the index of a replica loaded and in use, also behind its restarts."""
    while not stopping.is_set():
        try:
            await replica.load()
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AWAY:
                raise
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("rows", "piece_bytes"),
    [
        pytest.param(10_000, 4096, id="10,000 rows"),
        pytest.param(200_000, 262_144, marks=[pytest.mark.long, pytest.mark.timeout(900)], id="200,000 rows"),
    ],
)
async def test_a_service_killed_while_it_imports_and_writes_loses_and_doubles_nothing(
    start: Start, database_of_segments: str, tmp_path: Path, rows: int, piece_bytes: int
) -> None:
    lines = [f"e{n},EMAIL,p{n}@example.com,plan-{n % 7},{n},u{n // 4},{n // 4 % 3}\n" for n in range(rows)]
    (tmp_path / "people.csv").write_text(HEADER + "".join(lines))
    killed, witness = start("killed", import_piece_bytes=piece_bytes), start("witness", role="api")
    await asyncio.gather(killed.load(), witness.load())
    job = jobs_pb2.ImportJob(format=jobs_pb2.ImportJob.FORMAT_CSV, source="file:people.csv")
    name = (await witness.api.jobs.CreateImportJob(jobs_pb2.CreateImportJobRequest(parent=PARENT, import_job=job))).name

    async def progress() -> jobs_pb2.ImportJob:
        return await witness.api.jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=name))

    stopping, interrupted = asyncio.Event(), 0
    writers = [Writer(number, killed, rows) for number in range(WRITERS)]
    async with asyncio.TaskGroup() as tasks:
        for writer in writers:
            tasks.create_task(writer.run(stopping))
        tasks.create_task(count_all_the_time(killed, stopping))
        for share in (0.1, 0.4, 0.7):

            async def far_enough(share: float = share) -> bool:
                seen = await progress()
                if seen.HasField("complete_time"):
                    pytest.fail("the import was over before its service could be killed")
                return seen.done_bytes > share * seen.size_bytes > 0

            await eventually(far_enough, 240, 0.01)
            interrupted += sum(writer.calling for writer in writers)
            killed.process.kill()
            killed.process.start()

        async def over() -> jobs_pb2.ImportJob | None:
            seen = await progress()
            return seen if seen.HasField("complete_time") else None

        done = await eventually(over, 300, 0.05)
        await killed.load()
        stopping.set()
    assert done is not None
    assert (done.state, done.processed_count, done.failed_count) == (jobs_pb2.ImportJob.STATE_COMPLETED, rows, 0)
    touched = {name: turn for writer in writers for name, turn in writer.last.items()}
    total = rows + sum(not name.startswith("e") for name in touched)
    assert interrupted > 0
    assert held(database_of_segments, rows) == (total, total, rows, touched)
    for replica in (killed, witness):
        assert await replica.verified() == (total, 0, [])
        assert await replica.count() == total
    # From the snapshot on disk and the log, once more.
    killed.process.restart()
    assert await killed.verified() == (total, 0, [])


def held(url: str, rows: int) -> tuple[int, int, int, dict[str, float]]:
    """Return of the record: its endpoints, its ordinals, the whole rows of the file, and who was touched how last."""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as conn:
        [endpoints, ordinals] = conn.execute(
            "SELECT count(*), count(DISTINCT ordinal) FROM segments.endpoints WHERE project = %s", [PROJECT]
        ).fetchall()[0]
        [[whole]] = conn.execute(
            "SELECT count(*) FROM generate_series(0, %(rows)s - 1) n "
            "JOIN segments.endpoints e ON e.project = %(project)s AND e.endpoint_key = 'e' || n "
            "JOIN segments.users u ON u.project = e.project AND u.user_id = e.user_id "
            "WHERE e.address = 'p' || n || '@example.com' AND e.channel = 'EMAIL' AND e.user_id = 'u' || n / 4 "
            "AND e.attributes = jsonb_build_object('plan', jsonb_build_array('plan-' || n %% 7)) "
            "AND CAST(e.metrics -> 'score' AS double precision) = n "
            "AND u.attributes = jsonb_build_object('tier', jsonb_build_array(CAST(n / 4 %% 3 AS text)))",
            {"rows": rows, "project": PROJECT},
        ).fetchall()
        touched = conn.execute(
            "SELECT endpoint_key, CAST(metrics -> 'touched' AS double precision) FROM segments.endpoints "
            "WHERE project = %s AND metrics ? 'touched'",
            [PROJECT],
        ).fetchall()
    return endpoints, ordinals, whole, dict(touched)
