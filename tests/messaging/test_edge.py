"""Webhooks of providers through EdgeService: understood, stored and only then answered."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from heliograph.messaging.v1 import edge_pb2
from heliograph_channels import Receipt, ReceiptKind, Received, WebhookRequest
from heliograph_kit.errors import Unavailable
from heliograph_kit.rpc import reason_of
from heliograph_messaging.faults import Fault, PluginFault
from heliograph_messaging.pipeline import inbound as inbound_module
from tests.messaging.conftest import Service, Started, a_batch
from tests.messaging.edge_calls import NOW, URL, T, a_call, a_message, add_route, count, refusal, says

pytestmark = pytest.mark.integration


# -- calls of providers


async def test_a_call_is_understood_stored_and_then_answered(start: Started) -> None:
    service = await start(public_url=URL)
    await service.set_up("SMS")
    seen: list[WebhookRequest] = []

    async def understand(request: WebhookRequest) -> Received:
        seen.append(request)
        return Received((), (a_message(),), 202, b"<ok/>", "text/xml")

    service.scripted.understand = understand
    answer = await service.edge.ReceiveWebhook(
        a_call(target="/hooks/shop/sms?a=%20b", headers={"x-signature": "s"}, body=b"\xff\x00")
    )
    assert (answer.status, answer.body, answer.content_type) == (202, b"<ok/>", "text/xml")
    assert seen == [
        WebhookRequest("POST", f"{URL}/hooks/shop/sms?a=%20b", {"x-signature": "s"}, b"\xff\x00"),
    ]
    assert await count(service, "SELECT count(*) FROM messaging.inbound_messages") == 1
    assert service.scripted.context is not None
    assert service.scripted.context.webhook_url == f"{URL}/hooks/shop/sms"


async def test_the_same_call_a_hundred_times_at_once_counts_once(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(["a@x.example"]))
    await service.done(1)
    message_id = service.scripted.sent[0].message_id
    receipt = Receipt("r1", ReceiptKind.DELIVERED, NOW, message_id=message_id)
    service.scripted.understand = says(receipt, receipt, inbound=(a_message(1), a_message(2), a_message(1)))

    answers = await asyncio.gather(*(service.edge.ReceiveWebhook(a_call("EMAIL")) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert sorted(one.inbound_id for one in await service.inbound(2)) == ["in1", "in2"]
    told = await service.events(2)
    assert [event.type for event in told].count(T.MESSAGE_EVENT_TYPE_DELIVERED) == 1


@pytest.mark.parametrize(
    ("call", "settings"),
    [
        pytest.param(a_call("EMAIL"), {}, id="no such channel"),
        pytest.param(a_call("NONE"), {}, id="no such kind"),
        pytest.param(a_call(channel="projects/other/channels/SMS"), {}, id="no such project"),
        pytest.param(a_call(route="another"), {}, id="another provider's"),
        pytest.param(a_call(), {"webhook": False}, id="takes no calls"),
    ],
)
async def test_a_call_for_nobody_is_refused_alike(
    service: Service, call: edge_pb2.ReceiveWebhookRequest, settings: dict[str, Any]
) -> None:
    await service.set_up("SMS", **settings)
    service.scripted.understand = says(inbound=(a_message(),))
    error = await refusal(service.edge.ReceiveWebhook(call))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "CHANNEL_NOT_FOUND")
    assert await count(service, "SELECT count(*) FROM messaging.inbound_messages") == 0


async def test_a_call_of_a_further_provider_names_its_route(start: Started) -> None:
    service = await start(public_url=URL)
    await service.set_up("SMS")
    await add_route(service, "backup")
    service.second.understand = says(inbound=(a_message(),))
    assert (await service.edge.ReceiveWebhook(a_call())).status == 403
    assert (await service.edge.ReceiveWebhook(a_call(route="backup"))).status == 200
    assert service.second.context is not None
    assert service.second.context.webhook_url == f"{URL}/hooks/shop/sms/backup"
    assert await count(service, "SELECT count(*) FROM messaging.inbound_messages WHERE provider = 'second'") == 1


async def test_a_forged_call_is_answered_403_and_nothing_is_kept(service: Service) -> None:
    await service.set_up("SMS")
    answer = await service.edge.ReceiveWebhook(a_call())
    assert (answer.status, answer.body) == (403, b"forbidden\n")
    assert await count(service, "SELECT count(*) FROM messaging.receipts") == 0


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(None, id="nothing"),
        pytest.param(Received(status=99), id="no status"),
        pytest.param(Received(status=True), id="a status that is none"),
        pytest.param(Received(body="text"), id="a body that is none"),  # type: ignore[arg-type]
        pytest.param(Received(body=b"x" * 65_537), id="a body that is too large"),
        pytest.param(Received(content_type="text/plain\r\nSet-Cookie: a=b"), id="another header in the content type"),
    ],
)
async def test_an_answer_that_cannot_be_sent_is_none(service: Service, said: Received | None) -> None:
    await service.set_up("SMS")

    async def understand(request: WebhookRequest) -> Received:
        return said  # type: ignore[return-value]

    service.scripted.understand = understand
    assert (await service.edge.ReceiveWebhook(a_call())).status == 500


async def test_a_plugin_that_raises_or_hangs_is_contained(start: Started) -> None:
    service = await start(webhook_timeout_seconds=0.2)
    await service.set_up("SMS")

    async def dies(request: WebhookRequest) -> Received:
        raise PluginFault("scripted", Fault.DIED, "ended by itself")

    service.scripted.understand = dies
    error = await refusal(service.edge.ReceiveWebhook(a_call(), timeout=5))
    assert error.code() is grpc.StatusCode.UNAVAILABLE, "it is started again, and the provider calls again"

    async def raises(request: WebhookRequest) -> Received:
        raise RuntimeError("secret token abc")

    service.scripted.understand = raises
    answer = await service.edge.ReceiveWebhook(a_call())
    assert (answer.status, answer.body) == (500, b"internal error\n")

    async def hangs(request: WebhookRequest) -> Received:
        await asyncio.Event().wait()
        raise AssertionError

    service.scripted.understand = hangs
    error = await refusal(service.edge.ReceiveWebhook(a_call(), timeout=5))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


async def test_what_cannot_be_stored_is_not_answered(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.set_up("SMS")
    service.scripted.understand = says(
        Receipt("r1", ReceiptKind.DELIVERED, NOW, message_id="0" * 32), inbound=(a_message(),)
    )

    async def away(*_: Any) -> None:
        raise Unavailable("the database is away", dependency="database")

    monkeypatch.setattr(inbound_module.Inbound, "process", away)
    error = await refusal(service.edge.ReceiveWebhook(a_call(), timeout=5))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert await count(service, "SELECT count(*) FROM messaging.receipts") == 0, "all of a call or nothing"
    monkeypatch.undo()
    assert (await service.edge.ReceiveWebhook(a_call())).status == 200
    assert await count(service, "SELECT count(*) FROM messaging.receipts") == 1
