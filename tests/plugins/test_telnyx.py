"""The channel sms-telnyx against a Telnyx of our own: bodies, answers, broken connections, webhooks."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph_channel_telnyx import TelnyxSms
from heliograph_channel_telnyx.codes import TelnyxError, meaning_of
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Sender,
    SmsContent,
    Unknown,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.http_peers import Act, answering, dribbling, dropping, garbling, losing, silent
from tests.plugins.smtp_servers import make_certificate
from tests.plugins.telnyx_peer import API_KEY, FROM, NAME, PROFILE, PUBLIC_KEY, FakeTelnyx, error

TO = "+12065550100"
HOOK = "https://heliograph.example/hooks/trial/route"
ID = "0123456789abcdef" * 2
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def settings_for(peer: FakeTelnyx, **changes: object) -> dict[str, object]:
    return {"api_key": API_KEY, "public_key": PUBLIC_KEY, "sender": FROM, "base_url": peer.url, **changes}


@asynccontextmanager
async def sender_for(
    peer: FakeTelnyx, recording: RecordingContext | None = None, **changes: object
) -> AsyncIterator[Sender]:
    settings = {name: value for name, value in settings_for(peer, **changes).items() if value is not None}
    assert list(TelnyxSms().check_settings(settings)) == []
    sender = await TelnyxSms().open(settings, (recording or RecordingContext(webhook_url=HOOK)).context)
    try:
        yield sender
    finally:
        await sender.close()


@pytest_asyncio.fixture
async def telnyx() -> AsyncIterator[FakeTelnyx]:
    async with FakeTelnyx().running() as peer:
        yield peer


def sms(body: str = "hello", to: str = TO, *, origination: str = "", media: tuple[str, ...] = ()) -> OutgoingMessage:
    content = SmsContent(body, media_urls=media)
    return a_message(Kind.SMS, to, message_id=ID, content=content, origination=origination)


class TestTelnyxContract(ChannelContract):
    kind = Kind.SMS
    good_address = TO
    bad_addresses = ("12065550100", "+1206 5550100", "72345")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return TelnyxSms()

    @pytest.fixture
    def settings(self, telnyx: FakeTelnyx) -> Mapping[str, object]:
        return settings_for(telnyx)


# Settings


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, set()),
        ({"api_key": "short"}, {"api_key"}),
        ({"api_key": "sixteen characters\r\nX: y"}, {"api_key"}),
        ({"public_key": "nonsense"}, {"public_key"}),
        ({"public_key": base64.b64encode(bytes(31)).decode()}, {"public_key"}),
        ({"messaging_profile_id": "profile"}, {"messaging_profile_id"}),
        ({"sender": NAME}, {"messaging_profile_id"}),
        ({"sender": NAME, "messaging_profile_id": PROFILE}, set()),
        ({"sender": "AcmeAcmeAcme"}, {"sender"}),
        ({"sender": "Acme!"}, {"sender"}),
        ({"sender": "72345"}, set()),
        ({"base_url": "http://api.example.com"}, {"base_url"}),
        ({"timeout": 25.5}, {"timeout"}),
        ({"connections": 9}, {"connections"}),
    ],
)
def test_settings_are_checked_with_the_field_named(changes: dict[str, object], fields: set[str]) -> None:
    settings = {"api_key": API_KEY, **changes}
    assert {problem.field for problem in TelnyxSms().check_settings(settings)} == fields


def test_without_a_public_key_nothing_is_promised_that_needs_a_signature() -> None:
    able = TelnyxSms().capabilities_for({"api_key": API_KEY, "connections": 120})
    assert (able.receipts, able.inbound, able.webhook, able.media) == (False, False, False, True)
    assert able.batch_size * able.concurrency == 120


# What is sent


async def test_a_message_is_json_with_our_address_for_its_receipts(telnyx: FakeTelnyx) -> None:
    async with sender_for(telnyx, messaging_profile_id=PROFILE) as sender:
        (result,) = await sender.send_batch([sms("h\u00e9llo \U0001f600", media=("https://a.example/1.png",))])
    assert isinstance(result, Accepted), result
    assert telnyx.created[result.provider_message_id] == {
        "to": TO,
        "from": FROM,
        "messaging_profile_id": PROFILE,
        "text": "h\u00e9llo \U0001f600",
        "media_urls": ["https://a.example/1.png"],
        "webhook_url": f"{HOOK}?message_id={ID}",
    }


@pytest.mark.parametrize(
    ("settings", "origination", "sent"),
    [
        ({}, "", {"from": FROM}),
        ({"sender": None, "messaging_profile_id": PROFILE}, "", {"messaging_profile_id": PROFILE}),
        ({"messaging_profile_id": PROFILE}, NAME, {"from": NAME, "messaging_profile_id": PROFILE}),
    ],
    ids=["default", "number pool", "name"],
)
async def test_the_sender_is_the_messages_own_else_the_default_else_the_pool(
    telnyx: FakeTelnyx, settings: dict[str, object], origination: str, sent: dict[str, str]
) -> None:
    async with sender_for(telnyx, None, **settings) as sender:
        (result,) = await sender.send_batch([sms(origination=origination)])
    assert isinstance(result, Accepted), result
    body = telnyx.created[result.provider_message_id]
    assert {name: body[name] for name in ("from", "messaging_profile_id") if name in body} == sent


@pytest.mark.parametrize("without", ["webhook_url", "public_key"])
async def test_without_an_address_or_a_key_of_ours_there_is_no_callback(telnyx: FakeTelnyx, without: str) -> None:
    recording = RecordingContext(webhook_url="" if without == "webhook_url" else HOOK)
    key = None if without == "public_key" else PUBLIC_KEY
    async with sender_for(telnyx, recording, public_key=key) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Accepted)
    assert "webhook_url" not in telnyx.created[result.provider_message_id]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (sms("x" * 1600), None),
        (sms("x" * 1601), RejectReason.INVALID_CONTENT),
        (sms(""), RejectReason.INVALID_CONTENT),
        (sms("a\x00b"), RejectReason.INVALID_CONTENT),
        (sms("\ud83d"), RejectReason.INVALID_CONTENT),
        (sms(media=("https://a.example/",) * 10), None),
        (sms(media=("https://a.example/",) * 11), RejectReason.INVALID_CONTENT),
        (sms(media=("ftp://a.example/",)), RejectReason.INVALID_CONTENT),
        (sms(to="12065550100"), RejectReason.INVALID_ADDRESS),
        (sms(origination="Acme\r\n"), RejectReason.INVALID_ORIGINATION),
        (sms(origination=NAME), RejectReason.INVALID_ORIGINATION),
    ],
)
async def test_what_telnyx_would_refuse_is_not_even_asked(
    telnyx: FakeTelnyx, message: OutgoingMessage, reason: RejectReason | None
) -> None:
    async with sender_for(telnyx) as sender:
        (result,) = await sender.send_batch([message])
    if reason is None:
        assert isinstance(result, Accepted)
    else:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable, telnyx.calls) == (reason, False, [])


async def test_a_message_from_nobody_is_refused_with_the_setting_named(telnyx: FakeTelnyx) -> None:
    async with sender_for(telnyx, sender=None) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.INVALID_ORIGINATION
    assert "messaging_profile_id" in result.detail


async def test_all_messages_of_a_batch_are_under_way_at_once(telnyx: FakeTelnyx) -> None:
    together = asyncio.Barrier(10)

    async def wait() -> None:
        await together.wait()

    telnyx.first = wait  # type: ignore[method-assign]
    async with sender_for(telnyx) as sender:
        results = await asyncio.wait_for(sender.send_batch([sms(f"number {n}") for n in range(10)]), 10)
    assert all(isinstance(result, Accepted) for result in results)
    assert telnyx.most_at_once == 10


# What answers mean


@pytest.mark.parametrize(
    ("code", "title", "pointer", "reason", "retryable"),
    [
        ("10002", "Invalid phone number", "/to", RejectReason.INVALID_ADDRESS, False),
        ("10002", "Invalid phone number", "/from", RejectReason.INVALID_ORIGINATION, False),
        ("10005", "Resource not found", "/messaging_profile_id", RejectReason.INVALID_ORIGINATION, False),
        ("10015", "Bad Request", "/text", RejectReason.INVALID_CONTENT, False),
        ("10015", "Bad Request", "/media_urls/0", RejectReason.INVALID_CONTENT, False),
        ("10009", "Authentication failed", "", RejectReason.CREDENTIALS, False),
        ("10010", "Authorization failed", "", RejectReason.CREDENTIALS, False),
        ("10011", "Too many requests", "", RejectReason.THROTTLED, True),
        ("10007", "Unexpected error", "", RejectReason.UNAVAILABLE, True),
        ("10039", "Only pre-verified destinations", "", RejectReason.BLOCKED, False),
        ("20002", "API key revoked", "", RejectReason.CREDENTIALS, False),
        ("20100", "Insufficient funds", "", RejectReason.QUOTA_EXCEEDED, False),
        ("40001", "Not routable", "", RejectReason.INVALID_ADDRESS, False),
        ("40002", "Blocked as spam - temporary", "", RejectReason.BLOCKED, True),
        ("40003", "Blocked as spam - permanent", "", RejectReason.BLOCKED, False),
        ("40006", "Recipient server unavailable", "", RejectReason.REFUSED, True),
        ("40010", "Not 10DLC registered", "", RejectReason.INVALID_ORIGINATION, False),
        ("40016", "T-Mobile sending limit", "", RejectReason.QUOTA_EXCEEDED, True),
        ("40300", "Blocked due to STOP message", "/to", RejectReason.OPTED_OUT, False),
        ("40300", "Carrier rejected", "", RejectReason.BLOCKED, False),
        ("40302", "Message too large", "", RejectReason.INVALID_CONTENT, False),
        ("40305", "Invalid 'from' address", "/from", RejectReason.INVALID_ORIGINATION, False),
        ("40309", "Invalid destination region", "", RejectReason.BLOCKED, False),
        ("40310", "Invalid 'to' address", "/to", RejectReason.INVALID_ADDRESS, False),
        ("40312", "Messaging profile is disabled", "", RejectReason.INVALID_ORIGINATION, False),
        ("40318", "Message queue full", "", RejectReason.THROTTLED, True),
        ("40320", "Temporarily unusable 'from' address", "", RejectReason.INVALID_ORIGINATION, True),
    ],
)
async def test_an_error_has_the_reason_of_its_code(
    telnyx: FakeTelnyx, code: str, title: str, pointer: str, reason: RejectReason, retryable: bool
) -> None:
    bad = "+12065550199"
    telnyx.refusals[bad] = error(422, code, title, "more words", pointer)
    async with sender_for(telnyx) as sender:
        result, neighbour = await sender.send_batch([sms(to=bad), sms()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)
    assert f"{code} {title}: more words" in result.detail
    assert isinstance(neighbour, Accepted)


@pytest.mark.parametrize("error", [TelnyxError("99999", "news"), TelnyxError("10015", "Bad", "", "/odd")])
def test_a_code_that_says_nothing_leaves_it_to_the_status(error: TelnyxError) -> None:
    assert meaning_of(error) is None


def test_codes_have_one_meaning_each() -> None:
    from heliograph_channel_telnyx import codes

    listed = [code for table in (codes._FINAL, codes._LATER) for group in table.values() for code in group]
    assert len(listed) == len(set(listed)) == len(codes._MEANINGS)


@pytest.mark.parametrize(
    ("status", "body", "reason", "retryable"),
    [
        (400, b"", RejectReason.REFUSED, False),
        (422, b'{"errors": [{"code": "99999", "title": "news"}]}', RejectReason.REFUSED, False),
        (422, b'{"errors": "none"}', RejectReason.REFUSED, False),
        (422, b'{"errors": [7, {}, {"code": null}, {"code": 40310, "source": 3}]}', RejectReason.INVALID_ADDRESS, False),
        (401, b"", RejectReason.CREDENTIALS, False),
        (402, b"", RejectReason.QUOTA_EXCEEDED, False),
        (409, b'{"errors": [{"code": "40312", "title": "disabled"}]}', RejectReason.INVALID_ORIGINATION, False),
        (429, b"", RejectReason.THROTTLED, True),
        (500, b'{"errors": [{"code": "88888", "title": "news"}]}', RejectReason.UNAVAILABLE, True),
        (503, b"<html>", RejectReason.UNAVAILABLE, True),
        (302, b"", RejectReason.REFUSED, False),
    ],
)  # fmt: skip
async def test_a_refusal_without_a_known_code_has_the_reason_of_its_status(
    telnyx: FakeTelnyx, status: int, body: bytes, reason: RejectReason, retryable: bool
) -> None:
    telnyx.acts(answering(status, body))
    async with sender_for(telnyx) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Rejected), result
    assert (result.reason, result.retryable) == (reason, retryable)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_5xx_that_is_not_in_telnyxs_words_leaves_a_doubt(telnyx: FakeTelnyx, status: int) -> None:
    telnyx.acts(answering(status, b"<html>bad gateway</html>", content_type="text/html"))
    async with sender_for(telnyx) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Unknown)


async def test_wrong_credentials_are_told_as_such(telnyx: FakeTelnyx) -> None:
    async with sender_for(telnyx, api_key="KEY_of_somebody_else") as sender:
        (result,) = await sender.send_batch([sms()])
        health = await sender.health()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, False)
    assert not health.ok
    assert "10009" in health.detail


@pytest.mark.parametrize("act", [losing, dropping, garbling], ids=["taken and lost", "not taken", "no http"])
async def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(telnyx: FakeTelnyx, act: Act) -> None:
    telnyx.acts(act)
    async with sender_for(telnyx) as sender:
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Unknown), result
        (again,) = await sender.send_batch([sms()])
        assert isinstance(again, Accepted)


async def test_a_call_that_is_not_answered_in_time_leaves_a_doubt(telnyx: FakeTelnyx) -> None:
    telnyx.acts(silent)
    async with sender_for(telnyx, timeout=1) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Unknown), result
    assert "TimeoutError" in result.detail
    assert len(telnyx.created) == 1


async def test_a_telnyx_that_is_not_there_certainly_has_nothing() -> None:
    async with FakeTelnyx().running() as peer:
        settings = settings_for(peer)
    sender = await TelnyxSms().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert not (await sender.health()).ok
    await sender.close()


async def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    async with FakeTelnyx().running(tls) as peer:
        url = f"https://localhost:{peer.port}/v2"
        async with sender_for(peer, base_url=url) as sender:
            (result,) = await sender.send_batch([sms()])
            assert isinstance(result, Rejected)
            assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        async with sender_for(peer, base_url=url, ca_file=str(cert)) as sender:
            (result,) = await sender.send_batch([sms()])
            assert isinstance(result, Accepted)


@pytest.mark.parametrize(
    "act",
    [
        answering(200, b"{"),
        answering(200, b'{"data": {"id": 7}}'),
        answering(200, b'{"data": []}'),
        answering(200, b'{"data": {"id": "' + b"0" * 10_000_000 + b'"}}'),
        dribbling(200),
    ],
    ids=["broken json", "no text", "no object", "10 MB", "never ends"],
)
async def test_a_message_telnyx_says_it_has_is_accepted_even_if_the_rest_is_lost(telnyx: FakeTelnyx, act: Act) -> None:
    telnyx.acts(act)
    async with sender_for(telnyx, timeout=2) as sender:
        assert await sender.send_batch([sms()]) == [Accepted(ID)]


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_success_that_is_not_telnyxs_leaves_a_doubt(telnyx: FakeTelnyx, status: int) -> None:
    telnyx.acts(answering(status, b"" if status == 204 else b"<html>", content_type="text/html"))
    async with sender_for(telnyx) as sender:
        (result,) = await sender.send_batch([sms()])
    assert isinstance(result, Unknown)


async def test_telnyx_is_left_alone_for_as_long_as_it_asks(telnyx: FakeTelnyx) -> None:
    clock = [NOW]
    recording = RecordingContext()
    recording.context = replace(recording.context, now=lambda: clock[0])
    telnyx.acts(answering(429, b"{}", ("Retry-After", "Sun, 01 Mar 2026 12:00:30 GMT")))
    async with sender_for(telnyx, recording) as sender:
        results = [*await sender.send_batch([sms()]), *await sender.send_batch([sms(), sms()])]
        assert [(result.reason, result.retryable) for result in results if isinstance(result, Rejected)] == [
            (RejectReason.THROTTLED, True)
        ] * 3
        assert len(telnyx.calls) == 1
        clock[0] += timedelta(seconds=30)
        (result,) = await sender.send_batch([sms()])
        assert isinstance(result, Accepted)


@pytest.mark.parametrize("profile", [None, PROFILE])
async def test_health_asks_for_the_profile(telnyx: FakeTelnyx, profile: str | None) -> None:
    async with sender_for(telnyx, messaging_profile_id=profile) as sender:
        assert (await sender.health()).ok
        telnyx.acts(answering(200, b"<html>", content_type="text/html"))
        assert not (await sender.health()).ok
    assert {call.method for call in telnyx.calls} == {"GET"}
