"""Opens, clicks and unsubscriptions: what is put into letters, and what comes of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from heliograph.messaging.v1 import channels_pb2, edge_pb2, messages_pb2
from heliograph_channels import Accepted, EmailContent, Rejected, RejectReason, SendResult
from heliograph_kit.errors import Unavailable
from heliograph_kit.ids import derived_id
from heliograph_kit.instants import timestamp
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.testing import eventually
from heliograph_messaging.domain.tracking import LinkKind, Signer
from heliograph_messaging.pipeline import marks as marks_module
from heliograph_messaging.projections import SegmentsAudience
from heliograph_messaging.store.marks import NewMark
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, a_batch
from tests.messaging.edge_calls import HTML, URL, T, an_event, count, refusal, tokens_of, unsubscribe_token

pytestmark = pytest.mark.integration


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
