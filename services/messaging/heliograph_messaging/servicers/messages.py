"""gRPC face of messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from heliograph.messaging.v1 import dispatch_pb2, events_pb2, messages_pb2, messages_pb2_grpc
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_messaging.events import CLASS_OF_NAME, OF_RECEIPT
from heliograph_messaging.service.messages import Direct, Messages
from heliograph_messaging.store.messages import Count, LedgerMessage, StoredReceipt

_UNSPECIFIED = messages_pb2.MESSAGE_STATUS_UNSPECIFIED


class MessageServicer(messages_pb2_grpc.MessageServiceServicer):
    """gRPC face of messages."""

    def __init__(self, messages: Messages) -> None:
        """Take the use cases."""
        self._messages = messages

    async def SendMessages(
        self, request: messages_pb2.SendMessagesRequest, context: Any
    ) -> messages_pb2.SendMessagesResponse:
        """Take a direct send."""
        expires = request.expire_time.ToDatetime(UTC) if request.HasField("expire_time") else None
        return await self._messages.send(
            Direct(
                project=project_of(request.parent, field="parent"),
                channel=request.channel,
                content=request.content,
                recipients=list(request.recipients),
                substitutions=dict(request.substitutions),
                request_id=request.request_id,
                fingerprint=fingerprint(request),
                expire_time=expires,
            )
        )

    async def GetMessage(self, request: messages_pb2.GetMessageRequest, context: Any) -> messages_pb2.Message:
        """Return one message with its story."""
        name = parse_name(request.name, "messages")
        message, receipts = await self._messages.get(name.project, name.id)
        proto = _proto(message)
        proto.events.extend(_story(message, receipts))
        return proto

    async def ListMessages(
        self, request: messages_pb2.ListMessagesRequest, context: Any
    ) -> messages_pb2.ListMessagesResponse:
        """Return a page of the messages of a run."""
        project = _project(request)
        status = "" if request.status == _UNSPECIFIED else _status_name(request.status)
        call = f"ListMessages {project} {request.run_id} {status}"
        page = page_of(call, request.page_size, request.page_token)
        after = page.after[0] if page.after else None
        found = await self._messages.of_run(project, request.run_id, status=status, after=after, size=page.size + 1)
        token = next_token(call, [found[page.size - 1].message_id]) if len(found) > page.size else ""
        return messages_pb2.ListMessagesResponse(
            messages=[_proto(message) for message in found[: page.size]], next_page_token=token
        )

    async def GetRunStatus(self, request: messages_pb2.GetRunStatusRequest, context: Any) -> messages_pb2.RunStatus:
        """Return the counts of a run."""
        project = _project(request)
        counts = await self._messages.counts(
            project, request.run_id, treatment_id=request.treatment_id, activity_id=request.activity_id
        )
        return _run_status(request.run_id, counts)


def _project(request: messages_pb2.ListMessagesRequest | messages_pb2.GetRunStatusRequest) -> str:
    project = project_of(request.parent, field="parent")
    found = Violations()
    if not request.run_id:
        found.add("run_id", "is required", "INVALID_ARGUMENT")
    found.check()
    return project


def _status_name(status: messages_pb2.MessageStatus.ValueType) -> str:
    found = Violations()
    if status not in messages_pb2.MessageStatus.values():
        found.add("status", "is no status", "INVALID_ARGUMENT")
    found.check()
    return messages_pb2.MessageStatus.Name(status).removeprefix("MESSAGE_STATUS_")


def _status(name: str) -> messages_pb2.MessageStatus.ValueType:
    return messages_pb2.MessageStatus.Value(f"MESSAGE_STATUS_{name}")


def _proto(message: LedgerMessage) -> messages_pb2.Message:
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


def _run_status(run_id: str, counts: Sequence[Count]) -> messages_pb2.RunStatus:
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
