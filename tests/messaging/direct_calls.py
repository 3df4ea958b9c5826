"""Direct sends as a caller makes them, and what their answers say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, messages_pb2
from heliograph_kit.rpc import reason_of, violations_of
from tests.messaging.conftest import PARENT, Service
from tests.messaging.segments import AnEndpoint, Segments, running

S = messages_pb2.MessageStatus
D = messages_pb2.DeliveryStatus
BAD = grpc.StatusCode.INVALID_ARGUMENT
Content = dispatch_pb2.MessageContent
Overrides = contents_pb2.ContentOverrides
CODE = Content(email_subject="Code", email_text="{{Code}}")


def to(*addresses: str, channel: str = "EMAIL", **fields: Any) -> messages_pb2.SendMessagesRequest:
    fields.setdefault("content", CODE)
    fields.setdefault(
        "recipients",
        [messages_pb2.Recipient(address=address, substitutions={"Code": address[:3]}) for address in addresses],
    )
    return messages_pb2.SendMessagesRequest(parent=PARENT, channel=channel, **fields)


def wait(seconds: float = 10) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))


def told(messages: Any) -> list[tuple[str, int, str]]:
    return [(D.Name(one.status).removeprefix("DELIVERY_STATUS_"), one.status_code, one.reason) for one in messages]


@asynccontextmanager
async def serving(**endpoints: AnEndpoint) -> AsyncIterator[tuple[str, Segments]]:
    segments = Segments()  # type: ignore[abstract]  # only what messaging asks for is there
    segments.endpoints.update(endpoints)
    async with running(segments) as address:
        yield address, segments


async def refused(service: Service, request: Any) -> tuple[grpc.StatusCode, str, set[str]]:
    call = service.messages.SendMessages
    if isinstance(request, messages_pb2.SendUsersMessagesRequest):
        call = service.messages.SendUsersMessages  # type: ignore[assignment]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request)
    return caught.value.code(), reason_of(caught.value), {field for field, _ in violations_of(caught.value)}


async def dispatched(service: Service) -> int:
    async with service.runtime.database.transaction() as conn:
        query = text("SELECT count(*) FROM messaging.outbox WHERE subject LIKE 'dispatch.%'")
        return int((await conn.execute(query)).scalar_one())


def texts(service: Service) -> list[str]:
    return sorted(message.content.text for message in service.scripted.sent)  # type: ignore[union-attr]


USERS = {
    "a1": AnEndpoint(address="ann@x.com", user_id="ann", fields={"Attributes.plan": ["gold"]}),
    "a2": AnEndpoint("SMS", "+12065550123", "ann"),
    "a3": AnEndpoint(address="old@x.com", user_id="ann", inactive=True),
    "a4": AnEndpoint("GCM", "token", "ann"),
    "b1": AnEndpoint(address="bob@x.com", user_id="bob"),
    "b2": AnEndpoint(address="ann@x.com", user_id="bob"),
}


def users(*names: str, **fields: Any) -> messages_pb2.SendUsersMessagesRequest:
    fields.setdefault("contents", {"EMAIL": Content(email_subject="x", email_text="{{Greeting}} {{Attributes.plan}}")})
    fields.setdefault("substitutions", {"Greeting": "hi", "Attributes.plan": "none"})
    fields.setdefault("users", [messages_pb2.UserRecipient(user_id=name) for name in names])
    return messages_pb2.SendUsersMessagesRequest(parent=PARENT, **fields)
