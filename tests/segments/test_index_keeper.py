"""Indexes in the memory of replicas: they follow the record, survive restarts and notice damage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest_asyncio
from sqlalchemy import text

from heliograph_kit.clock import SystemClock
from heliograph_kit.database import Database
from heliograph_segments.domain.endpoints import EndpointUpdate
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    Dimensions,
    Group,
    Recency,
    RecencyDuration,
    Rules,
)
from heliograph_segments.index import files
from heliograph_segments.index.clauses import plan
from heliograph_segments.index.evaluation import Moment
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.index_keeper import IndexKeeper, Verified
from heliograph_segments.service.writing import EndpointWriter, Limits
from heliograph_segments.store import audience_log

PROJECT = "p1"
GOLD = Rules(groups=(Group(dimensions=(
    Dimensions(attributes={"plan": AttributeDimension(AttributeOperator.INCLUSIVE, ("gold",))}),
)),))  # fmt: skip
GOLD_USERS = Rules(groups=(Group(dimensions=(
    Dimensions(user_attributes={"tier": AttributeDimension(AttributeOperator.INCLUSIVE, ("gold",))}),
)),))  # fmt: skip
RECENT = Rules(groups=(Group(dimensions=(Dimensions(recency=Recency(RecencyDuration.HR_24, active=True)),)),))


class Replica:
    """A keeper with what it stands on, like one process of the service."""

    def __init__(self, url: str, folder: Path | None, **options: object) -> None:
        self.database = Database(url, application_name="tests")
        given = {"memory_bytes": 1 << 30, "retention": timedelta(hours=24)} | options
        self.keeper = IndexKeeper(self.database, folder=folder, **given)  # type: ignore[arg-type]
        self.endpoints = Endpoints(self.database, EndpointWriter(SystemClock(), Limits()))

    async def count(self, rules: Rules, now: datetime | None = None) -> int:
        await self.keeper.ready(PROJECT)
        found = await self.keeper.count(PROJECT, plan(rules, {}), Moment(now or datetime.now(UTC)))
        assert found is not None
        return found[0]

    async def write(self, *updates: EndpointUpdate) -> None:
        await self.endpoints.update(PROJECT, updates)

    async def differences(self) -> int:
        found = [await self.keeper.verify(PROJECT, number, repair=False) for number in self.keeper.numbers(PROJECT)]
        assert found
        return sum(each.differences for each in found if each)

    async def save(self) -> None:
        stopping = asyncio.Event()
        stopping.set()
        await self.keeper.run(stopping)

    async def close(self) -> None:
        await self.keeper.close()
        await self.database.close()


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def opened(stack: AsyncExitStack, url: str, folder: Path | None = None, **options: object) -> Replica:
    replica = Replica(url, folder, **options)
    stack.push_async_callback(replica.close)
    return replica


def people(count: int, plan: str = "gold", first: int = 0) -> list[EndpointUpdate]:
    return [
        EndpointUpdate(f"e{n}", "EMAIL", f"p{n}@example.com", {"plan": [plan]}) for n in range(first, first + count)
    ]


async def test_a_write_through_one_replica_is_in_the_next_count_of_another(
    stack: AsyncExitStack, database_of_segments: str
) -> None:
    one, other = opened(stack, database_of_segments), opened(stack, database_of_segments)
    await one.write(*people(5))
    assert await other.count(GOLD) == 5
    await one.write(*people(3, first=5))
    assert await other.count(GOLD) == 8
    await one.write(EndpointUpdate("e0", attributes={"plan": ["silver"]}))
    assert await other.count(GOLD) == 7
    await one.endpoints.delete(PROJECT, "e1")
    assert await other.count(GOLD) == 6
    assert await other.differences() == 0


async def test_a_change_of_a_user_reaches_all_his_endpoints(stack: AsyncExitStack, database_of_segments: str) -> None:
    replica = opened(stack, database_of_segments)
    await replica.write(*[update._replace(user_id="anna") for update in people(3)])
    assert await replica.count(GOLD_USERS) == 0
    await replica.write(EndpointUpdate("e0", user_id="anna", user_attributes={"tier": ["gold"]}))
    assert await replica.count(GOLD_USERS) == 3
    assert await replica.differences() == 0


async def test_a_transaction_that_commits_late_is_not_overlooked(
    stack: AsyncExitStack, database_of_segments: str
) -> None:
    replica = opened(stack, database_of_segments)
    await replica.write(*people(3))
    assert await replica.count(GOLD) == 3
    async with replica.database.engine.connect() as late:
        await late.execute(text("UPDATE segments.endpoints SET attributes = '{}' WHERE endpoint_key = 'e0'"))
        ordinal = (
            await late.execute(text("SELECT ordinal FROM segments.endpoints WHERE endpoint_key = 'e0'"))
        ).scalar()
        assert ordinal is not None
        await audience_log.note(late, PROJECT, [ordinal])
        await replica.write(*people(2, first=3))  # commits earlier with a later transaction
        assert await replica.count(GOLD) == 5
        await late.commit()
    assert await replica.count(GOLD) == 4
    assert await replica.differences() == 0


async def test_a_restart_reads_the_snapshot_and_what_came_after_it(
    stack: AsyncExitStack, database_of_segments: str, tmp_path: Path
) -> None:
    before = opened(stack, database_of_segments, tmp_path)
    await before.write(*people(4))
    assert await before.count(GOLD) == 4
    await before.save()
    assert list((tmp_path / PROJECT).iterdir())
    await before.write(*people(2, first=4))
    # What is only in the snapshot shows that it was read: the record is changed behind the log's back.
    async with before.database.transaction() as conn:
        await conn.execute(text("UPDATE segments.endpoints SET attributes = '{}' WHERE endpoint_key = 'e0'"))
    after = opened(stack, database_of_segments, tmp_path)
    assert await after.count(GOLD) == 6
    assert await after.differences() == 1


async def test_a_damaged_or_old_snapshot_is_built_again(
    stack: AsyncExitStack, database_of_segments: str, tmp_path: Path
) -> None:
    before = opened(stack, database_of_segments, tmp_path)
    await before.write(*people(4))
    assert await before.count(GOLD) == 4
    await before.save()
    [file] = (tmp_path / PROJECT).iterdir()
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        file.write_bytes(damaged)
        assert await opened(stack, database_of_segments, tmp_path).count(GOLD) == 4
    file.write_bytes(whole)
    partition, about = files.read(file)
    day_before = datetime.fromisoformat(str(about["read_at"])) - timedelta(hours=25)
    files.write(partition, file, about | {"read_at": day_before.isoformat()})
    async with before.database.transaction() as conn:
        await conn.execute(text("UPDATE segments.endpoints SET attributes = '{}' WHERE endpoint_key = 'e0'"))
    assert await opened(stack, database_of_segments, tmp_path).count(GOLD) == 3


async def test_the_log_is_kept_for_its_time_and_no_longer(stack: AsyncExitStack, database_of_segments: str) -> None:
    replica = opened(stack, database_of_segments)
    await replica.write(*people(1))
    async with replica.database.transaction() as conn:
        assert await audience_log.prune(conn, timedelta(hours=1)) == 0
        assert await audience_log.prune(conn, timedelta(0)) == 1


async def test_verify_names_what_differs_and_repairs_it(stack: AsyncExitStack, database_of_segments: str) -> None:
    replica = opened(stack, database_of_segments)
    await replica.write(*people(4))
    assert await replica.count(GOLD) == 4
    async with replica.database.transaction() as conn:
        await conn.execute(text("UPDATE segments.endpoints SET attributes = '{}' WHERE endpoint_key < 'e2'"))
    found = await replica.keeper.verify(PROJECT, 0, repair=True)
    assert found is not None
    assert (found.differences, found.repaired, found.endpoints) == (2, True, 4)
    assert any("plan" in words for words in found.examples)
    assert await replica.count(GOLD) == 2
    assert await replica.differences() == 0


async def test_verify_lets_others_write_and_count_meanwhile_and_blames_nobody_for_it(
    stack: AsyncExitStack, database_of_segments: str
) -> None:
    replica, other = opened(stack, database_of_segments), opened(stack, database_of_segments)
    for first in range(0, 3000, 100):
        await replica.write(*people(100, plan=f"plan {first}", first=first))
    assert await replica.count(GOLD) == 0
    async with replica.database.transaction() as conn:
        await conn.execute(text("UPDATE segments.endpoints SET metrics = '{\"m\": 1}' WHERE endpoint_key = 'e2999'"))

    async def verify() -> list[Verified | None]:
        return [await replica.keeper.verify(PROJECT, 0, repair=False) for _ in range(8)]

    verifying = asyncio.create_task(verify())
    written = 0
    while not verifying.done():
        written += 1
        await other.write(
            EndpointUpdate(f"e{written}", attributes={"plan": ["gold"], f"new {written}": ["a", f"b{written}"]})
        )
        assert await replica.count(GOLD) == written
    assert written > 5
    for found in await verifying:
        assert found is not None
        assert (found.differences, found.endpoints) == (1, 3000)
        assert found.examples == ("endpoint 3000: metrics is {}, recorded is {'m': 1.0}",)
    assert await replica.differences() == 1


async def test_projects_leave_the_memory_when_others_need_it(
    stack: AsyncExitStack, database_of_segments: str, tmp_path: Path
) -> None:
    replica = opened(stack, database_of_segments, tmp_path)
    await replica.write(*people(1))
    await replica.endpoints.update("p2", people(1))
    await replica.keeper.ready(PROJECT)
    size = sum(index.nbytes for index in replica.keeper._loaded.values())
    small = opened(stack, database_of_segments, tmp_path, memory_bytes=int(size * 1.5))
    assert await small.keeper.ready(PROJECT)
    assert await small.keeper.ready("p2")
    assert small.keeper.numbers(PROJECT) == []
    assert (tmp_path / PROJECT).exists()
    tiny = opened(stack, database_of_segments, tmp_path, memory_bytes=1)
    assert not await tiny.keeper.ready(PROJECT)
    assert await tiny.keeper.count(PROJECT, plan(GOLD, {}), Moment(datetime.now(UTC))) is None


async def test_time_passes_for_an_index_without_any_write(stack: AsyncExitStack, database_of_segments: str) -> None:
    replica = opened(stack, database_of_segments)
    await replica.write(*people(2))
    now = datetime.now(UTC)
    assert await replica.count(RECENT, now) == 2
    assert await replica.count(RECENT, now + timedelta(hours=25)) == 0
