"""Messages of the ledger as protos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heliograph.messaging.v1 import dispatch_pb2, events_pb2, messages_pb2
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name
from heliograph_messaging.events import CLASS_OF_NAME, OF_RECEIPT
from heliograph_messaging.pipeline import extras
from heliograph_messaging.service.messages import Story
from heliograph_messaging.store.messages import Count, LedgerMessage, StoredAttempt, StoredReceipt

_STATES = {
    "DISPATCHING": messages_pb2.Attempt.STATE_CALLING,
    "DONE": messages_pb2.Attempt.STATE_ANSWERED,
    "LOST": messages_pb2.Attempt.STATE_LOST,
}


def status_name(status: messages_pb2.MessageStatus.ValueType) -> str:
    """Return the ledger's name of a status; empty of none.

    Raises:
        InvalidArgument: it is no status.
    """
    if status == messages_pb2.MESSAGE_STATUS_UNSPECIFIED:
        return ""
    found = Violations()
    if status not in messages_pb2.MessageStatus.values():
        found.add("status", "is no status", "INVALID_ARGUMENT")
    found.check()
    return messages_pb2.MessageStatus.Name(status).removeprefix("MESSAGE_STATUS_")


def _status(name: str) -> messages_pb2.MessageStatus.ValueType:
    return messages_pb2.MessageStatus.Value(f"MESSAGE_STATUS_{name}")


def message_proto(message: LedgerMessage) -> messages_pb2.Message:
    """Return a message without what happened to it."""
    told = extras.read(message.extras)
    return messages_pb2.Message(
        name=format_name(message.project, "messages", message.message_id),
        status=_status(message.status),
        reason=message.reason,
        detail=message.detail,
        source=dispatch_pb2.MessageSource(
            name=message.source_name,
            run_id=message.run_id,
            treatment_id=message.treatment_id,
            activity_id=message.activity_id,
        ),
        message_class=CLASS_OF_NAME[message.message_class],
        channel=message.channel,
        provider=message.provider,
        endpoint_id=message.endpoint_id,
        user_id=message.user_id,
        address=message.address,
        origination=message.origination,
        part_count=message.part_count,
        cost_micros=message.cost,
        template=message.template,
        template_version=message.template_version,
        provider_message_id=message.provider_message_id,
        failed_attempt_count=message.failed_attempts,
        trace_id=message.trace_id,
        create_time=timestamp(message.create_time),
        update_time=timestamp(message.update_time),
        accept_time=timestamp(message.accept_time),
        route=message.route,
        use_case=message.use_case,
        snapshot=told.snapshot,
        policy=told.policy,
        context=told.context,
        caller_trace_id=told.caller_trace_id,
        batch_id=message.batch_id,
    )


def story_proto(story: Story) -> messages_pb2.Message:
    """Return one message with everything that happened to it."""
    proto = message_proto(story.message)
    proto.events.extend(_story(story.message, story.receipts))
    proto.attempts.extend(_attempt(attempt) for attempt in story.attempts)
    return proto


def _attempt(attempt: StoredAttempt) -> messages_pb2.Attempt:
    return messages_pb2.Attempt(
        state=_STATES[attempt.state],
        provider=attempt.provider,
        route=attempt.route,
        start_time=timestamp(attempt.start_time),
        end_time=timestamp(attempt.end_time),
        message_count=attempt.messages,
    )


def _story(message: LedgerMessage, receipts: Sequence[StoredReceipt]) -> list[events_pb2.MessageEvent]:
    """Return what happened: the outcome of sending, then what the provider reported."""
    story: list[events_pb2.MessageEvent] = []
    if message.accept_time is not None:
        accepted = _event(message, events_pb2.MESSAGE_EVENT_TYPE_ACCEPTED, time=timestamp(message.accept_time))
        accepted.cost_micros = message.cost
        story.append(accepted)
    elif message.status in ("FAILED", "SKIPPED", "IN_DOUBT"):
        type_ = events_pb2.MessageEventType.Value(f"MESSAGE_EVENT_TYPE_{message.status}")
        outcome = _event(message, type_, time=timestamp(message.update_time))
        outcome.reason, outcome.detail = message.reason, message.detail
        story.append(outcome)
    for receipt in receipts:
        event = _event(message, OF_RECEIPT[receipt.kind], time=timestamp(receipt.time))
        event.detail, event.link = receipt.detail, receipt.link
        story.append(event)
    return story


def _event(
    message: LedgerMessage, type_: events_pb2.MessageEventType.ValueType, *, time: Any
) -> events_pb2.MessageEvent:
    return events_pb2.MessageEvent(
        message_id=message.message_id,
        type=type_,
        endpoint_id=message.endpoint_id,
        user_id=message.user_id,
        time=time,
        origination=message.origination,
        part_count=message.part_count,
        ten_dlc_registration_id=message.use_case,
    )


def run_status(run_id: str, counts: Sequence[Count]) -> messages_pb2.RunStatus:
    """Return the counts of a run."""
    status = messages_pb2.RunStatus(run_id=run_id)
    for count in counts:
        status.targeted_count += count.messages
        status.accepted_count += count.accepted
        status.part_count += count.parts
        status.cost_micros += count.cost
        if count.status == "DELIVERED":
            status.delivered_count += count.messages
        elif count.status == "FAILED":
            status.bounced_count += count.accepted
            status.failed_count += count.messages - count.accepted
        elif count.status == "SKIPPED":
            status.skipped_count += count.messages
        elif count.status == "IN_DOUBT":
            status.in_doubt_count += count.messages
        elif count.status in ("CLAIMED", "DISPATCHING"):
            status.pending_count += count.messages
        status.counts.add(
            status=_status(count.status),
            reason=count.reason,
            treatment_id=count.treatment_id,
            activity_id=count.activity_id,
            message_count=count.messages,
        )
    return status
