"""Between the messages of `heliograph.journeys.v1` and what the service works with."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.common.v1 import limits_pb2
from heliograph.journeys.v1 import journeys_pb2
from heliograph.messaging.v1 import events_pb2 as message_events_pb2
from heliograph_journeys.crowd import Participant
from heliograph_journeys.domain.checking import Finding
from heliograph_journeys.domain.journey import (
    Activity,
    Branch,
    ConditionalSplit,
    Doing,
    Draft,
    Holdout,
    Limits,
    Message,
    MessageEvent,
    Nothing,
    QuietTime,
    RandomSplit,
    Wait,
)
from heliograph_journeys.domain.table import StepTable
from heliograph_journeys.service import Metrics
from heliograph_journeys.state import Journey, Run
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp

_EVENT = "MESSAGE_EVENT_TYPE_"


def draft_from_proto(journey: journeys_pb2.Journey) -> Draft:
    """Read what an author decides; what is merely wrong is left to `domain.checking`.

    Raises:
        InvalidArgument: times and durations that no calendar has.
    """
    violations = Violations()
    schedule = journey.schedule
    start = _instant(schedule.start_time, "journey.schedule.start_time", violations)
    draft = Draft(
        display_name=journey.display_name,
        description=journey.description,
        activities={
            id_: Activity(_doing(activity, f"journey.activities[{id_}]", violations), activity.description)
            for id_, activity in journey.activities.items()
        },
        start_activity=journey.start_activity,
        segment=journey.start_condition.segment.segment,
        segment_version=journey.start_condition.segment.segment_version,
        start_time=start if schedule.HasField("start_time") else None,
        limits=Limits(
            journey.limits.daily, journey.limits.total, journey.limits.timeframe, journey.limits.timeframe_days
        ),
        quiet_time=QuietTime(journey.quiet_time.start, journey.quiet_time.end)
        if journey.HasField("quiet_time")
        else None,
    )
    violations.check()
    return draft


def journey_to_proto(journey: Journey) -> journeys_pb2.Journey:
    """Show a journey."""
    draft = journey.draft
    shown = journeys_pb2.Journey(
        name=journey.name,
        display_name=draft.display_name,
        description=draft.description,
        activities={id_: _activity(activity) for id_, activity in draft.activities.items()},
        start_activity=draft.start_activity,
        state=journeys_pb2.Journey.State.Value(f"STATE_{journey.state}"),
        state_reason=journey.state_reason,
        etag=str(journey.revision),
        create_time=timestamp(journey.create_time),
        update_time=timestamp(journey.update_time),
        publish_time=timestamp(journey.publish_time),
        limits=limits_pb2.JourneyLimits(**asdict(draft.limits)),
        quiet_time=limits_pb2.QuietTime(**asdict(draft.quiet_time)) if draft.quiet_time else None,
    )
    if draft.segment:
        shown.start_condition.segment.segment = draft.segment
        shown.start_condition.segment.segment_version = draft.segment_version
    if draft.start_time is not None:
        shown.schedule.start_time.FromDatetime(draft.start_time)
    return shown


def run_to_proto(run: Run) -> journeys_pb2.Run:
    """Show a run."""
    return journeys_pb2.Run(
        name=run.name,
        state=journeys_pb2.Run.State.Value(f"STATE_{run.state}"),
        failure_reason=run.failure_reason,
        start_time=timestamp(run.start_time),
        create_time=timestamp(run.create_time),
        end_time=timestamp(run.end_time),
        snapshot=run.snapshot,
        member_count=run.member_count,
        entered_count=run.entered,
    )


def metrics_to_proto(metrics: Metrics) -> journeys_pb2.RunMetrics:
    """Show the counts of a run."""
    return journeys_pb2.RunMetrics(
        run=metrics.run.name,
        as_of_time=timestamp(metrics.as_of),
        entered_count=metrics.entered,
        active_count=metrics.active,
        completed_count=metrics.completed,
        exited_counts=metrics.exited,
        steps=[
            journeys_pb2.StepMetrics(
                activity_id=step.activity_id,
                activity_type=step.type,
                arrived_count=step.arrived,
                waiting_count=step.waiting,
                left_counts=step.left,
            )
            for step in metrics.steps
        ],
    )


def participant_to_proto(participant: Participant, table: StepTable) -> journeys_pb2.Participant:
    """Show a participant."""
    return journeys_pb2.Participant(
        endpoint_id=participant.endpoint_id,
        state=journeys_pb2.Participant.State.Value(f"STATE_{participant.state}"),
        activity_id=table.steps[participant.step].activity_id,
        exit_reason=participant.exit_reason,
        entry_time=timestamp(participant.entered_at),
        arrive_time=timestamp(participant.arrived_at),
        wake_time=timestamp(participant.wake_at),
    )


def finding_to_proto(finding: Finding) -> journeys_pb2.Finding:
    """Show a finding."""
    severity = "SEVERITY_ERROR" if finding.error else "SEVERITY_RECOMMENDATION"
    return journeys_pb2.Finding(
        severity=journeys_pb2.Finding.Severity.Value(severity),
        field=finding.field,
        reason=finding.reason,
        description=finding.description,
    )


def _doing(activity: journeys_pb2.Activity, path: str, violations: Violations) -> Doing:
    match activity.WhichOneof("activity"):
        case "message":
            message = activity.message
            return Message(
                channel=message.channel,
                template=message.template,
                template_version=message.template_version,
                from_address=message.from_address,
                origination_number=message.origination_number,
                origination_pool=message.origination_pool,
                next=message.next_activity,
            )
        case "wait":
            wait, path = activity.wait, f"{path}.wait"
            return Wait(
                wait_for=_span(wait.wait_for, f"{path}.wait_for", violations) if wait.HasField("wait_for") else None,
                wait_until=_instant(wait.wait_until, f"{path}.wait_until", violations)
                if wait.HasField("wait_until")
                else None,
                next=wait.next_activity,
            )
        case "conditional_split":
            return _split(activity.conditional_split, f"{path}.conditional_split", violations)
        case "random_split":
            branches = (Branch(branch.percentage, branch.next_activity) for branch in activity.random_split.branches)
            return RandomSplit(tuple(branches))
        case "holdout":
            return Holdout(activity.holdout.percentage, activity.holdout.next_activity)
        case _:
            return Nothing()


def _split(split: journeys_pb2.ConditionalSplit, path: str, violations: Violations) -> ConditionalSplit:
    conditions: list[MessageEvent | None] = []
    for condition in split.conditions:
        if not condition.HasField("message_event"):
            conditions.append(None)
            continue
        asked = condition.message_event
        known = message_events_pb2.MessageEventType.values()
        # A number of a later version of the API is refused as an unknown event, by its number.
        named = message_events_pb2.MessageEventType.Name(asked.event) if asked.event in known else str(asked.event)
        conditions.append(MessageEvent(asked.message_activity, named.removeprefix(_EVENT)))
    wait_for = wait_until = None
    if split.HasField("evaluation_wait_for"):
        wait_for = _span(split.evaluation_wait_for, f"{path}.evaluation_wait_for", violations)
    if split.HasField("evaluation_wait_until"):
        wait_until = _instant(split.evaluation_wait_until, f"{path}.evaluation_wait_until", violations)
    return ConditionalSplit(
        conditions=tuple(conditions),
        any_of=split.operator == journeys_pb2.ConditionalSplit.OPERATOR_ANY,
        evaluation_wait_for=wait_for,
        evaluation_wait_until=wait_until,
        yes=split.true_activity,
        no=split.false_activity,
    )


def _activity(activity: Activity) -> journeys_pb2.Activity:
    shown = journeys_pb2.Activity(description=activity.description)
    match activity.does:
        case Message() as message:
            shown.message.CopyFrom(
                journeys_pb2.MessageActivity(
                    channel=message.channel,
                    template=message.template,
                    template_version=message.template_version,
                    from_address=message.from_address,
                    origination_number=message.origination_number,
                    origination_pool=message.origination_pool,
                    next_activity=message.next,
                )
            )
        case Wait() as wait:
            shown.wait.next_activity = wait.next
            if wait.wait_for is not None:
                shown.wait.wait_for.FromTimedelta(wait.wait_for)
            if wait.wait_until is not None:
                shown.wait.wait_until.FromDatetime(wait.wait_until)
        case ConditionalSplit() as split:
            _show_split(split, shown.conditional_split)
        case RandomSplit(branches=branches):
            shown.random_split.branches.extend(
                journeys_pb2.RandomBranch(percentage=branch.percentage, next_activity=branch.next)
                for branch in branches
            )
        case Holdout() as holdout:
            shown.holdout.percentage = holdout.percentage
            shown.holdout.next_activity = holdout.next
            # Also with 0 percent and no next activity it is a holdout.
            shown.holdout.SetInParent()
    return shown


def _show_split(split: ConditionalSplit, shown: journeys_pb2.ConditionalSplit) -> None:
    operators = journeys_pb2.ConditionalSplit
    shown.operator = operators.OPERATOR_ANY if split.any_of else operators.OPERATOR_ALL
    shown.true_activity, shown.false_activity = split.yes, split.no
    for condition in split.conditions:
        added = shown.conditions.add()
        if condition is not None:
            added.message_event.message_activity = condition.message_activity
            added.message_event.event = message_events_pb2.MessageEventType.Value(f"{_EVENT}{condition.event}")
    if split.evaluation_wait_for is not None:
        shown.evaluation_wait_for.FromTimedelta(split.evaluation_wait_for)
    if split.evaluation_wait_until is not None:
        shown.evaluation_wait_until.FromDatetime(split.evaluation_wait_until)


def _instant(value: Timestamp, path: str, violations: Violations) -> datetime | None:
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        violations.add(path, "is no instant between the years 1 and 9999", "OUT_OF_RANGE")
        return None


def _span(value: Duration, path: str, violations: Violations) -> timedelta | None:
    try:
        return value.ToTimedelta()
    except (ValueError, OverflowError):
        violations.add(path, "is out of range", "OUT_OF_RANGE")
        return None
