"""The SDK's HTTP client against servers that misbehave: what arrived, and what nobody knows."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliograph_channels import Rejected, RejectReason, Unknown, callback_url, called_message
from heliograph_channels.http_client import (
    LARGEST_ANSWER,
    Answer,
    HttpClient,
    NoAnswer,
    NotSent,
    Pause,
    base_url_problem,
    refusal,
)
from tests.plugins.http_peers import (
    Act,
    Call,
    HttpPeer,
    Reply,
    answering,
    dribbling,
    dropping,
    garbling,
    silent,
)
from tests.plugins.smtp_servers import make_certificate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def a_client(
    *, timeout: float = 30.0, connections: int = 4, ca_file: str | None = None
) -> AsyncIterator[HttpClient]:
    client = HttpClient(timeout=timeout, connections=connections, ca_file=ca_file)
    try:
        yield client
    finally:
        await client.close()


async def test_a_call_brings_its_answer_whatever_the_status() -> None:
    async with HttpPeer().running() as peer, a_client() as client:
        peer.acts(answering(418, b'{"a": 1}', ("Retry-After", "7")))
        answer = await client.call("POST", f"{peer.base_url}/x?y=1", content=b"text", headers={"X-A": "b"})
        (call,) = peer.calls
    assert (answer.status, answer.json(), answer.complete, answer.is_json) == (418, {"a": 1}, True, True)
    assert answer.headers["retry-after"] == "7"
    assert (call.method, call.target, call.body, call.headers["x-a"]) == ("POST", "/x?y=1", b"text", "b")
    assert call.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("act", "timeout"), [(dropping, 30.0), (silent, 1.0), (garbling, 30.0)], ids=["dropped", "silent", "no http"]
)
async def test_a_call_that_was_sent_and_not_answered_may_have_arrived(act: Act, timeout: float) -> None:
    async with HttpPeer().running() as peer, a_client(timeout=timeout) as client:
        peer.acts(act)
        with pytest.raises(NoAnswer, match="the call was sent, and then"):
            await client.call("POST", f"{peer.base_url}/", content=b"x")
        assert len(peer.calls) == 1


async def test_no_connection_means_that_nothing_arrived() -> None:
    async with HttpPeer().running() as peer:
        url = peer.base_url
    async with a_client() as client:
        with pytest.raises(NotSent, match="ConnectError"):
            await client.call("POST", url, content=b"x")


async def test_a_certificate_nobody_vouches_for_means_that_nothing_arrived(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    async with HttpPeer().running(tls) as peer:
        url = f"https://localhost:{peer.port}/"
        async with a_client() as client:
            with pytest.raises(NotSent, match=r"(?i)certificate"):
                await client.call("POST", url, content=b"x")
        async with a_client(ca_file=str(cert)) as client:
            assert (await client.call("POST", url, content=b"x")).status == 200
        assert len(peer.calls) == 1


async def test_tls_with_a_server_that_speaks_none_means_that_nothing_arrived() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, a_client() as client:
        with pytest.raises(NotSent):
            await client.call("POST", url, content=b"x")


async def test_waiting_for_a_free_connection_is_not_sending() -> None:
    async with HttpPeer().running() as peer, a_client(timeout=3.0, connections=1) as client:
        peer.acts(silent)
        held = asyncio.create_task(client.call("POST", f"{peer.base_url}/first"))
        while not peer.calls:
            await asyncio.sleep(0)
        with pytest.raises(NotSent):
            await client.call("POST", f"{peer.base_url}/second", within=0.2)
        with pytest.raises(NoAnswer):
            await held
        assert [call.target for call in peer.calls] == ["/first"]


@pytest.mark.parametrize(
    ("size", "complete"), [(LARGEST_ANSWER, True), (LARGEST_ANSWER + 1, False), (10_000_000, False)]
)
async def test_an_answer_has_at_most_a_mebibyte(size: int, complete: bool) -> None:
    async with HttpPeer().running() as peer, a_client() as client:
        peer.acts(answering(200, b"x" * size))
        answer = await client.call("GET", f"{peer.base_url}/")
    assert (answer.status, answer.complete, len(answer.body)) == (200, complete, size if complete else 0)


async def test_a_packed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 20_000_000)
    async with HttpPeer().running() as peer, a_client() as client:
        peer.acts(answering(200, bomb, ("Content-Encoding", "gzip")))
        answer = await client.call("GET", f"{peer.base_url}/")
    assert (answer.status, answer.complete, answer.body) == (200, False, b"")


async def test_an_answer_that_never_ends_keeps_its_status_and_the_time_limit() -> None:
    async with HttpPeer().running() as peer, a_client(timeout=1.0) as client:
        peer.acts(dribbling(201))
        answer = await asyncio.wait_for(client.call("POST", f"{peer.base_url}/"), 30)
    assert (answer.status, answer.complete) == (201, False)


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    async with HttpPeer().running() as peer, a_client() as client:
        peer.acts(answering(302, b"", ("Location", f"{peer.base_url}/other"), ("Set-Cookie", "a=b")))
        assert (await client.call("POST", f"{peer.base_url}/one")).status == 302
        await client.call("POST", f"{peer.base_url}/two")
        assert [call.target for call in peer.calls] == ["/one", "/two"]
        assert "cookie" not in peer.calls[1].headers
        assert peer.connections == 1


async def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with HttpPeer().running() as peer, a_client() as client:
        assert (await client.call("POST", f"{peer.base_url}/")).status == 200
        assert "authorization" not in peer.calls[0].headers


async def test_a_closed_client_sends_nothing() -> None:
    async with HttpPeer().running() as peer, a_client() as client:
        await client.close()
        await client.close()
        assert client.is_closed
        with pytest.raises(NotSent, match="closed"):
            await client.call("POST", f"{peer.base_url}/")
        assert peer.calls == []


async def test_a_cancelled_call_leaves_the_client_usable() -> None:
    async with HttpPeer().running() as peer, a_client(connections=1) as client:
        peer.acts(silent)
        task = asyncio.create_task(client.call("POST", f"{peer.base_url}/"))
        while not peer.calls:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await client.call("POST", f"{peer.base_url}/")).status == 200


def test_a_ca_file_that_is_missing_is_told_when_the_client_is_made(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        HttpClient(timeout=1, connections=1, ca_file=str(tmp_path / "nothing.pem"))


@pytest.mark.parametrize("body", [b"", b"nothing", b"[1]", b"null", b"[" * 20_000, b"\xff"])
def test_what_is_no_json_object_is_an_empty_one(body: bytes) -> None:
    assert Answer(200, {}, body).json() == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("300", 300),
        ("301", 300),
        ("999999999", 300),
        ("Sun, 01 Mar 2026 12:00:45 GMT", 45),
        ("Sun, 01 Mar 2026 11:59:00 GMT", 0),
        ("Sun, 01 Mar 2026 12:00:45 -0000", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("", 0),
    ],
)
def test_a_pause_is_as_long_as_asked_for_and_at_most_five_minutes(text: str, seconds: int) -> None:
    pause = Pause()
    pause.note(Answer(429, {"retry-after": text}), NOW)
    ends = NOW + timedelta(seconds=seconds)
    assert pause.ends(NOW) == (ends if seconds else None)
    if seconds:
        assert pause.ends(ends - timedelta(milliseconds=1)) == ends
    assert pause.ends(ends) is None


@pytest.mark.parametrize(("status", "pauses"), [(429, True), (503, True), (200, False), (500, False), (400, False)])
def test_only_429_and_503_can_ask_for_a_pause(status: int, pauses: bool) -> None:
    pause = Pause()
    pause.note(Answer(status, {"retry-after": "9"}), NOW)
    assert (pause.ends(NOW) is not None) == pauses


@pytest.mark.parametrize(
    ("status", "words", "reason", "retryable"),
    [
        (301, "", RejectReason.REFUSED, False),
        (400, "", RejectReason.REFUSED, False),
        (401, "", RejectReason.CREDENTIALS, False),
        (402, "", RejectReason.QUOTA_EXCEEDED, False),
        (403, "", RejectReason.CREDENTIALS, False),
        (404, "", RejectReason.REFUSED, False),
        (408, "", RejectReason.UNAVAILABLE, True),
        (413, "", RejectReason.INVALID_CONTENT, False),
        (429, "", RejectReason.THROTTLED, True),
        (500, "", None, None),
        (500, "we failed", RejectReason.UNAVAILABLE, True),
        (502, "", None, None),
        (503, "", RejectReason.UNAVAILABLE, True),
        (504, "", None, None),
    ],
)
def test_an_error_status_means(status: int, words: str, reason: RejectReason | None, retryable: bool | None) -> None:
    result = refusal(status, words)
    if reason is None:
        assert isinstance(result, Unknown)
    else:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (reason, retryable)
        assert str(status) in result.detail
        assert words in result.detail


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com:8443/v2/",
        "http://127.0.0.1:8080",
        "http://localhost/x",
        "http://[::1]:1/",
    ],
)
def test_good_addresses_of_apis(url: str) -> None:
    assert base_url_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "http://api.example.com",
        "http://127.0.0.1.example.com",
        "ftp://api.example.com",
        "https://",
        "https://user:pass@api.example.com",
        "https://api.example.com/?a=b",
        "https://api.example.com/#a",
        "https://api.example.com/a b",
        "https://api.example.com/\n",
        "https://" + "a" * 2050,
    ],
)
def test_bad_addresses_of_apis(url: str) -> None:
    assert base_url_problem(url)


@pytest.mark.parametrize(
    ("webhook_url", "expected"),
    [
        ("https://h.example/hooks/p/r", "https://h.example/hooks/p/r?message_id={id}"),
        ("https://h.example/hooks?x=1", "https://h.example/hooks?x=1&message_id={id}"),
    ],
)
def test_a_callback_names_its_message(webhook_url: str, expected: str) -> None:
    id = "0123456789abcdef" * 2
    url = callback_url(webhook_url, id)
    assert url == expected.format(id=id)
    assert called_message(url) == id


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example/",
        "https://h.example/?message_id=",
        "https://h.example/?message_id=ABCDEF",
        "https://h.example/?message_id=" + "0" * 33,
        "https://[h.example/?message_id=" + "0" * 32,
        "https://h.example/?" + "&".join(["a=b"] * 101),
    ],
)
def test_a_callback_that_names_no_message_says_so(url: str) -> None:
    assert called_message(url) == ""


def test_the_peer_of_the_tests_answers_what_it_is_told() -> None:
    assert Reply.of(200, {"a": 1}).body == b'{"a": 1}'
    assert Call("POST", "/", {}, b"a=b&a=").form == [("a", "b"), ("a", "")]
