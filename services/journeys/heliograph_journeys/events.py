"""Builds what the journeys service puts on the bus, and reads what comes from messaging."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.journeys.v1 import events_pb2
from heliograph.messaging.v1 import dispatch_pb2
from heliograph.messaging.v1 import events_pb2 as message_events_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph.segments.v1 import events_pb2 as segments_events_pb2
from heliograph_journeys.domain.journey import EVENT_BITS, Draft
from heliograph_journeys.domain.moving import Moved
from heliograph_journeys.domain.table import MessageStep, StepTable
from heliograph_journeys.state import Journey, Run
from heliograph_kit.ids import derived_id
from heliograph_kit.outbox import Outgoing
from heliograph_kit.streams import changes_subject, dispatch_subject

_MOST_IDS = 2_000

# What happened to a message, from the number on the bus to our bit.
_BITS: dict[int, int] = {
    number: EVENT_BITS[name.removeprefix("MESSAGE_EVENT_TYPE_")]
    for name, number in message_events_pb2.MessageEventType.items()
    if name.removeprefix("MESSAGE_EVENT_TYPE_") in EVENT_BITS
}


def journey_updated(journey: Journey, *, deleted: bool = False) -> Outgoing:
    """Announce the state a journey is in now."""
    state = "DELETED" if deleted else str(journey.state)
    return Outgoing(
        changes_subject("journeys", journey.project, "journey_updated"),
        events_pb2.JourneyUpdated(
            journey=journey.name,
            state=state,
            segments=[journey.draft.segment] if journey.draft.segment else [],
            # Deleting leaves no journey behind that could have a revision of its own.
            revision=journey.revision + deleted,
        ),
        derived_id(journey.name, str(journey.revision), state),
        journey.project,
    )


def erasure_done(project: str, erasure: str, cause: str) -> Outgoing:
    """Return the answer that an erased user is in no journey any more; `cause` is the id of what asked."""
    message = segments_events_pb2.ErasureDone(erasure=erasure, service="journeys")
    subject = changes_subject("journeys", project, "erasure_done")
    return Outgoing(subject, message, derived_id("erasure done", "journeys", erasure, cause), project)


def steps_taken(run: Run, table: StepTable, moved: Moved, now: datetime, move_ids: Sequence[str]) -> list[Outgoing]:
    """Announce the moves of one pass, each set in messages of at most 2,000 endpoints."""
    time = Timestamp()
    time.FromDatetime(now)
    announced = []
    for move_id, move in zip(move_ids, moved.moves, strict=True):
        source = "" if move.from_step is None else table.steps[move.from_step].activity_id
        target = "" if move.to_step is None else table.steps[move.to_step].activity_id
        if move.from_step is None:
            outcome = "ENTERED"
        elif move.to_step is not None:
            outcome = move.branch
        else:
            outcome = move.exit_reason or "COMPLETED"
        for start in range(0, len(move.people), _MOST_IDS):
            message = events_pb2.StepTaken(
                journey=run.journey_name,
                run_id=run.id,
                from_activity=source,
                to_activity=target,
                outcome=outcome,
                time=time,
                endpoint_ids=[person.endpoint_id for person in move.people[start : start + _MOST_IDS]],
                branch=move.branch,
            )
            subject = changes_subject("journeys", run.project, "step_taken")
            announced.append(Outgoing(subject, message, f"{move_id}-{start}", run.project))
    return announced


def policy(draft: Draft) -> dispatch_pb2.DeliveryPolicy:
    """Return what messaging is to check: the journey's own figures, else what it inherited (pinpoint-1 5.5).

    Limits are overridden one by one: a journey with a total of its own still inherits the daily one.
    """
    wanted = dispatch_pb2.DeliveryPolicy()
    own, inherited = draft.limits, draft.inherited.limits
    if daily := own.daily or inherited.daily:
        scope = dispatch_pb2.CAP_SCOPE_SOURCE if own.daily else dispatch_pb2.CAP_SCOPE_JOURNEYS
        wanted.caps.add(scope=scope, limit=daily, window=Duration(seconds=86_400))
    if draft.inherited.project_daily:
        scope = dispatch_pb2.CAP_SCOPE_PROJECT
        wanted.caps.add(scope=scope, limit=draft.inherited.project_daily, window=Duration(seconds=86_400))
    if total := own.total or inherited.total:
        wanted.caps.add(scope=dispatch_pb2.CAP_SCOPE_SOURCE, limit=total)
    frame = own if own.timeframe else inherited
    if frame.timeframe:
        window = Duration(seconds=86_400 * frame.timeframe_days)
        wanted.caps.add(scope=dispatch_pb2.CAP_SCOPE_JOURNEYS, limit=frame.timeframe, window=window)
    if quiet := draft.quiet_time or draft.inherited.quiet_time:
        wanted.quiet_time.start, wanted.quiet_time.end = quiet.start, quiet.end
    return wanted


def dispatch(
    run: Run, step: MessageStep, chunk_id: str, template_version: int, recipients: audience_pb2.MemberPage
) -> Outgoing:
    """Hand the recipients of one chunk to messaging; the same chunk is always the same batch."""
    message = step.message
    batch_id = derived_id(run.id, step.activity_id, chunk_id)
    batch = dispatch_pb2.DispatchBatch(
        batch_id=batch_id,
        project=f"projects/{run.project}",
        message_class=dispatch_pb2.MESSAGE_CLASS_JOURNEY,
        source=dispatch_pb2.MessageSource(name=run.journey_name, run_id=run.id, activity_id=step.activity_id),
        channel=message.channel,
        content=dispatch_pb2.MessageContent(
            template=message.template,
            template_version=template_version,
            from_address=message.from_address,
            origination_number=message.origination_number,
            origination_pool=message.origination_pool,
        ),
        recipients=recipients,
        policy=policy(run.draft),
    )
    return Outgoing(dispatch_subject("journey", run.project), batch, batch_id, run.project)


def happened_in(batch: message_events_pb2.MessageEventBatch) -> Iterator[tuple[str, int]]:
    """Yield (endpoint id, bit) of everything in a batch that a split can ask about."""
    for event in batch.events:
        bit = _BITS.get(event.type)
        if bit is not None and event.endpoint_id:
            yield event.endpoint_id, bit
