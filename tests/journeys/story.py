"""The journey most tests tell, and the calls that start it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

from heliograph.journeys.v1 import journeys_pb2 as pb
from heliograph.journeys.v1 import journeys_pb2_grpc
from heliograph.messaging.v1 import events_pb2
from heliograph_kit.testing import eventually
from tests.journeys.builders import SEGMENT, TEMPLATE
from tests.journeys.conftest import metrics_of

Stub: TypeAlias = "journeys_pb2_grpc.JourneyServiceAsyncStub"
PARENT = "projects/shop"


def the_journey(**changes: Any) -> pb.Journey:
    """Holdout, e-mail, a day's wait, opened? then an SMS, else a second e-mail."""
    journey = pb.Journey(display_name="Welcome", start_activity="keep")
    journey.start_condition.segment.segment = SEGMENT
    journey.activities["keep"].holdout.percentage = 20
    journey.activities["keep"].holdout.next_activity = "hello"
    journey.activities["hello"].message.channel = "EMAIL"
    journey.activities["hello"].message.template = TEMPLATE
    journey.activities["hello"].message.next_activity = "pause"
    journey.activities["pause"].wait.wait_for.FromTimedelta(timedelta(days=1))
    journey.activities["pause"].wait.next_activity = "opened"
    split = journey.activities["opened"].conditional_split
    split.conditions.add().message_event.message_activity = "hello"
    split.conditions[0].message_event.event = events_pb2.MESSAGE_EVENT_TYPE_OPENED
    split.evaluation_wait_for.FromTimedelta(timedelta(hours=12))
    split.true_activity, split.false_activity = "thanks", "again"
    journey.activities["thanks"].message.channel = "SMS"
    journey.activities["thanks"].message.template = "projects/shop/templates/thanks"
    journey.activities["thanks"].message.origination_pool = "projects/shop/pools/main"
    journey.activities["again"].message.channel = "EMAIL"
    journey.activities["again"].message.template = TEMPLATE
    journey.MergeFrom(pb.Journey(**changes))
    return journey


async def created(stub: Stub, journey: pb.Journey | None = None, request_id: str = "") -> pb.Journey:
    request = pb.CreateJourneyRequest(parent=PARENT, journey=journey or the_journey(), request_id=request_id)
    return await stub.CreateJourney(request)


async def published(stub: Stub, journey: pb.Journey | None = None) -> tuple[str, str]:
    """Publish a journey; return its name and the name of its run."""
    name = (await created(stub, journey)).name
    await stub.PublishJourney(pb.PublishJourneyRequest(name=name))
    runs = await stub.ListRuns(pb.ListRunsRequest(parent=name))
    return name, runs.runs[0].name


async def passed(stub: Stub, run: str) -> int:
    """Wait until everybody entered; return how many were not held out."""

    async def all_in() -> pb.RunMetrics | None:
        metrics = await metrics_of(stub, run)
        return metrics if metrics.entered_count == 30 else None

    metrics = await eventually(all_in)
    assert metrics is not None
    return metrics.active_count
