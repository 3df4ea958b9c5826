"""Fair consumers: a project with little to do never waits behind one with much, or with a slow handler."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_kit.bus import Bus, BusMessage
from heliograph_kit.consumer import CannotEverWork, Delivery, Retry
from heliograph_kit.deliveries import Held
from heliograph_kit.fair import FairConsumer, FairQueue
from heliograph_kit.testing import eventually

SHARE, CONCURRENCY = 2, 4


@pytest.mark.parametrize(("share", "ahead"), [(0, 1), (1, 0)])
def test_bounds_below_one_are_refused(share: int, ahead: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FairQueue(share=share, ahead=ahead)


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 3), st.integers(1, 5))
def test_projects_take_turns_in_their_own_order_and_keep_to_their_share(
    projects: list[str], share: int, ahead: int
) -> None:
    """Everything that is taken comes out once; a project never has more running than its share."""

    async def play() -> None:
        queue: FairQueue[tuple[str, int]] = FairQueue(share=share, ahead=ahead)
        taken = [(p, n) for n, p in enumerate(projects) if await queue.put(p, (p, n))]
        assert all(sum(p == one for p, _ in taken) <= ahead for one in "abc")
        running: collections.Counter[str] = collections.Counter()
        out: list[tuple[str, int]] = []
        while len(out) < len(taken):
            try:
                found = await asyncio.wait_for(queue.take(), 0.001)
            except TimeoutError:
                assert all(running[p] == share for p, _ in queue.waiting())
                slow = max(running, key=lambda p: running[p])
                await queue.done(slow)
                running[slow] -= 1
                continue
            assert found is not None
            running[found[0]] += 1
            assert running[found[0]] <= share
            out.append(found[1])
        assert sorted(out) == sorted(taken)
        for one in "abc":
            assert [n for p, n in out if p == one] == [n for p, n in taken if p == one]
        assert await queue.close() == []
        assert await queue.take() is None
        assert not await queue.put("a", ("a", 0))

    asyncio.run(play())


class Handler:
    """Handles slow projects only when let, the others at once; knows how many of each it had at the same time."""

    def __init__(self, *slow: str) -> None:
        self.slow = slow
        self.go = asyncio.Event()
        self.done: list[tuple[str, bytes]] = []
        self.running: collections.Counter[str] = collections.Counter()
        self.most: collections.Counter[str] = collections.Counter()

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        (delivery,) = deliveries
        project = delivery.project
        self.running[project] += 1
        self.most[project] = max(self.most[project], self.running[project])
        try:
            if project in self.slow:
                await self.go.wait()
            if delivery.payload == b"poison":
                raise CannotEverWork("poison")
            self.done.append((project, delivery.payload))
        finally:
            self.running[project] -= 1

    def of(self, project: str) -> list[bytes]:
        return [payload for one, payload in self.done if one == project]


async def publish_all(bus: Bus, subject: str, count: int) -> None:
    await bus.publish_many([BusMessage(subject, b"%d" % n, f"{subject}-{n}", "test") for n in range(count)])


def consumer(bus: Bus, handler: Handler, *, kind: type[FairConsumer] = FairConsumer, **more: object) -> FairConsumer:
    return kind(
        bus, service="messaging", stream="DISPATCH", durable="fair", subjects=["dispatch.campaign.*"],
        handler=handler, share=SHARE, concurrency=CONCURRENCY, ack_wait=timedelta(seconds=1.5), **more,
    )  # fmt: skip


async def test_a_project_with_one_message_is_served_behind_hundreds_of_a_slow_one(bus: Bus) -> None:
    await bus.ensure_streams()
    handler, stopping = Handler("slow"), asyncio.Event()
    await publish_all(bus, "dispatch.campaign.slow", 300)
    await publish_all(bus, "dispatch.campaign.quick", 3)
    running = asyncio.create_task(consumer(bus, handler).run(stopping))
    await eventually(lambda: len(handler.of("quick")) == 3, within=20)
    assert not handler.of("slow")
    assert handler.most["slow"] == SHARE
    handler.go.set()
    await eventually(lambda: len(handler.of("slow")) == 300, within=60)
    assert len(set(handler.of("slow"))) == 300
    stopping.set()
    await asyncio.wait_for(running, 10)


async def test_what_waits_is_kept_alive_and_handled_once(bus: Bus) -> None:
    """Longer than the broker waits for a word: without one it would hand the message out a second time."""
    await bus.ensure_streams()
    handler, stopping = Handler("slow"), asyncio.Event()
    await publish_all(bus, "dispatch.campaign.slow", SHARE + 3)
    running = asyncio.create_task(consumer(bus, handler).run(stopping))
    await eventually(lambda: handler.running["slow"] == SHARE)
    with pytest.raises(AssertionError):
        await eventually(lambda: handler.done, within=4)
    handler.go.set()
    await eventually(lambda: len(handler.done) == SHARE + 3)
    assert len(set(handler.done)) == SHARE + 3
    stopping.set()
    await asyncio.wait_for(running, 10)


async def test_stopping_finishes_what_is_in_hand_and_gives_the_rest_back_at_once(bus: Bus) -> None:
    await bus.ensure_streams()
    first, stopping = Handler("slow"), asyncio.Event()
    await publish_all(bus, "dispatch.campaign.slow", SHARE + 3)
    running = asyncio.create_task(consumer(bus, first).run(stopping))
    await eventually(lambda: first.running["slow"] == SHARE)
    stopping.set()
    second, later = Handler(), asyncio.Event()
    other = asyncio.create_task(consumer(bus, second).run(later))
    await eventually(lambda: len(second.done) == 3)
    first.go.set()
    await asyncio.wait_for(running, 10)
    assert len(first.done) == SHARE
    assert not set(first.done) & set(second.done)
    later.set()
    await asyncio.wait_for(other, 10)


async def test_a_poison_message_is_given_up_and_one_that_is_not_due_is_delivered_without_end(bus: Bus) -> None:
    await bus.ensure_streams()
    stopping = asyncio.Event()
    tries = 0

    async def handle(deliveries: Sequence[Delivery]) -> None:
        nonlocal tries
        if deliveries[0].payload == b"poison":
            raise CannotEverWork("poison")
        tries += 1
        if tries < 30:
            raise Retry("not yet", timedelta(milliseconds=1))

    await bus.publish("dispatch.campaign.shop", b"poison", id="p", type="t")
    await bus.publish("dispatch.campaign.shop", b"later", id="l", type="t")
    work = FairConsumer(
        bus, service="messaging", stream="DISPATCH", durable="fair", subjects=["dispatch.campaign.*"], handler=handle,
        share=1, concurrency=1, max_attempts=1, counts_crashes=False,
    )  # fmt: skip
    running = asyncio.create_task(work.run(stopping))
    await eventually(lambda: tries == 30, within=20)

    async def settled() -> bool:
        left = (await bus.jetstream.stream_info("DISPATCH")).state.messages
        dead = (await bus.jetstream.stream_info("DEAD")).state.messages
        return (left, dead) == (0, 1)

    await eventually(settled)
    stopping.set()
    await asyncio.wait_for(running, 10)


class Counting(FairConsumer):
    """Counts what it gives back."""

    given_back = 0

    async def _later(self, one: Held, delay: timedelta) -> None:
        self.given_back += 1
        await super()._later(one, delay)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_backlog_does_not_travel_again_and_again(bus: Bus, workers: int) -> None:
    """What is given back is a small part of what is worked off, however long the backlog and however many work on it."""
    await bus.ensure_streams()
    handler, stopping = Handler("busy"), asyncio.Event()
    pace = asyncio.create_task(_let_through(handler, timedelta(milliseconds=10)))
    await publish_all(bus, "dispatch.campaign.busy", 600)
    made = [consumer(bus, handler, kind=Counting) for _ in range(workers)]
    running = [asyncio.create_task(one.run(stopping)) for one in made]
    await eventually(lambda: len(handler.of("busy")) == 600, within=60)
    assert len(set(handler.of("busy"))) == 600
    assert sum(one.given_back for one in made if isinstance(one, Counting)) < 600
    pace.cancel()
    stopping.set()
    await asyncio.wait_for(asyncio.gather(*running), 10)


async def _let_through(handler: Handler, every: timedelta) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        handler.go.set()
        await asyncio.sleep(0)
        handler.go.clear()
