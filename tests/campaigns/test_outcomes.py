"""What becomes of messages is counted once, in whatever order and however often it is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
from sqlalchemy import text

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph.messaging.v1 import dispatch_pb2, events_pb2
from heliograph.segments.v1 import events_pb2 as segment_events_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.deadletters import DeadLetter, DeadLetters
from heliograph_kit.ids import new_id
from heliograph_kit.streams import messages_subject
from heliograph_kit.testing import eventually
from tests.campaigns.builders import SEGMENT, treatments
from tests.campaigns.conftest import MEMBERS, Service
from tests.campaigns.post import Outcome, Post, event

Told = tuple[str, dict[Outcome, int]]
# Treatment 0 has 160 of the 200, treatment 1 has 40.
STORY: tuple[Told, ...] = (
    ("0", {"ACCEPTED": 90, ("SKIPPED", "ENDPOINT_OPT_OUT"): 10}),
    ("0", {"ACCEPTED": 20, ("FAILED", "FAILURE_PERMANENT"): 5, ("FAILED", "TRANSIENT_FAILURE"): 5}),
    ("0", {"IN_DOUBT": 20, ("SKIPPED", "ENDPOINT_INACTIVE"): 10}),
    ("1", {"ACCEPTED": 40}),
    ("0", {"DELIVERED": 100, "BOUNCED": 7, "OPENED": 30, "CLICKED": 3}),
    ("1", {"DELIVERED": 39, "COMPLAINED": 1, "OPTED_OUT": 1}),
)
Dispatched = Callable[[], Awaitable[pb.Run]]


@pytest_asyncio.fixture
async def dispatched(service: Service, post: Post) -> Dispatched:
    """Start a campaign and wait until everybody is with messaging."""

    async def one() -> pb.Run:
        campaign = await service.create(additional_treatments=treatments(20))
        run = await service.run_that(campaign.name, lambda run: run.dispatched)
        assert (run.state, run.total.targeted_count) == (pb.Run.STATE_RUNNING, MEMBERS)
        return run

    return one


def source_of(run: pb.Run, treatment: str = "0") -> dispatch_pb2.MessageSource:
    campaign, _, run_id = run.name.partition("/runs/")
    return dispatch_pb2.MessageSource(name=campaign, run_id=run_id, treatment_id=treatment)


@pytest.mark.parametrize("seed", [1, 2])
async def test_outcomes_are_counted_once_in_any_order(
    service: Service, post: Post, dispatched: Dispatched, seed: int
) -> None:
    run = await dispatched()
    deliveries = [(number, again) for number in range(len(STORY)) for again in range(3)]
    random.Random(seed).shuffle(deliveries)
    for number, again in deliveries:
        treatment, counts = STORY[number]
        await post.tell(source_of(run, treatment), counts, id=f"told-{number}", again=again)
    # The broker keeps the order: with the marker, everything before it was handled.
    await post.tell(source_of(run), {"OPENED": 1}, id="marker")
    done = await service.run_that(source_of(run).name, lambda run: run.total.opened_count == 31)
    assert done.state == pb.Run.STATE_COMPLETED
    total = done.total
    assert (total.accepted_count, total.failed_count, total.in_doubt_count) == (150, 10, 20)
    assert dict(total.skipped_counts) == {"ENDPOINT_OPT_OUT": 10, "ENDPOINT_INACTIVE": 10}
    assert dict(total.failed_counts) == {"FAILURE_PERMANENT": 5, "TRANSIENT_FAILURE": 5}
    assert (total.delivered_count, total.bounced_count, total.complained_count) == (139, 7, 1)
    assert (total.clicked_count, total.opted_out_count) == (3, 1)
    second = done.treatments[1].funnel
    assert (second.targeted_count, second.accepted_count, second.delivered_count) == (40, 40, 39)


async def test_the_run_is_completed_by_its_last_outcome_and_not_before(
    service: Service, post: Post, dispatched: Dispatched
) -> None:
    run = await dispatched()
    name = source_of(run).name
    await post.tell(source_of(run), {"ACCEPTED": MEMBERS - 1, "DELIVERED": MEMBERS})
    almost = await service.run_that(name, lambda run: run.total.accepted_count == MEMBERS - 1)
    assert (almost.state, almost.HasField("end_time")) == (pb.Run.STATE_RUNNING, False)
    assert (await service.get(name)).state == pb.Campaign.STATE_EXECUTING
    await post.tell(source_of(run), {("SKIPPED", "ENDPOINT_OPT_OUT"): 1})
    over = await service.ended(name)
    assert (over.state, over.HasField("end_time")) == (pb.Run.STATE_COMPLETED, True)
    assert (await service.get(name)).state == pb.Campaign.STATE_COMPLETED
    states = "SELECT count(*) FROM campaigns.outbox WHERE type LIKE '%RunUpdated'"
    assert await service.rows(states) == [(2,)]  # RUNNING, COMPLETED


async def test_strangers_are_ignored_and_what_is_unreadable_is_buried(
    service: Service, post: Post, dispatched: Dispatched, bus: Bus
) -> None:
    run = await dispatched()
    stranger = source_of(run)
    stranger.run_id = new_id()
    await post.tell(stranger, {"ACCEPTED": 5})
    elsewhere = source_of(run)
    elsewhere.name = "projects/other/campaigns/x"
    await post.tell(elsewhere, {"ACCEPTED": 5})
    journey = events_pb2.MessageEventBatch(
        project="projects/shop",
        source=source_of(run),
        message_class=dispatch_pb2.MESSAGE_CLASS_JOURNEY,
        events=[event("ACCEPTED")],
    )
    await post.publish(journey)
    kind = journey.DESCRIPTOR.full_name
    await bus.publish(messages_subject("shop"), b"\xff\xff", id="broken", type=kind, project="shop")
    await post.tell(source_of(run), {"ACCEPTED": 7})
    letters = DeadLetters(bus, "campaigns")

    async def buried() -> list[DeadLetter]:
        return await letters.list()

    (letter,) = await eventually(buried)
    assert (letter.id, letter.payload, letter.consumer) == ("broken", b"\xff\xff", "campaigns-messages")
    assert "not a MessageEventBatch" in letter.detail
    done = await service.run_that(source_of(run).name, lambda run: run.total.accepted_count == 7)
    assert done.state == pb.Run.STATE_RUNNING
    assert await service.rows("SELECT DISTINCT run_id FROM campaigns.funnel") == [(source_of(run).run_id,)]


async def test_an_end_locks_runs_before_their_campaign_as_the_last_outcome_does(
    service: Service, post: Post, dispatched: Dispatched, bus: Bus
) -> None:
    """In opposite orders the two would wait for each other, and PostgreSQL would fail one of them."""

    async def delete(campaign: str) -> None:
        await service.stub.DeleteCampaign(pb.DeleteCampaignRequest(name=campaign))

    async def lose_the_segment(_: str) -> None:
        gone = segment_events_pb2.SegmentDeleted(segment=SEGMENT)
        subject, kind = "changes.segments.shop.segment_deleted", gone.DESCRIPTOR.full_name
        await bus.publish(subject, gone.SerializeToString(), id="gone", type=kind, project="shop")

    async def somebody_waits() -> bool:
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await service.rows(query))

    for end in (delete, lose_the_segment):
        run = await dispatched()
        async with service.runtime.database.transaction() as conn:
            await conn.execute(text("SELECT FROM campaigns.runs WHERE state = 'RUNNING' FOR UPDATE"))
            ending = asyncio.create_task(end(source_of(run).name))
            await eventually(somebody_waits)
            await conn.execute(text("SELECT FROM campaigns.campaigns WHERE state = 'EXECUTING' FOR UPDATE NOWAIT"))
        await ending

    async def all_over() -> bool:
        return await service.rows("SELECT DISTINCT state FROM campaigns.runs") == [("CANCELLED",)]

    await eventually(all_over)
    # What becomes of messages that were handed over before is counted all the same.
    await post.tell(source_of(run), {"ACCEPTED": MEMBERS})
    counted = "SELECT count FROM campaigns.funnel WHERE outcome = 'ACCEPTED'"
    assert await eventually(lambda: service.rows(counted)) == [(MEMBERS,)]
    assert await service.rows("SELECT DISTINCT state FROM campaigns.runs") == [("CANCELLED",)]
