import asyncio
import shutil
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from heliograph_kit.bus import Bus
from heliograph_kit.consumer import CannotEverWork, Consumer, Delivery
from heliograph_kit.database import Database
from heliograph_kit.embedded import EmbeddedNats
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import Outbox, OutboxRelay
from heliograph_kit.reconciler import Reconciled, Reconciler, answer_applied, applied_by_inbox
from heliograph_kit.testing import eventually
from tests.kit.data.building import a_consumer, a_letter, at_work, rows
from tests.kit.data.post.tables import mail

DURABLE = "messaging-campaign"
NOW = timedelta(0)

outbox, inbox = Outbox(mail), Inbox(mail)


def counting(post: Database) -> "Handler":
    return Handler(post)


class Handler:
    """Counts each letter once, by the inbox, in the transaction of the count."""

    def __init__(self, post: Database) -> None:
        self._post = post
        self.calls = 0

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.calls += len(deliveries)
        async with self._post.transaction() as conn:
            new = await inbox.first_seen(conn, DURABLE, [delivery.id for delivery in deliveries])
            await conn.execute(
                text(
                    "INSERT INTO post.letters AS l SELECT 'shop', unnest(CAST(:ids AS text[])), 1 "
                    "ON CONFLICT (project, id) DO UPDATE SET times = l.times + 1"
                ),
                {"ids": sorted(new)},
            )


async def send(post: Database, bus: Bus, count: int) -> OutboxRelay:
    async with post.transaction() as conn:
        await outbox.add(conn, *(a_letter(f"l{n}") for n in range(count)))
    relay = OutboxRelay(post, mail, bus)
    await relay.relay_once()
    return relay


async def applied_times(post: Database) -> list[int]:
    return [row.times for row in await rows(post, "SELECT times FROM post.letters")]


async def test_deleting_the_whole_stream_costs_delay_and_no_message(post: Database, bus: Bus) -> None:
    relay = await send(post, bus, 40)
    await bus.jetstream.delete_stream("DISPATCH")
    await bus.ensure_streams()
    responder = await answer_applied(bus, "messaging", applied_by_inbox(post, mail, [DURABLE]))
    reconciler = Reconciler(post, mail, bus, age=NOW)
    handler = counting(post)
    async with at_work(a_consumer(bus, handler).run):
        assert await reconciler.reconcile() == Reconciled(redriven=40)
        async with at_work(relay.run):
            await eventually_all(post, 40)
        assert await applied_times(post) == [1] * 40
        assert await reconciler.reconcile() == Reconciled(confirmed=40)
        assert await reconciler.reconcile() == Reconciled()
    await responder.close()


async def test_wiping_the_brokers_directory_costs_delay_and_no_message(
    post: Database, bus: Bus, nats_server: EmbeddedNats
) -> None:
    handler = counting(post)
    responder = await answer_applied(bus, "messaging", applied_by_inbox(post, mail))
    reconciler = Reconciler(post, mail, bus, age=timedelta(milliseconds=200), every=timedelta(milliseconds=300))
    relay = await send(post, bus, 40)
    nats_server.kill()
    shutil.rmtree(nats_server.directory / "jetstream")
    nats_server.start()
    async with at_work(a_consumer(bus, handler).run), at_work(relay.run), at_work(reconciler.run):
        await eventually_all(post, 40)
    assert await applied_times(post) == [1] * 40
    await responder.close()


async def test_a_message_that_still_waits_in_the_stream_is_not_sent_again(post: Database, bus: Bus) -> None:
    await a_consumer(bus, counting(post)).declare()
    await send(post, bus, 3)
    responder = await answer_applied(bus, "messaging", applied_by_inbox(post, mail))
    assert await Reconciler(post, mail, bus, age=NOW).reconcile() == Reconciled(waiting=3)
    await responder.close()


async def test_a_service_that_does_not_answer_has_lost_nothing(post: Database, bus: Bus) -> None:
    await send(post, bus, 3)
    await bus.jetstream.delete_stream("DISPATCH")
    assert await Reconciler(post, mail, bus, age=NOW).reconcile() == Reconciled(unknown=3)


async def test_every_declared_service_must_have_applied_a_message(post: Database, bus: Bus) -> None:
    async with post.transaction() as conn:
        await outbox.add(conn, a_letter("l0", subject="messages.shop"))
    relay = OutboxRelay(post, mail, bus)
    await relay.relay_once()
    asked: list[tuple[str, Sequence[str]]] = []

    async def has(consumer: str, ids: Sequence[str]) -> set[str]:
        asked.append((consumer, ids))
        return set(ids)

    async def has_not(consumer: str, ids: Sequence[str]) -> set[str]:
        asked.append((consumer, ids))
        return set()

    responders = [await answer_applied(bus, name, has) for name in ("analytics", "campaigns")]
    responders.append(await answer_applied(bus, "journeys", has_not))
    await bus.jetstream.purge_stream("MESSAGES")
    assert await Reconciler(post, mail, bus, age=NOW).reconcile() == Reconciled(redriven=1)
    assert sorted(asked) == [("analytics", ["l0"]), ("campaigns", ["l0"]), ("journeys", ["l0"])]
    await relay.relay_once()
    stored = await bus.jetstream.get_last_msg("MESSAGES", "messages.shop")
    assert stored.headers is not None
    assert (stored.headers["ce-id"], stored.headers["Nats-Msg-Id"]) == ("l0", "l0#1")
    for responder in responders:
        await responder.close()


async def test_streams_nobody_confirms_are_done_when_they_are_published(post: Database, bus: Bus) -> None:
    async with post.transaction() as conn:
        await outbox.add(conn, a_letter("l0", subject="changes.post.shop.letter"))
    await OutboxRelay(post, mail, bus).relay_once()
    assert await Reconciler(post, mail, bus, age=NOW).reconcile() == Reconciled(confirmed=1)


async def test_young_publications_are_left_alone(post: Database, bus: Bus) -> None:
    await send(post, bus, 1)
    assert await Reconciler(post, mail, bus).reconcile() == Reconciled()


async def test_a_page_of_rows_nothing_can_be_done_about_hides_none_behind_it(post: Database, bus: Bus) -> None:
    await a_consumer(bus, counting(post)).declare()
    await send(post, bus, 20)
    await bus.jetstream.delete_msg("DISPATCH", 20)
    responder = await answer_applied(bus, "messaging", applied_by_inbox(post, mail))
    reconciler = Reconciler(post, mail, bus, age=timedelta(milliseconds=1), page=5)
    found = Reconciled()
    for _ in range(4):
        found += (await reconciler.reconcile_page())[1]
    assert found == Reconciled(waiting=19, redriven=1)
    await responder.close()


async def test_what_was_given_up_is_settled_and_a_replay_is_applied(post: Database, bus: Bus) -> None:
    async def refuses(deliveries: object) -> None:
        raise CannotEverWork("no")

    consumer: Consumer = a_consumer(bus, refuses, on_dead=inbox.burial(post, DURABLE))
    await send(post, bus, 1)
    responder = await answer_applied(bus, "messaging", applied_by_inbox(post, mail, [DURABLE]))
    async with at_work(consumer.run):

        async def buried() -> bool:
            return bool(await rows(post, "SELECT 1 FROM post.inbox WHERE dead"))

        await eventually(buried)
    assert await Reconciler(post, mail, bus, age=NOW).reconcile() == Reconciled(confirmed=1)
    async with post.transaction() as conn:
        assert await inbox.first_seen(conn, DURABLE, ["l0"]) == {"l0"}
        assert await inbox.first_seen(conn, DURABLE, ["l0"]) == set()
    await responder.close()


async def test_two_reconcilers_send_a_lost_message_again_once(post: Database, bus: Bus) -> None:
    await send(post, bus, 30)
    await bus.jetstream.purge_stream("DISPATCH")
    responder = await answer_applied(bus, "messaging", applied_by_inbox(post, mail))
    found = await asyncio.gather(*(Reconciler(post, mail, bus, age=NOW, page=10).reconcile() for _ in range(2)))
    assert found[0] + found[1] == Reconciled(redriven=30)
    assert {row.generation for row in await rows(post, "SELECT generation FROM post.outbox")} == {1}
    await responder.close()


async def eventually_all(post: Database, count: int) -> None:
    async def all_there() -> bool:
        return len(await applied_times(post)) == count

    await eventually(all_there, within=20)
