"""The channel webpush against a push service of our own over TLS, and the browsers behind it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush import WebPush
from heliograph_channel_webpush import services as services_module
from heliograph_channel_webpush.subscriptions import Subscription, subscription_of
from heliograph_channels import Accepted, ChannelProvider, Kind, PushContent, Rejected, RejectReason, Unknown
from heliograph_channels.jwt import base64url
from heliograph_channels.testing import ChannelContract, RecordingContext
from tests.plugins.http2_peer import tls_of
from tests.plugins.http_peers import Act, Reply, answering, dribbling, dropping, garbling, losing, silent
from tests.plugins.push_service import Browser, FakePushService
from tests.plugins.webpush_sender import ID, PRIVATE, push, sender_for, settings_for, subscription

GOOD = Browser("https://localhost:1/push/contract")


class TestWebPushContract(ChannelContract):
    kind = Kind.PUSH
    good_address = GOOD.address
    bad_addresses = ("token", "{}", subscription(endpoint="http://fcm.googleapis.com/x"), subscription(auth="short"))

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return WebPush()

    @pytest.fixture
    def settings(self, push_service: FakePushService, certificate: tuple[Path, Path]) -> Mapping[str, object]:
        browser = push_service.browser("/push/contract")
        browser.key, browser.auth = GOOD.key, GOOD.auth
        type(self).good_address = browser.address  # the port is another each time, and a part of the address
        return settings_for(push_service, certificate)


# Sending


async def test_each_browser_reads_its_own_message(
    push_service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    browsers = [push_service.browser(f"/push/{n}?auth=x%2F{n}") for n in range(50)]
    messages = [push(browser, PushContent(raw=browser.endpoint)) for browser in browsers]
    async with sender_for(push_service, certificate, time_to_live_seconds=60) as sender:
        results = await sender.send_batch(messages)
    assert [type(result) for result in results] == [Accepted] * 50
    assert all(text.decode() == browser.endpoint for browser, text in push_service.delivered)
    assert {call.headers["ttl"] for call in push_service.calls} == {"60"}
    assert results[0] == Accepted(f"{[call.target for call in push_service.calls].index('/push/0?auth=x%2F0') + 1:04d}")


async def test_one_token_serves_a_push_service_for_11_hours(
    push_service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    recording = RecordingContext()
    clock = [datetime.now(UTC)]
    recording.context = replace(recording.context, now=lambda: clock[0])
    async with sender_for(push_service, certificate, recording) as sender:
        browser = push_service.browser()
        for hours in (0, 10.9, 0.2):
            clock[0] += timedelta(hours=hours)
            (result,) = await sender.send_batch([push(browser)])
            assert isinstance(result, Accepted), result
    tokens = [call.headers["authorization"] for call in push_service.calls]
    assert tokens[0] == tokens[1] != tokens[2]
    claims = jwt.decode(tokens[0].partition("t=")[2].partition(",")[0], options={"verify_signature": False})
    assert claims["aud"] == push_service.url
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
    push_service: FakePushService, certificate: tuple[Path, Path], reply: Reply, reason: RejectReason, retryable: bool
) -> None:
    push_service.refusals["/push/gone"] = reply
    async with sender_for(push_service, certificate) as sender:
        result, neighbour = await sender.send_batch(
            [push(push_service.browser("/push/gone")), push(push_service.browser())]
        )
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)
    assert isinstance(neighbour, Accepted), neighbour


async def test_a_subscription_with_another_key_of_ours_is_a_matter_of_credentials(
    push_service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    push_service.server_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    async with sender_for(push_service, certificate) as sender:
        (result,) = await sender.send_batch([push(push_service.browser())])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, False)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_5xx_without_words_leaves_a_doubt(
    push_service: FakePushService, certificate: tuple[Path, Path], status: int
) -> None:
    push_service.acts(answering(status, b"<html>", content_type="text/html"))
    async with sender_for(push_service, certificate) as sender:
        (result,) = await sender.send_batch([push(push_service.browser())])
    assert isinstance(result, Unknown), result


@pytest.mark.parametrize("act", [losing, dropping, garbling], ids=["taken and lost", "not taken", "no http"])
async def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(
    push_service: FakePushService, certificate: tuple[Path, Path], act: Act
) -> None:
    push_service.acts(act)
    async with sender_for(push_service, certificate) as sender:
        browser = push_service.browser()
        (result,) = await sender.send_batch([push(browser)])
        assert isinstance(result, Unknown), result
        (again,) = await sender.send_batch([push(browser)])
        assert isinstance(again, Accepted), again


async def test_a_call_that_is_not_answered_in_time_leaves_a_doubt(
    push_service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    push_service.acts(silent)
    async with sender_for(push_service, certificate, timeout=1) as sender:
        (result,) = await sender.send_batch([push(push_service.browser())])
    assert isinstance(result, Unknown), result


@pytest.mark.parametrize(
    "act",
    [answering(201), answering(201, b"", ("Location", "/")), answering(202), dribbling(201)],
    ids=["no location", "an empty one", "202", "never ends"],
)
async def test_a_message_the_service_says_it_has_is_accepted(
    push_service: FakePushService, certificate: tuple[Path, Path], act: Act
) -> None:
    push_service.acts(act)
    async with sender_for(push_service, certificate, timeout=2) as sender:
        assert await sender.send_batch([push(push_service.browser())]) == [Accepted(ID)]


async def test_a_service_that_is_not_there_certainly_has_nothing(certificate: tuple[Path, Path]) -> None:
    async with FakePushService().running(tls_of(certificate, protocol="http/1.1")) as peer:
        settings, browser = settings_for(peer, certificate), peer.browser()
    sender = await WebPush().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([push(browser)])
    await sender.close()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)


async def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(
    push_service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    settings = settings_for(push_service, certificate)
    del settings["ca_file"]
    sender = await WebPush().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([push(push_service.browser())])
    await sender.close()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert push_service.calls == []


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
    push_service: FakePushService, certificate: tuple[Path, Path]
) -> None:
    """A connection belongs to the name its certificate was checked for."""
    hosts = [f"localhost:{push_service.port}", f"127.0.0.1:{push_service.port}"]
    by_name = push_service.browser()
    by_address = by_name.address.replace("localhost", "127.0.0.1")

    def either(call: Any) -> Reply:
        return Reply(201)

    push_service.answer = either  # type: ignore[method-assign]
    async with sender_for(push_service, certificate, hosts=hosts) as sender:
        results = [*await sender.send_batch([push(by_name)]), *await sender.send_batch([push(by_address)])]
    assert [type(result) for result in results] == [Accepted, Accepted]
    assert push_service.connections == 2


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
    push_service: FakePushService, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    push_service.refusals["/push/very-secret-path"] = Reply.of(410, {})
    browser = push_service.browser("/push/very-secret-path")
    read = subscription_of(browser.address)
    assert isinstance(read, Subscription)
    with caplog.at_level(logging.DEBUG, logger="heliograph"):
        async with sender_for(push_service, certificate) as sender:
            results = await sender.send_batch([push(browser)])
            shown = [repr(sender), repr(vars(sender)), repr(results), repr(await sender.health()), repr(read)]
    shown += [record.getMessage() for record in caplog.records if record.name.startswith("heliograph")]
    for secret in (PRIVATE, "very-secret-path", base64url(browser.auth), "eyJ"):
        assert not [text for text in shown if secret in text]
