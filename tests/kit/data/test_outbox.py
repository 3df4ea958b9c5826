import asyncio
from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import text

from heliograph_kit.bus import Bus
from heliograph_kit.clock import ManualClock
from heliograph_kit.database import Database
from heliograph_kit.embedded import EmbeddedNats
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import MessageTooLarge, Outbox, OutboxRelay
from heliograph_kit.testing import eventually
from tests.kit.data.building import Recorder, a_consumer, a_letter, at_work, pending, rows
from tests.kit.data.post.tables import mail

outbox = Outbox(mail)


async def test_a_committed_message_is_published_once_with_its_headers(
    post: Database, bus: Bus, clock: ManualClock
) -> None:
    span = TracerProvider().get_tracer("test").start_span("writes")
    with trace.use_span(span):
        async with post.transaction() as conn:
            await Outbox(mail, clock=clock).add(conn, a_letter("l1", body="dear"))
    relay = OutboxRelay(post, mail, bus)
    assert await relay.relay_once() == (1, 1)
    assert await relay.relay_once() == (0, 0)
    stored = await bus.jetstream.get_msg("DISPATCH", 1)
    assert stored.headers is not None
    assert stored.data == b"\n\x04dear"
    assert stored.headers["ce-id"] == stored.headers["Nats-Msg-Id"] == "l1"
    assert stored.headers["ce-type"] == "google.protobuf.StringValue"
    assert stored.headers["ce-source"] == "/heliograph/tests"
    assert stored.headers["ce-time"] == clock.now().isoformat()
    assert stored.headers["ce-project"] == "shop"
    assert stored.headers["traceparent"].split("-")[1] == trace.format_trace_id(span.get_span_context().trace_id)


async def test_a_row_and_its_messages_are_stored_in_one_statement_or_not_at_all(post: Database) -> None:
    woken: list[bool] = []
    silence = post.on_mail(lambda: woken.append(True))
    insert = "INSERT INTO post.letters (project, id, times) VALUES (:project, :id, 1) ON CONFLICT DO NOTHING"

    async def send(id: str, message: str) -> bool:
        async with post.statement() as conn:
            return await outbox.add_with(conn, insert, {"project": "shop", "id": id}, a_letter(message))

    assert await send("first", "m1")
    assert (await send("first", "m2"), len(woken)) == (False, 1)
    answers = await asyncio.gather(*(send("second", f"m{number}") for number in range(3, 9)))
    assert sum(answers) == 1
    silence()
    assert len(await rows(post, "SELECT id FROM post.letters")) == 2
    assert len(await rows(post, "SELECT id FROM post.outbox")) == 2


async def test_a_rolled_back_transaction_publishes_nothing(post: Database, bus: Bus) -> None:
    async def fail() -> None:
        async with post.transaction() as conn:
            await outbox.add(conn, a_letter())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await OutboxRelay(post, mail, bus).relay_once() == (0, 0)


async def test_a_cancelled_transaction_publishes_nothing(post: Database, bus: Bus) -> None:
    added = asyncio.Event()

    async def write() -> None:
        async with post.transaction() as conn:
            await outbox.add(conn, a_letter())
            added.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(write())
    await added.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await OutboxRelay(post, mail, bus).relay_once() == (0, 0)


async def test_a_message_added_again_under_its_id_is_the_same_message(post: Database, bus: Bus) -> None:
    relay = OutboxRelay(post, mail, bus)
    for _ in range(2):
        async with post.transaction() as conn:
            await outbox.add(conn, a_letter("page-1"))
        await relay.relay_once()
    assert await pending(bus) == 1


async def test_a_commit_wakes_the_relay(post: Database, bus: Bus) -> None:
    woken: list[bool] = []
    silence = post.on_mail(lambda: woken.append(True))
    async with post.transaction() as conn:
        await conn.execute(text("SELECT 1"))
    assert woken == []
    async with post.transaction() as conn:
        await outbox.add(conn, a_letter())
    assert woken == [True]
    async with post.transaction() as conn:
        await conn.execute(text("SELECT 1"))
    assert woken == [True]
    silence()


async def test_two_relays_share_the_work_and_publish_each_message_once(post: Database, bus: Bus) -> None:
    async with post.transaction() as conn:
        await outbox.add(conn, *(a_letter(f"l{n}") for n in range(1000)))
    relays = [OutboxRelay(post, mail, bus, batch=100) for _ in range(2)]

    async def drain(relay: OutboxRelay) -> int:
        total = 0
        while True:
            claimed, stored = await relay.relay_once()
            if not claimed:
                return total
            total += stored

    counts = await asyncio.gather(*(drain(relay) for relay in relays))
    assert sum(counts) == 1000
    assert min(counts) > 0
    assert await pending(bus) == 1000


async def test_a_relay_that_dies_between_publishing_and_marking_doubles_nothing(post: Database, bus: Bus) -> None:
    async with post.transaction() as conn:
        await outbox.add(conn, a_letter("l1"))

    class Dying(Bus):
        async def publish_many(self, *messages: object, **how: object) -> list[object]:  # type: ignore[override]
            await super().publish_many(*messages, **how)  # type: ignore[arg-type]
            raise SystemError("killed after the publish")

    dying = Dying(bus.client, name="tests", replicas=1, clock=ManualClock(bus._clock.now()))
    with pytest.raises(SystemError):
        await OutboxRelay(post, mail, dying).relay_once()
    assert await pending(bus) == 1
    assert await OutboxRelay(post, mail, bus).relay_once() == (1, 1)
    assert await pending(bus) == 1, "the stream drops the second one inside of its window"

    # Outside of the window the stream has it twice; then the inbox is what keeps the effect single.
    await bus.publish("dispatch.campaign.shop", b"", id="l1", type="t", headers={}, within=timedelta(seconds=5))
    async with post.transaction() as conn:
        inbox = Inbox(mail)
        assert await inbox.first_seen(conn, "messaging-campaign", ["l1"]) == {"l1"}
        assert await inbox.first_seen(conn, "messaging-campaign", ["l1"]) == set()


async def test_the_inbox_knows_each_consumer_apart(post: Database) -> None:
    inbox = Inbox(mail)
    async with post.transaction() as conn:
        assert await inbox.first_seen(conn, "one", ["a", "b", "a"]) == {"a", "b"}
        assert await inbox.first_seen(conn, "other", ["a"]) == {"a"}
        assert await inbox.first_seen(conn, "one", ["b", "c"]) == {"c"}
        assert await inbox.applied(conn, ["a", "b", "x"]) == {"a", "b"}
        assert await inbox.applied(conn, ["a", "b", "x"], ["one", "other"]) == {"a"}
        assert await inbox.first_seen(conn, "one", []) == set()


async def test_of_two_transactions_with_one_id_only_one_applies_it(post: Database) -> None:
    inbox = Inbox(mail)

    async def apply() -> int:
        async with post.transaction() as conn:
            new = await inbox.first_seen(conn, "one", ["a"])
            await asyncio.sleep(0.05)
            return len(new)

    assert sorted(await asyncio.gather(apply(), apply(), apply())) == [0, 0, 1]


async def test_the_relay_outlives_the_bus_being_killed(post: Database, bus: Bus, nats_server: EmbeddedNats) -> None:
    relay = OutboxRelay(post, mail, bus)
    seen = Recorder()
    async with at_work(relay.run), at_work(a_consumer(bus, seen).run):
        async with post.transaction() as conn:
            await outbox.add(conn, a_letter("before"))
        await eventually(lambda: seen.ids == ["before"])
        nats_server.kill()
        async with post.transaction() as conn:
            await outbox.add(conn, a_letter("while away"))
        await asyncio.sleep(0.3)
        nats_server.start()
        await eventually(lambda: "while away" in seen.ids, within=20)
    assert sorted(set(seen.ids)) == ["before", "while away"]


async def test_a_message_over_the_limit_is_refused_before_it_is_stored(post: Database) -> None:
    async with post.transaction() as conn:
        with pytest.raises(MessageTooLarge):
            await outbox.add(conn, a_letter(body="x" * (4 * 1024 * 1024)))


async def test_a_message_the_bus_will_never_take_does_not_block_its_neighbours(post: Database, bus: Bus) -> None:
    async with post.transaction() as conn:
        await outbox.add(conn, a_letter("bad"), a_letter("good"))
        await conn.execute(text("UPDATE post.outbox SET payload = repeat('x', 9000000)::bytea WHERE id = 'bad'"))
    assert await OutboxRelay(post, mail, bus).relay_once() == (2, 2)
    found = await rows(post, "SELECT id, refused IS NOT NULL AS refused FROM post.outbox ORDER BY id")
    assert [(row.id, row.refused) for row in found] == [("bad", True), ("good", False)]


async def test_published_rows_go_after_three_days_and_others_never(post: Database, bus: Bus) -> None:
    relay = OutboxRelay(post, mail, bus)
    async with post.transaction() as conn:
        await outbox.add(conn, a_letter("old"), a_letter("young"))
    await relay.relay_once()
    async with post.transaction() as conn:
        await outbox.add(conn, a_letter("stuck"))
        old = "UPDATE post.outbox SET created_at = now() - interval '73 hours' WHERE id IN ('old', 'stuck')"
        await conn.execute(text(old))
    assert await relay.sweep_once() == 1
    assert {row.id for row in await rows(post, "SELECT id FROM post.outbox")} == {"young", "stuck"}
