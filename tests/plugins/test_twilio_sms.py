"""The channel sms-twilio against a Twilio of our own: forms, answers, broken connections, webhooks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph_channel_twilio import TwilioSms
from heliograph_channel_twilio.codes import MEANINGS
from heliograph_channel_twilio.settings import api_url
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Forged,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Sender,
    SmsContent,
    Unknown,
    with_defaults,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.http_peers import Act, answering, dribbling, dropping, garbling, losing, silent
from tests.plugins.smtp_servers import make_certificate
from tests.plugins.twilio_peer import (
    ACCOUNT,
    FROM,
    KEY,
    KEY_SECRET,
    SERVICE,
    TOKEN,
    FakeTwilio,
    signed_form,
)

TO = "+12065550100"
HOOK = "https://heliograph.example/hooks/trial/route"
ID = "0123456789abcdef" * 2


def settings_for(peer: FakeTwilio, **changes: object) -> dict[str, object]:
    return {"account_sid": ACCOUNT, "auth_token": TOKEN, "sender": FROM, "base_url": peer.base_url, **changes}


@asynccontextmanager
async def sender_for(
    peer: FakeTwilio, recording: RecordingContext | None = None, **changes: object
) -> AsyncIterator[Sender]:
    settings = {name: value for name, value in settings_for(peer, **changes).items() if value is not None}
    assert list(TwilioSms().check_settings(settings)) == []
    sender = await TwilioSms().open(settings, (recording or RecordingContext(webhook_url=HOOK)).context)
    try:
        yield sender
    finally:
        await sender.close()


@pytest_asyncio.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio().running() as peer:
        yield peer


def sms(body: str = "hello", to: str = TO, *, origination: str = "", media: tuple[str, ...] = ()) -> OutgoingMessage:
    content = SmsContent(body, media_urls=media)
    return a_message(Kind.SMS, to, message_id=ID, content=content, origination=origination)


class TestTwilioSmsContract(ChannelContract):
    kind = Kind.SMS
    good_address = TO
    bad_addresses = ("12065550100", "+1206 5550100", "whatsapp:+12065550100", "72345")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return TwilioSms()

    @pytest.fixture
    def settings(self, twilio: FakeTwilio) -> Mapping[str, object]:
        return settings_for(twilio)


# Settings


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"account_sid": "AC123"}, {"account_sid"}),
        ({"account_sid": "SK" + "0" * 32}, {"account_sid"}),
        ({"auth_token": None}, {"auth_token"}),
        ({"auth_token": "short"}, {"auth_token"}),
        ({"auth_token": "sixteen characters\r\nX: y"}, {"auth_token"}),
        ({"api_key_sid": KEY}, {"api_key_secret"}),
        ({"api_key_secret": KEY_SECRET}, {"api_key_sid"}),
        ({"auth_token": None, "api_key_sid": KEY, "api_key_secret": KEY_SECRET}, set()),
        ({"messaging_service_sid": "MG1"}, {"messaging_service_sid"}),
        ({"region": "mars"}, {"region"}),
        ({"base_url": "http://api.example.com"}, {"base_url"}),
        ({"sender": "Acme"}, set()),
        ({"sender": "72345"}, set()),
        ({"sender": "+1 206"}, {"sender"}),
        ({"sender": "123456789"}, {"sender"}),
        ({"sender": "AcmeAcmeAcme"}, {"sender"}),
        ({"sender": "Acme\n"}, {"sender"}),
        ({"timeout": 0}, {"timeout"}),
        ({"timeout": 25.5}, {"timeout"}),
        ({"connections": 9}, {"connections"}),
        ({"connections": 200}, set()),
        ({"connections": 201}, {"connections"}),
        ({"validity_seconds": 0}, {"validity_seconds"}),
        ({"validity_seconds": 36001}, {"validity_seconds"}),
    ],
)
def test_settings_are_checked_with_the_field_named(changes: dict[str, object], fields: set[str]) -> None:
    settings = {"account_sid": ACCOUNT, "auth_token": TOKEN, **changes}
    given = {name: value for name, value in settings.items() if value is not None}
    assert {problem.field for problem in TwilioSms().check_settings(given)} == fields


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "https://api.twilio.com"),
        ({"region": "us1"}, "https://api.twilio.com"),
        ({"region": "ie1"}, "https://api.dublin.ie1.twilio.com"),
        ({"region": "au1"}, "https://api.sydney.au1.twilio.com"),
        ({"region": "jp1"}, "https://api.tokyo.jp1.twilio.com"),
        ({"region": "ie1", "base_url": "https://sms.example.com/api/"}, "https://sms.example.com/api"),
    ],
)
def test_a_region_has_its_own_host_and_a_base_url_goes_before_it(settings: dict[str, object], host: str) -> None:
    complete = with_defaults(TwilioSms().settings_schema, {"account_sid": ACCOUNT, **settings})
    assert api_url(complete) == f"{host}/2010-04-01/Accounts/{ACCOUNT}"


def test_without_an_auth_token_nothing_is_promised_that_needs_a_signature() -> None:
    able = TwilioSms().capabilities_for(
        {"account_sid": ACCOUNT, "api_key_sid": KEY, "api_key_secret": KEY_SECRET, "connections": 120}
    )
    assert (able.receipts, able.inbound, able.webhook, able.media) == (False, False, False, True)
    assert able.batch_size * able.concurrency == 120


# What is sent


async def test_a_message_is_a_form_with_our_address_for_its_receipts(twilio: FakeTwilio) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms("h\u00e9llo & = + \U0001f600\nbye")])
    assert isinstance(result, Accepted)
    assert twilio.created[result.provider_message_id] == {
        "To": [TO],
        "From": [FROM],
        "Body": ["h\u00e9llo & = + \U0001f600\nbye"],
        "StatusCallback": [f"{HOOK}?message_id={ID}"],
        "ValidityPeriod": ["36000"],
    }


async def test_pictures_go_as_their_addresses(twilio: FakeTwilio) -> None:
    pictures = tuple(f"https://pictures.example/{n}.png?a=b&c=d" for n in range(10))
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms("", media=pictures)])
    assert isinstance(result, Accepted)
    assert result.provider_message_id.startswith("MM")
    assert twilio.created[result.provider_message_id]["MediaUrl"] == list(pictures)
    assert "Body" not in twilio.created[result.provider_message_id]


@pytest.mark.parametrize(
    ("settings", "origination", "sent"),
    [
        ({}, "", {"From": [FROM]}),
        ({}, "Acme", {"From": ["Acme"]}),
        ({}, SERVICE, {"MessagingServiceSid": [SERVICE]}),
        ({"messaging_service_sid": SERVICE}, "", {"MessagingServiceSid": [SERVICE]}),
        ({"messaging_service_sid": SERVICE}, FROM, {"From": [FROM]}),
        ({"messaging_service_sid": SERVICE, "sender": None}, "", {"MessagingServiceSid": [SERVICE]}),
    ],
    ids=["default", "named", "named service", "service before default", "named before service", "service alone"],
)
async def test_the_sender_is_the_messages_own_else_the_service_else_the_default(
    twilio: FakeTwilio, settings: dict[str, object], origination: str, sent: dict[str, list[str]]
) -> None:
    async with sender_for(twilio, None, **settings) as sender:
        (result,) = await sender.send_batch([sms(origination=origination)])
    assert isinstance(result, Accepted), result
    form = twilio.created[result.provider_message_id]
    assert {name: form[name] for name in ("From", "MessagingServiceSid") if name in form} == sent


async def test_an_api_key_sends_instead_of_the_auth_token_and_without_it_there_is_no_callback(
    twilio: FakeTwilio,
) -> None:
    async with sender_for(twilio, auth_token=None, api_key_sid=KEY, api_key_secret=KEY_SECRET) as sender:
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Accepted), result
        assert "StatusCallback" not in twilio.created[result.provider_message_id]
        with pytest.raises(Forged, match="auth_token"):
            await sender.receive(signed_form(HOOK, {"MessageSid": "SM1", "MessageStatus": "delivered"}))


async def test_without_an_address_of_ours_there_is_no_callback(twilio: FakeTwilio) -> None:
    async with sender_for(twilio, RecordingContext()) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Accepted)
    assert "StatusCallback" not in twilio.created[result.provider_message_id]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (sms("x" * 1600), None),
        (sms("x" * 1601), RejectReason.INVALID_CONTENT),
        (sms(""), RejectReason.INVALID_CONTENT),
        (sms(" \n"), RejectReason.INVALID_CONTENT),
        (sms("a\x00b"), RejectReason.INVALID_CONTENT),
        (sms("\ud83d"), RejectReason.INVALID_CONTENT),
        (sms(media=("https://a.example/",) * 10), None),
        (sms(media=("https://a.example/",) * 11), RejectReason.INVALID_CONTENT),
        (sms(media=("file:///etc/passwd",)), RejectReason.INVALID_CONTENT),
        (sms(media=("https://[a",)), RejectReason.INVALID_CONTENT),
        (sms(media=("https://a.example/\r\n",)), RejectReason.INVALID_CONTENT),
        (sms(to="12065550100"), RejectReason.INVALID_ADDRESS),
        (sms(origination="+1206555\r\n"), RejectReason.INVALID_ORIGINATION),
        (sms(origination="123456789"), RejectReason.INVALID_ORIGINATION),
    ],
)
async def test_what_twilio_would_refuse_is_not_even_asked(
    twilio: FakeTwilio, message: OutgoingMessage, reason: RejectReason | None
) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([message])
    if reason is None:
        assert isinstance(result, Accepted)
    else:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable, twilio.calls) == (reason, False, [])


async def test_a_message_from_nobody_is_refused_with_the_settings_named(twilio: FakeTwilio) -> None:
    async with sender_for(twilio, sender=None) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.INVALID_ORIGINATION
    assert "messaging_service_sid" in result.detail


async def test_all_messages_of_a_batch_are_under_way_at_once(twilio: FakeTwilio) -> None:
    together = asyncio.Barrier(10)

    async def wait() -> None:
        await together.wait()

    twilio.first = wait  # type: ignore[method-assign]
    async with sender_for(twilio) as sender:
        results = await asyncio.wait_for(sender.send_batch([sms(f"number {n}") for n in range(10)]), 10)
    assert all(isinstance(result, Accepted) for result in results)
    assert twilio.most_at_once == 10


# What answers mean


@pytest.mark.parametrize(
    ("to", "code", "reason", "retryable"),
    [
        ("+15005550001", 21211, RejectReason.INVALID_ADDRESS, False),
        ("+15005550002", 21612, RejectReason.REFUSED, False),
        ("+15005550003", 21408, RejectReason.BLOCKED, False),
        ("+15005550004", 21610, RejectReason.OPTED_OUT, False),
        ("+15005550009", 21614, RejectReason.INVALID_ADDRESS, False),
    ],
)
async def test_twilios_magic_recipients(
    twilio: FakeTwilio, to: str, code: int, reason: RejectReason, retryable: bool
) -> None:
    async with sender_for(twilio) as sender:
        result, neighbour = await sender.send_batch([sms(to=to), sms()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)
    assert str(code) in result.detail
    assert isinstance(neighbour, Accepted)


@pytest.mark.parametrize(
    ("origination", "reason", "retryable"),
    [
        ("+15005550001", RejectReason.INVALID_ORIGINATION, False),
        ("+15005550007", RejectReason.INVALID_ORIGINATION, False),
        ("+15005550008", RejectReason.THROTTLED, True),
        ("+12065550199", RejectReason.INVALID_ORIGINATION, False),
    ],
)
async def test_twilios_magic_senders(
    twilio: FakeTwilio, origination: str, reason: RejectReason, retryable: bool
) -> None:
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms(origination=origination)])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)


async def test_wrong_credentials_are_told_as_such(twilio: FakeTwilio) -> None:
    async with sender_for(twilio, auth_token="another-token-of-somebody") as sender:
        (result,) = await sender.send_batch([sms()])
        health = await sender.health()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, False)
    assert not health.ok
    assert "20003" in health.detail


@pytest.mark.parametrize(
    ("status", "body", "reason", "retryable"),
    [
        (400, b'{"code": 21617, "message": "too long", "status": 400}', RejectReason.INVALID_CONTENT, False),
        (400, b'{"code": 99999, "message": "news", "status": 400}', RejectReason.REFUSED, False),
        (400, b'{"code": "21610"}', RejectReason.REFUSED, False),
        (401, b'{"code": 20003, "message": "Authenticate"}', RejectReason.CREDENTIALS, False),
        (403, b"", RejectReason.CREDENTIALS, False),
        (404, b'{"code": 20404, "message": "not found"}', RejectReason.CREDENTIALS, False),
        (429, b'{"code": 20429, "message": "Too Many Requests"}', RejectReason.THROTTLED, True),
        (429, b"", RejectReason.THROTTLED, True),
        (500, b'{"code": 20500, "message": "Internal Server Error"}', RejectReason.UNAVAILABLE, True),
        (500, b'{"code": 88888, "message": "news"}', RejectReason.UNAVAILABLE, True),
        (503, b'{"code": 20503, "message": "Service Unavailable"}', RejectReason.UNAVAILABLE, True),
        (503, b"<html>", RejectReason.UNAVAILABLE, True),
        (302, b"", RejectReason.REFUSED, False),
        (400, b'{"type": "about:blank", "title": "Bad", "status": 400, "code": 21211}', RejectReason.INVALID_ADDRESS, False),
        (201, b'{"sid": "SM1", "status": "failed", "error_code": 30034}', RejectReason.INVALID_ORIGINATION, False),
    ],
)  # fmt: skip
async def test_a_refusal_has_the_reason_of_its_code_else_of_its_status(
    twilio: FakeTwilio, status: int, body: bytes, reason: RejectReason, retryable: bool
) -> None:
    twilio.acts(answering(status, body))
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Rejected), result
    assert (result.reason, result.retryable) == (reason, retryable)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_5xx_that_is_not_in_twilios_words_leaves_a_doubt(twilio: FakeTwilio, status: int) -> None:
    twilio.acts(answering(status, b"<html>bad gateway</html>", content_type="text/html"))
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Unknown)
    assert str(status) in result.detail


@pytest.mark.parametrize("act", [losing, dropping, garbling], ids=["taken and lost", "not taken", "no http"])
async def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(twilio: FakeTwilio, act: Act) -> None:
    twilio.acts(act)
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Unknown), result
        (again,) = await sender.send_batch([sms()])
        assert isinstance(again, Accepted)


async def test_a_call_that_is_not_answered_in_time_leaves_a_doubt(twilio: FakeTwilio) -> None:
    twilio.acts(silent)
    async with sender_for(twilio, timeout=1) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Unknown), result
    assert "TimeoutError" in result.detail
    assert len(twilio.created) == 1


async def test_a_twilio_that_is_not_there_certainly_has_nothing() -> None:
    async with FakeTwilio().running() as peer:
        settings = settings_for(peer)
    sender = await TwilioSms().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert not (await sender.health()).ok
    await sender.close()


async def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    async with FakeTwilio().running(tls) as peer:
        url = f"https://localhost:{peer.port}"
        async with sender_for(peer, base_url=url) as sender:
            (result,) = await sender.send_batch([sms()])
            assert isinstance(result, Rejected)
            assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
            assert "certificate" in result.detail.lower()
        async with sender_for(peer, base_url=url, ca_file=str(cert)) as sender:
            (result,) = await sender.send_batch([sms()])
            assert isinstance(result, Accepted)


@pytest.mark.parametrize(
    "act",
    [
        answering(201, b"{"),
        answering(201, b'{"sid": 7}'),
        answering(201, b'{"sid": "../../etc"}'),
        answering(201, b'{"sid": "SM' + b"0" * 10_000_000 + b'"}'),
        dribbling(201),
    ],
    ids=["broken json", "no text", "no sid", "10 MB", "never ends"],
)
async def test_a_message_twilio_says_it_created_is_accepted_even_if_the_rest_is_lost(
    twilio: FakeTwilio, act: Act
) -> None:
    twilio.acts(act)
    async with sender_for(twilio, timeout=2) as sender:
        assert await sender.send_batch([sms()]) == [Accepted(ID)]


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_success_that_is_not_twilios_leaves_a_doubt(twilio: FakeTwilio, status: int) -> None:
    body = b"" if status == 204 else b"<html>welcome</html>"
    twilio.acts(answering(status, body, content_type="text/html"))
    async with sender_for(twilio) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Unknown)


async def test_twilio_is_left_alone_for_as_long_as_it_asks(twilio: FakeTwilio) -> None:
    clock = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
    recording = RecordingContext()
    recording.context = replace(recording.context, now=lambda: clock[0])
    body = b'{"code": 20429, "message": "Too Many Requests", "status": 429}'
    twilio.acts(answering(429, body, ("Retry-After", "30")))
    async with sender_for(twilio, recording) as sender:
        results = [*await sender.send_batch([sms()]), *await sender.send_batch([sms(), sms()])]
        assert [(result.reason, result.retryable) for result in results if isinstance(result, Rejected)] == [
            (RejectReason.THROTTLED, True)
        ] * 3
        assert len(twilio.calls) == 1
        clock[0] += timedelta(seconds=30)
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Accepted)


@pytest.mark.parametrize(
    ("status", "body", "ok"),
    [
        (200, b'{"messages": []}', True),
        (403, b'{"code": 20403, "message": "Forbidden"}', True),
        (401, b'{"code": 20003, "message": "Authenticate"}', False),
        (200, b"<html>", False),
        (503, b"", False),
    ],
    ids=["good", "key that may only send", "wrong credentials", "no twilio", "out of order"],
)
async def test_health_asks_without_creating_anything(twilio: FakeTwilio, status: int, body: bytes, ok: bool) -> None:
    twilio.acts(answering(status, body))
    async with sender_for(twilio) as sender:
        assert (await sender.health()).ok == ok
    assert twilio.created == {}
    assert [call.method for call in twilio.calls] == ["GET"]


def test_codes_have_one_meaning_each() -> None:
    from heliograph_channel_twilio import codes

    listed = [code for table in (codes._FINAL, codes._LATER) for group in table.values() for code in group]
    assert len(listed) == len(set(listed)) == len(MEANINGS)
