"""Webhooks of the channel sms-telnyx: signatures, receipts, and what people send."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channel_telnyx import TelnyxSms
from heliograph_channel_telnyx.events import told
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Forged,
    Kind,
    ReceiptKind,
    Unknown,
    WebhookRequest,
)
from heliograph_channels.testing import RecordingContext, WebhookContract
from tests.plugins.http_peers import losing
from tests.plugins.telnyx_peer import FROM, PROFILE, FakeTelnyx, event, signed
from tests.plugins.test_telnyx import HOOK, ID, NOW, TO, sender_for, settings_for, sms


@pytest_asyncio.fixture
async def telnyx() -> AsyncIterator[FakeTelnyx]:
    async with FakeTelnyx().running() as peer:
        yield peer


def a_finalized(status: str = "delivered", *errors: dict[str, str]) -> bytes:
    """Build the event of a message that was sent from here."""
    told: dict[str, object] = {
        "id": "40385f64-5717-4562-b3fc-2c963f66afa6",
        "to": [{"phone_number": TO, "status": status}],
        "errors": list(errors),
        "webhook_url": f"{HOOK}?message_id={ID}",
        "completed_at": "2026-03-01T12:00:05.500+00:00",
    }
    return event("message.finalized", told)


class TestTelnyxWebhooks(WebhookContract):
    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return TelnyxSms()

    @pytest.fixture
    def settings(self, telnyx: FakeTelnyx) -> Mapping[str, object]:
        return settings_for(telnyx)

    @pytest.fixture
    def call(self) -> WebhookRequest:
        return signed(a_finalized())


@pytest.mark.parametrize(
    ("status", "errors", "expected"),
    [
        ("delivered", [], [(ReceiptKind.DELIVERED, False)]),
        ("delivery_unconfirmed", [], []),
        ("sent", [], []),
        ("sending_failed", [{"code": "40310", "title": "Invalid 'to' address"}], [(ReceiptKind.FAILED, True)]),
        ("delivery_failed", [{"code": "40001", "title": "Not routable"}], [(ReceiptKind.FAILED, True)]),
        ("delivery_failed", [{"code": "40006", "title": "Recipient server unavailable"}], [(ReceiptKind.FAILED, False)]),
        ("delivery_failed", [{"code": "40300", "title": "Carrier rejected"}], [(ReceiptKind.FAILED, True)]),
        ("delivery_failed", [{"code": "99999", "title": "news"}], [(ReceiptKind.FAILED, False)]),
        ("delivery_failed", [], [(ReceiptKind.FAILED, False)]),
        ("expired", [], [(ReceiptKind.FAILED, False)]),
        (
            "sending_failed",
            [{"code": "40300", "title": "Blocked due to STOP message"}],
            [(ReceiptKind.FAILED, True), (ReceiptKind.OPTED_OUT, False)],
        ),
    ],
)  # fmt: skip
async def test_a_final_state_becomes_receipts(
    telnyx: FakeTelnyx, status: str, errors: list[dict[str, str]], expected: list[tuple[ReceiptKind, bool]]
) -> None:
    async with sender_for(telnyx) as sender:
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Accepted)
        id = result.provider_message_id
        said = await sender.receive(signed(telnyx.event(id, status, *errors)))
        sent = await sender.receive(signed(telnyx.event(id, "sent", kind="message.sent")))
    assert [(receipt.kind, receipt.permanent) for receipt in said.receipts] == expected
    assert (said.status, sent.status, list(sent.receipts)) == (200, 200, [])
    for receipt in said.receipts:
        assert (receipt.message_id, receipt.provider_message_id) == (ID, id)
        assert receipt.time == datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
    if errors:
        assert said.receipts[0].attributes == {"code": errors[0]["code"]}
        assert errors[0]["title"] in said.receipts[0].detail


async def test_a_receipt_ends_the_doubt_about_a_message_whose_answer_was_lost(telnyx: FakeTelnyx) -> None:
    telnyx.acts(losing)
    async with sender_for(telnyx) as sender:
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Unknown)
        (id,) = telnyx.created
        said = await sender.receive(signed(telnyx.event(id, "delivered")))
    assert [receipt.message_id for receipt in said.receipts] == [ID]


async def test_the_message_is_believed_as_it_is_signed_and_not_as_the_address_says(telnyx: FakeTelnyx) -> None:
    other = f"{HOOK}?message_id={'f' * 32}"
    async with sender_for(telnyx) as sender:
        said = await sender.receive(signed(a_finalized(), url=other))
    assert [receipt.message_id for receipt in said.receipts] == [ID]


def an_incoming(**changes: object) -> dict[str, object]:
    told: dict[str, object] = {
        "record_type": "message",
        "direction": "inbound",
        "id": "7ee4241c-f127-47e5-9c34-3aac291f8058",
        "type": "MMS",
        "messaging_profile_id": PROFILE,
        "from": {"phone_number": TO, "carrier": "T-MOBILE USA, INC.", "line_type": "Wireless", "status": "received"},
        "to": [{"phone_number": FROM, "status": "webhook_delivered"}, {"phone_number": "+12065550177"}],
        "cc": [{"phone_number": "+12065550188"}],
        "text": "STOP \U0001f600",
        "media": [{"url": "https://media.example/1", "content_type": "image/png", "size": 9}],
        "received_at": "2026-03-01T13:00:00.000+01:00",
        "autoresponse_type": "STOP",
    }
    return {**told, **changes}


async def test_what_a_person_sends_is_handed_over_with_its_pictures(telnyx: FakeTelnyx) -> None:
    async with sender_for(telnyx) as sender:
        said = await sender.receive(signed(event("message.received", an_incoming())))
    (message,) = said.inbound
    assert (said.status, list(said.receipts)) == (200, [])
    assert (message.inbound_id, message.kind) == ("7ee4241c-f127-47e5-9c34-3aac291f8058", Kind.SMS)
    assert (message.origination, message.destination, message.body) == (TO, FROM, "STOP \U0001f600")
    assert (message.time, message.time.utcoffset()) == (NOW, timedelta())
    assert message.media_urls == ("https://media.example/1",)
    assert message.attributes == {
        "carrier": "T-MOBILE USA, INC.",
        "line_type": "Wireless",
        "messaging_profile_id": PROFILE,
        "autoresponse_type": "STOP",
        "media_types": "image/png",
        "others": "+12065550177 +12065550188",
    }


@pytest.mark.parametrize(
    ("at", "good"),
    [
        (timedelta(), True),
        (timedelta(seconds=-300), True),
        (timedelta(seconds=-301), False),
        (timedelta(seconds=300), True),
        (timedelta(seconds=301), False),
    ],
    ids=["now", "5 minutes old", "older", "5 minutes ahead", "further ahead"],
)
async def test_a_signature_is_good_for_five_minutes(telnyx: FakeTelnyx, at: timedelta, good: bool) -> None:
    recording = RecordingContext(webhook_url=HOOK)
    recording.context = replace(recording.context, now=lambda: NOW)
    async with sender_for(telnyx, recording) as sender:
        call = signed(a_finalized(), at=NOW + at)
        if good:
            assert (await sender.receive(call)).receipts
        else:
            with pytest.raises(Forged, match="5 minutes"):
                await sender.receive(call)


def restamped(stamp: str) -> WebhookRequest:
    call = signed(a_finalized())
    return replace(call, headers={**call.headers, "telnyx-timestamp": stamp})


def resigned(signature: str) -> WebhookRequest:
    call = signed(a_finalized())
    return replace(call, headers={**call.headers, "telnyx-signature-ed25519": signature})


@pytest.mark.parametrize(
    "call",
    [
        signed(a_finalized(), key=Ed25519PrivateKey.generate()),
        restamped(str(int(datetime.now(UTC).timestamp()) + 1)),
        restamped("now"),
        restamped("\u0661"),
        restamped("1" * 13),
        restamped(""),
        resigned(""),
        resigned("nonsense"),
        resigned("\u00e9"),
        resigned(base64.b64encode(bytes(64)).decode()),
        resigned(base64.b64encode(bytes(63)).decode()),
    ],
    ids=[
        "other key",
        "other time",
        "no time",
        "digits of another script",
        "long time",
        "empty time",
        "no signature",
        "no base64",
        "no ascii",
        "zeros",
        "too short",
    ],
)
async def test_a_call_that_is_not_telnyxs_is_forged(telnyx: FakeTelnyx, call: WebhookRequest) -> None:
    async with sender_for(telnyx) as sender:
        with pytest.raises(Forged):
            await sender.receive(call)


async def test_without_a_public_key_every_call_is_forged(telnyx: FakeTelnyx) -> None:
    async with sender_for(telnyx, public_key=None) as sender:
        with pytest.raises(Forged, match="public_key"):
            await sender.receive(signed(a_finalized()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"null",
        b"[1]",
        b"[" * 20_000,
        b'{"data": 7}',
        event("message.finalized", {}),
        event("message.finalized", {"id": "x" * 65}),
        event("message.received", {"id": "x"}),
        event("message.received", an_incoming(to=[])),
        event("message.received", {**an_incoming(), "from": {"phone_number": ""}}),
        b'{"data": {"event_type": 7, "payload": {"id": "x"}}}',
    ],
)
async def test_a_signed_call_that_says_nothing_is_answered_400(telnyx: FakeTelnyx, body: bytes) -> None:
    async with sender_for(telnyx) as sender:
        said = await sender.receive(signed(body))
    assert (said.status, list(said.receipts), list(said.inbound)) == (400, [], [])


@pytest.mark.parametrize("kind", ["message.sent", "10dlc.campaign.update", "call.answered"])
async def test_events_about_other_things_are_taken_and_mean_nothing(telnyx: FakeTelnyx, kind: str) -> None:
    async with sender_for(telnyx) as sender:
        said = await sender.receive(signed(event(kind, {"id": "x"})))
    assert (said.status, list(said.receipts), list(said.inbound)) == (200, [], [])


@pytest.mark.parametrize(
    ("received_at", "occurred_at", "time"),
    [
        ("2026-03-01T12:00:00", "", NOW),
        ("nonsense", "2026-03-01T12:00:00Z", NOW),
        (None, "2026-03-01T12:00:00Z", NOW),
        (None, "nonsense", NOW + timedelta(hours=1)),
        ("0001-01-01T00:00:00+23:00", "nonsense", NOW + timedelta(hours=1)),
    ],
    ids=["no zone", "broken", "absent", "both broken", "before time began"],
)
async def test_a_time_that_cannot_be_read_is_replaced_by_the_next_best(
    telnyx: FakeTelnyx, received_at: str | None, occurred_at: str, time: datetime
) -> None:
    recording = RecordingContext(webhook_url=HOOK)
    recording.context = replace(recording.context, now=lambda: NOW + timedelta(hours=1))
    body = event("message.received", an_incoming(received_at=received_at), occurred_at=occurred_at)
    async with sender_for(telnyx, recording) as sender:
        said = await sender.receive(signed(body, at=NOW + timedelta(hours=1)))
    assert [message.time for message in said.inbound] == [time]


async def test_what_no_database_takes_is_left_out(telnyx: FakeTelnyx) -> None:
    body = event("message.received", an_incoming(text="a\x00b\ud800"))
    assert json.loads(body)["data"]["payload"]["text"] == "a\x00b\ud800"
    async with sender_for(telnyx) as sender:
        said = await sender.receive(signed(body))
    assert [message.body for message in said.inbound] == ["ab?"]


NAMES = st.sampled_from(
    "data payload event_type id to from cc text media url errors code title detail source pointer status phone_number "
    "completed_at received_at occurred_at webhook_url subject".split()
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["message.received", "message.finalized", "delivered", "delivery_failed", "40300", TO])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6))
PAYLOADS = st.fixed_dictionaries(
    {"id": st.just("x")}, optional={"to": JSON, "from": JSON, "errors": JSON, "media": JSON}
)


@given(
    JSON | st.fixed_dictionaries({"data": st.fixed_dictionaries({"event_type": SCALARS, "payload": PAYLOADS | JSON})})
)
def test_whatever_telnyx_signs_is_understood_or_answered_400(value: object) -> None:
    said = told(json.dumps(value).encode(), NOW)
    assert said.status in (200, 400)
    assert said.status == 200 or not (said.receipts or said.inbound)
    assert said == told(json.dumps(value).encode(), NOW)
