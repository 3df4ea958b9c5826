"""Who enters and leaves segments in use: announced once each, whatever happens to the workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, timedelta
from random import Random

import pytest

from heliograph_segments.domain.endpoints import EndpointUpdate, endpoint_key
from heliograph_segments.domain.evaluator import matches
from heliograph_segments.domain.segments import (
    BehaviorDimension,
    Combination,
    Dimensions,
    Rules,
    SegmentReference,
)
from heliograph_segments.service.segments import Draft
from heliograph_segments.store import audience_log
from heliograph_segments.store import endpoint_reading as endpoint_store
from heliograph_segments.store import memberships as membership_store
from tests.segments.house import AWAY, GOLD, NOT_GOLD, NOW, PROJECT, RECENT, House, folded, rules


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
