"""What messaging says on MESSAGES, and how the ledger's words are written in protos."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, events_pb2
from heliograph.segments.v1 import events_pb2 as segments_events_pb2
from heliograph_kit.ids import derived_id
from heliograph_kit.instants import timestamp
from heliograph_kit.outbox import Outgoing
from heliograph_kit.streams import changes_subject, messages_subject
from heliograph_messaging.domain.outcomes import Outcome, Status
from heliograph_messaging.store.records import Row

_OF_STATUS = {
    Status.ACCEPTED: events_pb2.MESSAGE_EVENT_TYPE_ACCEPTED,
    Status.FAILED: events_pb2.MESSAGE_EVENT_TYPE_FAILED,
    Status.SKIPPED: events_pb2.MESSAGE_EVENT_TYPE_SKIPPED,
    Status.IN_DOUBT: events_pb2.MESSAGE_EVENT_TYPE_IN_DOUBT,
    Status.DELIVERED: events_pb2.MESSAGE_EVENT_TYPE_DELIVERED,
}
CLASSES = {
    dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL: "transactional",
    dispatch_pb2.MESSAGE_CLASS_CAMPAIGN: "campaign",
    dispatch_pb2.MESSAGE_CLASS_JOURNEY: "journey",
}
MESSAGE_TYPES = {
    contents_pb2.SMS_MESSAGE_TYPE_UNSPECIFIED: "",
    contents_pb2.SMS_MESSAGE_TYPE_TRANSACTIONAL: "TRANSACTIONAL",
    contents_pb2.SMS_MESSAGE_TYPE_PROMOTIONAL: "PROMOTIONAL",
}
CLASS_OF_NAME = {name: number for number, name in CLASSES.items()}
LINKS = "heliograph/links"
"""Stands for the provider of receipts that our own links gave; no plugin can have this name."""
UNSUBSCRIBED = "UNSUBSCRIBED"
"""The kind of receipt of somebody who opted out through our own link."""
OF_RECEIPT = {
    "DELIVERED": events_pb2.MESSAGE_EVENT_TYPE_DELIVERED,
    "BOUNCED": events_pb2.MESSAGE_EVENT_TYPE_BOUNCED,
    # Accepted first and given up by the provider later: it came back, as far as anybody who counts is concerned.
    "FAILED": events_pb2.MESSAGE_EVENT_TYPE_BOUNCED,
    "COMPLAINED": events_pb2.MESSAGE_EVENT_TYPE_COMPLAINED,
    "OPENED": events_pb2.MESSAGE_EVENT_TYPE_OPENED,
    "CLICKED": events_pb2.MESSAGE_EVENT_TYPE_CLICKED,
    "OPTED_OUT": events_pb2.MESSAGE_EVENT_TYPE_OPTED_OUT,
    UNSUBSCRIBED: events_pb2.MESSAGE_EVENT_TYPE_OPTED_OUT,
}


def outcome_batch(
    batch: dispatch_pb2.DispatchBatch, template_version: int, outcomes: Iterable[tuple[Row, Outcome]], *, now: datetime
) -> events_pb2.MessageEventBatch:
    """Return the events about messages that have an outcome; those that are tried again have none."""
    told = events_pb2.MessageEventBatch(
        project=batch.project,
        source=batch.source,
        channel=batch.channel,
        message_class=batch.message_class,
        template=batch.content.template,
        template_version=template_version,
        context=batch.context,
        caller_trace_id=batch.caller_trace_id,
    )
    time = timestamp(now)
    for row, outcome in outcomes:
        if outcome.status is Status.CLAIMED:
            continue
        told.events.add(
            message_id=row.message_id,
            type=_OF_STATUS[outcome.status],
            endpoint_id=row.endpoint_id,
            user_id=row.user_id,
            reason=outcome.reason,
            detail=outcome.detail,
            time=time,
            origination=row.origination,
            part_count=row.part_count,
            ten_dlc_registration_id=row.use_case,
            cost_micros=row.cost if outcome.status is Status.ACCEPTED else 0,
        )
    return told


def outgoing(told: events_pb2.MessageEventBatch, project: str, id: str) -> list[Outgoing]:
    """Return what goes into the outbox: nothing when there is nothing to tell."""
    return [Outgoing(messages_subject(project), told, id, project)] if told.events else []


def erasure_done(project: str, erasure: str, cause: str) -> Outgoing:
    """Return the answer that nothing will be sent to an erased user any more; `cause` is the id of what asked."""
    message = segments_events_pb2.ErasureDone(erasure=erasure, service="messaging")
    subject = changes_subject("messaging", project, "erasure_done")
    return Outgoing(subject, message, derived_id("erasure done", "messaging", erasure, cause), project)
