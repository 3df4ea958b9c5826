"""The channel push-fcm against a Google of our own: tokens, answers, broken connections."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from heliograph_channel_fcm import FcmPush
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
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.fcm_peer import PEM, PROJECT, FakeGoogle, account, error, violation
from tests.plugins.http_peers import Act, Reply, answering, dribbling, dropping, garbling, losing, silent
from tests.plugins.smtp_servers import make_certificate

TOKEN = "dQw4w9WgXcQ:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
GONE = "gone-gone-gone-gone-gone:APA91b"
ID = "0123456789abcdef" * 2
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def settings_for(peer: FakeGoogle, **changes: object) -> dict[str, object]:
    return {"service_account": account(), "base_url": peer.base_url, "token_url": peer.token_url, **changes}


@asynccontextmanager
async def sender_for(
    peer: FakeGoogle, recording: RecordingContext | None = None, **changes: object
) -> AsyncIterator[Sender]:
    settings = settings_for(peer, **changes)
    assert list(FcmPush().check_settings(settings)) == []
    sender = await FcmPush().open(settings, (recording or RecordingContext()).context)
    try:
        yield sender
    finally:
        await sender.close()


@pytest_asyncio.fixture
async def google() -> AsyncIterator[FakeGoogle]:
    async with FakeGoogle().running() as peer:
        yield peer


def push(content: PushContent | None = None, to: str = TOKEN) -> OutgoingMessage:
    return a_message(Kind.PUSH, to, message_id=ID, content=content or PushContent("Hello", "you"))


class Clock:
    """The time of a channel and of its Google."""

    def __init__(self, peer: FakeGoogle) -> None:
        self._peer = peer
        self.recording = RecordingContext()
        self.recording.context = replace(self.recording.context, now=lambda: self.now)
        self.now = NOW
        peer.now = NOW

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)
        self._peer.now = self.now


class TestFcmContract(ChannelContract):
    kind = Kind.PUSH
    good_address = TOKEN
    bad_addresses = ("two words", "t\u00f6ken-with-an-umlaut", "x" * 4097, '{"endpoint": 1}')

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return FcmPush()

    @pytest.fixture
    def settings(self, google: FakeGoogle) -> Mapping[str, object]:
        return settings_for(google)


# Settings


def weak_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, set()),
        ({"service_account": account(token_uri=None)}, set()),
        ({"service_account": "no json"}, {"service_account"}),
        ({"service_account": "[" * 10_000}, {"service_account"}),
        ({"service_account": "[1]"}, {"service_account"}),
        ({"service_account": account(type="authorized_user")}, {"service_account"}),
        ({"service_account": account(project_id=None)}, {"service_account"}),
        ({"service_account": account(project_id="a/b")}, {"service_account"}),
        ({"service_account": account(client_email=7)}, {"service_account"}),
        ({"service_account": account(private_key=PEM[:200])}, {"service_account"}),
        ({"service_account": account(private_key=weak_key())}, {"service_account"}),
        ({"service_account": account(token_uri="http://169.254.169.254/token")}, {"service_account"}),
        ({"base_url": "http://fcm.example.com"}, {"base_url"}),
        ({"token_url": "http://oauth.example.com"}, {"token_url"}),
        ({"shown_by": "nobody"}, {"shown_by"}),
        ({"timeout": 25.5}, {"timeout"}),
        ({"connections": 49}, {"connections"}),
        ({"connections": 1000}, set()),
    ],
)
def test_settings_are_checked_with_the_field_named(changes: dict[str, object], fields: set[str]) -> None:
    found = FcmPush().check_settings({"service_account": account(), **changes})
    assert {problem.field for problem in found} == fields
    assert "PRIVATE KEY" not in repr(found)


def test_everything_the_service_account_lacks_is_named_at_once() -> None:
    (problem,) = FcmPush().check_settings({"service_account": account(project_id=None, private_key=None)})
    assert "project_id, private_key" in problem.description


def test_as_many_batches_are_promised_as_there_are_connections_for() -> None:
    able = FcmPush().capabilities_for({"service_account": account(), "connections": 200})
    assert able.batch_size * able.concurrency == 200


# The access token


async def test_one_token_serves_many_messages(google: FakeGoogle) -> None:
    async with sender_for(google) as sender:
        batches = await asyncio.gather(*(sender.send_batch([push() for _ in range(50)]) for _ in range(2)))
    assert all(isinstance(result, Accepted) for results in batches for result in results)
    assert len(google.grants) == 1


async def test_a_token_is_renewed_before_its_end_by_one_task_while_the_old_one_serves(google: FakeGoogle) -> None:
    clock = Clock(google)
    async with sender_for(google, clock.recording) as sender:
        await sender.send_batch([push()])
        clock.advance(seconds=3599 - 301)
        await sender.send_batch([push()])
        assert len(google.grants) == 1
        clock.advance(seconds=1)
        google.granting.clear()
        results = await sender.send_batch([push() for _ in range(20)])
        assert [type(result) for result in results] == [Accepted] * 20
        while [call.target for call in google.calls].count("/token") < 2:
            await asyncio.sleep(0)
        google.granting.set()
        while len(google.grants) < 2:
            await asyncio.sleep(0)
        google.valid.discard("ya29.unmistakable-access-token-1")
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Accepted), result
    assert len(google.grants) == 2


async def test_a_token_past_its_end_is_not_used(google: FakeGoogle) -> None:
    clock = Clock(google)
    async with sender_for(google, clock.recording) as sender:
        await sender.send_batch([push()])
        clock.advance(hours=2)
        google.valid.clear()
        results = await sender.send_batch([push(), push()])
    assert [type(result) for result in results] == [Accepted, Accepted]
    assert len(google.grants) == 2
    assert len(google.sends) == 3


async def test_a_token_that_is_refused_is_replaced_once_for_all(google: FakeGoogle) -> None:
    async with sender_for(google) as sender:
        await sender.send_batch([push()])
        google.valid.clear()
        results = await sender.send_batch([push() for _ in range(10)])
    assert [type(result) for result in results] == [Accepted] * 10
    assert len(google.grants) == 2


async def test_a_token_that_is_refused_again_is_a_matter_of_credentials(google: FakeGoogle) -> None:
    google.grant = Reply.of(200, {"access_token": "not-a-good-one", "expires_in": 3599})
    async with sender_for(google) as sender:
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, False)
    assert len(google.sends) == 2


@pytest.mark.parametrize(
    ("grant", "reason", "retryable"),
    [
        (Reply.of(400, {"error": "invalid_grant", "error_description": "gone"}), RejectReason.CREDENTIALS, False),
        (Reply.of(401, {"error": "invalid_client"}), RejectReason.CREDENTIALS, False),
        (Reply.of(429, {}), RejectReason.THROTTLED, True),
        (Reply.of(500, {}), RejectReason.UNAVAILABLE, True),
        (Reply.of(503, {}), RejectReason.UNAVAILABLE, True),
        (Reply.of(200, {}), RejectReason.UNAVAILABLE, True),
        (Reply.of(200, {"access_token": "two words"}), RejectReason.UNAVAILABLE, True),
        (Reply(200, b"<html>", "text/html"), RejectReason.UNAVAILABLE, True),
    ],
)
async def test_without_a_token_no_message_is_sent(
    google: FakeGoogle, grant: Reply, reason: RejectReason, retryable: bool
) -> None:
    google.grant = grant
    async with sender_for(google) as sender:
        results = await sender.send_batch([push(), push()])
        health = await sender.health()
    for result in results:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (reason, retryable)
        assert "no access token" in result.detail
    assert not health.ok
    assert google.sends == []


@pytest.mark.parametrize("act", [losing, dropping, garbling])
async def test_a_token_that_does_not_arrive_leaves_no_doubt_about_the_message(google: FakeGoogle, act: Act) -> None:
    google.acts(act)
    async with sender_for(google) as sender:
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        (again,) = await sender.send_batch([push()])
        assert isinstance(again, Accepted)


async def test_a_token_that_never_comes_holds_a_message_no_longer_than_a_call_may_take(google: FakeGoogle) -> None:
    google.granting.clear()
    async with sender_for(google, timeout=1) as sender:
        results = await asyncio.wait_for(sender.send_batch([push(), push()]), 10)
    for result in results:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert google.sends == []


async def test_a_failed_renewal_is_not_tried_with_every_message_while_the_token_is_good(google: FakeGoogle) -> None:
    clock = Clock(google)
    async with sender_for(google, clock.recording) as sender:
        await sender.send_batch([push()])
        clock.advance(seconds=3400)
        google.grant = Reply.of(503, {})
        for _ in range(5):
            (result,) = await sender.send_batch([push()])
            assert isinstance(result, Accepted)
            await asyncio.sleep(0)
            while len(google.grants) < 2:
                await asyncio.sleep(0)
        assert len(google.grants) == 2
        clock.advance(seconds=11)
        google.grant = None
        await sender.send_batch([push()])
        while len(google.grants) < 3:
            await asyncio.sleep(0)


async def test_a_cancelled_send_leaves_the_renewal_to_the_others(google: FakeGoogle) -> None:
    google.granting.clear()
    async with sender_for(google) as sender:
        first = asyncio.create_task(sender.send_batch([push()]))
        second = asyncio.create_task(sender.send_batch([push()]))
        while not google.calls:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        google.granting.set()
        (result,) = await second
    assert isinstance(result, Accepted)
    assert len(google.grants) == 1


async def test_neither_key_nor_tokens_show_in_logs_and_results(
    google: FakeGoogle, caplog: pytest.LogCaptureFixture
) -> None:
    google.refusals[GONE] = error(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")
    with caplog.at_level(logging.DEBUG):
        async with sender_for(google) as sender:
            results = await sender.send_batch([push(), push(to=GONE)])
            google.valid.clear()
            google.grant = Reply.of(400, {"error": "invalid_grant"})
            results = [*results, *await sender.send_batch([push()])]
            shown = [repr(sender), repr(vars(sender)), repr(results), repr(await sender.health())]
    shown.append(caplog.text)
    assert "no access token from Google" in caplog.text
    for secret in ("unmistakable-access-token", PEM[100:140], "eyJ"):
        assert not [text for text in shown if secret in text]


# What answers mean


@pytest.mark.parametrize(
    ("refusal", "reason", "retryable"),
    [
        (error(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED"), RejectReason.ADDRESS_GONE, False),
        (error(404, "NOT_FOUND", "Requested entity was not found."), RejectReason.ADDRESS_GONE, False),
        (error(403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH"), RejectReason.ADDRESS_GONE, False),
        (violation("message.token", "Invalid registration token"), RejectReason.INVALID_ADDRESS, False),
        (error(400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"),
         RejectReason.INVALID_ADDRESS, False),
        (violation("message.android.ttl", "Illegal duration"), RejectReason.INVALID_CONTENT, False),
        (error(400, "INVALID_ARGUMENT", "Android message is too big", "INVALID_ARGUMENT"),
         RejectReason.INVALID_CONTENT, False),
        (error(403, "PERMISSION_DENIED", "no cloudmessaging.messages.create"), RejectReason.CREDENTIALS, False),
        (error(401, "UNAUTHENTICATED", "Auth error from APNS or Web Push", "THIRD_PARTY_AUTH_ERROR"),
         RejectReason.CREDENTIALS, False),
        (error(429, "RESOURCE_EXHAUSTED", "Quota exceeded", "QUOTA_EXCEEDED"), RejectReason.THROTTLED, True),
        (error(429, "RESOURCE_EXHAUSTED", "Quota exceeded"), RejectReason.THROTTLED, True),
        (error(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE"),
         RejectReason.UNAVAILABLE, True),
        (error(500, "INTERNAL", "Internal error encountered.", "INTERNAL"), RejectReason.UNAVAILABLE, True),
        (error(400, "SOMETHING_NEW", "news"), RejectReason.REFUSED, False),
        (error(500, "SOMETHING_NEW", "news"), RejectReason.UNAVAILABLE, True),
        (Reply(404, b"<html>", "text/html"), RejectReason.REFUSED, False),
        (Reply(403, b"", "text/html"), RejectReason.CREDENTIALS, False),
        (Reply(429, b"", "text/html"), RejectReason.THROTTLED, True),
        (Reply.of(400, {"error": {"status": "INVALID_ARGUMENT", "details": [7, {"fieldViolations": [7, {"field": 7}]}]}}),
         RejectReason.INVALID_CONTENT, False),
        (Reply.of(400, {"error": "words"}), RejectReason.REFUSED, False),
    ],
)  # fmt: skip
async def test_an_error_has_the_reason_of_its_code(
    google: FakeGoogle, refusal: Reply, reason: RejectReason, retryable: bool
) -> None:
    google.refusals[GONE] = refusal
    async with sender_for(google) as sender:
        result, neighbour = await sender.send_batch([push(to=GONE), push()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)
    assert isinstance(neighbour, Accepted), neighbour


async def test_an_accepted_message_has_the_end_of_fcms_name(google: FakeGoogle) -> None:
    async with sender_for(google) as sender:
        assert await sender.send_batch([push()]) == [Accepted("0:1500415314455276%00000001")]


@pytest.mark.parametrize(
    "act",
    [answering(200, b"{"), answering(200, b'{"name": 7}'), answering(200, b'{"name": "elsewhere"}'), dribbling(200)],
    ids=["broken json", "no text", "no name", "never ends"],
)
async def test_a_message_fcm_says_it_has_is_accepted_even_if_the_rest_is_lost(google: FakeGoogle, act: Act) -> None:
    async with sender_for(google, timeout=2) as sender:
        await sender.send_batch([push()])
        google.acts(act)
        assert await sender.send_batch([push()]) == [Accepted(ID)]


@pytest.mark.parametrize("status", [200, 500, 502, 504])
async def test_an_answer_that_is_not_in_googles_words_leaves_a_doubt(google: FakeGoogle, status: int) -> None:
    async with sender_for(google) as sender:
        await sender.send_batch([push()])
        google.acts(answering(status, b"<html>", content_type="text/html"))
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Unknown), result


@pytest.mark.parametrize("act", [losing, dropping, garbling], ids=["taken and lost", "not taken", "no http"])
async def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(google: FakeGoogle, act: Act) -> None:
    async with sender_for(google) as sender:
        await sender.send_batch([push()])
        google.acts(act)
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Unknown), result
        (again,) = await sender.send_batch([push()])
        assert isinstance(again, Accepted)


async def test_a_call_that_is_not_answered_in_time_leaves_a_doubt(google: FakeGoogle) -> None:
    async with sender_for(google, timeout=1) as sender:
        await sender.send_batch([push()])
        google.acts(silent)
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Unknown), result
    assert len(google.sent) == 2


async def test_a_google_that_is_not_there_certainly_has_nothing() -> None:
    async with FakeGoogle().running() as peer:
        settings = settings_for(peer)
    sender = await FcmPush().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([push()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert not (await sender.health()).ok
    await sender.close()


async def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)

    class OverTls(FakeGoogle):
        @property
        def base_url(self) -> str:
            return f"https://localhost:{self.port}"

    async with OverTls().running(tls) as peer:
        async with sender_for(peer) as sender:
            (result,) = await sender.send_batch([push()])
            assert isinstance(result, Rejected)
            assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        async with sender_for(peer, ca_file=str(cert)) as sender:
            (result,) = await sender.send_batch([push()])
            assert isinstance(result, Accepted)


async def test_fcm_is_left_alone_for_as_long_as_it_asks(google: FakeGoogle) -> None:
    clock = Clock(google)
    async with sender_for(google, clock.recording) as sender:
        await sender.send_batch([push()])
        google.acts(answering(429, b"{}", ("Retry-After", "60")))
        results = [*await sender.send_batch([push()]), *await sender.send_batch([push(), push()])]
        assert [(result.reason, result.retryable) for result in results if isinstance(result, Rejected)] == [
            (RejectReason.THROTTLED, True)
        ] * 3
        assert len(google.sends) == 2
        clock.advance(seconds=60)
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Accepted)


async def test_health_has_a_message_checked_and_sends_none(google: FakeGoogle) -> None:
    async with sender_for(google) as sender:
        assert (await sender.health()).ok
        assert google.sent == []
        google.acts(
            answering(403, json.dumps({"error": {"status": "PERMISSION_DENIED", "message": "no right"}}).encode())
        )
        health = await sender.health()
    assert not health.ok
    assert "PERMISSION_DENIED: no right" in health.detail
    assert PROJECT in google.sends[0].target


async def test_all_messages_of_a_batch_are_under_way_at_once(google: FakeGoogle) -> None:
    async with sender_for(google) as sender:
        await sender.send_batch([push()])
        together = asyncio.Barrier(50)

        async def wait() -> None:
            await together.wait()

        google.first = wait  # type: ignore[method-assign]
        results = await asyncio.wait_for(sender.send_batch([push() for _ in range(50)]), 20)
    assert all(isinstance(result, Accepted) for result in results)
    assert google.most_at_once == 50
