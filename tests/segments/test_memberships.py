"""Who enters and leaves segments in use: announced once each, whatever happens to the workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from pyroaring import BitMap
from sqlalchemy import text

from heliograph.segments.v1 import events_pb2
from heliograph_kit.clock import ManualClock, SystemClock
from heliograph_kit.database import Database
from heliograph_kit.errors import Unavailable
from heliograph_kit.outbox import Outbox
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_segments.domain.endpoints import EndpointUpdate, endpoint_key
from heliograph_segments.domain.evaluator import matches
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    Combination,
    Dimensions,
    Group,
    Recency,
    RecencyDuration,
    Rules,
    SegmentReference,
)
from heliograph_segments.domain.uses import Use, UseKind
from heliograph_segments.service import memberships
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.index_keeper import IndexKeeper
from heliograph_segments.service.listings import Listings
from heliograph_segments.service.memberships import MembershipWorker, Rhythm
from heliograph_segments.service.reading import Reader
from heliograph_segments.service.segments import Draft, Segments
from heliograph_segments.service.writing import EndpointWriter, Limits
from heliograph_segments.store import audience_log, uses
from heliograph_segments.store import endpoint_reading as endpoint_store
from heliograph_segments.store import memberships as membership_store
from heliograph_segments.store.requests import Request
from heliograph_segments.tables import mail
from tests.segments.conftest import SECRET

PROJECT = "p1"
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
GOLD = Dimensions(attributes={"plan": AttributeDimension(AttributeOperator.INCLUSIVE, ("gold",))})
NOT_GOLD = Dimensions(attributes={"plan": AttributeDimension(AttributeOperator.EXCLUSIVE, ("gold",))})
RECENT = Dimensions(recency=Recency(RecencyDuration.HR_24, active=True))
AWAY = Dimensions(recency=Recency(RecencyDuration.DAY_7, active=False))


def rules(*dimensions: Dimensions, type: Combination = Combination.ALL, sources: tuple[str, ...] = ()) -> Rules:
    return Rules(groups=(Group(tuple(map(SegmentReference, sources)), dimensions=dimensions, type=type),))


class House:
    """A worker with what it stands on, and a look at what it announced."""

    def __init__(self, url: str, clock: ManualClock | None = None, memory: int = 1 << 30, **given: timedelta) -> None:
        self.clock = clock or ManualClock(NOW)
        self.database = Database(url, application_name="tests")
        self.keeper = IndexKeeper(self.database, folder=None, memory_bytes=memory, retention=timedelta(hours=24))
        self.listed: set[int] = set()
        self.away: Callable[..., Awaitable[None]] | None = None
        self.reader = Reader(self.database, self.keeper, Listings(behaviors=self._behaviors))
        outbox = Outbox(mail, clock=self.clock)
        zero = timedelta(0)
        rhythm = Rhythm(**{"changes": zero, "time": zero, "lease": zero, "retention": timedelta(hours=24)} | given)
        self.worker = MembershipWorker(self.database, outbox, self.clock, self.reader, rhythm)
        self.endpoints = Endpoints(self.database, EndpointWriter(self.clock, Limits()))
        self.segments = Segments(self.database, outbox, self.clock, self.reader)
        self.revision = 0

    async def _behaviors(self, project: str, asked: Any, now: datetime) -> Any:
        if self.away:
            await self.away()
        return {each: BitMap(self.listed) for each in asked}

    async def segment(self, given: Rules) -> str:
        draft = Draft("People", given, {})
        return (await self.segments.create(PROJECT, draft, Request("CreateSegment", "", ""))).segment_id

    async def use(self, *segment_ids: str, state: str = "SCHEDULED") -> None:
        """Let one campaign name these segments and no others."""
        self.revision += 1
        async with self.database.transaction() as conn:
            await uses.put(conn, Use(PROJECT, UseKind.CAMPAIGN, "c1", self.revision, state, segment_ids))

    async def write(self, endpoint_id: str, plan: str = "gold", **given: Any) -> None:
        update = EndpointUpdate(endpoint_id, "EMAIL", f"{endpoint_id}@example.com", {"plan": [plan]}, **given)
        await self.endpoints.update(PROJECT, [update])

    async def look(self) -> None:
        await self.worker.look(PROJECT)

    async def announced(self, segment_id: str) -> list[events_pb2.MembershipChanged]:
        """Return everything announced of a segment, the earlier first."""
        statement = "SELECT payload FROM segments.outbox WHERE type LIKE '%MembershipChanged'"
        async with self.database.transaction() as conn:
            payloads = (await conn.execute(text(statement))).scalars().all()
        found = [events_pb2.MembershipChanged.FromString(bytes(payload)) for payload in payloads]
        mine = [each for each in found if each.segment.endswith(segment_id)]
        return sorted(mine, key=lambda each: each.sequence)

    async def changes(self, segment_id: str) -> list[tuple[list[str], list[str]]]:
        return [(list(m.entered_endpoint_ids), list(m.left_endpoint_ids)) for m in await self.announced(segment_id)]

    async def close(self) -> None:
        await self.keeper.close()
        await self.database.close()


@pytest_asyncio.fixture
async def house(database_of_segments: str) -> AsyncIterator[House]:
    house = House(database_of_segments)
    yield house
    await house.close()


def folded(told: list[events_pb2.MembershipChanged], members: set[str]) -> set[str]:
    """Apply announcements; each must tell something new: who enters was outside, who leaves was inside."""
    for each in told:
        entered, left = set(each.entered_endpoint_ids), set(each.left_endpoint_ids)
        assert len(entered) + len(left) == len(each.entered_endpoint_ids) + len(each.left_endpoint_ids) <= 1000
        assert not entered & members
        assert left <= members
        members = (members | entered) - left
    return members


async def test_the_first_look_announces_nothing_and_the_next_the_difference(house: House) -> None:
    gold = await house.segment(rules(GOLD))
    await house.write("e1")
    await house.write("e2", "silver")
    await house.use(gold)
    await house.look()
    assert await house.changes(gold) == []
    await house.write("e2")
    await house.write("e3")
    await house.write("e1", "silver")
    await house.look()
    assert await house.changes(gold) == [(["e2", "e3"], ["e1"])]
    await house.look()
    [told] = await house.announced(gold)
    assert (told.segment, told.version) == (f"projects/{PROJECT}/segments/{gold}", 1)
    assert told.as_of_time.ToDatetime(UTC) == NOW


async def test_what_came_and_went_between_two_looks_is_not_announced(house: House) -> None:
    gold = await house.segment(rules(GOLD))
    await house.use(gold)
    await house.look()
    await house.write("e1")
    await house.write("e1", "silver")
    await house.write("e2")
    await house.endpoints.delete(PROJECT, "e2")
    await house.look()
    assert await house.changes(gold) == []


async def test_a_deleted_endpoint_leaves_under_the_id_it_was_written_with(house: House) -> None:
    gold = await house.segment(rules(GOLD))
    await house.write("Device/ONE")
    await house.use(gold)
    await house.look()
    await house.endpoints.delete(PROJECT, "device/one")
    async with house.database.transaction() as conn:
        # As long as its leaving is not announced its name is kept.
        assert await membership_store.forget_deleted(conn, timedelta(0)) == 0
    await house.look()
    assert await house.changes(gold) == [([], ["Device/ONE"])]
    async with house.database.transaction() as conn:
        assert await membership_store.forget_deleted(conn, timedelta(hours=1)) == 0
        assert await membership_store.forget_deleted(conn, timedelta(0)) == 1


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["by the index", "by the record"])
async def test_time_alone_lets_endpoints_enter_and_leave_at_the_edge_of_a_window(
    database_of_segments: str, memory: int
) -> None:
    house = House(database_of_segments, memory=memory)
    recent, away = await house.segment(rules(RECENT)), await house.segment(rules(AWAY))
    await house.write("e1")
    await house.use(recent, away)
    if memory:
        assert await house.keeper.ready(PROJECT)
    await house.look()
    house.clock.advance(timedelta(hours=24))
    await house.look()
    assert await house.changes(recent) == []  # exactly that long ago still counts
    house.clock.advance(timedelta(microseconds=1))
    await house.look()
    assert await house.changes(recent) == [([], ["e1"])]
    assert await house.changes(away) == []
    house.clock.advance(timedelta(days=6))
    await house.look()
    assert await house.changes(away) == [(["e1"], [])]
    await house.write("e1")
    await house.look()
    assert await house.changes(recent) == [([], ["e1"]), (["e1"], [])]
    assert await house.changes(away) == [(["e1"], []), ([], ["e1"])]
    await house.close()


async def test_a_look_at_changes_does_not_forget_who_is_still_to_be_moved_by_time(database_of_segments: str) -> None:
    house = House(database_of_segments, time=timedelta(hours=1))
    recent = await house.segment(rules(RECENT))
    await house.write("e1")
    await house.use(recent)
    await house.look()
    house.clock.advance(timedelta(hours=23, minutes=50))
    await house.look()
    house.clock.advance(timedelta(minutes=20))
    await house.write("e2")
    await house.look()
    assert await house.changes(recent) == [(["e2"], [])]
    house.clock.advance(timedelta(minutes=40))
    await house.look()
    assert await house.changes(recent) == [(["e2"], []), ([], ["e1"])]
    await house.close()


async def test_a_new_version_also_of_a_source_announces_its_difference(house: House) -> None:
    base = await house.segment(rules(GOLD))
    outer = await house.segment(rules(sources=(base,)))
    await house.write("e1")
    await house.write("e2", "silver")
    await house.use(outer)
    await house.look()
    await house.segments.update(PROJECT, base, Draft("", rules(NOT_GOLD), {}), {"rules"}, 0)
    await house.look()
    assert await house.changes(base) == [(["e2"], ["e1"])]
    assert await house.changes(outer) == [(["e2"], ["e1"])]
    assert [told.version for told in await house.announced(base)] == [2]
    assert [told.version for told in await house.announced(outer)] == [1]


async def test_only_segments_in_use_are_followed(house: House) -> None:
    gold, other = await house.segment(rules(GOLD)), await house.segment(rules(NOT_GOLD))
    await house.use(gold)
    await house.look()
    await house.write("e1")
    await house.look()
    assert await house.changes(other) == []
    await house.use(gold, state="COMPLETED")
    await house.look()
    await house.write("e2")
    await house.look()
    await house.use(gold, other)
    await house.look()
    await house.write("e3")
    await house.look()
    # In use again: noted anew, e2 was never announced, and the numbers still grow.
    assert await house.changes(gold) == [(["e1"], []), (["e3"], [])]
    sequences = [told.sequence for told in await house.announced(gold)]
    assert sequences == sorted(set(sequences))
    await house.segments.delete(PROJECT, gold)
    await house.look()
    async with house.database.transaction() as conn:
        assert await membership_store.listed(conn, PROJECT) == {other}


async def test_a_list_that_is_kept_elsewhere_is_asked_again_as_time_passes(house: House) -> None:
    buyers = await house.segment(rules(Dimensions(behaviors=(BehaviorDimension("purchase"),))))
    await house.write("e1")
    await house.use(buyers)
    await house.look()
    house.listed = {1}
    await house.look()
    assert await house.changes(buyers) == [(["e1"], [])]


async def test_what_the_log_does_not_hold_any_more_is_found_by_looking_at_everybody(
    database_of_segments: str,
) -> None:
    house = House(database_of_segments, memory=0, retention=timedelta(0))
    gold = await house.segment(rules(GOLD))
    await house.use(gold)
    await house.look()
    await house.write("e1")
    async with house.database.transaction() as conn:
        assert await audience_log.prune(conn, timedelta(0)) == 1
    await house.look()
    assert await house.changes(gold) == [(["e1"], [])]
    await house.close()


@pytest.mark.parametrize(("count", "messages"), [(1000, 1), (1001, 2)])
async def test_a_message_names_at_most_a_thousand(house: House, count: int, messages: int) -> None:
    everybody = await house.segment(Rules())
    await house.use(everybody)
    await house.look()
    for start in range(0, count, 100):
        some = [EndpointUpdate(f"e{n}", "EMAIL", f"{n}@example.com") for n in range(start, min(start + 100, count))]
        await house.endpoints.update(PROJECT, some)
    await house.look()
    told = await house.announced(everybody)
    assert len(told) == messages
    assert folded(told, set()) == {f"e{n}" for n in range(count)}


async def test_a_crash_between_the_pieces_of_a_large_change_loses_and_doubles_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = await house.segment(Rules())
    await house.use(everybody)
    await house.look()
    await house.endpoints.update(PROJECT, [EndpointUpdate(f"e{n}", "EMAIL", f"{n}@example.com") for n in range(10)])
    monkeypatch.setattr(memberships, "_PIECE", 3)
    pieces = 0
    kept = membership_store.store

    async def dying(*given: Any) -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 3:
            raise ConnectionError("killed")
        await kept(*given)

    monkeypatch.setattr(membership_store, "store", dying)
    with pytest.raises(ConnectionError):
        await house.look()
    assert len(folded(await house.announced(everybody), set())) == 6
    await house.look()
    assert folded(await house.announced(everybody), set()) == {f"e{n}" for n in range(10)}


async def test_a_worker_whose_lease_ran_out_announces_nothing(
    database_of_segments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = House(database_of_segments), House(database_of_segments)
    gold = await slow.segment(rules(GOLD))
    await slow.use(gold)
    await slow.look()
    await slow.write("e1")
    evaluate = slow.reader.members

    async def overtaken(*given: Any) -> Any:
        found = await evaluate(*given)
        await fast.look()
        await fast.write("e2")
        await fast.look()
        return found

    monkeypatch.setattr(slow.reader, "members", overtaken)
    await slow.look()
    assert await slow.changes(gold) == [(["e1"], []), (["e2"], [])]
    await slow.close()
    await fast.close()


async def test_a_segment_that_somebody_looks_at_is_left_alone(database_of_segments: str) -> None:
    house = House(database_of_segments, lease=timedelta(seconds=30))
    gold = await house.segment(rules(GOLD))
    await house.use(gold)
    await house.look()
    async with house.database.transaction() as conn:
        [taken] = await membership_store.lease(conn, PROJECT, 10, timedelta(seconds=30), timedelta(0))
    await house.write("e1")
    await house.look()
    assert await house.changes(gold) == []
    async with house.database.transaction() as conn:
        await membership_store.release(conn, [taken])
    await house.look()
    assert await house.changes(gold) == [(["e1"], [])]
    await house.close()


async def test_a_segment_that_cannot_be_evaluated_keeps_no_other_waiting(house: House) -> None:
    gold = await house.segment(rules(GOLD))
    buyers = await house.segment(rules(Dimensions(behaviors=(BehaviorDimension("purchase"),))))
    base = await house.segment(rules(GOLD))
    outer = await house.segment(rules(sources=(base,)))
    await house.use(gold, buyers, outer)
    await house.look()

    async def away(*_: object) -> Any:
        raise Unavailable("analytics does not answer")

    behaviors, house.away = house.away, away
    await house.segments.delete(PROJECT, base)
    await house.write("e1")
    house.listed = {1}
    await house.look()
    assert await house.changes(gold) == [(["e1"], [])]
    assert await house.changes(buyers) == await house.changes(outer) == []
    house.away = behaviors
    await house.look()
    assert await house.changes(buyers) == [(["e1"], [])]


async def test_a_worker_looks_at_all_segments_in_use_in_each_round(
    database_of_segments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = timedelta(minutes=1)
    house = House(database_of_segments, changes=minute, lease=minute)
    await house.use(*[await house.segment(rules(GOLD)) for _ in range(5)])
    monkeypatch.setattr(memberships, "_AT_ONCE", 2)
    stopping = asyncio.Event()
    running = asyncio.create_task(house.worker.run(stopping))

    async def all_known() -> bool:
        async with house.database.transaction() as conn:
            statement = "SELECT count(*) FROM segments.memberships WHERE members IS NOT NULL AND lease_until IS NULL"
            return int((await conn.execute(text(statement))).scalar_one()) == 5

    await eventually(all_known)
    stopping.set()
    await running
    await house.close()


CASES = int(os.environ.get("HELIOGRAPH_TEST_CASES", "1500")) // 50
SEGMENTS = (
    rules(GOLD),
    rules(RECENT, NOT_GOLD),
    rules(AWAY, GOLD, type=Combination.ANY),
    rules(RECENT, AWAY, type=Combination.NONE),
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all cases: connections of the pool live in it."""
    with asyncio.Runner() as runner:
        yield runner


async def _random_days(url: str, seed: int, *, memory: int) -> None:
    """Random writes, deletes, time and versions; after each look the announcements lead to the evaluator's answer."""
    chance = Random(seed)
    house = House(url, memory=memory)
    try:
        ids = [await house.segment(each) for each in SEGMENTS]
        ids.append(await house.segment(rules(RECENT, sources=(ids[2],))))
        current = dict(zip(ids, [*SEGMENTS, rules(RECENT, sources=(ids[2],))], strict=True))
        for number in range(4):
            await house.write(f"e{number}", chance.choice(["gold", "silver"]))
        await house.use(*ids)
        await house.look()
        members = {each: await _reference(house, current, each) for each in ids}
        for _ in range(CASES):
            for _ in range(chance.randrange(4)):
                endpoint_id = f"e{chance.randrange(8)}"
                async with house.database.transaction() as conn:
                    there = await endpoint_store.read_by_key(conn, PROJECT, [endpoint_key(endpoint_id)])
                if there and chance.random() < 0.3:
                    await house.endpoints.delete(PROJECT, endpoint_id)
                else:
                    await house.write(endpoint_id, chance.choice(["gold", "silver"]))
            house.clock.advance(timedelta(hours=chance.choice([0, 1, 23, 24, 100, 168])))
            if chance.random() < 0.1:
                changed = chance.choice(ids[:4])
                current[changed] = chance.choice(SEGMENTS)
                await house.segments.update(PROJECT, changed, Draft("", current[changed], {}), {"rules"}, 0)
            before = {each: len(await house.announced(each)) for each in ids}
            await house.look()
            for each in ids:
                told = (await house.announced(each))[before[each] :]
                members[each] = folded(told, members[each])
                assert members[each] == await _reference(house, current, each)
    finally:
        await house.close()


async def _reference(house: House, current: dict[str, Rules], segment_id: str) -> set[str]:
    async with house.database.transaction() as conn:
        stored = await endpoint_store.read_by_key(conn, PROJECT, [f"e{number}" for number in range(8)])
    library = {SegmentReference(each): given for each, given in current.items()}
    return {each.endpoint_id for each in stored if matches(current[segment_id], each, house.clock.now(), library)}


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["by the index", "by the record"])
@pytest.mark.parametrize("seed", range(3))
def test_announcements_lead_from_one_true_membership_to_the_next(
    database_of_segments: str, runner: asyncio.Runner, seed: int, memory: int
) -> None:
    runner.run(_random_days(database_of_segments, seed, memory=memory))


async def test_a_worker_killed_again_and_again_loses_and_doubles_nothing(
    database_of_segments: str, nats_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        house = House(database_of_segments)
        stack.push_async_callback(house.close)
        house.endpoints = Endpoints(house.database, EndpointWriter(SystemClock(), Limits()))
        gold = await house.segment(rules(GOLD))
        await house.use(gold)
        await house.look()
        worker = ServiceProcess(
            "heliograph_segments.main",
            service="segments",
            directory=tmp_path / "worker",
            environment={
                "HELIOGRAPH_DATABASE_URL": database_of_segments,
                "HELIOGRAPH_NATS_URL": nats_url,
                "HELIOGRAPH_INTERNAL_SECRET": SECRET,
                "HELIOGRAPH_SEGMENTS_MEMBERSHIP_CHANGE_SECONDS": "0.05",
                "HELIOGRAPH_SEGMENTS_MEMBERSHIP_TIME_SECONDS": "0.1",
                "HELIOGRAPH_SEGMENTS_MEMBERSHIP_LEASE_SECONDS": "0.2",
            },
            arguments=["--role", "worker"],
        )
        stack.callback(worker.kill)
        members: set[str] = set()
        written = 0

        async def write(until: asyncio.Event) -> None:
            nonlocal written
            chance = Random(1)
            while not until.is_set():
                endpoint_id = f"e{chance.randrange(300)}"
                if endpoint_id in members and chance.random() < 0.3:
                    await house.endpoints.delete(PROJECT, endpoint_id)
                    members.discard(endpoint_id)
                else:
                    plan = chance.choice(["gold", "silver"])
                    await house.write(endpoint_id, plan)
                    (members.add if plan == "gold" else members.discard)(endpoint_id)
                written += 1

        enough = asyncio.Event()
        writing = asyncio.create_task(write(enough))
        for _ in range(4):
            before = len(await house.announced(gold))
            await asyncio.to_thread(lambda: worker.start().ready())

            async def going_on(before: int = before) -> bool:
                return len(await house.announced(gold)) >= before + 3

            await eventually(going_on)
            worker.kill()
        enough.set()
        await writing
        await asyncio.to_thread(lambda: worker.start().ready())

        async def all_told() -> bool:
            return folded(await house.announced(gold), set()) == members

        await eventually(all_told)
        assert written > 50


async def test_who_is_deleted_and_written_again_between_two_looks_has_not_left(house: House) -> None:
    gold = await house.segment(rules(GOLD))
    await house.write("e1")
    await house.use(gold)
    await house.look()
    await house.endpoints.delete(PROJECT, "e1")
    await house.write("E1")
    await house.look()
    assert await house.changes(gold) == []
    await house.endpoints.delete(PROJECT, "e1")
    await house.look()
    assert await house.changes(gold) == [([], ["E1"])]
