"""What the HTTP edge hands to messaging: calls of providers and what people do, stored before anybody is answered."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2, edge_pb2, events_pb2, messages_pb2
from heliograph_channels import (
    Accepted,
    EmailContent,
    InboundMessage,
    Kind,
    Receipt,
    ReceiptKind,
    Received,
    Rejected,
    RejectReason,
    SendResult,
    WebhookRequest,
)
from heliograph_kit.errors import Unavailable
from heliograph_kit.ids import derived_id, new_id
from heliograph_kit.instants import timestamp
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.testing import eventually
from heliograph_messaging.domain.tracking import LinkKind, Signer
from heliograph_messaging.faults import Fault, PluginFault
from heliograph_messaging.pipeline import inbound as inbound_module
from heliograph_messaging.pipeline import marks as marks_module
from heliograph_messaging.projections import SegmentsAudience
from heliograph_messaging.store.marks import NewMark
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, a_batch

pytestmark = pytest.mark.integration
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


async def add_route(service: Service, id: str, **settings: Any) -> None:
    """Set a further provider of the SMS channel up."""
    route = channels_pb2.Route(
        name=f"{PARENT}/channels/SMS/routes/{id}",
        provider="second",
        settings=json_format.ParseDict(settings, struct_pb2.Struct()),
        enabled=True,
    )
    await service.channels.UpdateRoute(channels_pb2.UpdateRouteRequest(route=route))


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


# -- what people send


async def test_a_persons_message_is_told_once_with_everything_that_was_said(service: Service) -> None:
    await service.set_up("SMS")
    service.scripted.understand = says(
        inbound=(a_message(1, media_urls=("https://x.example/1",), attributes={"carrier": "c", "n\0": "\ud800"}),)
    )
    await service.edge.ReceiveWebhook(a_call())
    (told,) = await service.inbound(1)
    assert told == T.InboundMessage(
        inbound_id="in1",
        channel="SMS",
        origination="+14255550182",
        destination="+12125550101",
        body="JOIN us",
        time=timestamp(NOW),
        media_urls=["https://x.example/1"],
        attributes={"carrier": "c", "n\ufffd": "\ufffd"},
    )


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"body": "x" * 100_000}, {"body": "x" * 100_000}),
        ({"body": "x" * 100_001}, {"body": "x" * 100_000}),
        ({"media_urls": tuple("abcdefghijklmnopqrstuvwxyz")}, {"media_urls": list("abcdefghijklmnopqrst")}),
        ({"attributes": {f"{n:02}": "v" for n in range(51)}}, {"attributes": {f"{n:02}": "v" for n in range(50)}}),
    ],
    ids=["a long text", "a text that is too long", "too many pictures", "too many attributes"],
)
async def test_of_what_a_plugin_hands_over_as_much_is_kept_as_fits(
    service: Service, changes: dict[str, Any], kept: dict[str, Any]
) -> None:
    await service.set_up("SMS", listens=True)
    await eventually(lambda: service.scripted.context)
    await service.scripted.deliver(a_message(1, **changes))
    (told,) = await service.inbound(1)
    for name, value in kept.items():
        found = getattr(told, name)
        assert (dict(found) if isinstance(value, dict) else list(found) if isinstance(value, list) else found) == value


async def test_many_long_messages_are_told_in_several_pieces(service: Service) -> None:
    await service.set_up("SMS", listens=True)
    await eventually(lambda: service.scripted.context)
    await service.scripted.deliver(*(a_message(number, body="é" * 100_000) for number in range(30)))
    assert len(await service.inbound(30)) == 30


def a_broken(**changes: Any) -> InboundMessage:
    """Return a message that its own class would not have made."""
    message = a_message(2)
    for name, value in changes.items():
        object.__setattr__(message, name, value)
    return message


async def test_a_plugin_that_hands_over_something_else_does_no_harm_and_is_named(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    await service.set_up("SMS")
    broken = [
        "no message",
        a_broken(inbound_id=""),
        a_broken(inbound_id="i" * 201),
        a_broken(time="yesterday"),
        a_broken(time=datetime(2026, 3, 4)),  # noqa: DTZ001 (without a zone: that is what is wrong with it)
        a_broken(time=datetime(1, 1, 1, tzinfo=UTC)),
    ]
    service.scripted.understand = says("no receipt", inbound=(*broken, a_message()))  # type: ignore[arg-type]
    assert (await service.edge.ReceiveWebhook(a_call())).status == 200
    assert [one.inbound_id for one in await service.inbound(1)] == ["in1"]
    named = [record.getMessage() for record in caplog.records if "channel plugin scripted" in record.getMessage()]
    assert len(named) >= len(broken) + 1


async def test_a_plugin_cannot_say_that_somebody_used_our_link(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(["a@x.example"]))
    await service.done(1)
    receipt = Receipt("r1", ReceiptKind.OPTED_OUT, NOW, message_id=service.scripted.sent[0].message_id)
    object.__setattr__(receipt, "kind", "UNSUBSCRIBED")
    service.scripted.understand = says(receipt)
    assert (await service.edge.ReceiveWebhook(a_call("EMAIL"))).status == 200
    assert await count(service, "SELECT count(*) FROM messaging.receipts") == 0


# -- plugins that hear by themselves


async def test_a_listening_channel_is_open_from_the_start_and_a_deaf_one_is_not(start: Started) -> None:
    first = await start()
    await first.set_up("SMS", listens=True)
    await first.set_up("EMAIL")
    await eventually(lambda: len(first.scripted.opened_with) == 1)
    await start()
    await eventually(lambda: len(first.scripted.opened_with) == 2)
    assert all(settings["listens"] for settings in first.scripted.opened_with)


async def test_a_further_provider_that_listens_is_kept_open_as_long_as_its_channel_is_on(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_messaging.providers._CALLS_END_SECONDS", 0.05)
    channel = await service.set_up("SMS")
    await add_route(service, "backup", listens=True)
    await eventually(lambda: len(service.second.opened_with) == 1)
    assert not service.scripted.opened_with
    await service.channels.DisableChannel(channels_pb2.DisableChannelRequest(name=channel.name))
    await eventually(lambda: service.second.closed == 1)


async def test_a_listening_channel_that_cannot_be_opened_is_tried_again(service: Service) -> None:
    service.scripted.refuses_to_open = 1
    await service.set_up("SMS", listens=True)
    await eventually(lambda: service.scripted.opened_with, within=20)


async def test_a_listening_channel_is_opened_anew_with_other_settings_and_let_go_when_it_is_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_messaging.providers._CALLS_END_SECONDS", 0.05)
    channel = await service.set_up("SMS", listens=True)
    await eventually(lambda: len(service.scripted.opened_with) == 1)
    await service.set_up("SMS", listens=True, host="other")
    await eventually(lambda: len(service.scripted.opened_with) == 2)
    await eventually(lambda: service.scripted.closed == 1)
    await service.channels.DisableChannel(channels_pb2.DisableChannelRequest(name=channel.name))
    await eventually(lambda: service.scripted.closed == 2)


# -- what people do with their messages


async def test_opens_and_clicks_reach_the_ledger_and_are_told_with_what_was_followed(start: Started) -> None:
    service = await start(public_url=URL)
    await service.set_up("EMAIL")
    first, second, opened = await tokens_of(service)
    events = [
        an_event(opened, user_agent="Mail/1", ip_address="192.0.2.1"),
        an_event(first),
        an_event(second),
        an_event("forged"),
    ]
    for _ in range(2):  # the answer was lost, and it is handed over again
        answer = await service.edge.RecordTracking(edge_pb2.RecordTrackingRequest(events=events))
        assert answer.invalid_count == 1
    told = [event for event in await service.events(4) if event.type != T.MESSAGE_EVENT_TYPE_ACCEPTED]
    assert sorted((event.type, event.link) for event in told) == [
        (T.MESSAGE_EVENT_TYPE_OPENED, ""),
        (T.MESSAGE_EVENT_TYPE_CLICKED, "https://shop.example/all"),
        (T.MESSAGE_EVENT_TYPE_CLICKED, "https://shop.example/e000000"),
    ]
    (open_event,) = [event for event in told if event.type == T.MESSAGE_EVENT_TYPE_OPENED]
    assert (open_event.user_agent, open_event.ip_address) == ("Mail/1", "192.0.2.1")
    row = (await service.rows())[0]
    message = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=row.name))
    assert [event.type for event in message.events].count(T.MESSAGE_EVENT_TYPE_CLICKED) == 2


async def test_a_link_tagged_as_unsubscribing_is_told_as_such_and_opts_nobody_out(start: Started) -> None:
    service = await start(public_url=URL)
    await service.set_up("EMAIL")
    html = '<a ses:tags="unsubscribeLinkTag:click;" href="https://shop.example/out">x</a>'
    token, _ = await tokens_of(service, html)
    await service.edge.RecordTracking(edge_pb2.RecordTrackingRequest(events=[an_event(token)]))
    told = await service.events(3)
    assert {event.type for event in told} == {
        T.MESSAGE_EVENT_TYPE_ACCEPTED, T.MESSAGE_EVENT_TYPE_CLICKED, T.MESSAGE_EVENT_TYPE_OPTED_OUT,
    }  # fmt: skip
    assert await count(service, "SELECT count(*) FROM messaging.endpoint_marks") == 0


class Listener:
    """Stands for segments: takes marks, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.told: list[tuple[str, NewMark]] = []

    async def mark_endpoints(self, _audience: SegmentsAudience, project: str, marks: list[NewMark]) -> None:
        if self.away:
            raise Unavailable("away", dependency="segments")
        self.told += [(project, mark) for mark in marks]


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> Listener:
    listener = Listener()

    async def mark_endpoints(audience: SegmentsAudience, project: str, marks: list[NewMark]) -> None:
        await listener.mark_endpoints(audience, project, marks)

    monkeypatch.setattr(SegmentsAudience, "mark_endpoints", mark_endpoints)
    return listener


async def test_who_unsubscribes_is_opted_out_at_segments_once_it_answers(
    start: Started, segments: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks_module, "_TAKEN_SECONDS", 0.2)
    service = await start(public_url=URL)
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(["a@x.example"]))
    await service.done(1)
    segments.away = True
    event = an_event(await unsubscribe_token(service, service.scripted.sent[0].message_id))
    for _ in range(3):
        await service.edge.RegisterUnsubscribe(edge_pb2.RegisterUnsubscribeRequest(event=event))
    told = await service.events(2)
    assert [one.type for one in told] == [T.MESSAGE_EVENT_TYPE_ACCEPTED, T.MESSAGE_EVENT_TYPE_OPTED_OUT]
    assert await count(service, "SELECT count(*) FROM messaging.endpoint_marks") == 1
    segments.away = False
    await eventually(lambda: segments.told)
    ((project, mark),) = segments.told
    assert (project, mark.kind, mark.endpoint_id) == (PROJECT, "OPTED_OUT", "e000000")

    async def forgotten() -> bool:
        return not await count(service, "SELECT count(*) FROM messaging.endpoint_marks")

    await eventually(forgotten)


async def test_who_opts_in_again_can_opt_out_again_with_the_same_letter(start: Started, segments: Listener) -> None:
    service = await start(public_url=URL)
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(["a@x.example"]))
    await service.done(1)
    token = await unsubscribe_token(service, service.scripted.sent[0].message_id)
    for number in range(1, 3):
        await service.edge.RegisterUnsubscribe(edge_pb2.RegisterUnsubscribeRequest(event=an_event(token)))
        await eventually(lambda number=number: len(segments.told) == number)  # type: ignore[misc]


async def test_an_address_without_an_endpoint_is_told_and_opts_nobody_out(start: Started, segments: Listener) -> None:
    service = await start(public_url=URL)
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(["a@x.example"], text="Hi", endpoint_ids=[""]))
    await service.done(1)
    token = await unsubscribe_token(service, service.scripted.sent[0].message_id)
    await service.edge.RegisterUnsubscribe(edge_pb2.RegisterUnsubscribeRequest(event=an_event(token)))
    assert (await service.events(2))[1].type == T.MESSAGE_EVENT_TYPE_OPTED_OUT
    assert not segments.told


@pytest.mark.parametrize("kind", [LinkKind.OPEN, LinkKind.CLICK, LinkKind.UNSUBSCRIBE_CLICK, None])
async def test_only_the_token_of_an_unsubscription_unsubscribes(service: Service, kind: LinkKind | None) -> None:
    key = (await service.edge.GetTrackingKeys(edge_pb2.GetTrackingKeysRequest())).keys[0]
    signer = Signer(key, URL, PROJECT, today=datetime.now(UTC).date(), click_days=1)
    token = signer.stamp(kind, "https://x.example").url(bytes(16)).rsplit("/", 1)[1] if kind else "forged"
    request = edge_pb2.RegisterUnsubscribeRequest(event=an_event(token.removesuffix(".gif")))
    error = await refusal(service.edge.RegisterUnsubscribe(request))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "LINK_INVALID")


async def test_events_have_ids_and_come_by_at_most_a_thousand(service: Service) -> None:
    full = [an_event("forged") for _ in range(1000)]
    answer = await service.edge.RecordTracking(edge_pb2.RecordTrackingRequest(events=full))
    assert answer.invalid_count == 1000
    bad = edge_pb2.RecordTrackingRequest(events=[*full, an_event("x", id="i" * 65), an_event("x", id="")])
    error = await refusal(service.edge.RecordTracking(bad))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in violations_of(error)] == ["events", "events[1000].id", "events[1001].id"]


async def test_no_event_is_of_tomorrow(start: Started) -> None:
    service = await start(public_url=URL)
    await service.set_up("EMAIL")
    *_, opened = await tokens_of(service)
    late = an_event(opened, time=timestamp(datetime.now(UTC) + timedelta(days=1)))
    await service.edge.RecordTracking(edge_pb2.RecordTrackingRequest(events=[late]))
    told = [event for event in await service.events(2) if event.type == T.MESSAGE_EVENT_TYPE_OPENED]
    assert told[0].time.ToDatetime(UTC) <= datetime.now(UTC)


# -- which messages are tracked


async def sent_html(service: Service, run_id: str, **content: Any) -> str:
    content = content or {"email_html": HTML, "email_subject": "x"}
    await service.dispatch(a_batch(["a@x.example"], run_id=run_id, **content))
    await service.done(1, run_id)
    sent = service.scripted.sent[-1].content
    assert isinstance(sent, EmailContent)
    return sent.html


async def test_without_a_public_url_nothing_is_put_in(service: Service) -> None:
    await service.set_up("EMAIL")
    assert await sent_html(service, "r1") == HTML.replace("{{Id}}", "e000000")


async def test_opens_and_clicks_are_switched_for_each_channel_and_mail_of_text_alone_has_none(start: Started) -> None:
    service = await start(public_url=f"{URL}/")
    await service.set_up("EMAIL")
    html = await sent_html(service, "r1")
    assert (html.count(f"{URL}/o/"), html.count(f"{URL}/c/")) == (1, 2)
    for number, (opens, clicks) in enumerate([(False, True), (True, False), (False, False)]):
        channel = channels_pb2.Channel(
            name=f"{PARENT}/channels/EMAIL", enabled=True, open_tracking=opens, click_tracking=clicks
        )
        changed = await service.channels.UpdateChannel(channels_pb2.UpdateChannelRequest(channel=channel))
        assert (changed.open_tracking, changed.click_tracking) == (opens, clicks)
        html = await sent_html(service, f"r2{number}")
        assert (html.count(f"{URL}/o/"), html.count(f"{URL}/c/")) == (int(opens), 2 * clicks)
    back = channels_pb2.UpdateChannelRequest(channel=channels_pb2.Channel(name=f"{PARENT}/channels/EMAIL"))
    back.update_mask.paths.extend(["open_tracking", "click_tracking"])
    changed = await service.channels.UpdateChannel(back)
    assert not changed.HasField("open_tracking")
    assert await sent_html(service, "r3", email_text="https://shop.example", email_subject="x") == ""


async def test_only_mail_is_tracked(service: Service) -> None:
    channel = channels_pb2.Channel(name=f"{PARENT}/channels/SMS", provider="scripted", open_tracking=True)
    error = await refusal(service.channels.UpdateChannel(channels_pb2.UpdateChannelRequest(channel=channel)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violations_of(error) == [("channel.open_tracking", "INVALID_ARGUMENT")]


async def test_all_processes_sign_with_the_key_that_was_made_once(start: Started) -> None:
    request = edge_pb2.GetTrackingKeysRequest()
    services = [await start(), await start()]
    answers = await asyncio.gather(*(one.edge.GetTrackingKeys(request) for one in services for _ in range(10)))
    assert len({tuple(answer.keys) for answer in answers}) == 1
    given = (await (await start(tracking_key=f"{'a' * 32},{'b' * 32}")).edge.GetTrackingKeys(request)).keys
    assert len(given) == 3, "what was sent before a key was given stays good"
    assert given[2] == answers[0].keys[0]
    assert {len(key) for key in given} == {32}


# -- what the provider's answers say of endpoints


async def test_addresses_that_are_gone_or_replaced_are_told_to_segments(service: Service, segments: Listener) -> None:
    await service.set_up("CUSTOM")
    gone = Rejected(RejectReason.ADDRESS_GONE, retryable=False)
    answers: dict[str, SendResult] = {
        "gone": gone,
        "renewed": Accepted("p1", new_address="token2"),
        "same": Accepted("p2", new_address="same"),
        "bad": Rejected(RejectReason.INVALID_ADDRESS, retryable=False),
        "bare": gone,
        "long": Accepted("p3", new_address="x" * 4097),
    }
    service.scripted.answer = lambda message: answers[message.address]
    ids = ["" if address == "bare" else f"e-{address}" for address in answers]
    await service.dispatch(a_batch(list(answers), channel="CUSTOM", custom_data="x", endpoint_ids=ids))
    await service.done(len(answers))
    await eventually(lambda: len(segments.told) >= 2)
    id_of = {address: derived_id("run1", "", f"e-{address}", "0") for address in answers}
    assert sorted(mark for _, mark in segments.told) == sorted(
        [
            NewMark(id_of["gone"], "ADDRESS_GONE", "e-gone", "gone"),
            NewMark(id_of["renewed"], "ADDRESS_REPLACED", "e-renewed", "renewed", "token2"),
        ]
    )
