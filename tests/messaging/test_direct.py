"""Direct sends through gRPC: who is written to and what is said, the result of each recipient, idempotency, the story."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf import duration_pb2
from sqlalchemy import text

from heliograph.messaging.v1 import (
    channels_pb2,
    contents_pb2,
    dispatch_pb2,
    messages_pb2,
    messages_pb2_grpc,
    origination_pb2,
    templates_pb2,
)
from heliograph_channels import Accepted, Rejected, RejectReason, SendResult
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel, reason_of, violations_of
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_messaging import main
from tests.messaging.conftest import PARENT, SECRET, Service, Started, a_batch
from tests.messaging.numbers import CODE as SHORT
from tests.messaging.numbers import TEN, announce, make_pool
from tests.messaging.segments import AnEndpoint, Segments, running
from tests.messaging.test_crash import set_up

pytestmark = pytest.mark.integration
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


async def test_a_direct_send_is_idempotent_by_request_id(service: Service) -> None:
    await service.set_up("EMAIL")
    request = to("ann@x.com", "bob@x.com", request_id="order-1")
    first = await service.messages.SendMessages(request)
    assert told(first.messages) == [("QUEUED", 202, "")] * 2
    assert await service.messages.SendMessages(request) == first
    code, reason, _ = await refused(service, to("cyd@x.com", request_id="order-1"))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    await service.done(2, first.run_id)
    assert texts(service) == ["ann", "bob"]
    again = messages_pb2.SendMessagesRequest()
    again.CopyFrom(request)
    again.wait_for_result.CopyFrom(wait())
    assert told((await service.messages.SendMessages(again)).messages) == [("SUCCESSFUL", 200, "")] * 2
    assert len(service.scripted.sent) == 2


async def test_a_direct_send_names_short_codes_and_pools_that_are_there(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, SHORT, TEN)
    pool = await make_pool(service, "main", TEN)

    def sms(*addresses: str, **content: Any) -> messages_pb2.SendMessagesRequest:
        people = [messages_pb2.Recipient(address=address) for address in addresses or ("+12065550123",)]
        said = Content(sms_body="hi", **content)
        return messages_pb2.SendMessagesRequest(
            parent=PARENT, channel="SMS", content=said, recipients=people, wait_for_result=wait()
        )

    for content, origination in (
        ({"origination_number": SHORT}, SHORT),
        ({"origination_pool": pool.name}, TEN),
        ({"origination_pool": pool.name, "origination_number": SHORT}, SHORT),
    ):
        answer = await service.messages.SendMessages(sms(**content))
        assert told(answer.messages) == [("SUCCESSFUL", 200, "")]
        assert service.scripted.sent[-1].origination == origination
    before = await dispatched(service)
    # The longest and the shortest are well-formed, and not ours: that is the recipient's result.
    for number in ("123", "12345678"):
        answer = await service.messages.SendMessages(sms(origination_number=number))
        assert told(answer.messages)[0][0] == "PERMANENT_FAILURE", number
    for content, reason in (
        ({"origination_number": "12"}, "INVALID_ARGUMENT"),
        ({"origination_number": "123456789"}, "INVALID_ARGUMENT"),
        ({"origination_pool": "main"}, "INVALID_ARGUMENT"),
        ({"origination_pool": "projects/other/pools/main"}, "INVALID_ARGUMENT"),
        ({"origination_pool": f"{PARENT}/pools/a b"}, "INVALID_ARGUMENT"),
    ):
        assert await refused(service, sms(**content)) == (BAD, reason, {f"content.{next(iter(content))}"}), content
    gone = await refused(service, sms(origination_pool=f"{PARENT}/pools/gone"))
    assert gone[:2] == (grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND")
    await service.numbers.DeletePool(origination_pb2.DeletePoolRequest(name=pool.name))
    assert (await refused(service, sms(origination_pool=pool.name)))[1] == "POOL_NOT_FOUND"
    assert await dispatched(service) == before + 2


async def test_pools_of_other_channels_are_left_alone(service: Service) -> None:
    await service.set_up("EMAIL")
    content = Content(email_subject="Code", email_text="1", origination_pool="main")
    answer = await service.messages.SendMessages(to("ann@x.com", content=content, wait_for_result=wait()))
    assert told(answer.messages) == [("SUCCESSFUL", 200, "")]


async def test_twins_of_a_request_at_the_same_time_send_once(start: Started) -> None:
    one, other = await start(), await start()
    await one.set_up("EMAIL")
    request = to("ann@x.com", request_id="twins", wait_for_result=wait())
    answers = await asyncio.gather(*((one, other)[n % 2].messages.SendMessages(request) for n in range(24)))
    assert {answer.run_id for answer in answers} == {answers[0].run_id}
    assert {tuple(told(answer.messages)) for answer in answers} == {(("SUCCESSFUL", 200, ""),)}
    assert len(one.scripted.sent) == 1
    assert await dispatched(one) == 1


async def test_the_first_answer_outlives_what_made_it_possible(service: Service) -> None:
    await service.set_up("EMAIL")
    template = await service.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=PARENT,
            template_id="code",
            template=templates_pb2.Template(
                kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=templates_pb2.EmailTemplate(subject="x", text="{{Code}}")
            ),
        )
    )
    request = to("ann@x.com", content=Content(template=template.name), request_id="once")
    first = await service.messages.SendMessages(request)
    await service.done(1, first.run_id)
    await service.templates.DeleteTemplate(templates_pb2.DeleteTemplateRequest(name=template.name))
    assert await service.messages.SendMessages(request) == first
    request.request_id = "twice"
    assert (await refused(service, request))[:2] == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")


async def test_what_is_wrong_with_the_request_fails_it_whole_with_every_violation(service: Service) -> None:
    await service.set_up("EMAIL")
    gone = Content(template=f"{PARENT}/templates/gone")
    assert (await refused(service, to("ann@x.com", content=gone)))[:2] == (
        grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND",
    )  # fmt: skip
    broken = Content(email_subject="{{a b}}", email_text="{{")
    assert await refused(service, to("ann@x.com", content=broken)) == (
        BAD, "TEMPLATE_DOES_NOT_COMPILE", {"content.email_subject", "content.email_text"},
    )  # fmt: skip
    both = Content(template=f"{PARENT}/templates/t", sms_body="x", origination_number="1", template_version=-1)
    recipient = messages_pb2.Recipient
    bad = to(
        content=both,
        recipients=[
            recipient(address="a@x.com", endpoint_id="e"),
            recipient(),
            recipient(address="b@x.com", channel="SMS", overrides=Overrides(raw_content="{}")),
            recipient(endpoint_id="e", channel="EMAIL", context={"": "x"}),
        ],
        contents={"SMS": Content(sms_body="x")},
        context={f"n{index}": "" for index in range(21)},
        trace_id="a b",
        request_id="r" * 65,
    )
    assert (await refused(service, bad))[2] == {
        "content.template_version", "content.origination_number", "contents", "recipients[0]", "recipients[1]",
        "recipients[2].channel", "recipients[2].overrides.raw_content", "recipients[3].channel", "recipients[3].context",
        "context", "trace_id", "request_id",
    }  # fmt: skip
    assert (await refused(service, to("a@x.com", channel="PIGEON")))[2] == {"channel"}
    assert (await refused(service, to("a@x.com", channel="")))[2] == {"contents", "recipients[0].channel"}
    assert (await refused(service, to("a@x.com", wait_for_result=wait(10.001))))[2] == {"wait_for_result"}
    override = recipient(address="a@x.com", overrides=Overrides(title="{{#x}}", body="{{"))
    assert await refused(service, to(recipients=[override])) == (
        BAD, "TEMPLATE_DOES_NOT_COMPILE", {"recipients[0].overrides.title", "recipients[0].overrides.body"},
    )  # fmt: skip
    assert not await dispatched(service)


async def test_a_hundred_recipients_are_the_most(service: Service) -> None:
    await service.set_up("EMAIL")
    everybody = [f"a{index}@x.com" for index in range(100)]
    assert (await refused(service, to(*everybody, "one@x.com")))[2] == {"recipients"}
    assert (await refused(service, to()))[2] == {"recipients"}
    answer = await service.messages.SendMessages(to(*everybody, wait_for_result=wait()))
    assert told(answer.messages) == [("SUCCESSFUL", 200, "")] * 100
    assert len(service.scripted.sent) == 100


async def test_what_is_wrong_with_one_recipient_is_told_in_his_result(start: Started) -> None:
    known = {
        "good": AnEndpoint(address="good@x.com", opted_out=True),
        "asleep": AnEndpoint(address="s@x.com", inactive=True),
        "phone": AnEndpoint("SMS", "+12065550123"),
        "nowhere": AnEndpoint(address=""),
        "same": AnEndpoint(address="ann@X.com"),
        "lost": AnEndpoint("", "l@x.com"),
    }
    async with serving(**known) as (address, _):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        recipients = [
            messages_pb2.Recipient(address="ann@x.com"),
            messages_pb2.Recipient(address="no address"),
            messages_pb2.Recipient(address="ann@X.COM"),
            *(messages_pb2.Recipient(endpoint_id=id) for id in ("good", "gone", "asleep", "phone", "nowhere", "same", "lost", "good")),
        ]  # fmt: skip
        request = to(recipients=recipients, substitutions={"Code": "1"}, wait_for_result=wait())
        answer = await service.messages.SendMessages(request)
        assert told(answer.messages) == [
            ("SUCCESSFUL", 200, ""),
            ("PERMANENT_FAILURE", 400, "ADDRESS_INVALID"),
            ("DUPLICATE", 200, "DUPLICATE_ADDRESS"),
            ("SUCCESSFUL", 200, ""),
            ("PERMANENT_FAILURE", 404, "ENDPOINT_NOT_FOUND"),
            ("PERMANENT_FAILURE", 400, "ENDPOINT_INACTIVE"),
            ("PERMANENT_FAILURE", 400, "ENDPOINT_CHANNEL_MISMATCH"),
            ("PERMANENT_FAILURE", 400, "ENDPOINT_MISSING_ADDRESS"),
            ("DUPLICATE", 200, "DUPLICATE_ADDRESS"),
            ("PERMANENT_FAILURE", 400, "ENDPOINT_MISSING_CHANNEL"),
            ("DUPLICATE", 200, "DUPLICATE_ADDRESS"),
        ]
        assert [bool(one.message) for one in answer.messages] == [True, False, False, True] + [False] * 7
        assert (answer.messages[3].endpoint_id, answer.messages[3].to_address) == ("good", "good@x.com")
        assert len(service.scripted.sent) == 2


async def test_a_channel_that_cannot_be_used_is_told_to_its_recipients_only(service: Service) -> None:
    def one(channel: str, address: str) -> messages_pb2.Recipient:
        return messages_pb2.Recipient(channel=channel, address=address)

    await service.set_up("EMAIL")
    await service.set_up("CUSTOM")
    await service.channels.DisableChannel(channels_pb2.DisableChannelRequest(name=f"{PARENT}/channels/EMAIL"))
    await service.channels.DisableChannel(channels_pb2.DisableChannelRequest(name=f"{PARENT}/channels/CUSTOM"))
    request = messages_pb2.SendMessagesRequest(
        parent=PARENT,
        contents={"EMAIL": CODE, "SMS": Content(sms_body="x"), "CUSTOM": Content(custom_data="{}")},
        recipients=[one("EMAIL", "ann@x.com"), one("SMS", "+12065550123"), one("CUSTOM", "x"), one("PUSH", "token")],
        substitutions={"Code": "1"},
        wait_for_result=wait(),
    )
    answer = await service.messages.SendMessages(request)
    assert told(answer.messages) == [
        # Direct e-mail goes even while its channel is switched off (pinpoint-2 1.3).
        ("SUCCESSFUL", 200, ""),
        ("PERMANENT_FAILURE", 400, "CHANNEL_NOT_USABLE"),
        ("PERMANENT_FAILURE", 400, "CHANNEL_NOT_USABLE"),
        ("PERMANENT_FAILURE", 400, "ENDPOINT_CHANNEL_MISMATCH"),
    ]
    assert [one.status_message for one in answer.messages[1:3]] == [
        "the channel SMS is not set up", "the channel CUSTOM is switched off",
    ]  # fmt: skip


async def test_overrides_replace_what_all_get_and_who_has_no_content_is_told(service: Service) -> None:
    await service.set_up("EMAIL")
    template = await service.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=PARENT,
            template_id="code",
            template=templates_pb2.Template(
                kind=templates_pb2.TEMPLATE_KIND_EMAIL,
                email=templates_pb2.EmailTemplate(subject="all", html="<p>{{Code}}</p>", text="{{Code}}"),
                default_substitutions={"Code": "none"},
            ),
        )
    )
    one = messages_pb2.Recipient
    recipients = [
        one(address="a@x.com"),
        one(address="b@x.com", overrides=Overrides(title="own {{Code}}"), substitutions={"Code": "7"}),
        one(address="c@x.com", overrides=Overrides(body="only {{Code}}")),
    ]
    content = Content(template=template.name)
    answer = await service.messages.SendMessages(to(recipients=recipients, content=content, wait_for_result=wait()))
    assert told(answer.messages) == [("SUCCESSFUL", 200, "")] * 3
    sent = {message.address: message.content for message in service.scripted.sent}
    assert [(sent[f"{name}@x.com"].subject, sent[f"{name}@x.com"].html, sent[f"{name}@x.com"].text) for name in "abc"] == [  # type: ignore[union-attr]
        ("all", "<p>none</p>", "none"), ("own 7", "<p>7</p>", "7"), ("all", "", "only none"),
    ]  # fmt: skip
    rows = await service.rows(answer.run_id)
    assert {(row.template, row.template_version) for row in rows} == {(template.name, 1)}
    # No content at any level but for one of them.
    few = [one(address="a@x.com"), one(address="b@x.com", overrides=Overrides(body="hello"))]
    answer = await service.messages.SendMessages(to(recipients=few, content=Content(), wait_for_result=wait()))
    assert told(answer.messages) == [("PERMANENT_FAILURE", 400, "FAILURE_PERMANENT"), ("SUCCESSFUL", 200, "")]


async def test_context_and_trace_id_come_back_in_events_and_in_the_story(service: Service) -> None:
    await service.set_up("EMAIL")
    one = messages_pb2.Recipient
    recipients = [one(address="a@x.com"), one(address="b@x.com", context={"order": "2", "own": "yes"})]
    request = to(recipients=recipients, substitutions={"Code": "1"}, context={"order": "1"}, trace_id="t-1")
    answer = await service.messages.SendMessages(request)
    await service.done(2, answer.run_id)
    await service.events(2)
    told_of = {batch.events[0].message_id: batch for batch in await service.told()}
    batches = [told_of[one.message.rpartition("/")[2]] for one in answer.messages]
    contexts = [(dict(batch.context), batch.caller_trace_id) for batch in batches]
    assert contexts == [({"order": "1"}, "t-1"), ({"order": "2", "own": "yes"}, "t-1")]
    message = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=answer.messages[1].message))
    assert (dict(message.context), message.caller_trace_id) == ({"order": "2", "own": "yes"}, "t-1")
    sent = {message.address: message.attributes for message in service.scripted.sent}
    assert (sent["a@x.com"]["context.order"], sent["a@x.com"]["trace_id"]) == ("1", "t-1")


async def test_waiting_tells_the_providers_answer_or_that_there_is_none_yet(service: Service) -> None:
    await service.set_up("EMAIL")
    answers: dict[str, SendResult] = {
        "a": Accepted("p1"), "b": Rejected(RejectReason.INVALID_ADDRESS, False, "no such box"),
        "c": Rejected(RejectReason.OPTED_OUT, False), "d": Rejected(RejectReason.THROTTLED, False, "slow down"),
    }  # fmt: skip
    service.scripted.answer = lambda message: answers[message.address[0]]
    request = to("a@x.com", "b@x.com", "c@x.com", "d@x.com", wait_for_result=wait())
    answer = await service.messages.SendMessages(request)
    assert told(answer.messages) == [
        ("SUCCESSFUL", 200, ""), ("PERMANENT_FAILURE", 400, "FAILURE_PERMANENT"), ("OPT_OUT", 200, "ENDPOINT_OPT_OUT"),
        ("THROTTLED", 429, "THROTTLED"),
    ]  # fmt: skip
    name = answer.messages[0].message
    assert answer.messages[0].status_message == f"MessageId: {name.rpartition('/')[2]}"
    assert answer.messages[1].status_message == "INVALID_ADDRESS: no such box"
    service.scripted.hang = True
    answer = await service.messages.SendMessages(to("a@x.com", wait_for_result=wait(0.3)))
    assert told(answer.messages) == [("QUEUED", 202, "")]
    # Who gives up before the wait is over hears what is known by then instead of DEADLINE_EXCEEDED.
    answer = await service.messages.SendMessages(to("a@x.com", wait_for_result=wait()), timeout=1)
    assert told(answer.messages) == [("QUEUED", 202, "")]


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


async def test_users_are_written_to_on_all_their_endpoints_with_the_content_of_each_channel(start: Started) -> None:
    async with serving(**USERS) as (address, segments):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        await service.set_up("CUSTOM")
        ann = messages_pb2.UserRecipient(user_id="ann", substitutions={"Greeting": "hey"})
        request = users(
            users=[ann, messages_pb2.UserRecipient(user_id="nobody"), messages_pb2.UserRecipient(user_id="bob")],
            wait_for_result=wait(),
            request_id="u1",
            substitutions={"Greeting": "hi"},
        )
        answer = await service.messages.SendUsersMessages(request)
        assert [(one.user_id, [message.endpoint_id for message in one.messages]) for one in answer.users] == [
            ("ann", ["a1"]), ("nobody", []), ("bob", ["b1", "b2"]),
        ]  # fmt: skip
        # Bob has no plan, and no default: his is the second endpoint with Ann's address, too.
        assert [told(one.messages) for one in answer.users] == [
            [("SUCCESSFUL", 200, "")],
            [],
            [("PERMANENT_FAILURE", 400, "FAILURE_PERMANENT"), ("DUPLICATE", 200, "DUPLICATE_ADDRESS")],
        ]
        assert texts(service) == ["hey gold"]
        assert segments.asked == [(3, ["Attributes.plan"])]
        rows = {row.endpoint_id: row for row in await service.rows(answer.run_id)}
        assert (rows["a1"].user_id, rows["b1"].status) == ("ann", S.MESSAGE_STATUS_FAILED)
        again = await service.messages.SendUsersMessages(request)
        assert again == answer
        assert len(service.scripted.sent) == 1


async def test_users_get_one_batch_a_channel_and_overrides_of_their_own(start: Started) -> None:
    async with serving(**USERS) as (address, _):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        await service.set_up("SMS")
        contents = {"EMAIL": Content(email_text="mail"), "SMS": Content(sms_body="text")}
        answer = await service.messages.SendUsersMessages(users("ann", "bob", contents=contents, request_id="r"))
        assert [[one.channel for one in user.messages] for user in answer.users] == [
            ["EMAIL", "SMS"],
            ["EMAIL", "EMAIL"],
        ]
        assert await dispatched(service) == 2
        # The ids of requests of the two calls are apart.
        other = await service.messages.SendMessages(to("z@x.com", request_id="r"))
        assert other.run_id != answer.run_id
        own = messages_pb2.UserRecipient(user_id="ann", overrides=Overrides(body="yours"))
        answer = await service.messages.SendUsersMessages(users(users=[own], wait_for_result=wait()))
        assert answer.users[0].messages[0].status == D.DELIVERY_STATUS_SUCCESSFUL
        assert "yours" in texts(service) or any(
            getattr(message.content, "text", "") == "yours" for message in service.scripted.sent
        )


async def test_bad_sends_to_users_are_refused_whole(service: Service) -> None:
    await service.set_up("EMAIL")
    assert (await refused(service, users("a", "a", "")))[2] == {"users[1]", "users[2].user_id"}
    assert (await refused(service, users(*[f"u{index}" for index in range(101)])))[2] == {"users"}
    assert (await refused(service, users("a", contents={})))[2] == {"contents"}
    bad = {"IN_APP": Content(), "EMAIL": Content(email_text="{{", template_version=-1)}
    assert (await refused(service, users("a", contents=bad)))[2] == {
        "contents[IN_APP]",
        "contents[EMAIL].template_version",
    }
    # Nobody knows the users now.
    code, reason, _ = await refused(service, users("a"))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


async def test_substitutions_go_before_the_fields_of_an_endpoint(start: Started) -> None:
    eve = AnEndpoint(address="e1@x.com", user_id="u1", fields={"User.UserAttributes.first": ["Eve"]})
    async with serving(e1=eve) as (address, segments):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        content = Content(email_subject="x", email_text="{{User.UserAttributes.first}} {{Greeting}} {{User.UserId}}")
        recipient = messages_pb2.Recipient
        recipients = [
            recipient(endpoint_id="e1", substitutions={"Greeting": "hey"}),
            recipient(endpoint_id="e2"),
            recipient(address="b@x.com", substitutions={"User.UserAttributes.first": "Bo", "User.UserId": "7"}),
        ]
        answer = await service.messages.SendMessages(
            to(content=content, substitutions={"Greeting": "hello"}, recipients=recipients)
        )
        assert [taken.reason for taken in answer.messages] == ["", "ENDPOINT_NOT_FOUND", ""]
        await service.done(2, answer.run_id)
        assert segments.asked == [(2, ["User.UserAttributes.first"])]
        assert texts(service) == ["Bo hello 7", "Eve hey u1"]


async def test_the_story_of_a_message_tells_every_attempt_and_the_terms_it_was_sent_on(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.add_route("EMAIL", "spare")
    tries: list[str] = []

    def answer(message: Any) -> Any:
        tries.append(message.message_id)
        return Accepted("p") if len(tries) > 2 else Rejected(RejectReason.UNAVAILABLE, True, "out of order")

    service.scripted.answer = service.second.answer = answer
    batch = a_batch(["ann@x.com"])
    batch.snapshot = f"{PARENT}/snapshots/s1"
    batch.policy.caps.add(scope=dispatch_pb2.CAP_SCOPE_SOURCE, limit=3)
    batch.recipients.ordinals.append(1)
    batch.policy.quiet_time.start, batch.policy.quiet_time.end = "00:00", "00:00"
    batch.recipients.time_zones.append("")
    await service.dispatch(batch)
    await service.done(1)
    name = (await service.rows())[0].name
    message = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=name))
    assert message.status == S.MESSAGE_STATUS_ACCEPTED
    assert (message.snapshot, message.policy, message.batch_id) == (batch.snapshot, batch.policy, batch.batch_id)
    assert [attempt.state for attempt in message.attempts] == [messages_pb2.Attempt.STATE_ANSWERED] * 3
    assert {(attempt.provider, attempt.route) for attempt in message.attempts} == {
        ("scripted", ""),
        ("second", "spare"),
    }
    times = [(one.start_time.ToDatetime(), one.end_time.ToDatetime()) for one in message.attempts]
    assert times == sorted(times)
    assert all(start <= end for start, end in times)
    assert [(one.type, one.message_id) for one in message.events] == [(1, name.rpartition("/")[2])]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=f"projects/other/messages/{'a' * 32}"))
    assert reason_of(caught.value) == "MESSAGE_NOT_FOUND"


async def test_messages_are_listed_by_endpoint_and_by_address_the_latest_first(start: Started) -> None:
    async with serving(e000000=AnEndpoint(address="e0@x.com")) as (address, _):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        for run in ("run1", "run2"):
            await service.dispatch(a_batch(["e0@x.com", "e1@x.com"], run_id=run))
            await service.done(2, run)
        again = a_batch(["e0@x.com"], run_id="run2", page=7, endpoint_ids=["e000000"])
        again.occurrence = 1
        await service.dispatch(again)
        await service.done(3, "run2")
        by_endpoint = messages_pb2.Recipient(endpoint_id="e000000", substitutions={"Code": "1"})
        await service.messages.SendMessages(to(recipients=[by_endpoint], wait_for_result=wait()))
        for _ in range(2):
            await service.messages.SendMessages(to("e0@x.com", wait_for_result=wait()))

        async def listed(**narrowed: Any) -> list[messages_pb2.Message]:
            found: list[messages_pb2.Message] = []
            token = ""
            while token or not found:
                page = await service.messages.ListMessages(
                    messages_pb2.ListMessagesRequest(parent=PARENT, page_size=2, page_token=token, **narrowed)
                )
                found += page.messages
                token = page.next_page_token
                if not token:
                    break
            return found

        of_endpoint = await listed(endpoint_id="e000000")
        assert [one.source.run_id for one in of_endpoint][1:] == ["run2", "run2", "run1"]
        assert {one.endpoint_id for one in of_endpoint} == {"e000000"}
        assert of_endpoint[0].message_class == dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL
        times = [one.create_time.ToDatetime() for one in of_endpoint]
        assert times == sorted(times, reverse=True)
        of_address = await listed(address="e0@x.com")
        assert [(one.endpoint_id, one.address) for one in of_address] == [("", "e0@x.com")] * 2
        assert not await listed(endpoint_id="e0@x.com")
        assert not await listed(endpoint_id="e000000", status=S.MESSAGE_STATUS_FAILED)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(endpoint_id="e000000", run_id="run1")
        assert (caught.value.code(), {field for field, _ in violations_of(caught.value)}) == (BAD, {"endpoint_id"})


async def test_a_change_of_channel_or_template_is_seen_by_the_next_send(service: Service) -> None:
    await service.set_up("EMAIL")
    template = await service.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=PARENT,
            template_id="t",
            template=templates_pb2.Template(
                kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=templates_pb2.EmailTemplate(subject="x", text="0")
            ),
        )
    )
    content = Content(template=template.name)
    for number in range(4):
        answer = await service.messages.SendMessages(to("a@x.com", content=content, wait_for_result=wait()))
        assert texts(service) == [str(n) for n in range(number + 1)]
        assert told(answer.messages) == [("SUCCESSFUL", 200, "")]
        change = templates_pb2.Template(
            name=template.name, email=templates_pb2.EmailTemplate(subject="x", text=str(number + 1))
        )
        await service.templates.UpdateTemplate(templates_pb2.UpdateTemplateRequest(template=change))
    await service.set_up("EMAIL", provider="second")
    await service.messages.SendMessages(to("a@x.com", content=content, wait_for_result=wait()))
    assert len(service.second.sent) == 1


async def test_a_request_repeated_after_the_process_died_behind_the_commit_sends_once(
    migrated_database: MigratedDatabase, nats_url: str, tmp_path: Path
) -> None:
    url = migrated_database((main.PACKAGE, "messaging"))
    environment = {
        "HELIOGRAPH_DATABASE_URL": url,
        "HELIOGRAPH_NATS_URL": nats_url,
        "HELIOGRAPH_INTERNAL_SECRET": SECRET,
        "HELIOGRAPH_MESSAGING_PLUGINS": "simulator",
        "HELIOGRAPH_MESSAGING_LEASE_SECONDS": "3",
    }
    process = ServiceProcess(
        "heliograph_messaging.main", service="messaging", directory=tmp_path, environment=environment
    )
    written = tmp_path / "journal.ndjson"
    request = to("ann@x.com", request_id="crash", wait_for_result=wait())

    def sent() -> int:
        return len(written.read_text().splitlines()) if written.exists() else 0

    async with await psycopg.AsyncConnection.connect(url.replace("+psycopg", ""), autocommit=True) as conn:

        async def committed() -> bool:
            found = await conn.execute("SELECT FROM messaging.requests WHERE request_id = 'crash'")
            return found.rowcount == 1

        with process:
            async with channel(process.address, tokens=InternalTokens(SECRET), caller="tests") as connection:
                # The provider takes its time, so the caller, who waits for it, has no answer when the process dies.
                settings = {"journal_path": str(written), "idempotent": True, "delivered_share": 0, "latency": 0.5}
                await set_up(connection, settings)
                stub: messages_pb2_grpc.MessageServiceAsyncStub = messages_pb2_grpc.MessageServiceStub(connection)
                call = asyncio.ensure_future(_send(stub, request))
                await eventually(committed, every=0.002)
                process.kill()
                with pytest.raises(grpc.aio.AioRpcError):
                    await call
            await asyncio.to_thread(process.restart)
            async with channel(process.address, tokens=InternalTokens(SECRET), caller="tests") as connection:
                stub = messages_pb2_grpc.MessageServiceStub(connection)
                assert told((await stub.SendMessages(request)).messages) == [("SUCCESSFUL", 200, "")]
                assert sent() == 1


async def _send(stub: messages_pb2_grpc.MessageServiceAsyncStub, request: messages_pb2.SendMessagesRequest) -> None:
    await stub.SendMessages(request)
