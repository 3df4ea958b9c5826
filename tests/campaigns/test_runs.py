"""From a campaign that is due to its last outcome, and everything that can come between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph.projects.v1 import events_pb2 as project_events_pb2
from heliograph.segments.v1 import events_pb2 as segment_events_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.deadletters import DeadLetters
from heliograph_kit.ids import new_id
from heliograph_kit.rpc import reason_of
from heliograph_kit.testing import eventually
from tests.campaigns.builders import SEGMENT, SHOP, TEMPLATE, at, content, treatments
from tests.campaigns.conftest import MEMBERS, Service, Start, people
from tests.campaigns.crowd import Crowd
from tests.campaigns.post import Post

Run = pb.Run


async def test_everybody_is_held_out_or_gets_one_treatment_with_the_fields_it_needs(
    service: Service, crowd: Crowd, post: Post
) -> None:
    post.accepting = True
    campaign = await service.create(additional_treatments=treatments(20, 10), holdout_percent=10)
    run = await service.ended(campaign.name)
    assert run.state == Run.STATE_COMPLETED
    assert (run.total.produced_count, run.total.holdout_count) == (MEMBERS, 20)
    assert [t.funnel.targeted_count for t in run.treatments] == [120, 40, 20]
    assert run.total.accepted_count == run.total.targeted_count == 180
    assert (await service.get(campaign.name)).state == pb.Campaign.STATE_COMPLETED
    reached = post.reached(campaign.name)
    assert len(reached) == 180
    assert set(reached.values()) == {1}
    assert crowd.asked_fields == {("Attributes.plan", "User.UserAttributes.first")}
    for batch in post.of(campaign.name):
        assert (batch.project, batch.channel, batch.content.template) == (SHOP, "EMAIL", TEMPLATE)
        assert batch.source.run_id == run.name.rpartition("/")[2]
        for column in batch.recipients.columns:
            assert list(column.values) == [f"{column.path} of {id_}" for id_ in batch.recipients.endpoint_ids]


async def test_an_empty_segment_and_a_full_holdout_complete_at_once(service: Service, crowd: Crowd) -> None:
    crowd.segments[f"{SHOP}/segments/nobody"] = []
    empty = await service.create(segment=f"{SHOP}/segments/nobody")
    held = await service.create(holdout_percent=100)
    for campaign, produced in ((empty, 0), (held, MEMBERS)):
        run = await service.ended(campaign.name)
        assert (run.state, run.total.produced_count, run.total.targeted_count) == (Run.STATE_COMPLETED, produced, 0)


@pytest.fixture
def hurried() -> dict[str, Any]:
    """Twenty minutes pass in a second."""
    return {"clock_rate": 1_200, "clock_origin": datetime.now(UTC)}


async def test_a_campaign_starts_at_its_time_and_not_before(start: Start, hurried: dict[str, Any]) -> None:
    service = await start(**hurried)
    clock = service.runtime.clock
    due = clock.now() + timedelta(minutes=40)
    campaign = await service.create(schedule=at(due))
    looked = 0

    async def started() -> Run | None:
        nonlocal looked
        runs = await service.runs(campaign.name)
        if clock.now() < due:
            looked += 1
            assert not runs
        return runs[0] if runs and runs[0].dispatched else None

    # A failed assertion is "not yet" to eventually, so whether it was too early is asked again below.
    run = await eventually(started, within=15, every=0.02)
    assert run is not None
    assert looked
    assert run.start_time.ToDatetime(tzinfo=UTC) >= due
    assert run.scheduled_time == campaign.schedule.start_time
    ((created,),) = await service.rows("SELECT min(time) FROM campaigns.outbox WHERE type LIKE '%RunUpdated'")
    assert created >= due


async def test_a_pause_over_the_start_skips_it(start: Start, hurried: dict[str, Any], post: Post) -> None:
    service = await start(**hurried)
    due = service.runtime.clock.now() + timedelta(minutes=20)
    campaign = await service.create(schedule=at(due))
    await service.stub.PauseCampaign(pb.PauseCampaignRequest(name=campaign.name))
    await eventually(lambda: service.runtime.clock.now() > due)
    assert (await service.get(campaign.name)).state == pb.Campaign.STATE_PAUSED
    assert await service.runs(campaign.name) == []
    resumed = await service.stub.ResumeCampaign(pb.ResumeCampaignRequest(name=campaign.name))
    assert resumed.state == pb.Campaign.STATE_COMPLETED
    run = await service.run(campaign.name)
    assert (run.state, run.failure_reason, run.total.produced_count) == (Run.STATE_CANCELLED, "PAUSED", 0)
    # One created paused without a start has none to miss.
    late = await service.create(paused=True)
    await service.stub.ResumeCampaign(pb.ResumeCampaignRequest(name=late.name))
    await service.run_that(late.name, lambda run: run.dispatched)
    assert not post.of(campaign.name)


async def test_a_deleted_campaign_hands_over_nobody_more(service: Service, crowd: Crowd, post: Post) -> None:
    crowd.hold_after = 100
    campaign = await service.create()
    run = await service.run_that(campaign.name, lambda run: run.total.produced_count == 100)
    assert run.state == Run.STATE_RUNNING
    await service.stub.DeleteCampaign(pb.DeleteCampaignRequest(name=campaign.name))
    crowd.gate.set()
    # The worker is free again for others.
    other = await service.create()
    await service.run_that(other.name, lambda run: run.dispatched)
    await eventually(lambda: len(post.reached(other.name)) == MEMBERS)
    assert sorted(post.reached(campaign.name)) == people(100)
    query = f"SELECT state, failure_reason, produced FROM campaigns.runs WHERE run_id = '{run.name[-32:]}'"
    assert await service.rows(query) == [("CANCELLED", "DELETED", 100)]


async def announce(bus: Bus, subject: str, message: Message, payload: bytes | None = None) -> str:
    id, kind = new_id(), message.DESCRIPTOR.full_name
    body = message.SerializeToString() if payload is None else payload
    await bus.publish(subject, body, id=id, type=kind, project=subject.split(".")[2])
    return id


async def test_a_deleted_segment_ends_its_campaigns_that_are_not_over(
    service: Service, crowd: Crowd, post: Post, bus: Bus
) -> None:
    tomorrow = at(datetime.now(UTC) + timedelta(days=1))
    over = await service.create(holdout_percent=100)
    await service.ended(over.name)
    crowd.segments[f"{SHOP}/segments/others"] = ["o1"]
    unconcerned = await service.create(segment=f"{SHOP}/segments/others", schedule=tomorrow)
    scheduled = await service.create(schedule=tomorrow)
    paused = await service.create(schedule=tomorrow, paused=True)
    crowd.hold_after = 100
    executing = await service.create()
    await service.run_that(executing.name, lambda run: run.total.produced_count == 100)
    subject = "changes.segments.shop.segment_deleted"
    await announce(bus, subject, segment_events_pb2.SegmentDeleted(segment=SEGMENT), payload=b"\xff")
    await announce(bus, subject, segment_events_pb2.SegmentDeleted(segment=SEGMENT))
    for campaign in (scheduled, paused, executing):
        assert (await service.in_state(campaign.name, "DELETED")).state_reason == "SEGMENT_DELETED"
    assert (await service.get(over.name)).state == pb.Campaign.STATE_COMPLETED
    assert (await service.get(unconcerned.name)).state == pb.Campaign.STATE_SCHEDULED
    crowd.gate.set()
    run = await service.run(executing.name)
    assert (run.state, run.failure_reason) == (Run.STATE_CANCELLED, "SEGMENT_DELETED")
    await eventually(lambda: crowd.streams == crowd.ended)
    assert (await service.run(executing.name)).total.produced_count == 100

    async def buried() -> Sequence[str]:
        return [letter.subject for letter in await DeadLetters(bus, "campaigns").list()]

    assert list(await eventually(buried)) == [subject]


async def test_a_deleted_project_takes_its_campaigns_along(service: Service, crowd: Crowd, bus: Bus) -> None:
    crowd.segments["projects/other/segments/everybody"] = ["o1"]
    crowd.add_template("projects/other/templates/hello")
    crowd.hold_after = 100
    campaign = await service.create(additional_treatments=treatments(20))
    await service.run_that(campaign.name, lambda run: run.total.produced_count == 100)
    elsewhere = pb.Campaign(display_name="Theirs", segment="projects/other/segments/everybody", channel="EMAIL")
    elsewhere.content.template = "projects/other/templates/hello"
    request = pb.CreateCampaignRequest(parent="projects/other", campaign=elsewhere)
    theirs = await service.stub.CreateCampaign(request)
    gone = project_events_pb2.ProjectDeleted(project=SHOP)
    await announce(bus, "changes.projects.shop.project_deleted", gone)

    async def left() -> bool:
        tables = ("campaigns", "campaign_versions", "runs", "funnel")
        union = " UNION ALL ".join(f"SELECT project FROM campaigns.{table}" for table in tables)
        return ("shop",) not in await service.rows(union)

    await eventually(left)
    crowd.gate.set()
    await service.run_that(theirs.name, lambda run: run.dispatched)
    assert await left()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.get(campaign.name)
    assert reason_of(caught.value) == "CAMPAIGN_NOT_FOUND"


async def test_a_peer_that_is_away_holds_a_run_up_and_loses_nobody(service: Service, crowd: Crowd, post: Post) -> None:
    crowd.hold_after = 100
    campaign = await service.create()
    await service.run_that(campaign.name, lambda run: run.total.produced_count == 100)
    crowd.away = True
    crowd.gate.set()
    await eventually(lambda: crowd.ended)
    assert (await service.run(campaign.name)).state == Run.STATE_RUNNING
    crowd.away = False
    run = await service.run_that(campaign.name, lambda run: run.dispatched)
    assert run.total.produced_count == MEMBERS
    await eventually(lambda: len(post.reached(campaign.name)) == MEMBERS)
    assert set(post.reached(campaign.name).values()) == {1}
    assert crowd.freezes == [run.name[-32:]]


async def test_what_vanished_before_the_start_makes_the_campaign_invalid(
    idle: Service, start: Start, crowd: Crowd, post: Post
) -> None:
    crowd.segments[f"{SHOP}/segments/short-lived"] = ["e1"]
    crowd.add_template(f"{SHOP}/templates/short-lived")
    no_segment = await idle.create(segment=f"{SHOP}/segments/short-lived")
    no_template = await idle.create(content=content(f"{SHOP}/templates/short-lived"))
    del crowd.segments[f"{SHOP}/segments/short-lived"], crowd.templates[f"{SHOP}/templates/short-lived"]
    await start(role="worker")
    for campaign, reason in ((no_segment, "SEGMENT_UNUSABLE"), (no_template, "TEMPLATE_UNUSABLE")):
        assert (await idle.in_state(campaign.name, "INVALID")).state_reason == reason
        run = await idle.run(campaign.name)
        assert (run.state, run.failure_reason, run.total.produced_count) == (Run.STATE_CANCELLED, reason, 0)
    assert not post.batches


async def test_a_full_window_holds_a_run_back_and_no_other(start: Start, crowd: Crowd, post: Post) -> None:
    service = await start(dispatch_window=1_000, page_size=500)
    crowd.segments[f"{SHOP}/segments/crowd"] = people(5_000)
    large = await service.create(segment=f"{SHOP}/segments/crowd")
    await service.run_that(large.name, lambda run: run.total.produced_count == 1_500)
    small = await service.create()
    await service.run_that(small.name, lambda run: run.dispatched)
    held = await service.run(large.name)
    assert (held.state, held.total.produced_count, held.dispatched) == (Run.STATE_RUNNING, 1_500, False)
    await eventually(lambda: len(post.reached(large.name)) == 1_500)
    post.accepting = True
    for batch in post.of(large.name):
        await post.accept(batch)
    run = await service.ended(large.name)
    assert (run.state, run.total.accepted_count) == (Run.STATE_COMPLETED, 5_000)
    assert set(post.reached(large.name).values()) == {1}
