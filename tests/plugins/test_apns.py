"""The channel push-apns against an Apple of our own over HTTP/2: environments, provider tokens, reasons."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from heliograph_channel_apns import ApnsPush
from heliograph_channel_apns.codes import outcome
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Kind,
    OutgoingMessage,
    PushContent,
    Rejected,
    RejectReason,
    Sender,
    Unknown,
    Unsupported,
)
from heliograph_channels.http_client import Answer
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.apns_peer import BUNDLE, KEY_ID, PEM, TEAM, FakeApple
from tests.plugins.http2_peer import tls_of
from tests.plugins.http_peers import Reply
from tests.plugins.smtp_servers import make_certificate

TOKEN = "ab" * 32
DEAD = "dead" * 16
ID = "0123456789abcdef" * 2
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def settings_for(peer: FakeApple, trusted: tuple[Path, Path], **changes: object) -> dict[str, object]:
    return {
        "bundle_id": BUNDLE,
        "team_id": TEAM,
        "key_id": KEY_ID,
        "token_key": PEM,
        "base_url": peer.url,
        "sandbox_url": peer.url,
        "ca_file": str(trusted[0]),
        **changes,
    }


@asynccontextmanager
async def sender_for(
    peer: FakeApple, trusted: tuple[Path, Path], recording: RecordingContext | None = None, **changes: object
) -> AsyncIterator[Sender]:
    settings = {name: value for name, value in settings_for(peer, trusted, **changes).items() if value is not None}
    assert list(ApnsPush().check_settings(settings)) == []
    sender = await ApnsPush().open(settings, (recording or RecordingContext()).context)
    try:
        yield sender
    finally:
        await sender.close()


def push(
    content: PushContent | None = None, to: str = TOKEN, *, platform: str = "APNS", id: str | None = None
) -> OutgoingMessage:
    message = a_message(Kind.PUSH, to, message_id=id, content=content or PushContent("Hello", "you"))
    return replace(message, platform=platform)


class Clock:
    """The time of a channel and of its Apple."""

    def __init__(self, peer: FakeApple) -> None:
        self._peer = peer
        self.recording = RecordingContext()
        self.recording.context = replace(self.recording.context, now=lambda: self.now)
        self.now = NOW
        peer.now = NOW

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)
        self._peer.now = self.now


class TestApnsContract(ChannelContract):
    kind = Kind.PUSH
    good_address = TOKEN
    bad_addresses = ("ab" * 31, "ab" * 31 + "a", "xy" * 32, "ab" * 101, "<" + TOKEN + ">")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return ApnsPush()

    @pytest.fixture
    def settings(self, apple: FakeApple, certificate: tuple[Path, Path]) -> Mapping[str, object]:
        return settings_for(apple, certificate)


# Settings


def rsa_pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


TOKEN_WAY = {"team_id": TEAM, "key_id": KEY_ID, "token_key": PEM}


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (TOKEN_WAY, set()),
        ({}, {"token_key"}),
        ({"token_key": PEM}, {"team_id", "key_id"}),
        ({"team_id": TEAM}, {"key_id", "token_key"}),
        ({**TOKEN_WAY, "team_id": "short"}, {"team_id"}),
        ({**TOKEN_WAY, "key_id": "KEYID67890\n"}, {"key_id"}),
        ({**TOKEN_WAY, "token_key": "no key"}, {"token_key"}),
        ({**TOKEN_WAY, "token_key": rsa_pem()}, {"token_key"}),
        ({"certificate": "no certificate", "private_key": PEM}, {"certificate"}),
        ({"private_key": "no key"}, {"private_key", "certificate"}),
        ({**TOKEN_WAY, "bundle_id": "com.example/app"}, {"bundle_id"}),
        ({**TOKEN_WAY, "base_url": "http://127.0.0.1:8080"}, {"base_url"}),
        ({**TOKEN_WAY, "base_url": "https://api.push.apple.com:2197"}, set()),
        ({**TOKEN_WAY, "base_url": "https://api.push.apple.com/3"}, {"base_url"}),
        ({**TOKEN_WAY, "base_url": "https://api.push.apple.com:99999"}, {"base_url"}),
        ({**TOKEN_WAY, "sandbox_url": "https://user@api.push.apple.com"}, {"sandbox_url"}),
        ({**TOKEN_WAY, "streams": 99}, {"streams"}),
        ({**TOKEN_WAY, "timeout": 26}, {"timeout"}),
    ],
)
def test_settings_are_checked_with_the_field_named(settings: dict[str, object], fields: set[str]) -> None:
    found = ApnsPush().check_settings({"bundle_id": BUNDLE, **settings})
    assert {problem.field for problem in found} == fields
    assert "PRIVATE KEY" not in repr(found)


def test_a_key_that_does_not_belong_to_the_certificate_is_named(certificate: tuple[Path, Path]) -> None:
    settings = {"bundle_id": BUNDLE, "certificate": certificate[0].read_text(), "private_key": PEM}
    assert [problem.field for problem in ApnsPush().check_settings(settings)] == ["private_key"]
    settings["private_key"] = certificate[1].read_text()
    assert list(ApnsPush().check_settings(settings)) == []


# What is sent


async def test_a_message_is_one_call_with_its_own_id(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    async with sender_for(apple, certificate) as sender:
        assert await sender.send_batch([push(id=ID)]) == [Accepted(str(uuid.UUID(ID)))]
        await sender.send_batch([push(id=ID)])
    first, again = apple.sent
    assert first.target == f"/3/device/{TOKEN}"
    assert first.headers["apns-id"] == again.headers["apns-id"] == "01234567-89ab-cdef-0123-456789abcdef"
    assert first.headers["apns-topic"] == BUNDLE
    assert first.headers["content-type"] == "application/json"
    assert first.json["aps"] == {"alert": {"title": "Hello", "body": "you"}}


async def test_each_environment_has_its_connection(certificate: tuple[Path, Path]) -> None:
    tls = tls_of(certificate)
    async with FakeApple().running(tls) as production, FakeApple().running(tls) as sandbox:
        async with sender_for(production, certificate, sandbox_url=sandbox.url) as sender:
            platforms = ["APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX", ""]
            results = await sender.send_batch([push(platform=platform) for platform in platforms])
        assert [type(result) for result in results] == [Accepted] * 5
        assert (production.connections, sandbox.connections) == (1, 1)
        topics = [[call.headers["apns-topic"] for call in peer.sent] for peer in (production, sandbox)]
        assert topics == [[BUNDLE, f"{BUNDLE}.voip", BUNDLE], [BUNDLE, f"{BUNDLE}.voip"]]
        assert production.sent[1].headers["apns-push-type"] == "voip"


async def test_a_device_of_another_maker_is_not_supported(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    async with sender_for(apple, certificate) as sender:
        assert await sender.send_batch([push(platform="GCM")]) == [Unsupported("platform GCM")]


async def test_a_certificate_may_stand_in_for_a_token(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    async with FakeApple(by_certificate=True).running(tls_of(certificate, clients=cert)) as peer:
        ours: dict[str, object] = {"certificate": cert.read_text(), "private_key": key.read_text()}
        without_token = dict.fromkeys(("team_id", "key_id", "token_key"))
        async with sender_for(peer, certificate, None, **ours, **without_token) as sender:
            (result,) = await sender.send_batch([push()])
            assert isinstance(result, Accepted), result
        assert "authorization" not in peer.sent[0].headers


# The provider token


async def test_a_token_is_renewed_every_40_minutes_and_is_everybodys(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    clock = Clock(apple)
    async with (
        sender_for(apple, certificate, clock.recording) as one,
        sender_for(apple, certificate, clock.recording) as other,
    ):
        for minute in range(0, 121, 5):
            clock.now = NOW
            clock.advance(minutes=minute)
            for sender in (one, other):
                (result,) = await sender.send_batch([push()])
                assert isinstance(result, Accepted), result
    issued = [jwt.decode(token, options={"verify_signature": False})["iat"] for token in apple.tokens]
    assert [later - earlier for earlier, later in pairwise(issued)] == [2400] * (len(issued) - 1)
    assert len(issued) == 4


async def test_an_expired_token_is_renewed_and_the_message_sent_once_more(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    clock = Clock(apple)
    clock.advance(minutes=30)
    async with sender_for(apple, certificate, clock.recording) as sender:
        apple.now = clock.now + timedelta(minutes=45)
        results = await sender.send_batch([push() for _ in range(5)])
        assert [type(result) for result in results] == [Accepted] * 5
        assert len(apple.tokens) == 1
        # Another would come too soon: Apple wants none within 20 minutes.
        apple.now = clock.now + timedelta(minutes=70)
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, False)
        assert "clock" in result.detail
        clock.now += timedelta(minutes=20)
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Accepted), result
    issued = [jwt.decode(token, options={"verify_signature": False})["iat"] for token in apple.tokens]
    assert issued[1] - issued[0] == 1200


async def test_wrong_credentials_are_told_as_such(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    async with sender_for(apple, certificate, team_id="ZZZZZ99999") as sender:
        (result,) = await sender.send_batch([push()])
        health = await sender.health()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, False)
    assert (health.ok, health.detail) == (False, "Apple answered 403 InvalidProviderToken")


async def test_neither_key_nor_token_show_in_logs_and_results(
    apple: FakeApple, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    apple.refusals[DEAD] = (410, "Unregistered")
    with caplog.at_level(logging.DEBUG):
        async with sender_for(apple, certificate) as sender:
            results = await sender.send_batch([push(), push(to=DEAD)])
            shown = [repr(sender), repr(vars(sender)), repr(results), repr(await sender.health()), caplog.text]
    for secret in (apple.tokens[0], PEM[40:80], "eyJ"):
        assert not [text for text in shown if secret in text]


# What answers mean


@pytest.mark.parametrize(
    ("status", "word", "reason", "retryable"),
    [
        (400, "BadCollapseId", RejectReason.INVALID_CONTENT, False),
        (400, "BadDeviceToken", RejectReason.ADDRESS_GONE, False),
        (400, "BadExpirationDate", RejectReason.INVALID_CONTENT, False),
        (400, "BadMessageId", RejectReason.INVALID_CONTENT, False),
        (400, "BadPriority", RejectReason.INVALID_CONTENT, False),
        (400, "BadTopic", RejectReason.INVALID_ORIGINATION, False),
        (400, "DeviceTokenNotForTopic", RejectReason.ADDRESS_GONE, False),
        (400, "DuplicateHeaders", RejectReason.REFUSED, False),
        (400, "IdleTimeout", RejectReason.UNAVAILABLE, True),
        (400, "InvalidPushType", RejectReason.INVALID_CONTENT, False),
        (400, "MissingDeviceToken", RejectReason.INVALID_ADDRESS, False),
        (400, "MissingTopic", RejectReason.INVALID_ORIGINATION, False),
        (400, "PayloadEmpty", RejectReason.INVALID_CONTENT, False),
        (400, "TopicDisallowed", RejectReason.INVALID_ORIGINATION, False),
        (400, "SomethingNew", RejectReason.REFUSED, False),
        (403, "BadCertificate", RejectReason.CREDENTIALS, False),
        (403, "BadCertificateEnvironment", RejectReason.CREDENTIALS, False),
        (403, "BadEnvironmentKeyIdInToken", RejectReason.CREDENTIALS, False),
        (403, "Forbidden", RejectReason.CREDENTIALS, False),
        (403, "InvalidProviderToken", RejectReason.CREDENTIALS, False),
        (403, "MissingProviderToken", RejectReason.CREDENTIALS, False),
        (403, "UnrelatedKeyIdInToken", RejectReason.CREDENTIALS, False),
        (404, "BadPath", RejectReason.REFUSED, False),
        (405, "MethodNotAllowed", RejectReason.REFUSED, False),
        (410, "ExpiredToken", RejectReason.ADDRESS_GONE, False),
        (410, "Unregistered", RejectReason.ADDRESS_GONE, False),
        (410, "", RejectReason.ADDRESS_GONE, False),
        (413, "PayloadTooLarge", RejectReason.INVALID_CONTENT, False),
        (429, "TooManyProviderTokenUpdates", RejectReason.THROTTLED, True),
        (429, "TooManyRequests", RejectReason.THROTTLED, True),
        (500, "InternalServerError", RejectReason.UNAVAILABLE, True),
        (503, "ServiceUnavailable", RejectReason.UNAVAILABLE, True),
        (503, "Shutdown", RejectReason.UNAVAILABLE, True),
    ],
)
async def test_a_refusal_has_the_reason_of_its_word(
    apple: FakeApple, certificate: tuple[Path, Path], status: int, word: str, reason: RejectReason, retryable: bool
) -> None:
    apple.refusals[DEAD] = (status, word)
    async with sender_for(apple, certificate) as sender:
        result, neighbour = await sender.send_batch([push(to=DEAD), push()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)
    assert word in result.detail
    assert isinstance(neighbour, Accepted), neighbour


async def test_a_dead_token_is_told_since_when_and_a_bad_one_why_it_may_be_bad(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    apple.refusals = {DEAD: (410, "Unregistered"), "bad0" * 16: (400, "BadDeviceToken")}
    async with sender_for(apple, certificate) as sender:
        dead, bad = await sender.send_batch([push(to=DEAD), push(to="bad0" * 16)])
    assert isinstance(dead, Rejected)
    assert isinstance(bad, Rejected)
    assert dead.detail == "410 Unregistered since 2026-03-01 12:00:00 UTC"
    assert "other environment" in bad.detail


@pytest.mark.parametrize("timestamp", [True, -1, 1 << 60, "yesterday", None, 1.5])
def test_a_time_that_is_none_is_not_told(timestamp: object) -> None:
    answer = Answer(410, {}, json.dumps({"reason": "Unregistered", "timestamp": timestamp}).encode())
    assert outcome(answer, ID) == Rejected(RejectReason.ADDRESS_GONE, retryable=False, detail="410 Unregistered")


async def test_a_token_that_is_not_for_an_extension_is_still_good_for_the_app(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    apple.refusals[DEAD] = (400, "DeviceTokenNotForTopic")
    async with sender_for(apple, certificate) as sender:
        (result,) = await sender.send_batch([push(PushContent("Hello", push_type="complication"), to=DEAD)])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.REFUSED, False)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_5xx_that_is_not_in_apples_words_leaves_a_doubt(
    apple: FakeApple, certificate: tuple[Path, Path], status: int
) -> None:
    async def act(exchange: Any) -> None:
        exchange.send(Reply(status, b"<html>", "text/html"))

    apple.acts(act)
    async with sender_for(apple, certificate) as sender:
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Unknown), result


async def test_apple_is_left_alone_for_as_long_as_it_asks_but_not_for_one_device(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    clock = Clock(apple)

    async def too_many(exchange: Any) -> None:
        exchange.send(Reply(429, b'{"reason":"TooManyRequests"}', headers=(("retry-after", "60"),)))

    async def away(exchange: Any) -> None:
        exchange.send(Reply(503, b'{"reason":"ServiceUnavailable"}', headers=(("retry-after", "60"),)))

    async with sender_for(apple, certificate, clock.recording) as sender:
        apple.acts(too_many)
        await sender.send_batch([push()])
        apple.acts(away)
        await sender.send_batch([push()])
        assert len(apple.calls) == 2
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.THROTTLED, True)
        assert len(apple.calls) == 2
        clock.advance(seconds=60)
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Accepted)


async def test_health_sends_nothing_and_takes_a_bad_token_for_a_good_sign(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    async with sender_for(apple, certificate) as sender:
        assert (await sender.health()).ok
    assert apple.sent == []


async def test_health_of_a_key_for_the_sandbox_is_asked_there(certificate: tuple[Path, Path]) -> None:
    tls = tls_of(certificate)
    async with FakeApple().running(tls) as production, FakeApple().running(tls) as sandbox:
        production.refusals["0" * 64] = (403, "BadEnvironmentKeyIdInToken")
        async with sender_for(production, certificate, sandbox_url=sandbox.url) as sender:
            assert (await sender.health()).ok
    assert len(sandbox.calls) == 1


async def test_an_apple_that_is_not_there_certainly_has_nothing(certificate: tuple[Path, Path]) -> None:
    async with FakeApple().running(tls_of(certificate)) as peer:
        settings = settings_for(peer, certificate)
    sender = await ApnsPush().open(settings, RecordingContext().context)
    results = await asyncio.wait_for(sender.send_batch([push() for _ in range(100)]), 10)
    health = await sender.health()
    await sender.close()
    for result in results:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert not health.ok
