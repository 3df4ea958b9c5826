"""The pipeline on a real database and a real bus: every recipient reaches exactly one outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

from heliograph.messaging.v1 import channels_pb2, dispatch_pb2, events_pb2, messages_pb2
from heliograph.segments.v1 import events_pb2 as segments_events_pb2
from heliograph_channels import (
    Accepted,
    OutgoingMessage,
    Receipt,
    ReceiptKind,
    Rejected,
    RejectReason,
    SendResult,
    Unknown,
    Unsupported,
)
from heliograph_kit.ids import derived_id
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from heliograph_messaging.domain.handlebars.encodings import nth_uuid
from heliograph_messaging.pipeline import sending
from heliograph_messaging.store import erased
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, a_batch

pytestmark = pytest.mark.integration
S = messages_pb2.MessageStatus


def mails(count: int, prefix: str = "p") -> list[str]:
    return [f"{prefix}{index}@example.com" for index in range(count)]


async def test_a_batch_reaches_the_plugin_in_chunks_and_the_ledger_once(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(mails(25)))
    status = await service.done(25)
    assert status.accepted_count == 25
    assert sorted(len(call) for call in service.scripted.calls) == [5, 10, 10]
    assert {message.origination for message in service.scripted.sent} == {"shop@example.com"}
    row = (await service.rows())[3]
    assert row.provider_message_id == f"p-{row.name.rpartition('/')[2]}"
    assert row.name.endswith(derived_id("run1", "", "e000003", "0"))
    assert (row.channel, row.provider, row.source.treatment_id) == ("EMAIL", "scripted", "0")
    told = await service.events(25)
    assert {event.type for event in told} == {events_pb2.MESSAGE_EVENT_TYPE_ACCEPTED}


async def test_who_is_not_written_to_is_in_the_ledger_with_the_reason(service: Service) -> None:
    await service.set_up("EMAIL")
    batch = a_batch(["a@x.com", "b@x.com", "", "d@x.com", "A@X.com", "a@X.COM", "no address", "h@x.com"])
    batch.recipients.opted_out[1] = True
    batch.recipients.inactive[3] = True
    batch.recipients.channels[7] = "SMS"
    await service.dispatch(batch)
    status = await service.done(8)
    assert (status.accepted_count, status.skipped_count, status.failed_count) == (2, 5, 1)
    assert [(row.status, row.reason) for row in await service.rows()] == [
        (S.MESSAGE_STATUS_ACCEPTED, ""),
        (S.MESSAGE_STATUS_SKIPPED, "ENDPOINT_OPT_OUT"),
        (S.MESSAGE_STATUS_SKIPPED, "ENDPOINT_MISSING_ADDRESS"),
        (S.MESSAGE_STATUS_SKIPPED, "ENDPOINT_INACTIVE"),
        (S.MESSAGE_STATUS_ACCEPTED, ""),
        (S.MESSAGE_STATUS_SKIPPED, "DUPLICATE_ADDRESS"),
        (S.MESSAGE_STATUS_FAILED, "FAILURE_PERMANENT"),
        (S.MESSAGE_STATUS_SKIPPED, "ENDPOINT_CHANNEL_MISMATCH"),
    ]
    events = await service.events(8)
    assert len({event.message_id for event in events}) == 8


async def test_an_address_gets_one_message_in_a_run_also_over_batches_and_another_in_the_next_run(
    service: Service,
) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(mails(5), page=0))
    await service.done(5)
    await service.dispatch(a_batch(mails(5), page=1))
    status = await service.done(10)
    assert (status.accepted_count, status.skipped_count) == (5, 5)
    await service.dispatch(a_batch(mails(5), run_id="run2"))
    assert (await service.done(5, "run2")).accepted_count == 5


async def test_an_expired_batch_is_skipped(service: Service) -> None:
    await service.set_up("EMAIL")
    batch = a_batch(mails(3))
    batch.expire_time.FromDatetime(datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=1))
    await service.dispatch(batch)
    await service.done(3)
    assert {row.reason for row in await service.rows()} == {"EXPIRED"}
    assert not service.scripted.calls


async def test_a_missing_value_fails_only_its_recipient_and_says_which(service: Service) -> None:
    await service.set_up("EMAIL")
    batch = a_batch(mails(3), text="Hi {{User.UserAttributes.first}}")
    column = batch.recipients.columns.add(path="User.UserAttributes.first")
    column.values.extend(["Ann", "Bo", "Cy"])
    column.counts.extend([1, 0, 2])
    await service.dispatch(batch)
    await service.done(3)
    assert sorted(message.content.text for message in service.scripted.sent) == ["Hi Ann", "Hi Bo, Cy"]  # type: ignore[union-attr]
    bad = (await service.rows())[1]
    assert bad.status == S.MESSAGE_STATUS_FAILED
    assert "User.UserAttributes.first" in bad.detail


async def test_blocks_helpers_and_lists_reach_each_recipient_and_failures_only_theirs(service: Service) -> None:
    await service.set_up("EMAIL")
    template = (
        "{{#if Attributes.plan}}{{upper Attributes.plan}}{{else}}none{{/if}}:"
        "{{#each Attributes.colors}}{{this}}{{#unless @last}}+{{/unless}}{{/each}}:{{round Metrics.score}}:{{uuid}}"
    )
    batch = a_batch(mails(4), email_subject="Hi {{User.UserId}}", email_html=template, email_text="{{now 'G'}}")
    for path, values, counts in (
        ("Attributes.plan", ["gold", "s<i", "old"], [1, 0, 1, 1]),
        ("Attributes.colors", ["red", "blue", "green"], [2, 1, 0, 0]),
        ("Metrics.score", ["1.5", "2", "none"], [1, 1, 0, 1]),
    ):
        batch.recipients.columns.add(path=path, values=values, counts=counts)
    await service.dispatch(batch)
    await service.done(4)
    rows = await service.rows()
    assert [row.status for row in rows] == [S.MESSAGE_STATUS_ACCEPTED] * 2 + [S.MESSAGE_STATUS_FAILED] * 2
    assert {row.reason for row in rows[2:]} == {"FAILURE_PERMANENT"}
    assert [row.detail.partition(" (html, line 1, column ")[0] for row in rows[2:]] == [
        "the variable Metrics.score has no value and no default",
        "round: a number is needed",
    ]
    sent: dict[str, Any] = {message.address: message.content for message in service.scripted.sent}
    assert [sent[address].subject for address in mails(2)] == ["Hi u0", "Hi u1"]
    assert {content.text for content in sent.values()} == {"AD"}
    bodies = [sent[address].html.rpartition(":") for address in mails(2)]
    assert [body[0] for body in bodies] == ["GOLD:red+blue:2", "none:green:2"]
    ids = [row.name.rpartition("/")[2] for row in rows]
    assert [body[2] for body in bodies] == [nth_uuid(id, 1) for id in ids[:2]]


async def test_content_that_cannot_be_sent_fails_every_recipient(service: Service) -> None:
    await service.set_up("EMAIL")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"template": f"{PARENT}/templates/gone"}, "does not exist"),
        ({"email_subject": "x"}, "no e-mail content"),
        ({"email_subject": "x", "email_text": "{{#if a}}"}, "line 1, column 1"),
        ({"template": "projects/other/templates/t"}, "another project"),
    ]
    for number, (content, words) in enumerate(cases):
        run = f"bad{number}"
        await service.dispatch(a_batch(mails(3), run_id=run, **content))
        assert (await service.done(3, run)).failed_count == 3
        row = (await service.rows(run))[0]
        assert row.reason == "FAILURE_PERMANENT"
        assert words in row.detail


async def test_a_channel_that_is_missing_or_off_fails_campaigns_but_lets_direct_mail_out(service: Service) -> None:
    await service.dispatch(a_batch(mails(2)))
    assert (await service.done(2)).failed_count == 2
    assert (await service.rows())[0].reason == "UNSUPPORTED_CHANNEL"
    channel = await service.set_up("EMAIL")
    await service.channels.DisableChannel(channels_pb2.DisableChannelRequest(name=channel.name))
    await service.dispatch(a_batch(mails(2), run_id="off"))
    assert (await service.done(2, "off")).failed_count == 2
    await service.dispatch(a_batch(mails(2), run_id="on", message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL))
    assert (await service.done(2, "on")).accepted_count == 2


async def test_a_rejection_fails_alone_and_a_retryable_one_is_tried_again(service: Service) -> None:
    await service.set_up("EMAIL")
    tries: dict[str, int] = {}

    def answer(message: OutgoingMessage) -> SendResult:
        tries[message.address] = tries.get(message.address, 0) + 1
        if message.address.startswith("p0@"):
            return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail="no such mailbox")
        if message.address.startswith("p1@") and tries[message.address] < 3:
            return Rejected(RejectReason.THROTTLED, retryable=True)
        if message.address.startswith("p2@"):
            return Rejected(RejectReason.UNAVAILABLE, retryable=True)
        if message.address.startswith("p3@"):
            return Unsupported("headers")
        return Accepted("x")

    service.scripted.answer = answer
    await service.dispatch(a_batch(mails(6)))
    status = await service.done(6)
    assert (status.accepted_count, status.failed_count) == (3, 3)
    rows = await service.rows()
    assert [row.reason for row in rows] == ["FAILURE_PERMANENT", "", "TRANSIENT_FAILURE", "FAILURE_PERMANENT", "", ""]
    assert tries["p1@example.com"] == 3
    assert tries["p2@example.com"] == 5
    assert tries["p4@example.com"] == 1
    assert "no such mailbox" in rows[0].detail


async def test_an_unknown_fate_is_decided_by_class_and_idempotency(service: Service) -> None:
    cases = [
        (dispatch_pb2.MESSAGE_CLASS_CAMPAIGN, False, 1, S.MESSAGE_STATUS_IN_DOUBT),
        (dispatch_pb2.MESSAGE_CLASS_JOURNEY, False, 1, S.MESSAGE_STATUS_IN_DOUBT),
        (dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL, False, 2, S.MESSAGE_STATUS_ACCEPTED),
        (dispatch_pb2.MESSAGE_CLASS_CAMPAIGN, True, 2, S.MESSAGE_STATUS_ACCEPTED),
    ]
    for number, (message_class, idempotent, tries, status) in enumerate(cases):
        await service.set_up("EMAIL", idempotent=idempotent)
        calls = service.scripted.calls
        calls.clear()
        service.scripted.answer = lambda message, calls=calls: Unknown("lost") if len(calls) == 1 else Accepted("x")  # type: ignore[misc]
        run = f"unknown{number}"
        await service.dispatch(a_batch(mails(2), run_id=run, message_class=message_class))
        await service.done(2, run)
        assert len(calls) == tries
        assert {row.status for row in await service.rows(run)} == {status}


async def test_a_broken_plugin_is_contained_and_named(start: Started) -> None:
    service = await start(breaker_threshold=100)
    await service.set_up("EMAIL")
    cases: list[tuple[Callable[[Sequence[OutgoingMessage]], object], str]] = [
        (lambda messages: 1 / 0, "raised ZeroDivisionError"),
        (lambda messages: [Accepted("x")], "answered 1 results for 3 messages"),
        (lambda messages: None, "answered a NoneType instead of a list"),
        (lambda messages: ["ok"] * len(messages), "answered a str"),
    ]
    for number, (whole, words) in enumerate(cases):
        service.scripted.whole = whole
        run = f"broken{number}"
        await service.dispatch(a_batch(mails(3), run_id=run))
        assert (await service.done(3, run)).in_doubt_count == 3
        row = (await service.rows(run))[0]
        assert words in row.detail
        assert "scripted" in row.detail


async def test_a_provider_that_keeps_failing_is_left_alone_and_tried_again(start: Started) -> None:
    service = await start(breaker_threshold=2, campaign_concurrency=1)
    await service.set_up("EMAIL", idempotent=True)
    service.scripted.answer = lambda message: (
        Rejected(RejectReason.UNAVAILABLE, retryable=True) if len(service.scripted.calls) <= 3 else Accepted("x")
    )
    await service.dispatch(a_batch(mails(3)))
    assert (await service.done(3)).accepted_count == 3
    assert len(service.scripted.calls) == 4


async def test_a_hanging_plugin_is_cut_off_and_named(start: Started) -> None:
    service = await start(send_timeout_seconds=0.3)
    await service.set_up("EMAIL")
    service.scripted.hang = True
    await service.dispatch(a_batch(mails(3)))
    assert (await service.done(3)).in_doubt_count == 3
    assert "did not answer in time" in (await service.rows())[0].detail


async def test_a_slow_send_keeps_its_lease_and_a_second_worker_stays_away(start: Started) -> None:
    service = await start(send_timeout_seconds=60)
    await start()
    await service.set_up("EMAIL")
    service.scripted.hang = True
    await service.dispatch(a_batch(mails(3)))
    await eventually(lambda: service.scripted.calls)
    # Longer than lease and ack wait together; the batch is redelivered meanwhile only if nobody keeps it alive.
    with pytest.raises(AssertionError):
        await eventually(lambda: len(service.scripted.calls) > 1, within=4)
    assert {row.status for row in await service.rows()} == {S.MESSAGE_STATUS_DISPATCHING}
    service.scripted.release.set()
    assert (await service.done(3)).accepted_count == 3


async def test_the_same_batch_again_changes_nothing(service: Service) -> None:
    await service.set_up("EMAIL")
    batch = a_batch(mails(4))
    await service.dispatch(batch)
    await service.done(4)
    await service.runtime.bus.publish(
        "dispatch.campaign.shop", batch.SerializeToString(), id=f"{batch.batch_id}#1", type="again"
    )
    await service.dispatch(a_batch(mails(1, "q"), page=1))
    await service.done(5)
    assert len(service.scripted.sent) == 5


async def test_a_payload_that_is_no_batch_goes_to_the_dead_letters_and_blocks_nobody(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.runtime.bus.publish("dispatch.campaign.shop", b"\xff\xff\xff", id="broken", type="x")
    broken = a_batch(mails(2))
    broken.recipients.addresses.append("one too many@example.com")
    await service.dispatch(broken)
    await service.dispatch(a_batch(mails(2), page=1))
    await service.done(2)

    async def dead() -> bool:
        info = await service.runtime.bus.jetstream.stream_info("DEAD")
        return info.state.messages == 2

    await eventually(dead)


async def test_receipts_are_applied_once_in_any_order(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(mails(3)))
    await service.done(3)
    now = datetime.now(UTC)
    ids = [row.name.rpartition("/")[2] for row in await service.rows()]
    receipts = [
        Receipt("r1", ReceiptKind.DELIVERED, now, message_id=ids[0]),
        Receipt("r2", ReceiptKind.BOUNCED, now, provider_message_id=f"p-{ids[1]}", detail="mailbox full"),
        Receipt("r3", ReceiptKind.OPENED, now + timedelta(seconds=1), message_id=ids[0]),
        Receipt(
            "r4", ReceiptKind.CLICKED, now + timedelta(seconds=2), message_id=ids[0], attributes={"link": "https://x"}
        ),
        Receipt("r5", ReceiptKind.DELIVERED, now, message_id=derived_id("nobody")),
    ]
    await service.scripted.report(*receipts)
    await service.scripted.report(*receipts)
    events = await service.events(7)
    assert sorted(event.type for event in events[3:]) == [5, 6, 8, 9]
    rows = await service.rows()
    assert [row.status for row in rows] == [5 - 1, S.MESSAGE_STATUS_FAILED, S.MESSAGE_STATUS_ACCEPTED]
    status = await service.status()
    assert (status.accepted_count, status.delivered_count, status.bounced_count, status.failed_count) == (3, 1, 1, 0)
    story = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=rows[0].name))
    kinds = [events_pb2.MessageEventType.Name(event.type).removeprefix("MESSAGE_EVENT_TYPE_") for event in story.events]
    assert kinds == ["ACCEPTED", "DELIVERED", "OPENED", "CLICKED"]
    assert story.events[3].link == "https://x"


async def test_a_batch_in_doubt_after_a_crash_is_settled_by_its_class(start: Started) -> None:
    """A crash is played by an intent without an outcome, as a killed worker leaves it."""
    service = await start()
    await service.set_up("EMAIL")
    service.scripted.hang = True
    await service.dispatch(a_batch(mails(12)))
    await eventually(lambda: len(service.scripted.calls) == 2)
    async with service.runtime.database.transaction() as conn:
        # Another worker took the lease: this one must neither write nor call again under the old one.
        await conn.execute(text("UPDATE messaging.batches SET lease_token = lease_token + 1, lease_until = now()"))
    service.scripted.hang = False
    service.scripted.release.set()
    status = await service.done(12, within=20)
    assert status.in_doubt_count == 12
    assert len(service.scripted.sent) == 12


async def test_the_send_span_belongs_to_the_trace_of_whoever_produced_the_batch(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(sending, "_tracer", provider.get_tracer("tests"))
    await service.set_up("EMAIL")
    batch, trace = a_batch(mails(12)), "4bf92f3577b34da6a3ce929d0e0e4736"
    await service.runtime.bus.publish(
        "dispatch.campaign.shop",
        batch.SerializeToString(),
        id=batch.batch_id,
        type="batch",
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
    )
    await service.done(12)
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["send scripted", "send scripted"]
    assert {format(span.context.trace_id, "032x") for span in spans if span.context} == {trace}
    assert sorted((span.attributes or {})["messaging.batch.message_count"] for span in spans) == [2, 10]  # type: ignore[type-var]
    assert {row.trace_id for row in await service.rows()} == {trace}


async def test_nothing_that_waits_is_sent_to_an_erased_user_and_nothing_is_told_of_him(service: Service) -> None:
    await service.set_up("EMAIL")
    erasure = f"{PARENT}/erasures/x1"
    asked = segments_events_pb2.UserErased(erasure=erasure, user_id="u1", endpoint_ids=["e000001"], ordinals=[8])
    subject = changes_subject("segments", PROJECT, "user_erased")
    bus = service.runtime.bus
    kind = asked.DESCRIPTOR.full_name
    # Asked twice, answered twice: the first answer may have been lost.
    for number in range(2):
        await bus.publish(subject, asked.SerializeToString(), id=f"erased-{number}", type=kind, project=PROJECT)

    async def answered() -> list[bytes]:
        async with service.runtime.database.transaction() as conn:
            statement = "SELECT payload FROM messaging.outbox WHERE type LIKE '%ErasureDone'"
            found = list((await conn.execute(text(statement))).scalars())
            return found if len(found) == 2 else []

    payloads = await eventually(answered)
    done = segments_events_pb2.ErasureDone(erasure=erasure, service="messaging")
    assert [segments_events_pb2.ErasureDone.FromString(bytes(payload)) for payload in payloads] == [done, done]
    batch = a_batch(mails(3))
    batch.recipients.ordinals.extend([7, 8, 9])
    await service.dispatch(batch)
    status = await service.done(3)
    assert (status.accepted_count, status.skipped_count) == (2, 1)
    gone = [row for row in await service.rows() if row.reason == "ENDPOINT_ERASED"]
    assert [(row.endpoint_id, row.address) for row in gone] == [("", "")]
    assert sorted(message.attributes["endpoint_id"] for message in service.scripted.sent) == ["e000000", "e000002"]
    told = {event.reason: (event.endpoint_id, event.user_id) for event in await service.events(3)}
    assert told["ENDPOINT_ERASED"] == ("", "")
    # Somebody new under the same id has another ordinal.
    again = a_batch(mails(3), run_id="run2")
    again.recipients.ordinals.extend([7, 10, 9])
    await service.dispatch(again)
    assert (await service.done(3, "run2")).accepted_count == 3


async def test_what_was_to_be_tried_again_is_dropped_when_the_user_is_erased(service: Service) -> None:
    await service.set_up("EMAIL")
    service.scripted.answer = lambda _: Rejected(RejectReason.THROTTLED, retryable=True)
    batch = a_batch(mails(1))
    batch.recipients.ordinals.append(8)
    await service.dispatch(batch)
    await eventually(lambda: bool(service.scripted.calls))
    async with service.runtime.database.transaction() as conn:
        await erased.add(conn, PROJECT, [8])
    await service.done(1)
    assert [row.reason for row in await service.rows()] == ["ENDPOINT_ERASED"]
