"""The journeys service through its API, on real PostgreSQL and a real bus."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry import trace
from sqlalchemy import text

from heliograph.journeys.v1 import events_pb2 as journey_events_pb2
from heliograph.journeys.v1 import journeys_pb2 as pb
from heliograph.messaging.v1 import dispatch_pb2
from heliograph.projects.v1 import events_pb2 as projects_events_pb2
from heliograph_journeys.config import JourneysSettings
from heliograph_journeys.state import draft_from_json, draft_to_json
from heliograph_journeys.tables import metadata
from heliograph_journeys.translate import draft_from_proto
from heliograph_kit.bus import Bus
from heliograph_kit.clock import ManualClock
from heliograph_kit.migrations import differences
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from tests.journeys.builders import SEGMENT, TEMPLATE
from tests.journeys.conftest import Mailroom, metrics_of, waiting_at
from tests.journeys.peer import Peer
from tests.journeys.story import PARENT, Stub, created, passed, published, the_journey


async def state_of(stub: Stub, name: str) -> str:
    return pb.Journey.State.Name((await stub.GetJourney(pb.GetJourneyRequest(name=name))).state)


async def refused(call: Any) -> tuple[grpc.StatusCode, str, set[tuple[str, str]]]:
    """Return code, reason and violations of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info) if detail.Is(info.DESCRIPTOR) else detail.Unpack(request)
    return caught.value.code(), info.reason, {(v.field, v.reason) for v in request.field_violations}


def test_migrations_build_what_the_tables_declare(values: dict[str, Any]) -> None:
    assert differences(values["database_url"], metadata) == []


def test_a_draft_is_stored_and_read_unchanged() -> None:
    draft = draft_from_proto(the_journey())
    assert draft_from_json(draft_to_json(draft)) == draft


async def test_the_whole_story(journeys: Stub, mailroom: Mailroom, clock: ManualClock, peer: Peer) -> None:
    name, run = await published(journeys)
    metrics = await waiting_at(journeys, run, pause=await passed(journeys, run))
    held, inside = metrics.exited_counts["HOLDOUT"], metrics.active_count
    assert metrics.entered_count == 30
    assert held + inside == 30
    assert 0 < held < 20
    await eventually(lambda: len(mailroom.sent("hello")) == inside)
    assert await state_of(journeys, name) == "STATE_CLOSED"
    batch = mailroom.batches[0]
    assert batch.message_class == dispatch_pb2.MESSAGE_CLASS_JOURNEY
    assert (batch.source.name, batch.source.run_id) == (name, run.rpartition("/")[2])
    assert (batch.content.template, batch.content.template_version, batch.channel) == (TEMPLATE, 3, "EMAIL")
    assert [column.path for column in batch.recipients.columns] == ["Attributes.plan", "User.UserAttributes.first"]

    people = mailroom.sent("hello")
    # Opened while waiting: goes down Yes as soon as it arrives at the split.
    await mailroom.tell(run, "hello", "OPENED", people[:3])
    await eventually(lambda: _noted(journeys, run))
    clock.advance(timedelta(days=1))
    await waiting_at(journeys, run, opened=inside - 3)
    # Opened while at the split: goes at once.
    await mailroom.tell(run, "hello", "OPENED", people[3:5])
    await mailroom.tell(run, "hello", "DELIVERED", people)
    await waiting_at(journeys, run, opened=inside - 5)
    clock.advance(timedelta(hours=12))
    await waiting_at(journeys, run)

    metrics = await metrics_of(journeys, run)
    steps = {step.activity_id: dict(step.left_counts) for step in metrics.steps}
    assert steps == {
        "keep": {"HELD_OUT": held, "PASSED": inside},
        "hello": {"NEXT": inside},
        "pause": {"NEXT": inside},
        "opened": {"YES": 5, "NO": inside - 5},
        "thanks": {"NEXT": 5},
        "again": {"NEXT": inside - 5},
    }
    assert metrics.completed_count == inside
    await eventually(lambda: len(mailroom.sent("again")) == inside - 5)
    assert mailroom.sent("thanks") == people[:5]
    pools = {one.content.origination_pool for one in mailroom.batches if one.source.activity_id == "thanks"}
    assert pools == {"projects/shop/pools/main"}
    assert mailroom.sent("again") == people[5:]

    async def over() -> bool:
        return await state_of(journeys, name) == "STATE_COMPLETED"

    await eventually(over)
    assert len({batch.batch_id for batch in mailroom.batches}) == len(mailroom.batches)
    listed = await journeys.ListParticipants(pb.ListParticipantsRequest(parent=run, page_size=10))
    assert len(listed.participants) == 10
    rest = await journeys.ListParticipants(
        pb.ListParticipantsRequest(parent=run, page_size=100, page_token=listed.next_page_token)
    )
    assert len(rest.participants) == 20
    assert not rest.next_page_token
    exited = await journeys.ListParticipants(pb.ListParticipantsRequest(parent=run, state=pb.Participant.STATE_EXITED))
    assert {(p.activity_id, p.exit_reason) for p in exited.participants} == {("keep", "HOLDOUT")}


async def _noted(stub: Stub, run: str) -> bool:
    """Receipts have no effect that the API shows before the split: wait a turn of the consumer."""
    import asyncio

    await asyncio.sleep(0.5)
    return True


async def test_a_receipt_counts_once_however_often_it_comes(
    journeys: Stub, mailroom: Mailroom, clock: ManualClock
) -> None:
    _, run = await published(journeys)
    inside = await passed(journeys, run)
    await waiting_at(journeys, run, pause=inside)
    await eventually(lambda: len(mailroom.sent("hello")) == inside)
    clock.advance(timedelta(days=1))
    await waiting_at(journeys, run, opened=inside)
    one = mailroom.sent("hello")[:1]
    for _ in range(3):
        await mailroom.tell(run, "hello", "OPENED", one, id_="the-same")
    await waiting_at(journeys, run, opened=inside - 1)
    metrics = await metrics_of(journeys, run)
    assert {s.activity_id: dict(s.left_counts) for s in metrics.steps}["opened"] == {"YES": 1}


async def test_a_template_that_is_deleted_is_still_sent_and_no_new_journey_may_use_it(
    journeys: Stub, mailroom: Mailroom, clock: ManualClock, peer: Peer
) -> None:
    journey = the_journey()
    journey.schedule.start_time.FromDatetime(clock.now() + timedelta(hours=3))
    _, run = await published(journeys, journey)
    peer.deleted_templates.add(TEMPLATE)
    another = (await created(journeys)).name
    reviewed = await journeys.ReviewJourney(pb.ReviewJourneyRequest(name=another))
    assert "TEMPLATE_UNUSABLE" in {finding.reason for finding in reviewed.findings}
    clock.advance(timedelta(hours=3))
    inside = await passed(journeys, run)
    await eventually(lambda: len(mailroom.sent("hello")) == inside)
    assert {batch.content.template_version for batch in mailroom.batches} == {3}
    assert ("Attributes.plan", "User.UserAttributes.first") in peer.read_fields


async def test_what_happened_to_messages_of_nobody_is_passed_over(journeys: Stub, mailroom: Mailroom) -> None:
    _, run = await published(journeys)
    inside = await passed(journeys, run)
    await mailroom.tell("projects/shop/journeys/gone/runs/gone", "hello", "OPENED", ["e00001"])
    await mailroom.tell(run, "unknown", "OPENED", ["e00001"])
    await mailroom.tell(run, "hello", "OPENED", ["stranger", ""])
    await waiting_at(journeys, run, pause=inside)


async def test_nobody_enters_before_the_start(journeys: Stub, clock: ManualClock) -> None:
    journey = the_journey()
    journey.schedule.start_time.FromDatetime(clock.now() + timedelta(hours=3))
    name, run = await published(journeys, journey)
    assert (await metrics_of(journeys, run)).entered_count == 0
    assert await state_of(journeys, name) == "STATE_ACTIVE"
    clock.advance(timedelta(hours=3))
    assert await passed(journeys, run) > 0


@pytest.mark.parametrize("delay", [300.0])
async def test_publishing_waits_for_the_delay_of_the_installation(journeys: Stub, clock: ManualClock) -> None:
    _, run = await published(journeys)
    found = (await journeys.ListRuns(pb.ListRunsRequest(parent=run.rpartition("/runs/")[0]))).runs[0]
    assert found.start_time.ToDatetime(tzinfo=UTC) == clock.now() + timedelta(minutes=5)
    clock.advance(timedelta(minutes=4, seconds=59))
    assert (await metrics_of(journeys, run)).entered_count == 0
    clock.advance(timedelta(seconds=1))
    assert await passed(journeys, run) > 0


async def test_a_deleted_project_leaves_nothing(journeys: Stub, bus: Bus, service: Runtime[JourneysSettings]) -> None:
    name, run = await published(journeys)
    await passed(journeys, run)
    gone = projects_events_pb2.ProjectDeleted(project=PARENT)
    subject = changes_subject("projects", "shop", "project_deleted")
    full_name = gone.DESCRIPTOR.full_name
    await bus.publish(subject, gone.SerializeToString(), id="gone", type=full_name, project="shop")

    async def nothing() -> bool:
        listed = await journeys.ListJourneys(pb.ListJourneysRequest(parent=PARENT))
        return not listed.journeys

    await eventually(nothing)
    async with service.database.transaction() as conn:
        for table in ("runs", "participants", "members", "chunks", "moves", "happened"):
            count = (await conn.execute(text(f"SELECT count(*) FROM journeys.{table}"))).scalar_one()
            assert (table, count) == (table, 0)
    code, reason, _ = await refused(journeys.GetJourney(pb.GetJourneyRequest(name=name)))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "JOURNEY_NOT_FOUND")


async def test_a_cancelled_journey_stops_where_people_are(
    journeys: Stub, mailroom: Mailroom, clock: ManualClock
) -> None:
    name, run = await published(journeys)
    inside = await passed(journeys, run)
    await waiting_at(journeys, run, pause=inside)
    cancelled = await journeys.CancelJourney(pb.CancelJourneyRequest(name=name))
    assert (pb.Journey.State.Name(cancelled.state), cancelled.state_reason) == ("STATE_CANCELLED", "USER")
    clock.advance(timedelta(days=3))
    metrics = await waiting_at(journeys, run)
    assert metrics.exited_counts["CANCELLED"] == inside
    assert {s.activity_id: dict(s.left_counts) for s in metrics.steps}["pause"] == {"CANCELLED": inside}
    assert mailroom.sent("again") == mailroom.sent("thanks") == []
    code, reason, _ = await refused(journeys.CancelJourney(pb.CancelJourneyRequest(name=name)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOURNEY_NOT_CANCELLABLE")
    await journeys.DeleteJourney(pb.DeleteJourneyRequest(name=name))
    code, reason, _ = await refused(journeys.GetRunMetrics(pb.GetRunMetricsRequest(run=run)))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_a_segment_that_is_gone_at_the_start_ends_the_journey(
    journeys: Stub, peer: Peer, clock: ManualClock
) -> None:
    journey = the_journey()
    journey.schedule.start_time.FromDatetime(clock.now() + timedelta(hours=1))
    name, run = await published(journeys, journey)
    del peer.segments[SEGMENT]
    clock.advance(timedelta(hours=1))

    async def over() -> bool:
        return await state_of(journeys, name) == "STATE_CANCELLED"

    await eventually(over)
    found = (await journeys.ListRuns(pb.ListRunsRequest(parent=name))).runs[0]
    assert (found.name, found.failure_reason) == (run, "SEGMENT_NOT_FOUND")


async def test_deleted_endpoints_pass_without_a_message(journeys: Stub, mailroom: Mailroom, peer: Peer) -> None:
    peer.deleted = set(peer.segments[SEGMENT][:15])
    _, run = await published(journeys)
    inside = await passed(journeys, run)
    await waiting_at(journeys, run, pause=inside)
    sent = await eventually(lambda: mailroom.sent("hello"))
    assert not set(sent) & peer.deleted


async def test_the_trace_of_publishing_is_carried_to_messaging(journeys: Stub, mailroom: Mailroom) -> None:
    caller = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(caller)):
        await published(journeys)
    traces = await eventually(lambda: mailroom.traces)
    assert {found.split("-")[1] for found in traces} == {trace.format_trace_id(0xABC)}


async def test_a_publication_with_errors_names_all_of_them_and_changes_nothing(journeys: Stub) -> None:
    journey = the_journey()
    journey.start_activity = ""
    journey.activities["hello"].message.template = ""
    journey.activities["pause"].wait.ClearField("wait_for")
    name = (await created(journeys, journey)).name
    code, reason, violations = await refused(journeys.PublishJourney(pb.PublishJourneyRequest(name=name)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOURNEY_NOT_READY")
    assert violations == {
        ("journey.start_activity", "START_ACTIVITY_MISSING"),
        ("journey.activities[hello].message.template", "TEMPLATE_MISSING"),
        ("journey.activities[pause].wait", "WAIT_MISSING"),
    }
    assert await state_of(journeys, name) == "STATE_DRAFT"
    findings = await journeys.ReviewJourney(pb.ReviewJourneyRequest(name=name))
    assert not findings.publishable
    assert {f"journey.{f.field}" for f in findings.findings if f.severity == pb.Finding.SEVERITY_ERROR} == {
        field for field, _ in violations
    }


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        pytest.param("segment", "SEGMENT_UNUSABLE", "start_condition.segment.segment", id="a missing segment"),
        pytest.param("version", "SEGMENT_UNUSABLE", "start_condition.segment.segment", id="a missing segment version"),
        pytest.param("template", "TEMPLATE_UNUSABLE", "activities[hello].message.template", id="a missing template"),
        pytest.param("channel", "TEMPLATE_UNUSABLE", "activities[hello].message.template", id="a template for SMS"),
        pytest.param("pool", "POOL_UNUSABLE", "activities[thanks].message.origination_pool", id="a missing pool"),
    ],
)
async def test_what_a_journey_uses_must_exist(journeys: Stub, change: str, reason: str, field: str) -> None:
    journey = the_journey()
    if change == "segment":
        journey.start_condition.segment.segment = "projects/shop/segments/gone"
    elif change == "version":
        journey.start_condition.segment.segment_version = 2
    elif change == "template":
        journey.activities["hello"].message.template = "projects/shop/templates/gone"
    elif change == "pool":
        journey.activities["thanks"].message.origination_pool = "projects/shop/pools/gone"
    else:
        journey.activities["hello"].message.template = "projects/shop/templates/thanks"
    name = (await created(journeys, journey)).name
    found = await refused(journeys.PublishJourney(pb.PublishJourneyRequest(name=name)))
    assert found == (grpc.StatusCode.FAILED_PRECONDITION, reason, {(f"journey.{field}", reason)})


async def test_malformed_drafts_are_refused_with_every_violation(journeys: Stub) -> None:
    journey = the_journey(display_name="x" * 200)
    journey.activities["keep"].holdout.next_activity = "gone"
    journey.activities["pause"].wait.next_activity = "hello"
    journey.activities["empty"].description = "does nothing"
    code, reason, violations = await refused(created(journeys, journey))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert violations == {
        ("journey.display_name", "OUT_OF_RANGE"),
        ("journey.activities[keep].holdout.next_activity", "UNKNOWN_ACTIVITY"),
        ("journey.activities[hello]", "CYCLE"),
        ("journey.activities[pause]", "CYCLE"),
        ("journey.activities[empty]", "ACTIVITY_TYPE_MISSING"),
    }
    assert not (await journeys.ListJourneys(pb.ListJourneysRequest(parent=PARENT))).journeys


async def test_creating_again_with_the_same_request_id_changes_nothing(journeys: Stub) -> None:
    first = await created(journeys, request_id="once")
    assert await created(journeys, request_id="once") == first
    code, reason, _ = await refused(created(journeys, the_journey(description="other"), request_id="once"))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_only_a_draft_is_edited_and_only_by_who_read_it(journeys: Stub) -> None:
    journey = await created(journeys)
    change = pb.Journey(name=journey.name, display_name="Other", etag=journey.etag)
    updated = await journeys.UpdateJourney(pb.UpdateJourneyRequest(journey=change))
    assert (updated.display_name, updated.activities, updated.etag) == ("Other", journey.activities, "2")
    code, reason, _ = await refused(journeys.UpdateJourney(pb.UpdateJourneyRequest(journey=change)))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "CONFLICT")
    mask = pb.UpdateJourneyRequest(journey=pb.Journey(name=journey.name))
    mask.update_mask.paths.append("state")
    code, _, violations = await refused(journeys.UpdateJourney(mask))
    assert (code, violations) == (grpc.StatusCode.INVALID_ARGUMENT, {("update_mask", "UNKNOWN_FIELD")})
    await journeys.PublishJourney(pb.PublishJourneyRequest(name=journey.name))
    change.etag = ""
    code, reason, _ = await refused(journeys.UpdateJourney(pb.UpdateJourneyRequest(journey=change)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOURNEY_NOT_EDITABLE")
    code, reason, _ = await refused(journeys.PublishJourney(pb.PublishJourneyRequest(name=journey.name)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOURNEY_NOT_PUBLISHABLE")
    code, reason, _ = await refused(journeys.DeleteJourney(pb.DeleteJourneyRequest(name=journey.name)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOURNEY_RUNNING")


async def test_journeys_are_listed_in_pages_newest_first(journeys: Stub, clock: ManualClock) -> None:
    names = []
    for _ in range(5):
        names.append((await created(journeys)).name)
        clock.advance(timedelta(seconds=1))
    seen: list[str] = []
    token = ""
    while True:
        page = await journeys.ListJourneys(pb.ListJourneysRequest(parent=PARENT, page_size=2, page_token=token))
        seen += [journey.name for journey in page.journeys]
        if not (token := page.next_page_token):
            break
    assert seen == names[::-1]
    code, reason, _ = await refused(journeys.ListJourneys(pb.ListJourneysRequest(parent="projects/x", page_token="?")))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_other_projects_see_nothing(journeys: Stub) -> None:
    journey = await created(journeys)
    other = journey.name.replace("projects/shop", "projects/other")
    code, reason, _ = await refused(journeys.GetJourney(pb.GetJourneyRequest(name=other)))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "JOURNEY_NOT_FOUND")


async def test_every_change_is_announced_with_the_segment_and_a_greater_revision(
    journeys: Stub, service: Runtime[JourneysSettings]
) -> None:
    name, _ = await published(journeys)
    await journeys.CancelJourney(pb.CancelJourneyRequest(name=name))
    await journeys.DeleteJourney(pb.DeleteJourneyRequest(name=name))
    async with service.database.transaction() as conn:
        statement = "SELECT payload FROM journeys.outbox WHERE type LIKE '%JourneyUpdated' ORDER BY seq"
        payloads = (await conn.execute(text(statement))).scalars().all()
    told = [journey_events_pb2.JourneyUpdated.FromString(bytes(payload)) for payload in payloads]
    assert [told[0].state, told[1].state, *(each.state for each in told[-2:])] == [
        "DRAFT",
        "ACTIVE",
        "CANCELLED",
        "DELETED",
    ]
    assert {tuple(each.segments) for each in told} == {(SEGMENT,)}
    revisions = [each.revision for each in told]
    assert revisions == sorted(set(revisions))


async def test_a_draft_can_be_deleted_once(journeys: Stub) -> None:
    name = (await created(journeys)).name
    await journeys.DeleteJourney(pb.DeleteJourneyRequest(name=name))
    code, reason, _ = await refused(journeys.DeleteJourney(pb.DeleteJourneyRequest(name=name)))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "JOURNEY_NOT_FOUND")
