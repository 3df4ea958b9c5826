"""The webhook channel against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from heliograph_channel_webhook import WebhookChannel, sign, verify
from heliograph_channel_webhook.destinations import Destination, Forbidden, url_problem
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    CustomContent,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Sender,
    Unknown,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.smtp_servers import make_certificate

SECRET = "an-unmistakable-secret-of-the-receiver"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed


@dataclass
class Receiver:
    """A small HTTP/1.1 server; `answer` writes the raw answer, or drops or delays it."""

    answer: Answer
    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._tasks.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")[:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.seen.append(Seen(first.split()[0], headers, body))
                await self.answer(writer)
                if writer.transport.is_closing():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()


def answering(status: int, body: bytes = b"", *headers: str) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return answer


async def dropping(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def never(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


def settings_for(url: str, **changes: object) -> dict[str, object]:
    return {"url": url, "secret": SECRET, "allow_insecure_loopback": True, **changes}


@asynccontextmanager
async def sender_for(url: str, **changes: object) -> AsyncIterator[Sender]:
    settings = settings_for(url, **changes)
    assert list(WebhookChannel().check_settings(settings)) == []
    sender = await WebhookChannel().open(settings, RecordingContext("shop").context)
    try:
        yield sender
    finally:
        await sender.close()


def message(number: int = 1, data: str = "hello", **attributes: str) -> OutgoingMessage:
    return a_message(
        Kind.CUSTOM,
        f"address-{number}",
        message_id=f"{number:032x}",
        content=CustomContent(data, {"ChannelType": "CUSTOM", "Id": f"e{number}", "Attributes": {"a": ["b"]}}),
        attributes={"campaign_id": "c1", "endpoint_id": f"e{number}", **attributes},
    )


class TestWebhookContract(ChannelContract):
    kind = Kind.CUSTOM
    good_address = "anything"
    bad_addresses = ("a b", "x" * 5000)

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return WebhookChannel()

    @pytest_asyncio.fixture
    async def receiver(self) -> AsyncIterator[Receiver]:
        async with Receiver(answering(200)).running() as receiver:
            yield receiver

    @pytest.fixture
    def settings(self, receiver: Receiver) -> Mapping[str, object]:
        return settings_for(receiver.url, idempotent_receiver=True)


async def test_the_payload_is_the_one_of_pinpoints_custom_channel() -> None:
    async with Receiver(answering(200)).running() as receiver, sender_for(receiver.url) as sender:
        await sender.send_batch([message(1, treatment_id="2"), message(2, treatment_id="2")])
        (seen,) = receiver.seen
        assert seen.method == "POST"
        assert seen.headers["content-type"] == "application/json"
        assert seen.json == {
            "Message": {},
            "Data": "hello",
            "ApplicationId": "shop",
            "CampaignId": "c1",
            "TreatmentId": "2",
            "ActivityId": "",
            "ScheduledTime": "",
            "MessageIds": {"e1": f"{1:032x}", "e2": f"{2:032x}"},
            "Endpoints": {
                "e1": {"Address": "address-1", "ChannelType": "CUSTOM", "Attributes": {"a": ["b"]}},
                "e2": {"Address": "address-2", "ChannelType": "CUSTOM", "Attributes": {"a": ["b"]}},
            },
        }


async def test_a_call_is_signed_and_the_receiver_can_check_it() -> None:
    async with Receiver(answering(200)).running() as receiver, sender_for(receiver.url) as sender:
        await sender.send_batch([message()])
        (seen,) = receiver.seen
    now = time.time()
    assert verify(SECRET, seen.headers, seen.body, now)
    assert not verify(SECRET, seen.headers, seen.body + b" ", now)
    assert not verify(SECRET + "x", seen.headers, seen.body, now)
    assert not verify(SECRET, seen.headers, seen.body, now + 301)
    assert not verify(SECRET, {}, seen.body, now)
    forged = {**seen.headers, "x-heliograph-timestamp": str(int(now) + 1)}
    assert not verify(SECRET, forged, seen.body, now)
    assert sign(SECRET, 1, b"x") != sign(SECRET, 11, b"x"[1:])


async def test_messages_are_grouped_by_data_and_origin_and_no_endpoint_comes_twice_in_a_call() -> None:
    batch = [
        message(1),
        message(2, data="other"),
        message(3),
        message(4, campaign_id="c2"),
        message(5, endpoint_id="e1"),
    ]
    async with Receiver(answering(200)).running() as receiver, sender_for(receiver.url) as sender:
        results = await sender.send_batch(batch)
        assert [type(result) for result in results] == [Accepted] * 5
        calls = sorted(tuple(seen.json["MessageIds"].values()) for seen in receiver.seen)
    assert [[int(item, 16) for item in call] for call in calls] == [[1, 3], [2], [4], [5]]


async def test_the_idempotency_header_is_the_same_when_the_same_messages_are_sent_again() -> None:
    async with Receiver(answering(503)).running() as receiver, sender_for(receiver.url) as sender:
        await sender.send_batch([message(1), message(2)])
        await sender.send_batch([message(2), message(1)])
        await sender.send_batch([message(1)])
        keys = [seen.headers["idempotency-key"] for seen in receiver.seen]
        assert keys[0] == keys[1] != keys[2]
        assert receiver.seen[0].headers["x-pinpoint-batch-id"] == keys[0]


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (301, RejectReason.REFUSED, False),
        (400, RejectReason.REFUSED, False),
        (401, RejectReason.CREDENTIALS, False),
        (404, RejectReason.REFUSED, False),
        (413, RejectReason.INVALID_CONTENT, False),
        (429, RejectReason.THROTTLED, True),
        (500, RejectReason.UNAVAILABLE, True),
        (503, RejectReason.UNAVAILABLE, True),
    ],
)
async def test_an_answer_means_the_same_for_every_message_of_the_call(
    status: int, reason: RejectReason, retryable: bool
) -> None:
    target = "Location: http://127.0.0.1:1/elsewhere"
    async with Receiver(answering(status, b"", target)).running() as receiver, sender_for(receiver.url) as sender:
        results = await sender.send_batch([message(1), message(2)])
        assert len(receiver.seen) == 1
    for result in results:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (reason, retryable)
        assert str(status) in result.detail


@pytest.mark.parametrize("answer", [dropping, never], ids=["dropped", "silent"])
async def test_a_call_that_was_sent_and_not_answered_is_in_doubt(answer: Answer) -> None:
    async with Receiver(answer).running() as receiver, sender_for(receiver.url, timeout=0.2) as sender:
        results = await sender.send_batch([message(1), message(2)])
        assert len(receiver.seen) == 1
    assert all(isinstance(result, Unknown) for result in results), results


async def test_a_receiver_that_is_not_there_certainly_has_nothing() -> None:
    async with Receiver(answering(200)).running() as receiver:
        url = receiver.url
    async with sender_for(url) as sender:
        (result,) = await sender.send_batch([message()])
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        assert not (await sender.health()).ok


async def test_the_receivers_attributes_come_back_for_journeys_to_branch_on() -> None:
    many = {f"k{n}": "v" for n in range(9)}
    told = {
        "e1": {"EventAttributes": {"paid": "yes", "n": 1, "long": "x" * 129}},
        "e2": {"EventAttributes": many},
        "e3": 7,
    }
    async with (
        Receiver(answering(200, json.dumps(told).encode())).running() as receiver,
        sender_for(receiver.url) as sender,
    ):
        first, second, third = await sender.send_batch([message(1), message(2), message(3)])
    assert first == Accepted(f"{1:032x}", {"paid": "yes"})
    assert isinstance(second, Accepted)
    assert len(second.attributes) == 5
    assert third == Accepted(f"{3:032x}")


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"not json", ()), (b"[" * 5000, ()), (b"x" * 3_000_000, ()), (b"{}", ("Content-Encoding: gzip",))],
    ids=["no json", "deep", "huge", "packed"],
)
async def test_a_useless_answer_does_not_undo_the_success(body: bytes, headers: tuple[str, ...]) -> None:
    async with Receiver(answering(200, body, *headers)).running() as receiver, sender_for(receiver.url) as sender:
        assert await sender.send_batch([message()]) == [Accepted(f"{1:032x}")]


async def test_an_answer_that_never_ends_does_not_hold_the_sender() -> None:
    async def dribbling(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    async with Receiver(dribbling).running() as receiver, sender_for(receiver.url, timeout=0.3) as sender:
        results = await asyncio.wait_for(sender.send_batch([message()]), 5)
        assert results == [Accepted(f"{1:032x}")]


async def test_what_json_does_not_know_is_refused_for_that_message_only() -> None:
    bad = [
        a_message(Kind.CUSTOM, "a", content=CustomContent("x", {"value": float("nan")})),
        a_message(Kind.CUSTOM, "a", content=CustomContent("x", {"value": object()})),
        a_message(Kind.CUSTOM, "a", content=CustomContent("\ud800", {})),
    ]
    async with Receiver(answering(200)).running() as receiver, sender_for(receiver.url) as sender:
        results = await sender.send_batch([*bad, message()])
    assert [getattr(result, "reason", "accepted") for result in results] == ["INVALID_CONTENT"] * 3 + ["accepted"]


async def test_https_checks_the_certificate_against_the_name(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    async with Receiver(answering(200)).running(tls) as receiver:
        url = f"https://localhost:{receiver.port}/hook"
        async with sender_for(url, ca_file=str(cert)) as sender:
            (result,) = await sender.send_batch([message()])
            assert isinstance(result, Accepted), result
            assert receiver.seen[0].headers["host"] == f"localhost:{receiver.port}"
        async with sender_for(url) as sender:
            (result,) = await sender.send_batch([message()])
            assert isinstance(result, Rejected)
            assert "certificate" in result.detail.lower()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://user:pass@example.com/",
        "https://example.com:22/",
        "https://",
        "//example.com/",
        "https://exa mple.com/",
        "https://example.com/\r\nX: y",
        "",
    ],
)
def test_urls_that_must_not_be_called_are_refused_as_settings(url: str) -> None:
    assert url_problem(url, insecure_loopback=False)
    fields = [problem.field for problem in WebhookChannel().check_settings({"url": url, "secret": SECRET})]
    assert fields == ["url"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
async def test_no_call_goes_to_an_address_that_is_not_public(host: str) -> None:
    settings = {"url": f"https://{host}/hook", "secret": SECRET}
    if WebhookChannel().check_settings(settings):
        return  # refused even earlier
    sender = await WebhookChannel().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([message()])
    await sender.close()
    assert isinstance(result, Rejected), result
    assert result.reason is RejectReason.REFUSED or "no address" in result.detail or "gaierror" in result.detail


async def test_a_listed_network_may_be_called_but_not_by_plain_http() -> None:
    from ipaddress import ip_network

    networks = [ip_network("10.1.0.0/16")]
    assert await Destination("https://10.1.2.3/", allowed=networks, insecure_loopback=False).address() == "10.1.2.3"
    with pytest.raises(Forbidden):
        await Destination("https://10.2.0.1/", allowed=networks, insecure_loopback=False).address()
    with pytest.raises(Forbidden, match="this machine"):
        await Destination("http://10.1.2.3/", allowed=networks, insecure_loopback=True).address()


async def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(Forbidden):
        await Destination("https://example.com/", allowed=[], insecure_loopback=False).address()


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Receiver(answering(200)).running() as receiver, sender_for(receiver.url) as sender:
        assert isinstance((await sender.send_batch([message()]))[0], Accepted)
