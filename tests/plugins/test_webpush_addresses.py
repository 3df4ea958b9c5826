"""Settings and addresses of the channel webpush: where messages may go, and where never."""

from __future__ import annotations

import asyncio
import base64
import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush import WebPush
from heliograph_channel_webpush.settings import KNOWN_HOSTS, HostList
from heliograph_channels import Kind, Rejected, RejectReason
from heliograph_channels.jwt import base64url
from tests.plugins.http_peers import Reply
from tests.plugins.push_service import FakePushService, point
from tests.plugins.webpush_sender import PRIVATE, PUBLIC, push, sender_for, subscription

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
    push_service: FakePushService, certificate: tuple[Path, Path], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object, **__: object) -> list[object]:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
    async with sender_for(push_service, certificate, hosts=list(KNOWN_HOSTS)) as sender:
        (result,) = await sender.send_batch([push(subscription(endpoint=endpoint))])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.INVALID_ADDRESS, False)
    assert "hosts" in result.detail


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "100.64.0.1"])
async def test_a_known_host_with_a_private_address_is_refused(
    push_service: FakePushService, certificate: tuple[Path, Path], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def private(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", private)
    async with sender_for(push_service, certificate, hosts=["fcm.googleapis.com"], allow_networks=[]) as sender:
        (result,) = await sender.send_batch([push(subscription())])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.INVALID_ADDRESS, False)
    assert address not in result.detail


async def test_a_redirect_is_not_followed(push_service: FakePushService, certificate: tuple[Path, Path]) -> None:
    push_service.refusals["/push/v2/secret"] = Reply(307, headers=(("Location", f"{push_service.url}/inside"),))
    async with sender_for(push_service, certificate) as sender:
        (result,) = await sender.send_batch([push(push_service.browser())])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.REFUSED, False)
    assert [call.target for call in push_service.calls] == ["/push/v2/secret"]
