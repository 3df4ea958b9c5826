"""Notifications for browsers through the whole pipeline: the channel webpush beside another provider, and a push service of our own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, messages_pb2, templates_pb2
from heliograph_channel_webpush import WebPush
from heliograph_kit.rpc import violations_of
from heliograph_messaging import main
from tests.messaging.conftest import PARENT, Service, Started
from tests.messaging.scripted import ScriptedChannel
from tests.messaging.segments import AnEndpoint, Segments, running
from tests.plugins.http2_peer import tls_of
from tests.plugins.push_service import FakePushService
from tests.plugins.smtp_servers import make_certificate

pytestmark = pytest.mark.integration
D = messages_pb2.DeliveryStatus
Content: Any = dispatch_pb2.MessageContent
"""Its type does not know that a message may be written as a dictionary."""
Recipient = messages_pb2.Recipient
PRIVATE_KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
MOST_BYTES = 3_993


@pytest_asyncio.fixture
async def browsers(tmp_path: Path) -> AsyncIterator[FakePushService]:
    """A push service with a certificate of its own, whose file is `push.pem`."""
    certificate = make_certificate(tmp_path)
    certificate[0].rename(tmp_path / "push.pem")
    async with FakePushService().running(tls_of((tmp_path / "push.pem", certificate[1]), protocol="http/1.1")) as peer:
        yield peer


@pytest.fixture
def segments() -> Segments:
    return Segments()  # type: ignore[abstract]  # only what messaging asks for is there


@pytest_asyncio.fixture
async def service(
    start: Started, segments: Segments, browsers: FakePushService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    """A service whose channel PUSH has a provider for Android, and webpush as a route."""
    google = ScriptedChannel("google", platforms=frozenset({"GCM"}))
    google.check_address = lambda kind, address: "is no token" if "{" in address else None  # type: ignore[method-assign]
    known = vars(main)["load_catalogue"]  # what `start` put there, which has no place of its own to be imported from

    def with_webpush(*given: Any) -> Any:
        return {**known(*given), "webpush": WebPush(), "google": google}

    monkeypatch.setattr(main, "load_catalogue", with_webpush)
    async with running(segments) as address:
        one = await start(peer_segments=address)
        await one.set_up("PUSH", "google")
        await one.add_route(
            "PUSH", "web", "webpush", vapid_private_key=PRIVATE_KEY, subject="mailto:push@example.com",
            hosts=[f"localhost:{browsers.port}"], allow_networks=["127.0.0.0/8", "::1/128"],
            ca_file=str(tmp_path / "push.pem"),
        )  # fmt: skip
        yield one


async def send(
    service: Service, content: Any, *recipients: Recipient, **fields: Any
) -> list[messages_pb2.TakenMessage]:
    request: Any = messages_pb2.SendMessagesRequest
    answer = await service.messages.SendMessages(
        request(parent=PARENT, content=content, recipients=recipients, wait_for_result={"seconds": 10}, **{"channel": "PUSH", **fields})
    )  # fmt: skip
    return list(answer.messages)


def told(messages: list[messages_pb2.TakenMessage]) -> list[tuple[str, str]]:
    return [(D.Name(one.status).removeprefix("DELIVERY_STATUS_"), one.reason) for one in messages]


async def test_a_browser_gets_what_the_template_and_the_message_say_to_it(
    service: Service, segments: Segments, browsers: FakePushService
) -> None:
    ann = browsers.browser("/push/ann")
    segments.endpoints["ann"] = AnEndpoint("WEB", ann.address, fields={"Attributes.first": ['Änn "A"']})
    parts: Any = {
        "default_part": {"title": "Hi {{Attributes.first}}", "body": "for all"},
        "web": {"action": contents_pb2.PUSH_ACTION_URL, "url": "https://s.example/{{Id}}", "image_url": "https://s.example/i"},
    }  # fmt: skip
    await service.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=PARENT, template_id="t", template=templates_pb2.Template(push=templates_pb2.PushTemplate(**parts))
        )
    )
    web = {
        "body": "own", "priority": contents_pb2.PUSH_PRIORITY_HIGH, "time_to_live_seconds": 0, "collapse_id": "order-7",
        "data": {"order": "7"}, "thread_id": "orders", "badge": 2, "image_icon_url": "https://s.example/l",
        "small_image_icon_url": "https://s.example/s",
    }  # fmt: skip
    content = Content(template=f"{PARENT}/templates/t", push={"web": web})
    assert told(await send(service, content, Recipient(endpoint_id="ann"))) == [("SUCCESSFUL", "")]
    ((browser, said),) = browsers.delivered
    assert browser is ann
    assert json.loads(said) == {
        "notification": {
            "title": 'Hi Änn "A"', "body": "own", "icon": "https://s.example/l", "badge": "https://s.example/s",
            "image": "https://s.example/i", "tag": "orders", "app_badge": 2,
        },
        "action": "URL", "url": "https://s.example/ann", "data": {"order": "7"},
        "pinpoint": {"campaign": {"campaign_id": "_DIRECT"}},
    }  # fmt: skip
    headers = browsers.calls[0].headers
    assert (headers["ttl"], headers["urgency"], headers["topic"]) == ("0", "high", "order-7")


async def test_a_browser_is_reached_by_its_subscription_alone(service: Service, browsers: FakePushService) -> None:
    first, second = browsers.browser("/push/1"), browsers.browser("/push/2")
    content = Content(push={"default_message": {"title": "Hi"}})
    taken = await send(
        service, content, Recipient(address=first.address, channel="WEB"), Recipient(address="token", channel="GCM")
    )
    assert told(taken) == [("SUCCESSFUL", "")] * 2
    assert [one.channel for one in taken] == ["PUSH", "PUSH"]
    # Without a channel in the request, the kind of device alone tells which content it is.
    alone = Recipient(address=second.address, channel="WEB")
    assert told(await send(service, None, alone, channel="", contents={"PUSH": content})) == [("SUCCESSFUL", "")]
    assert [browser for browser, _ in browsers.delivered] == [first, second]
    story = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=taken[0].message))
    assert story.provider == "webpush"


@pytest.mark.parametrize(
    ("more", "result"),
    [(0, ("SUCCESSFUL", "")), (1, ("PERMANENT_FAILURE", "FAILURE_PERMANENT"))],
    ids=["3,993 bytes", "one more"],
)
async def test_the_largest_payload_reaches_a_browser_and_a_larger_one_does_not(
    service: Service, browsers: FakePushService, more: int, result: tuple[str, str]
) -> None:
    raw = '{"x":"{{x}}"}'
    size = MOST_BYTES - len('{"x":""}') + more
    one = Recipient(address=browsers.browser().address, channel="WEB", substitutions={"x": "x" * size})
    (taken,) = await send(service, Content(push={"web": {"raw_content": raw}}), one)
    assert told([taken]) == [result]
    assert [len(said) for _, said in browsers.delivered] == ([] if more else [MOST_BYTES])
    assert ("3,994 bytes" in taken.status_message) == bool(more)


async def test_a_browser_that_ended_its_subscription_and_an_address_that_is_none_are_told(
    service: Service, browsers: FakePushService
) -> None:
    gone = browsers.browser("/push/gone")
    del browsers.browsers["/push/gone"]
    content = Content(push={"web": {"title": "Hi"}})
    taken = await send(
        service, content,
        Recipient(address=gone.address, channel="WEB"),
        Recipient(address='{"endpoint":"https://x.example"}', channel="WEB"),
        Recipient(address="token", channel="GCM"),
    )  # fmt: skip
    assert [one.status_code for one in taken] == [400, 400, 400]
    assert [one.reason for one in taken][2] == "ENDPOINT_CHANNEL_MISMATCH"
    assert "gone" in taken[0].status_message
    assert "PushSubscription" in taken[1].status_message
    assert not browsers.delivered


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"channel": "SMS", "content": Content(sms_body="x")}, "recipients[0].channel"),
        ({"channel": "", "contents": {"PUSH": Content(push={})}, "recipient": "PIGEON"}, "recipients[0].channel"),
    ],
    ids=["a device on another channel", "no kind of device"],
)
async def test_a_kind_of_device_belongs_to_notifications(service: Service, fields: dict[str, Any], field: str) -> None:
    one = Recipient(address="x", channel=fields.pop("recipient", "WEB"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(service, fields.pop("content", None), one, **fields)
    assert [name for name, _ in violations_of(caught.value)] == [field]
