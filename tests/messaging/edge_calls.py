"""Calls from outside as the edge hands them over: webhooks, letters with links, and what a plugin says they mean."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2, edge_pb2, events_pb2
from heliograph_channels import EmailContent, InboundMessage, Kind, Receipt, Received, WebhookRequest
from heliograph_kit.ids import new_id
from heliograph_kit.instants import timestamp
from heliograph_messaging.domain.tracking import Signer
from tests.messaging.conftest import PARENT, PROJECT, Service, a_batch

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
URL = "https://mail.example"
HTML = '<body>Hi {{Id}} <a href="https://shop.example/{{Id}}">a</a> <a href="https://shop.example/all">b</a></body>'
T = events_pb2


def a_message(number: int = 1, **changes: Any) -> InboundMessage:
    message = InboundMessage(f"in{number}", Kind.SMS, "+14255550182", "+12125550101", "JOIN us", NOW)
    return replace(message, **changes)


def says(*receipts: Receipt, inbound: tuple[InboundMessage, ...] = (), **answer: Any) -> Any:
    async def understand(request: WebhookRequest) -> Received:
        return Received(receipts, inbound, **answer)

    return understand


def a_call(kind: str = "SMS", **given: Any) -> edge_pb2.ReceiveWebhookRequest:
    return edge_pb2.ReceiveWebhookRequest(
        **{"channel": f"{PARENT}/channels/{kind}", "method": "POST", "target": "/hooks/shop/sms"} | given
    )


def an_event(token: str, **given: Any) -> edge_pb2.TrackingEvent:
    defaults: dict[str, Any] = {"id": new_id(), "token": token, "time": timestamp(datetime.now(UTC))}
    return edge_pb2.TrackingEvent(**defaults | given)


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def count(service: Service, query: str) -> int:
    async with service.runtime.database.transaction() as conn:
        return int((await conn.execute(text(query))).scalar_one())


async def tokens_of(service: Service, html: str = HTML, endpoint_ids: list[str] | None = None) -> list[str]:
    """Send one e-mail and return the tokens of its links: those of the clicks, then that of the open."""
    await service.dispatch(a_batch(["a@x.example"], email_html=html, email_subject="x", endpoint_ids=endpoint_ids))
    await service.done(1)
    content = service.scripted.sent[-1].content
    assert isinstance(content, EmailContent)
    return re.findall(rf"{URL}/[co]/([A-Za-z0-9_-]+)", content.html)


async def unsubscribe_token(service: Service, message_id: str) -> str:
    key = (await service.edge.GetTrackingKeys(edge_pb2.GetTrackingKeysRequest())).keys[0]
    signer = Signer(key, URL, PROJECT, today=datetime.now(UTC).date(), click_days=1)
    return signer.unsubscribe_url(message_id).rsplit("/", 1)[1]


async def add_route(service: Service, id: str, **settings: Any) -> None:
    """Set a further provider of the SMS channel up."""
    route = channels_pb2.Route(
        name=f"{PARENT}/channels/SMS/routes/{id}",
        provider="second",
        settings=json_format.ParseDict(settings, struct_pb2.Struct()),
        enabled=True,
    )
    await service.channels.UpdateRoute(channels_pb2.UpdateRouteRequest(route=route))
