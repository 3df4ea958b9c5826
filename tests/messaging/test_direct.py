"""Direct sends through gRPC: who is written to and what is said, the result of each recipient, idempotency."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import psycopg
import pytest

from heliograph.messaging.v1 import channels_pb2, messages_pb2, messages_pb2_grpc, templates_pb2
from heliograph_channels import Accepted, Rejected, RejectReason, SendResult
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_messaging import main
from tests.messaging.conftest import PARENT, SECRET, Service, Started
from tests.messaging.direct_calls import (
    BAD,
    CODE,
    Content,
    Overrides,
    dispatched,
    refused,
    serving,
    texts,
    to,
    told,
    wait,
)
from tests.messaging.segments import AnEndpoint
from tests.messaging.test_crash import set_up

pytestmark = pytest.mark.integration


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
