"""The channel webpush against a push service of our own over TLS, and the browsers behind it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush import WebPush
from heliograph_channel_webpush import services as services_module
from heliograph_channel_webpush.content import headers_of, text_of
from heliograph_channel_webpush.encryption import LARGEST_TEXT, encrypted
from heliograph_channel_webpush.settings import KNOWN_HOSTS, HostList, vapid_key
from heliograph_channel_webpush.subscriptions import Subscription, subscription_of
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
from heliograph_channels.jwt import base64url
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.http2_peer import tls_of
from tests.plugins.http_peers import Act, Reply, answering, dribbling, dropping, garbling, losing, silent
from tests.plugins.push_service import Browser, FakePushService, point
from tests.plugins.smtp_servers import make_certificate

KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE = base64url(KEY.private_numbers().private_value.to_bytes(32, "big"))
PUBLIC = base64url(point(KEY))
ID = "0123456789abcdef" * 2
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("push"))


@pytest_asyncio.fixture
async def service(certificate: tuple[Path, Path]) -> AsyncIterator[FakePushService]:
    async with FakePushService().running(tls_of(certificate, protocol="http/1.1")) as peer:
        yield peer


def settings_for(peer: FakePushService, trusted: tuple[Path, Path], **changes: object) -> dict[str, object]:
    return {
        "vapid_private_key": PRIVATE,
        "subject": "mailto:push@example.com",
        "hosts": [f"localhost:{peer.port}"],
        "allow_networks": ["127.0.0.0/8", "::1/128"],
        "ca_file": str(trusted[0]),
        **changes,
    }


@asynccontextmanager
async def sender_for(
    peer: FakePushService, trusted: tuple[Path, Path], recording: RecordingContext | None = None, **changes: object
) -> AsyncIterator[Sender]:
    settings = settings_for(peer, trusted, **changes)
    assert list(WebPush().check_settings(settings)) == []
    sender = await WebPush().open(settings, (recording or RecordingContext()).context)
    try:
        yield sender
    finally:
        await sender.close()


def push(browser: Browser | str, content: PushContent | None = None) -> OutgoingMessage:
    address = browser if isinstance(browser, str) else browser.address
    return a_message(Kind.PUSH, address, message_id=ID, content=content or PushContent("Hello", "you"))


def subscription(**changes: object) -> str:
    told = json.loads(Browser("https://fcm.googleapis.com/fcm/send/secret").address)
    for name, value in changes.items():
        (told["keys"] if name in ("p256dh", "auth") else told)[name] = value
    return json.dumps(told, separators=(",", ":"))


GOOD = Browser("https://localhost:1/push/contract")


class TestWebPushContract(ChannelContract):
    kind = Kind.PUSH
    good_address = GOOD.address
    bad_addresses = ("token", "{}", subscription(endpoint="http://fcm.googleapis.com/x"), subscription(auth="short"))

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return WebPush()

    @pytest.fixture
    def settings(self, service: FakePushService, certificate: tuple[Path, Path]) -> Mapping[str, object]:
        browser = service.browser("/push/contract")
        browser.key, browser.auth = GOOD.key, GOOD.auth
        type(self).good_address = browser.address  # the port is another each time, and a part of the address
        return settings_for(service, certificate)


# Settings


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, set()),
        ({"vapid_public_key": PUBLIC}, set()),
        ({"vapid_public_key": PUBLIC + "="}, set()),
        ({"vapid_public_key": base64url(point(ec.generate_private_key(ec.SECP256R1())))}, {"vapid_public_key"}),
        ({"vapid_public_key": "nonsense"}, {"vapid_public_key"}),
        ({"vapid_private_key": "nonsense"}, {"vapid_private_key"}),
        ({"vapid_private_key": base64url(bytes(32))}, {"vapid_private_key"}),
        ({"vapid_private_key": base64url(b"\xff" * 32)}, {"vapid_private_key"}),
        ({"vapid_private_key": base64url(b"\x01" * 31)}, {"vapid_private_key"}),
        ({"subject": "push@example.com"}, {"subject"}),
        ({"subject": "https://example.com/about"}, set()),
        ({"subject": "mailto:a@example.com\r\nX: y"}, {"subject"}),
        ({"hosts": []}, {"hosts"}),
        ({"hosts": ["push.example.com", "*.push.example.com", "push.example.com:8443", "localhost"]}, set()),
        ({"hosts": ["https://push.example.com", "*", "a..b", "push.example.com:0", "push.example.com:65536", "PUSH.example", 7]},
         {*(f"hosts[{n}]" for n in range(7))}),
        ({"allow_networks": ["10.0.0.0/8", "10.0.0.1/8"]}, {"allow_networks[1]"}),
        ({"time_to_live_seconds": 2419201}, {"time_to_live_seconds"}),
        ({"connections": 49}, {"connections"}),
    ],
)  # fmt: skip
def test_settings_are_checked_with_the_field_named(changes: dict[str, object], fields: set[str]) -> None:
    found = WebPush().check_settings({"vapid_private_key": PRIVATE, "subject": "mailto:push@example.com", **changes})
    assert {problem.field for problem in found} == fields
    assert PRIVATE not in repr(found)


def test_a_public_key_that_does_not_fit_is_answered_with_the_one_that_does() -> None:
    other = base64url(point(ec.generate_private_key(ec.SECP256R1())))
    settings = {"vapid_private_key": PRIVATE, "subject": "mailto:a@b.example", "vapid_public_key": other}
    (problem,) = WebPush().check_settings(settings)
    assert PUBLIC in problem.description


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("fcm.googleapis.com", 443, True),
        ("FCM.googleapis.com", 443, True),
        ("fcm.googleapis.com", 8443, False),
        ("updates.push.services.mozilla.com", 443, True),
        ("wns2-par02p.notify.windows.com", 443, True),
        ("notify.windows.com", 443, False),
        ("evilnotify.windows.com", 443, False),
        ("web.push.apple.com", 443, True),
        ("api.push.apple.com", 443, True),
        ("fcm.googleapis.com.evil.example", 443, False),
        ("googleapis.com", 443, False),
        ("fcm.googleapis.com.", 443, False),
        ("169.254.169.254", 443, False),
        ("localhost", 443, False),
    ],
)
def test_messages_go_to_known_push_services_alone(host: str, port: int, allowed: bool) -> None:
    assert HostList(KNOWN_HOSTS).allows(host, port) is allowed


# Addresses


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (subscription(), None),
        (subscription(expirationTime=1772366400000, more={"a": 1}), None),
        (subscription(auth=base64.urlsafe_b64encode(bytes(16)).decode()), None),
        ("x", "not the JSON"),
        ("[" * 4000, "not the JSON"),
        ("[]", "not the JSON"),
        (subscription(keys=None), "not the JSON"),
        (subscription(endpoint=7), "not the JSON"),
        (subscription(endpoint="http://fcm.googleapis.com/x"), "https://"),
        (subscription(endpoint="http://127.0.0.1/x"), "https://"),
        (subscription(endpoint="file:///etc/passwd"), "https://"),
        (subscription(endpoint="https://user:pass@fcm.googleapis.com/"), "password"),
        (subscription(endpoint="https://fcm.googleapis.com:22/"), "port"),
        (subscription(endpoint="https://0x7f000001/"), "usual form"),
        (subscription(endpoint="https://fcm.googleapis.com/#a"), "fragment"),
        (subscription(endpoint="https://b\u00fccher.example/"), "ASCII"),
        (subscription(endpoint="https://fcm.googleapis.com/" + "x" * 2048), "2,048"),
        (subscription(p256dh="short"), "p256dh"),
        (subscription(p256dh=7), "p256dh"),
        (subscription(p256dh=base64url(b"\x04" + bytes(64))), "curve"),
        (subscription(p256dh=base64url(b"\x02" + bytes(64))), "curve"),
        (subscription(auth=base64url(bytes(15))), "auth"),
        (subscription(auth=base64url(bytes(17))), "auth"),
        (subscription(auth="+" * 22), "auth"),
        (subscription().replace(",", ", "), "blank"),
    ],
)
def test_an_address_is_a_subscription_and_nothing_else(address: str, words: str | None) -> None:
    problem = WebPush().check_address(Kind.PUSH, address)
    assert (problem is None) if words is None else (problem is not None and words in problem), problem
    assert "secret" not in (problem or "")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example/push",
        "https://localhost/push",
        "https://127.0.0.1/push",
        "https://169.254.169.254/latest/meta-data",
        "https://fcm.googleapis.com.evil.example/x",
        "https://fcm.googleapis.com:8443/x",
    ],
)
async def test_a_subscription_elsewhere_is_refused_without_looking_it_up(
    service: FakePushService, certificate: tuple[Path, Path], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object, **__: object) -> list[object]:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
    async with sender_for(service, certificate, hosts=list(KNOWN_HOSTS)) as sender:
        (result,) = await sender.send_batch([push(subscription(endpoint=endpoint))])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.INVALID_ADDRESS, False)
    assert "hosts" in result.detail


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "100.64.0.1"])
async def test_a_known_host_with_a_private_address_is_refused(
    service: FakePushService, certificate: tuple[Path, Path], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def private(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", private)
    async with sender_for(service, certificate, hosts=["fcm.googleapis.com"], allow_networks=[]) as sender:
        (result,) = await sender.send_batch([push(subscription())])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.INVALID_ADDRESS, False)
    assert address not in result.detail


async def test_a_redirect_is_not_followed(service: FakePushService, certificate: tuple[Path, Path]) -> None:
    service.refusals["/push/v2/secret"] = Reply(307, headers=(("Location", f"{service.url}/inside"),))
    async with sender_for(service, certificate) as sender:
        (result,) = await sender.send_batch([push(service.browser())])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.REFUSED, False)
    assert [call.target for call in service.calls] == ["/push/v2/secret"]


# Encryption


def test_a_message_is_encrypted_as_in_the_example_of_rfc_8291() -> None:
    def bytes_of(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    sender = vapid_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    receiver = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    assert sender is not None
    body = encrypted(
        b"When I grow up, I want to be a watermelon",
        receiver=ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes_of(receiver)),
        auth=bytes_of("BTBZMqHH6r4Tts7J_aSIgg"),
        sender=sender,
        salt=bytes_of("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert base64url(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize(("size", "salt"), [(LARGEST_TEXT + 1, 16), (1, 15), (1, 17)])
def test_what_cannot_be_one_record_is_an_error(size: int, salt: int) -> None:
    with pytest.raises(ValueError, match="3993"):
        encrypted(b"x" * size, receiver=KEY.public_key(), auth=bytes(16), sender=KEY, salt=bytes(salt))


def test_the_largest_text_makes_the_largest_body() -> None:
    browser = Browser("https://a.example/")
    body = encrypted(
        b"x" * LARGEST_TEXT, receiver=browser.key.public_key(), auth=browser.auth, sender=KEY, salt=bytes(16)
    )
    assert (LARGEST_TEXT, len(body)) == (3993, 4096)
    assert browser.read(body) == b"x" * LARGEST_TEXT


# Content

HELLO = {"title": "Hello", "body": "you"}


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({}, {"notification": HELLO, "action": "OPEN_APP"}),
        ({"action": "URL", "url": "https://a.example/"}, {"notification": HELLO, "action": "URL", "url": "https://a.example/"}),
        ({"action": "DEEP_LINK", "url": "/cart"}, {"notification": HELLO, "action": "DEEP_LINK", "url": "/cart"}),
        ({"data": {"a": "b"}}, {"notification": HELLO, "action": "OPEN_APP", "data": {"a": "b"}}),
        ({"image_icon_url": "i", "small_image_icon_url": "s", "image_url": "p", "thread_id": "t", "badge": 0},
         {"notification": {**HELLO, "icon": "i", "badge": "s", "image": "p", "tag": "t", "app_badge": 0}, "action": "OPEN_APP"}),
        ({"icon": "i", "media_url": "m"}, {"notification": {**HELLO, "icon": "i", "image": "m"}, "action": "OPEN_APP"}),
        ({"correlation": {"campaign_id": "c", "treatment_id": "0"}},
         {"notification": HELLO, "action": "OPEN_APP", "pinpoint": {"campaign": {"campaign_id": "c", "treatment_id": "0"}}}),
        ({"correlation": {"journey_id": "j"}},
         {"notification": HELLO, "action": "OPEN_APP", "pinpoint": {"journey": {"journey_id": "j"}}}),
        ({"silent": True, "data": {"a": "b"}}, {"pinpoint": {"jsonBody": {"a": "b"}}}),
        ({"sound": "s", "category": "c", "push_type": "alert", "restricted_package_name": "x"},
         {"notification": HELLO, "action": "OPEN_APP"}),
    ],
)  # fmt: skip
def test_a_field_has_its_place(fields: dict[str, Any], payload: dict[str, Any]) -> None:
    text = text_of(PushContent(**{**HELLO, **fields}), "campaign")
    assert isinstance(text, bytes)
    assert json.loads(text) == payload


def test_a_direct_message_says_that_it_is_one() -> None:
    text = text_of(PushContent("Hello"), "transactional")
    assert isinstance(text, bytes)
    assert json.loads(text)["pinpoint"] == {"campaign": {"campaign_id": "_DIRECT"}}


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {"TTL": "100"}),
        ({"time_to_live_seconds": 0}, {"TTL": "0"}),
        ({"time_to_live_seconds": 2419200}, {"TTL": "2419200"}),
        ({"time_to_live_seconds": 2419201}, {"TTL": "2419200"}),
        ({"priority": "high"}, {"TTL": "100", "Urgency": "high"}),
        ({"priority": "normal"}, {"TTL": "100", "Urgency": "normal"}),
        ({"collapse_id": "x" * 32}, {"TTL": "100", "Topic": "x" * 32}),
        ({"collapse_id": "news_1-a"}, {"TTL": "100", "Topic": "news_1-a"}),
    ],
)
def test_a_field_has_its_header(fields: dict[str, Any], headers: dict[str, str]) -> None:
    assert headers_of(PushContent("Hello", **fields), 100) == headers


def test_a_collapse_id_that_is_no_topic_stands_there_as_its_hash() -> None:
    topics = set()
    for id in ("x" * 33, "a\r\nb", "two words", "\u20ac", "\ud83d"):
        headers = headers_of(PushContent("Hello", collapse_id=id), 100)
        assert isinstance(headers, dict)
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", headers["Topic"])
        assert headers_of(PushContent("Other", collapse_id=id), 100) == headers
        topics.add(headers["Topic"])
    assert len(topics) == 5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": "", "body": ""}, "nothing to show"),
        ({"time_to_live_seconds": -1}, "below 0"),
        ({"body": "\ud83d"}, "lone surrogate"),
        ({"raw": "\ud83d"}, "lone surrogate"),
        ({"raw": "x" * 3994}, "3,994 bytes; at most 3,993"),
        ({"body": "x" * 4000}, "at most 3,993"),
    ],
)
async def test_what_cannot_be_carried_is_not_sent(
    service: FakePushService, certificate: tuple[Path, Path], fields: dict[str, Any], words: str
) -> None:
    async with sender_for(service, certificate) as sender:
        (result,) = await sender.send_batch([push(service.browser(), PushContent(**{**HELLO, **fields}))])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.INVALID_CONTENT, False)
    assert words in result.detail
    assert service.calls == []


@pytest.mark.parametrize("raw", ["x" * 3993, "any text, not only JSON \u20ac"])
async def test_raw_content_arrives_as_it_is(service: FakePushService, certificate: tuple[Path, Path], raw: str) -> None:
    async with sender_for(service, certificate) as sender:
        (result,) = await sender.send_batch([push(service.browser(), PushContent(raw=raw, data={"a": "b"}))])
    assert isinstance(result, Accepted), result
    assert service.delivered[0][1] == raw.encode()


# Sending


async def test_each_browser_reads_its_own_message(service: FakePushService, certificate: tuple[Path, Path]) -> None:
    browsers = [service.browser(f"/push/{n}?auth=x%2F{n}") for n in range(50)]
    messages = [push(browser, PushContent(raw=browser.endpoint)) for browser in browsers]
    async with sender_for(service, certificate, time_to_live_seconds=60) as sender:
        results = await sender.send_batch(messages)
    assert [type(result) for result in results] == [Accepted] * 50
    assert all(text.decode() == browser.endpoint for browser, text in service.delivered)
    assert {call.headers["ttl"] for call in service.calls} == {"60"}
    assert results[0] == Accepted(f"{[call.target for call in service.calls].index('/push/0?auth=x%2F0') + 1:04d}")


async def test_one_token_serves_a_push_service_for_11_hours(
    service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    recording = RecordingContext()
    clock = [datetime.now(UTC)]
    recording.context = replace(recording.context, now=lambda: clock[0])
    async with sender_for(service, certificate, recording) as sender:
        browser = service.browser()
        for hours in (0, 10.9, 0.2):
            clock[0] += timedelta(hours=hours)
            (result,) = await sender.send_batch([push(browser)])
            assert isinstance(result, Accepted), result
    tokens = [call.headers["authorization"] for call in service.calls]
    assert tokens[0] == tokens[1] != tokens[2]
    claims = jwt.decode(tokens[0].partition("t=")[2].partition(",")[0], options={"verify_signature": False})
    assert claims["aud"] == service.url
    assert claims["sub"] == "mailto:push@example.com"
    assert claims["exp"] - clock[0].timestamp() < 86400


@pytest.mark.parametrize(
    ("reply", "reason", "retryable"),
    [
        (Reply.of(410, {"message": "No such subscription"}), RejectReason.ADDRESS_GONE, False),
        (Reply.of(404, {}), RejectReason.ADDRESS_GONE, False),
        (
            Reply(410, b"push subscription has unsubscribed or expired.\n", "text/plain"),
            RejectReason.ADDRESS_GONE,
            False,
        ),
        (Reply.of(400, {"reason": "BadWebPushTopic"}), RejectReason.REFUSED, False),
        (Reply.of(401, {"message": "VAPID authentication error"}), RejectReason.CREDENTIALS, False),
        (Reply(403, b"the VAPID credentials do not correspond", "text/plain"), RejectReason.CREDENTIALS, False),
        (Reply.of(413, {}), RejectReason.INVALID_CONTENT, False),
        (Reply.of(429, {}), RejectReason.THROTTLED, True),
        (Reply.of(500, {"message": "Internal error"}), RejectReason.UNAVAILABLE, True),
        (Reply(503, b"<html>", "text/html"), RejectReason.UNAVAILABLE, True),
    ],
)
async def test_a_refusal_has_the_reason_of_its_status(
    service: FakePushService, certificate: tuple[Path, Path], reply: Reply, reason: RejectReason, retryable: bool
) -> None:
    service.refusals["/push/gone"] = reply
    async with sender_for(service, certificate) as sender:
        result, neighbour = await sender.send_batch([push(service.browser("/push/gone")), push(service.browser())])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)
    assert isinstance(neighbour, Accepted), neighbour


async def test_a_subscription_with_another_key_of_ours_is_a_matter_of_credentials(
    service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    service.server_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    async with sender_for(service, certificate) as sender:
        (result,) = await sender.send_batch([push(service.browser())])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, False)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_5xx_without_words_leaves_a_doubt(
    service: FakePushService, certificate: tuple[Path, Path], status: int
) -> None:
    service.acts(answering(status, b"<html>", content_type="text/html"))
    async with sender_for(service, certificate) as sender:
        (result,) = await sender.send_batch([push(service.browser())])
    assert isinstance(result, Unknown), result


@pytest.mark.parametrize("act", [losing, dropping, garbling], ids=["taken and lost", "not taken", "no http"])
async def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(
    service: FakePushService, certificate: tuple[Path, Path], act: Act
) -> None:
    service.acts(act)
    async with sender_for(service, certificate) as sender:
        browser = service.browser()
        (result,) = await sender.send_batch([push(browser)])
        assert isinstance(result, Unknown), result
        (again,) = await sender.send_batch([push(browser)])
        assert isinstance(again, Accepted), again


async def test_a_call_that_is_not_answered_in_time_leaves_a_doubt(
    service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    service.acts(silent)
    async with sender_for(service, certificate, timeout=1) as sender:
        (result,) = await sender.send_batch([push(service.browser())])
    assert isinstance(result, Unknown), result


@pytest.mark.parametrize(
    "act",
    [answering(201), answering(201, b"", ("Location", "/")), answering(202), dribbling(201)],
    ids=["no location", "an empty one", "202", "never ends"],
)
async def test_a_message_the_service_says_it_has_is_accepted(
    service: FakePushService, certificate: tuple[Path, Path], act: Act
) -> None:
    service.acts(act)
    async with sender_for(service, certificate, timeout=2) as sender:
        assert await sender.send_batch([push(service.browser())]) == [Accepted(ID)]


async def test_a_service_that_is_not_there_certainly_has_nothing(certificate: tuple[Path, Path]) -> None:
    async with FakePushService().running(tls_of(certificate, protocol="http/1.1")) as peer:
        settings, browser = settings_for(peer, certificate), peer.browser()
    sender = await WebPush().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([push(browser)])
    await sender.close()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)


async def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(
    service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    settings = settings_for(service, certificate)
    del settings["ca_file"]
    sender = await WebPush().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([push(service.browser())])
    await sender.close()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert service.calls == []


async def test_a_service_that_asks_for_time_gets_it_and_the_others_do_not_wait(certificate: tuple[Path, Path]) -> None:
    tls = tls_of(certificate, protocol="http/1.1")
    recording = RecordingContext()
    clock = [datetime.now(UTC)]
    recording.context = replace(recording.context, now=lambda: clock[0])
    async with FakePushService().running(tls) as busy, FakePushService().running(tls) as idle:
        hosts = [f"localhost:{busy.port}", f"localhost:{idle.port}"]
        busy.acts(answering(429, b"{}", ("Retry-After", "60")))
        async with sender_for(busy, certificate, recording, hosts=hosts) as sender:
            await sender.send_batch([push(busy.browser())])
            waits, goes = await sender.send_batch([push(busy.browser()), push(idle.browser())])
            clock[0] += timedelta(seconds=60)
            (later,) = await sender.send_batch([push(busy.browser())])
        assert isinstance(waits, Rejected)
        assert (waits.reason, waits.retryable) == (RejectReason.THROTTLED, True)
        assert isinstance(goes, Accepted), goes
        assert isinstance(later, Accepted), later
        assert len(busy.calls) == 2


async def test_two_names_with_one_address_share_no_connection(
    service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    """A connection belongs to the name its certificate was checked for."""
    hosts = [f"localhost:{service.port}", f"127.0.0.1:{service.port}"]
    by_name = service.browser()
    by_address = by_name.address.replace("localhost", "127.0.0.1")

    def either(call: Any) -> Reply:
        return Reply(201)

    service.answer = either  # type: ignore[method-assign]
    async with sender_for(service, certificate, hosts=hosts) as sender:
        results = [*await sender.send_batch([push(by_name)]), *await sender.send_batch([push(by_address)])]
    assert [type(result) for result in results] == [Accepted, Accepted]
    assert service.connections == 2


async def test_services_beyond_the_limit_give_way(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_module, "_MOST_SERVICES", 1)
    tls = tls_of(certificate, protocol="http/1.1")
    async with FakePushService().running(tls) as one, FakePushService().running(tls) as other:
        hosts = [f"localhost:{one.port}", f"localhost:{other.port}"]
        async with sender_for(one, certificate, hosts=hosts) as sender:
            browsers = {peer.port: peer.browser() for peer in (one, other)}
            for peers in ([one, one], [other, other], [one, one], [one, other], [other, one]):
                results = await sender.send_batch([push(browsers[peer.port]) for peer in peers])
                assert [type(result) for result in results] == [Accepted, Accepted]
        assert one.connections >= 3


async def test_neither_keys_nor_endpoints_show_in_logs_and_results(
    service: FakePushService, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    service.refusals["/push/very-secret-path"] = Reply.of(410, {})
    browser = service.browser("/push/very-secret-path")
    read = subscription_of(browser.address)
    assert isinstance(read, Subscription)
    with caplog.at_level(logging.DEBUG, logger="heliograph"):
        async with sender_for(service, certificate) as sender:
            results = await sender.send_batch([push(browser)])
            shown = [repr(sender), repr(vars(sender)), repr(results), repr(await sender.health()), repr(read)]
    shown += [record.getMessage() for record in caplog.records if record.name.startswith("heliograph")]
    for secret in (PRIVATE, "very-secret-path", base64url(browser.auth), "eyJ"):
        assert not [text for text in shown if secret in text]
