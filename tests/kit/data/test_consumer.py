import asyncio
import itertools
from datetime import UTC, timedelta

import nats.js.errors
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from heliograph_kit.bus import Bus
from heliograph_kit.clock import ManualClock
from heliograph_kit.consumer import CannotEverWork, Consumer, Delivery, Retry
from heliograph_kit.deadletters import DeadLetters
from heliograph_kit.embedded import EmbeddedNats
from heliograph_kit.errors import Unavailable
from heliograph_kit.testing import eventually
from tests.kit.data.building import Recorder, a_consumer, at_work, pending, publish


async def test_a_delivery_shows_what_was_published(bus: Bus, clock: ManualClock) -> None:
    seen = Recorder()
    sent = clock.now()
    await bus.publish("dispatch.campaign.shop", b"hi", id="m1", type="test.Letter", time=sent, headers={"x-y": "z"})
    async with at_work(a_consumer(bus, seen).run):
        await eventually(lambda: seen.done)
    [delivery] = seen.done
    assert (delivery.id, delivery.type, delivery.project, delivery.attempt) == ("m1", "test.Letter", "shop", 1)
    assert (delivery.subject, delivery.payload) == ("dispatch.campaign.shop", b"hi")
    assert delivery.time == sent
    assert delivery.time.tzinfo is UTC
    assert delivery.headers["x-y"] == "z"


async def test_waiting_messages_come_in_batches_and_leave_the_work_queue(bus: Bus) -> None:
    seen = Recorder()
    ids = await publish(bus, 50)
    async with at_work(a_consumer(bus, seen, batch=20).run):
        await eventually(lambda: len(seen.done) == 50)
        await eventually_empty(bus)
    assert seen.ids == ids
    assert [len(batch) for batch in seen.batches] == [20, 20, 10]


async def test_a_single_message_does_not_wait_for_a_full_batch(bus: Bus) -> None:
    seen = Recorder()
    async with at_work(a_consumer(bus, seen, batch=20).run):
        await publish(bus, prefix="first")
        await eventually(lambda: seen.done)
        began = asyncio.get_running_loop().time()
        await publish(bus, prefix="second")
        await eventually(lambda: len(seen.done) == 2, every=0.005)
        assert asyncio.get_running_loop().time() - began < 1


async def test_one_poison_message_neither_fails_nor_blocks_its_neighbours(bus: Bus) -> None:
    seen = Recorder(lambda delivery: CannotEverWork("no such template") if delivery.id == "m3" else None)
    await publish(bus, 10)
    async with at_work(a_consumer(bus, seen).run):
        await eventually(lambda: len(seen.done) >= 9)
        await eventually_empty(bus)
    assert sorted(set(seen.ids)) == [f"m{n}" for n in range(10) if n != 3]
    [letter] = await DeadLetters(bus, "messaging").list()
    assert (letter.id, letter.reason, letter.detail) == ("m3", "CANNOT_EVER_WORK", "no such template")
    assert (letter.subject, letter.consumer, letter.payload) == ("dispatch.campaign.shop", "messaging-campaign", b"m3")


async def test_a_failing_message_is_given_up_after_its_attempts_with_the_failure(bus: Bus) -> None:
    seen = Recorder(lambda delivery: ZeroDivisionError("division\r\nby zero: ü"))
    buried: list[str] = []

    async def bury(delivery: Delivery, reason: str) -> None:
        buried.append(f"{delivery.id} {reason}")

    await publish(bus)
    async with at_work(a_consumer(bus, seen, max_attempts=2, on_dead=bury).run):
        await eventually(lambda: buried)
        await eventually_empty(bus)
    assert [batch[0].attempt for batch in seen.batches] == [1, 2]
    assert buried == ["m0 ATTEMPTS_USED_UP"]
    [letter] = await DeadLetters(bus, "messaging").list()
    assert letter.detail == "ZeroDivisionError: division by zero: ?"


async def test_a_replayed_dead_letter_comes_again_under_its_old_id(bus: Bus) -> None:
    broken = True
    seen = Recorder(lambda delivery: CannotEverWork("not yet mended") if broken else None)
    letters = DeadLetters(bus, "messaging")
    await publish(bus)
    async with at_work(a_consumer(bus, seen).run):
        await eventually(letters.list)
        broken = False
        [letter] = await letters.list()
        await letters.replay(letter.sequence)
        await eventually(lambda: seen.ids == ["m0"])
    assert await letters.list() == []
    with pytest.raises(LookupError):
        await letters.replay(letter.sequence)


async def test_not_now_and_outages_do_not_count_as_failures(bus: Bus) -> None:
    answers = itertools.chain(
        [Retry("paced", timedelta(milliseconds=20)), Unavailable("the database is away"), Retry("paced", timedelta(0))],
        itertools.repeat(None),
    )
    seen = Recorder(lambda _: next(answers))
    await publish(bus)
    async with at_work(a_consumer(bus, seen, max_attempts=1).run):
        await eventually(lambda: seen.ids == ["m0"])
    assert [batch[0].attempt for batch in seen.batches] == [1, 1, 1, 1]
    assert await DeadLetters(bus, "messaging").list() == []


async def test_a_handler_slower_than_ack_wait_keeps_its_message(bus: Bus) -> None:
    calls = 0

    async def slow(deliveries: object) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(1.3)

    await publish(bus)
    async with at_work(a_consumer(bus, slow, ack_wait=timedelta(seconds=0.6), concurrency=2).run):
        await eventually_empty(bus)
    assert calls == 1


async def test_a_message_is_acknowledged_only_after_the_handler_returned(bus: Bus) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def handler(deliveries: object) -> None:
        inside.set()
        await go.wait()

    await publish(bus)
    async with at_work(a_consumer(bus, handler).run):
        await inside.wait()
        assert await pending(bus) == 1
        go.set()
        await eventually_empty(bus)


async def test_stopping_finishes_what_is_in_hand(bus: Bus) -> None:
    inside, done = asyncio.Event(), []

    async def handler(deliveries: object) -> None:
        inside.set()
        await asyncio.sleep(0.2)
        done.append(True)

    await publish(bus)
    async with at_work(a_consumer(bus, handler).run):
        await inside.wait()
    assert done == [True]
    await eventually_empty(bus)


async def test_a_consumer_that_was_cut_leaves_its_message_to_the_next(bus: Bus) -> None:
    async def hangs(deliveries: object) -> None:
        await asyncio.sleep(60)

    await publish(bus)
    async with at_work(a_consumer(bus, hangs, ack_wait=timedelta(seconds=1)).run) as task:
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    seen = Recorder()
    async with at_work(a_consumer(bus, seen, ack_wait=timedelta(seconds=1)).run):
        await eventually(lambda: seen.ids == ["m0"])
    assert seen.done[0].attempt == 2


async def test_messages_flow_again_after_the_server_was_killed(bus: Bus, nats_server: EmbeddedNats) -> None:
    seen = Recorder()
    async with at_work(a_consumer(bus, seen).run):
        await publish(bus, prefix="before")
        await eventually(lambda: seen.done)
        nats_server.kill()
        nats_server.start()
        await publish(bus, prefix="after")
        await eventually(lambda: "after0" in seen.ids, within=15)


async def test_a_deleted_consumer_is_declared_again(bus: Bus) -> None:
    seen = Recorder()
    async with at_work(a_consumer(bus, seen).run):
        await publish(bus, prefix="before")
        await eventually(lambda: seen.done)
        await bus.jetstream.delete_consumer("DISPATCH", "messaging-campaign")
        await publish(bus, prefix="after")
        await eventually(lambda: "after0" in seen.ids, within=15)


async def test_the_watchdog_renews_a_subscription_that_stays_silent(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    from heliograph_kit.pulling import PullSubscription

    seen = Recorder()
    consumer = a_consumer(bus, seen, silence=timedelta(0))
    whole = PullSubscription.fetch
    deaf: set[int] = set()

    async def fetch(self: PullSubscription, batch: int, linger: timedelta) -> list[object]:
        # The first subscription stands for one the server has forgotten: alive, and nothing ever comes.
        if not deaf or id(self) in deaf:
            deaf.add(id(self))
            await asyncio.sleep(0.05)
            return []
        return list(await whole(self, batch, linger))

    monkeypatch.setattr(PullSubscription, "fetch", fetch)
    await publish(bus)
    async with at_work(consumer.run):
        await eventually(lambda: seen.ids == ["m0"])
    assert consumer.silent_subscriptions >= 1


async def test_max_deliver_is_unlimited_because_the_broker_would_drop_silently(bus: Bus) -> None:
    consumer = a_consumer(bus, Recorder())
    await consumer.declare()
    await consumer.declare()
    config = (await bus.jetstream.consumer_info("DISPATCH", "messaging-campaign")).config
    assert config.max_deliver == -1
    assert config.ack_wait == 5


async def test_a_new_durable_may_start_at_what_comes_from_now_on(bus: Bus) -> None:
    seen = Recorder()
    news = Consumer(bus, service="t", stream="EVENTS", durable="t", subjects=["events.*"], handler=seen, start="new")
    await publish(bus, subject="events.shop", prefix="old")
    async with at_work(news.run):
        await eventually_declared(bus, "EVENTS", "t")
        await publish(bus, subject="events.shop", prefix="new")
        await eventually(lambda: seen.ids == ["new0"])


async def test_two_processes_of_one_durable_share_and_two_caches_each_see_all(bus: Bus) -> None:
    shared, caches = [Recorder(), Recorder()], [Recorder(), Recorder()]
    common = {"service": "t", "stream": "CHANGES", "subjects": ["changes.segments.*.segment"]}
    consumers = [Consumer(bus, durable="t", handler=seen, batch=5, **common) for seen in shared]  # type: ignore[arg-type]
    consumers += [Consumer(bus, durable=None, handler=seen, **common) for seen in caches]  # type: ignore[arg-type]
    for consumer in consumers:
        await consumer.declare()
    async with (
        at_work(consumers[0].run),
        at_work(consumers[1].run),
        at_work(consumers[2].run),
        at_work(consumers[3].run),
    ):
        await asyncio.sleep(0.1)
        ids = await publish(bus, 20, subject="changes.segments.shop.segment")
        await eventually(lambda: len(shared[0].done) + len(shared[1].done) == 20)
        await eventually(lambda: all(set(cache.ids) == set(ids) for cache in caches))


async def test_a_message_without_our_headers_is_delivered_under_its_place_in_the_stream(bus: Bus) -> None:
    seen = Recorder()
    await bus.jetstream.publish("dispatch.campaign.shop", b"foreign")
    async with at_work(a_consumer(bus, seen).run):
        await eventually(lambda: seen.done)
    assert (seen.done[0].id, seen.done[0].type, seen.done[0].project) == ("DISPATCH-1", "", "shop")


async def test_the_trace_goes_on_over_the_bus(bus: Bus) -> None:
    span = TracerProvider().get_tracer("test").start_span("sends")
    inside: list[int] = []

    async def handler(deliveries: object) -> None:
        inside.append(trace.get_current_span().get_span_context().trace_id)

    with trace.use_span(span):
        await publish(bus)
    async with at_work(a_consumer(bus, handler).run):
        await eventually(lambda: inside)
    assert inside == [span.get_span_context().trace_id]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"stream": "NOWHERE"}, id="unknown stream"),
        pytest.param({"subjects": ["events.*"]}, id="a subject of another stream"),
        pytest.param({"subjects": []}, id="no subject"),
        pytest.param({"batch": 0}, id="empty batches"),
    ],
)
async def test_a_consumer_that_cannot_work_is_refused_when_it_is_made(bus: Bus, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"stream|batch"):
        a_consumer(bus, Recorder(), **wrong)


async def eventually_empty(bus: Bus) -> None:
    async def empty() -> bool:
        return await pending(bus) == 0

    await eventually(empty)


async def eventually_declared(bus: Bus, stream: str, durable: str) -> None:
    async def declared() -> bool:
        try:
            return bool(await bus.jetstream.consumer_info(stream, durable))
        except nats.js.errors.NotFoundError:
            return False

    await eventually(declared)
