"""Webhooks of the channel sms-twilio: signatures, receipts, and what people send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channel_twilio import TwilioSms
from heliograph_channel_twilio.events import call_told, message_told
from heliograph_channel_twilio.signatures import signature
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
from tests.plugins.test_twilio_sms import HOOK, ID, TO, sender_for, settings_for, sms
from tests.plugins.twilio_peer import ACCOUNT, FROM, FakeTwilio, signed_form, signed_json


@pytest_asyncio.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio().running() as peer:
        yield peer


class TestTwilioSmsWebhooks(WebhookContract):
    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return TwilioSms()

    @pytest.fixture
    def settings(self, twilio: FakeTwilio) -> Mapping[str, object]:
        return settings_for(twilio)

    @pytest.fixture
    def call(self) -> WebhookRequest:
        return signed_form(self.public_url, {"MessageSid": "SM" + "0" * 32, "MessageStatus": "delivered", "To": TO})


class TestTwilioSmsWebhooksInJson(TestTwilioSmsWebhooks):
    @pytest.fixture
    def call(self) -> WebhookRequest:
        body = (
            b'{"MessageSid": "SM00000000000000000000000000000000", "MessageStatus": "delivered", "To": "+12065550100"}'
        )
        return signed_json(self.public_url, body)


@pytest.mark.parametrize(
    ("url", "fields", "expected"),
    [
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            {
                "CallSid": ["CA1234567890ABCDE"],
                "Digits": ["1234"],
                "From": ["+14158675309"],
                "To": ["+18005551212"],
                "Caller": ["+14158675309"],
            },
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            {"Sid": ["CA123"], "SidAccount": ["AC123"], "Digits": ["5678", "1234", "1234"]},
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
    ],
    ids=["plain", "repeated fields"],
)
def test_twilios_own_examples_of_signatures(url: str, fields: dict[str, list[str]], expected: str) -> None:
    assert signature("12345", url, fields) == expected


@pytest.mark.parametrize(
    ("status", "extra", "expected"),
    [
        ("queued", {}, []),
        ("sending", {}, []),
        ("sent", {}, []),
        ("delivered", {}, [(ReceiptKind.DELIVERED, False)]),
        ("read", {}, [(ReceiptKind.OPENED, False)]),
        ("undelivered", {"ErrorCode": "30003"}, [(ReceiptKind.FAILED, False)]),
        ("undelivered", {"ErrorCode": "30005"}, [(ReceiptKind.FAILED, True)]),
        ("undelivered", {"ErrorCode": "30006"}, [(ReceiptKind.FAILED, True)]),
        ("undelivered", {"ErrorCode": "30007"}, [(ReceiptKind.FAILED, True)]),
        ("undelivered", {"ErrorCode": "30008"}, [(ReceiptKind.FAILED, False)]),
        ("failed", {"ErrorCode": "30002"}, [(ReceiptKind.FAILED, False)]),
        ("failed", {"ErrorCode": "77777"}, [(ReceiptKind.FAILED, False)]),
        ("failed", {"ErrorCode": "\u0661"}, [(ReceiptKind.FAILED, False)]),
        ("failed", {}, [(ReceiptKind.FAILED, False)]),
        ("canceled", {}, [(ReceiptKind.FAILED, False)]),
        ("failed", {"ErrorCode": "21610"}, [(ReceiptKind.FAILED, True), (ReceiptKind.OPTED_OUT, False)]),
    ],
)
async def test_a_status_callback_becomes_receipts(
    twilio: FakeTwilio, status: str, extra: dict[str, str], expected: list[tuple[ReceiptKind, bool]]
) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Accepted)
        call = twilio.callback(result.provider_message_id, MessageStatus=status, **extra)
        said = await sender.receive(call)
    assert [(receipt.kind, receipt.permanent) for receipt in said.receipts] == expected
    assert (said.status, said.body, said.content_type) == (200, b"<Response/>", "text/xml")
    for receipt in said.receipts:
        assert (receipt.message_id, receipt.provider_message_id) == (ID, result.provider_message_id)
        assert extra.get("ErrorCode", "") in receipt.detail or receipt.kind is ReceiptKind.OPTED_OUT
    assert len({receipt.receipt_id for receipt in said.receipts}) == len(expected)


async def test_a_receipt_ends_the_doubt_about_a_message_whose_answer_was_lost(twilio: FakeTwilio) -> None:
    twilio.acts(losing)
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Unknown)
        (sid,) = twilio.created
        said = await sender.receive(twilio.callback(sid, MessageStatus="delivered"))
    assert [receipt.message_id for receipt in said.receipts] == [ID]


async def test_what_a_person_sends_is_handed_over_with_its_pictures(twilio: FakeTwilio) -> None:
    fields = {
        "MessageSid": "MM" + "1" * 32,
        "SmsSid": "MM" + "1" * 32,
        "SmsMessageSid": "MM" + "1" * 32,
        "SmsStatus": "received",
        "AccountSid": ACCOUNT,
        "From": TO,
        "To": FROM,
        "Body": "STOP \U0001f600",
        "NumMedia": "2",
        "MediaUrl0": "https://api.twilio.com/one",
        "MediaContentType0": "image/png",
        "MediaUrl1": "https://api.twilio.com/two",
        "MediaContentType1": "image/gif",
        "OptOutType": "STOP",
        "FromCountry": "US",
        "FromCity": "",
    }
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    recording = RecordingContext(webhook_url=HOOK)
    recording.context = replace(recording.context, now=lambda: now)
    async with sender_for(twilio, recording) as sender:
        said = await sender.receive(signed_form(HOOK, fields))
    (message,) = said.inbound
    assert said.receipts == ()
    assert (said.status, said.body, said.content_type) == (200, b"<Response/>", "text/xml")
    assert (message.inbound_id, message.kind, message.time) == ("MM" + "1" * 32, Kind.SMS, now)
    assert (message.origination, message.destination, message.body) == (TO, FROM, "STOP \U0001f600")
    assert message.media_urls == ("https://api.twilio.com/one", "https://api.twilio.com/two")
    assert message.attributes == {"opt_out_type": "STOP", "country": "US", "media_types": "image/png image/gif"}


GOOD = {"MessageSid": "SM" + "0" * 32, "MessageStatus": "delivered", "To": TO}


@pytest.mark.parametrize(
    ("called", "signed"),
    [
        ("https://h.example/hooks", "https://h.example/hooks"),
        ("https://h.example/hooks", "https://h.example:443/hooks"),
        ("https://h.example:443/hooks?a=b", "https://h.example/hooks?a=b"),
        ("https://h.example:8443/hooks", "https://h.example:8443/hooks"),
        ("http://h.example/hooks", "http://h.example:80/hooks"),
    ],
)
async def test_a_signature_with_and_without_the_usual_port_is_good(
    twilio: FakeTwilio, called: str, signed: str
) -> None:
    async with sender_for(twilio) as sender:
        said = await sender.receive(signed_form(called, GOOD, signed_url=signed))
    assert len(said.receipts) == 1


@pytest.mark.parametrize(
    "call",
    [
        signed_form(HOOK, GOOD, "another-token"),
        replace(signed_form(HOOK, GOOD), url=HOOK + "?message_id=" + ID),
        replace(signed_form(HOOK, GOOD), url="https://heliograph.example:8443/hooks/trial/route"),
        replace(signed_form(HOOK, GOOD), url="https://[heliograph"),
        replace(signed_form(HOOK, GOOD), url="https://heliograph.example:port/"),
        replace(signed_form(HOOK, GOOD), body=signed_form(HOOK, GOOD).body + b"&Extra=1"),
        replace(signed_form(HOOK, GOOD), body=b"\xff=\xff"),
        replace(signed_form(HOOK, GOOD), headers={"x-twilio-signature": "\u00e9\ud800"}),
        replace(signed_json(HOOK, b"{}"), body=b"{ }"),
        replace(signed_json(HOOK, b"{}"), url=HOOK + "?bodySHA256=" + "0" * 64),
        signed_json(HOOK, b"{}", "another-token"),
    ],
    ids=[
        "other token",
        "other address",
        "other port",
        "no address",
        "no port",
        "field added",
        "no form",
        "odd signature",
        "other json body",
        "other hash",
        "other token of json",
    ],
)
async def test_a_call_that_is_not_twilios_is_forged(twilio: FakeTwilio, call: WebhookRequest) -> None:
    async with sender_for(twilio) as sender:
        with pytest.raises(Forged):
            await sender.receive(call)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"MessageStatus": "delivered"},
        {"MessageSid": "../etc", "MessageStatus": "delivered"},
        {"MessageSid": "S" * 65, "MessageStatus": "delivered"},
        {"MessageSid": "SM1", "SmsStatus": "received", "Body": "x"},
    ],
    ids=["nothing", "no sid", "no sid at all", "long sid", "nobody"],
)
async def test_a_signed_call_that_says_nothing_is_answered_400(twilio: FakeTwilio, fields: dict[str, str]) -> None:
    async with sender_for(twilio) as sender:
        said = await sender.receive(signed_form(HOOK, fields))
    assert (said.status, said.receipts, said.inbound) == (400, (), ())


async def test_a_get_is_signed_by_its_address_alone(twilio: FakeTwilio) -> None:
    url = f"{HOOK}?MessageSid=SM1&MessageStatus=delivered&To=%2B12065550100"
    call = signed_form(url, {})
    async with sender_for(twilio) as sender:
        said = await sender.receive(replace(call, method="GET", body=b""))
    assert [receipt.provider_message_id for receipt in said.receipts] == ["SM1"]


async def test_zeros_that_no_database_takes_are_left_out(twilio: FakeTwilio) -> None:
    fields = {"MessageSid": "SM1", "SmsStatus": "received", "From": TO, "To": FROM, "Body": "a\x00b", "NumMedia": "0"}
    async with sender_for(twilio) as sender:
        said = await sender.receive(signed_form(HOOK, fields))
    assert [message.body for message in said.inbound] == ["ab"]


NAMES = st.sampled_from(
    "MessageSid SmsSid MessageStatus SmsStatus ErrorCode ErrorMessage From To Body NumMedia MediaUrl0 MediaContentType0 "
    "OptOutType CallSid CallStatus Direction SipResponseCode CallDuration".split()
)
VALUES = st.text() | st.sampled_from(["SM1", "CA1", "delivered", "failed", "received", "completed", "21610", "404", TO])


@given(st.dictionaries(NAMES, VALUES), st.text())
def test_whatever_twilio_signs_is_understood_or_answered_400(fields: dict[str, str], url: str) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for told in (message_told, call_told):
        said = told(fields, url, now)
        assert said.status in (200, 400)
        assert said.status == 200 or not (said.receipts or said.inbound)
        assert said == told(fields, url, now)
