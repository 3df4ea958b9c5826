"""A running messaging service with the stubs to call it, and batches as campaigns and journeys publish them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, struct_pb2

from heliograph.messaging.v1 import (
    channels_pb2,
    channels_pb2_grpc,
    dispatch_pb2,
    edge_pb2_grpc,
    events_pb2,
    files_pb2_grpc,
    messages_pb2,
    messages_pb2_grpc,
    opt_outs_pb2_grpc,
    origination_pb2_grpc,
    otp_pb2_grpc,
    phone_numbers_pb2_grpc,
    suppressions_pb2_grpc,
    templates_pb2_grpc,
)
from heliograph_kit.ids import derived_id
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject, dispatch_subject, messages_subject
from heliograph_kit.testing import eventually
from heliograph_messaging.config import MessagingSettings
from tests.messaging.scripted import ScriptedChannel

SECRET = "tests-tests-tests-tests-tests-tests-1"
PROJECT = "shop"
PARENT = f"projects/{PROJECT}"

Values = dict[str, Any]


@dataclass
class Service:
    """A running messaging service and the stubs to call it."""

    runtime: Runtime[MessagingSettings]
    templates: templates_pb2_grpc.TemplateServiceAsyncStub
    channels: channels_pb2_grpc.ChannelServiceAsyncStub
    messages: messages_pb2_grpc.MessageServiceAsyncStub
    suppressions: suppressions_pb2_grpc.SuppressionServiceAsyncStub
    numbers: origination_pb2_grpc.OriginationServiceAsyncStub
    opt_outs: opt_outs_pb2_grpc.OptOutServiceAsyncStub
    edge: edge_pb2_grpc.EdgeServiceAsyncStub
    otps: otp_pb2_grpc.OtpServiceAsyncStub
    phones: phone_numbers_pb2_grpc.PhoneNumberServiceAsyncStub
    scripted: ScriptedChannel
    second: ScriptedChannel
    files: files_pb2_grpc.FileServiceAsyncStub

    async def set_up(self, kind: str, provider: str = "scripted", **settings: Any) -> channels_pb2.Channel:
        """Set a channel up and switch it on."""
        return await self.channels.UpdateChannel(
            channels_pb2.UpdateChannelRequest(
                channel=channels_pb2.Channel(
                    name=f"{PARENT}/channels/{kind}",
                    provider=provider,
                    settings=json_format.ParseDict(settings, struct_pb2.Struct()),
                    from_address="shop@example.com" if kind == "EMAIL" else "",
                    enabled=True,
                )
            )
        )

    async def add_route(
        self, kind: str, route: str, provider: str = "second", *, priority: int | None = None, **settings: Any
    ) -> channels_pb2.Route:
        """Set a further route of a channel up and switch it on."""
        return await self.channels.UpdateRoute(
            channels_pb2.UpdateRouteRequest(
                route=channels_pb2.Route(
                    name=f"{PARENT}/channels/{kind}/routes/{route}",
                    provider=provider,
                    settings=json_format.ParseDict(settings, struct_pb2.Struct()),
                    priority=priority,
                    enabled=True,
                )
            )
        )

    async def dispatch(self, batch: dispatch_pb2.DispatchBatch) -> None:
        """Publish a batch as campaigns and journeys do."""
        names = {
            dispatch_pb2.MESSAGE_CLASS_CAMPAIGN: "campaign",
            dispatch_pb2.MESSAGE_CLASS_JOURNEY: "journey",
            dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL: "transactional",
        }
        await self.runtime.bus.publish(
            dispatch_subject(names[batch.message_class], PROJECT),
            batch.SerializeToString(),
            id=batch.batch_id,
            type=batch.DESCRIPTOR.full_name,
        )

    async def status(self, run_id: str = "run1") -> messages_pb2.RunStatus:
        """Return the counts of a run."""
        return await self.messages.GetRunStatus(messages_pb2.GetRunStatusRequest(parent=PARENT, run_id=run_id))

    async def done(self, targeted: int, run_id: str = "run1", within: float = 15) -> messages_pb2.RunStatus:
        """Wait until a run of so many messages has none pending, check conservation, and return its counts."""

        async def settled() -> messages_pb2.RunStatus | None:
            status = await self.status(run_id)
            return status if status.targeted_count == targeted and not status.pending_count else None

        status = await eventually(settled, within)
        assert status is not None
        ends = status.accepted_count + status.failed_count + status.skipped_count + status.in_doubt_count
        assert ends == targeted
        return status

    async def rows(self, run_id: str = "run1") -> list[messages_pb2.Message]:
        """Return the messages of a run, by endpoint."""
        answer = await self.messages.ListMessages(
            messages_pb2.ListMessagesRequest(parent=PARENT, run_id=run_id, page_size=500)
        )
        return sorted(answer.messages, key=lambda message: message.endpoint_id or message.address)

    async def events(self, count: int) -> list[events_pb2.MessageEvent]:
        """Wait for so many events on MESSAGES and return all there are."""

        async def enough() -> list[events_pb2.MessageEvent]:
            events = [event for batch in await self.told() for event in batch.events]
            return events if len(events) >= count else []

        return await eventually(enough)

    async def inbound(self, count: int) -> list[events_pb2.InboundMessage]:
        """Wait until so many messages of people are told on CHANGES and return all there are."""

        async def enough() -> list[events_pb2.InboundMessage]:
            stream = self.runtime.bus.jetstream
            info = await stream.stream_info("CHANGES")
            found: list[events_pb2.InboundMessage] = []
            for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
                raw = await stream.get_msg("CHANGES", sequence)
                if raw.subject == changes_subject("messaging", PROJECT, "inbound_received"):
                    found += events_pb2.InboundReceived.FromString(raw.data or b"").messages
            return found if len(found) >= count else []

        return await eventually(enough)

    async def told(self) -> list[events_pb2.MessageEventBatch]:
        """Return everything said on MESSAGES so far."""
        stream = self.runtime.bus.jetstream
        info = await stream.stream_info("MESSAGES")
        batches = []
        for sequence in range(info.state.first_seq, info.state.last_seq + 1):
            raw = await stream.get_msg("MESSAGES", sequence)
            assert raw.subject == messages_subject(PROJECT)
            batches.append(events_pb2.MessageEventBatch.FromString(raw.data or b""))
        return batches


def a_batch(
    addresses: list[str],
    *,
    run_id: str = "run1",
    page: int = 0,
    channel: str = "EMAIL",
    message_class: dispatch_pb2.MessageClass.ValueType = dispatch_pb2.MESSAGE_CLASS_CAMPAIGN,
    subject: str = "Hello",
    text: str = "Hi {{Id}}",
    endpoint_ids: list[str] | None = None,
    **content: Any,
) -> dispatch_pb2.DispatchBatch:
    """Return a batch to these addresses, endpoints e0, e1, ..., with inline content."""
    batch = dispatch_pb2.DispatchBatch(
        batch_id=derived_id(run_id, str(page)),
        project=PARENT,
        message_class=message_class,
        source=dispatch_pb2.MessageSource(name=f"{PARENT}/campaigns/c1", run_id=run_id, treatment_id="0"),
        channel=channel,
    )
    if not content:
        content = {"sms_body": text} if channel == "SMS" else {"email_subject": subject, "email_text": text}
    batch.content.CopyFrom(dispatch_pb2.MessageContent(**content))
    members = batch.recipients
    members.endpoint_ids.extend(endpoint_ids or [f"e{page * 1000 + index:06d}" for index in range(len(addresses))])
    members.user_ids.extend(f"u{index}" for index in range(len(addresses)))
    members.channels.extend(channel for _ in addresses)
    members.addresses.extend(addresses)
    members.opted_out.extend(False for _ in addresses)
    members.inactive.extend(False for _ in addresses)
    return batch


Started = Callable[..., Awaitable[Service]]
