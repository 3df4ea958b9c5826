"""The smtp channel: contract against a real server, outcomes against an ugly one, speed against a sink."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from heliograph_channel_smtp import SmtpChannel
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    EmailContent,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Sender,
    Unknown,
    Unsupported,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.smtp_servers import PASSWORD, USER, RealServer, UglyServer, content_of, good, make_certificate

PLAIN: dict[str, object] = {"host": "127.0.0.1", "security": "none", "from_address": "News <news@example.com>"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure_server(certificate: tuple[Path, Path]) -> Iterator[RealServer]:
    with RealServer(certificate=certificate, login=True) as server:
        yield server


@pytest.fixture
def plain_server() -> Iterator[RealServer]:
    with RealServer() as server:
        yield server


class TestSmtpContract(ChannelContract):
    """Over STARTTLS with a login, against aiosmtpd."""

    kind = Kind.EMAIL
    good_address = "ann@example.com"
    bad_addresses = ("ann", "ann@localhost", "Ann <ann@example.com>", "ann@example.com,bob@example.com")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return SmtpChannel()

    @pytest.fixture
    def settings(self, secure_server: RealServer, certificate: tuple[Path, Path]) -> Mapping[str, object]:
        return secure_settings(secure_server, certificate)


def secure_settings(server: RealServer, certificate: tuple[Path, Path]) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "ca_file": str(certificate[0]),
        "username": USER,
        "password": PASSWORD,
        "from_address": "news@example.com",
        "connections": 4,
    }


@asynccontextmanager
async def sender_for(port: int, **changes: object) -> AsyncIterator[Sender]:
    settings = {**PLAIN, "port": port, **changes}
    assert list(SmtpChannel().check_settings(settings)) == []
    sender = await SmtpChannel().open(settings, RecordingContext().context)
    try:
        yield sender
    finally:
        await sender.close()


def mail(to: str = "ann@example.com", **changes: object) -> OutgoingMessage:
    content: dict[str, object] = {"subject": "News", "html": "<p>Hello</p>", "text": "Hello"}
    origination = str(changes.pop("origination", ""))
    return a_message(Kind.EMAIL, to, content=EmailContent(**{**content, **changes}), origination=origination)  # type: ignore[arg-type]


# Against a real server


async def test_each_recipient_gets_the_servers_own_answer(plain_server: RealServer) -> None:
    names = ["ann", "gone", "later", "full", "greylisted", "spam", "toobig", "bob"]
    async with sender_for(plain_server.port, connections=1) as sender:
        results = await sender.send_batch([mail(f"{name}@example.com") for name in names])
    shown = [(type(r).__name__, getattr(r, "reason", None), getattr(r, "retryable", None)) for r in results]
    assert shown == [
        ("Accepted", None, None),
        ("Rejected", RejectReason.INVALID_ADDRESS, False),
        ("Rejected", RejectReason.UNAVAILABLE, True),
        ("Rejected", RejectReason.QUOTA_EXCEEDED, True),
        ("Rejected", RejectReason.THROTTLED, True),
        ("Rejected", RejectReason.BLOCKED, False),
        ("Rejected", RejectReason.INVALID_CONTENT, False),
        ("Accepted", None, None),
    ]
    assert isinstance(results[1], Rejected)
    assert results[1].detail == "RCPT was answered 550 5.1.1 No such user"
    assert [envelope.rcpt_tos for envelope in plain_server.envelopes] == [["ann@example.com"], ["bob@example.com"]]


async def test_connections_are_kept_between_batches(plain_server: RealServer) -> None:
    async with sender_for(plain_server.port, connections=2) as sender:
        for _ in range(5):
            results = await sender.send_batch([mail() for _ in range(6)])
            assert all(isinstance(result, Accepted) for result in results)
    assert len(plain_server.sessions) <= 2


async def test_a_connection_is_replaced_after_its_share_of_messages() -> None:
    async with (
        UglyServer(good).running() as server,
        sender_for(server.port, connections=1, messages_per_connection=3) as sender,
    ):
        assert all(isinstance(result, Accepted) for result in await sender.send_batch([mail() for _ in range(7)]))
        assert server.connections == 3


async def test_what_arrives_reads_as_it_was_written(plain_server: RealServer) -> None:
    html = "<p>Gr\u00fc\u00dfe</p>\r\n.\r\n" + "x" * 2000 + "\n.dot\n<b>end</b>"
    message = mail(
        subject="Gr\u00fc\u00dfe \u20ac \U0001f600 " * 8,
        html=html,
        text=".\n..\nplain\n",
        headers={
            "List-Unsubscribe": "<https://example.com/u?id=1>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        reply_to=("help@example.com", "Ann M\u00fcller <ann@example.com>"),
        origination='"Smith, Ann" <ann@news.example.com>',
    )
    async with sender_for(plain_server.port) as sender:
        (result,) = await sender.send_batch([message])
    assert result == Accepted(f"{message.message_id}@news.example.com")
    (envelope,) = plain_server.envelopes
    (got,) = plain_server.mails()
    assert envelope.mail_from == "ann@news.example.com"
    assert got["Subject"] == message.content.subject.strip() + " "  # type: ignore[union-attr]
    assert got["From"] == '"Smith, Ann" <ann@news.example.com>'
    assert got["Reply-To"] == "help@example.com, Ann M\u00fcller <ann@example.com>"
    assert got["Message-ID"] == f"<{message.message_id}@news.example.com>"
    assert got["List-Unsubscribe"] == "<https://example.com/u?id=1>"
    assert got["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert got.get_content_type() == "multipart/alternative"
    parts: Any = got.get_payload()
    text, markup = parts
    assert text.get_content() == ".\n..\nplain\n".replace("\n", "\r\n") or text.get_content() == ".\n..\nplain\n"
    assert markup.get_content().replace("\r\n", "\n").rstrip("\n") == html.replace("\r\n", "\n")
    content = content_of(envelope)
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert content.isascii()


@pytest.mark.parametrize(
    "body",
    [
        "plain",
        "caf\u00e9 " * 40,
        "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439 " * 60,
        "x" * 5000,
        "a = b" * 400,
        "--=_",
        "tail \nblank\t\n",
        "nul\x00",
    ],
    ids=["plain", "latin", "cyrillic", "long line", "long with equals", "boundary-like", "trailing blanks", "nul"],
)
async def test_every_kind_of_body_survives(plain_server: RealServer, body: str) -> None:
    async with sender_for(plain_server.port) as sender:
        results = await sender.send_batch(
            [mail(html=body, text=""), mail(html="", text=body), mail(html=body, text=body)]
        )
    assert all(isinstance(result, Accepted) for result in results)
    for got in plain_server.mails():
        for part in got.walk():
            if part.get_content_maintype() == "text":
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                assert payload.decode().replace("\r\n", "\n").removesuffix("\n") == body.removesuffix("\n")


async def test_starttls_and_login_are_used(secure_server: RealServer, certificate: tuple[Path, Path]) -> None:
    before = len(secure_server.logins)
    sender = await SmtpChannel().open(secure_settings(secure_server, certificate), RecordingContext().context)
    (result,) = await sender.send_batch([mail()])
    await sender.close()
    assert isinstance(result, Accepted), result
    assert len(secure_server.logins) == before + 1


async def test_implicit_tls_is_spoken_from_the_start(certificate: tuple[Path, Path]) -> None:
    with RealServer(certificate=certificate, implicit_tls=True) as server:
        async with sender_for(server.port, security="tls", ca_file=str(certificate[0])) as sender:
            (result,) = await sender.send_batch([mail()])
    assert isinstance(result, Accepted), result


async def test_a_wrong_password_is_credentials_and_never_shown(
    secure_server: RealServer, certificate: tuple[Path, Path]
) -> None:
    settings = {**secure_settings(secure_server, certificate), "password": "hunter2-is-wrong"}
    sender = await SmtpChannel().open(settings, RecordingContext().context)
    results = await sender.send_batch([mail(), mail()])
    health = await sender.health()
    await sender.close()
    assert all(isinstance(result, Rejected) and result.reason is RejectReason.CREDENTIALS for result in results)
    assert not health.ok
    assert "hunter2" not in repr([results, health, sender])


async def test_an_untrusted_certificate_is_refused(secure_server: RealServer) -> None:
    async with sender_for(secure_server.port, security="starttls") as sender:
        (result,) = await sender.send_batch([mail()])
    assert isinstance(result, Rejected)
    assert result.retryable
    assert "certificate" in result.detail.lower()


async def test_no_message_goes_in_the_clear_when_encryption_is_asked_for(plain_server: RealServer) -> None:
    async with sender_for(plain_server.port, security="starttls") as sender:
        (result,) = await sender.send_batch([mail()])
    assert isinstance(result, Rejected)
    assert "STARTTLS" in result.detail
    assert plain_server.envelopes == []


async def test_international_addresses_go_where_they_can(plain_server: RealServer) -> None:
    async with sender_for(plain_server.port) as sender:
        domain, local = await sender.send_batch([mail("ann@b\u00fccher.example"), mail("\u00fcn\u00ef@example.com")])
    assert isinstance(domain, Accepted), domain
    assert plain_server.envelopes[0].rcpt_tos == ["ann@xn--bcher-kva.example"]
    assert local == Unsupported("SMTPUTF8")
    with RealServer(utf8=True) as server:
        async with sender_for(server.port) as sender:
            (local,) = await sender.send_batch([mail("\u00fcn\u00ef@example.com")])
        assert isinstance(local, Accepted), local
        assert server.envelopes[0].rcpt_tos == ["\u00fcn\u00ef@example.com"]


# What is refused before anything is sent

UNSAFE = ["\r\nBcc: x@example.com", "\n", "\r", "\x00", "\u2028", "\u0085", "\x0b", "\x1b", "\ud800"]


@pytest.mark.parametrize("poison", UNSAFE, ids=[ascii(poison) for poison in UNSAFE])
@pytest.mark.parametrize(
    "where", ["subject", "header value", "header name", "reply_to", "origination", "address", "name"]
)
async def test_nothing_that_could_end_a_header_gets_through(plain_server: RealServer, where: str, poison: str) -> None:
    message = {
        "subject": lambda: mail(subject="News" + poison),
        "header value": lambda: mail(headers={"X-Tag": "a" + poison}),
        "header name": lambda: mail(headers={"X-Tag" + poison: "a"}),
        "reply_to": lambda: mail(reply_to=("a@example.com" + poison,)),
        "origination": lambda: mail(origination="a@example.com" + poison),
        "name": lambda: mail(origination=f"Ann{poison} <a@example.com>"),
        "address": lambda: mail("a@example.com" + poison),
    }[where]()
    async with sender_for(plain_server.port) as sender:
        bad, fine = await sender.send_batch([message, mail()])
    assert isinstance(bad, Rejected), bad
    assert not bad.retryable
    assert bad.detail
    assert isinstance(fine, Accepted)
    assert len(plain_server.envelopes) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"headers": {"From": "x@example.com"}}, "From is set by the channel"),
        ({"headers": {"bcc": "x@example.com"}}, "bcc is set by the channel"),
        ({"headers": {"Content-Type": "text/plain"}}, "Content-Type is set by the channel"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "given twice"),
        ({"headers": {"X A": "1"}}, "name that is not allowed"),
        ({"headers": {"X-A:": "1"}}, "name that is not allowed"),
        ({"headers": {"": "1"}}, "name that is not allowed"),
        ({"headers": {"X-A": "y" * 950}}, "too long"),
        ({"subject": "s" * 100_000}, "longer than 998"),
        ({"text": "\ud800"}, "half a character"),
        ({"html": "x" * (10 * 1024 * 1024 + 1)}, "10 MiB"),
    ],
)
async def test_a_message_that_cannot_be_sent_says_why(changes: dict[str, Any], words: str) -> None:
    async with sender_for(1) as sender:
        (result,) = await sender.send_batch([mail(**changes)])
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.INVALID_CONTENT
    assert words in result.detail


@pytest.mark.parametrize(
    "sender_address",
    [
        "friends: a@example.com;",
        "a@example.com, b@example.com",
        "Ann <a@b",
        "(x) a@example.com",
        "Ann <a@example.com> x",
    ],
)
async def test_a_sender_that_is_not_one_address_is_refused(sender_address: str) -> None:
    async with sender_for(1) as sender:
        (result,) = await sender.send_batch([mail(origination=sender_address)])
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.INVALID_ORIGINATION


def test_settings_that_could_leak_the_password_are_refused() -> None:
    settings = {**PLAIN, "username": "u", "password": "p", "envelope_from": "x", "from_address": "y\n"}
    fields = {problem.field for problem in SmtpChannel().check_settings(settings)}
    assert fields == {"security", "envelope_from", "from_address"}
    assert not SmtpChannel().check_settings({**PLAIN, "username": "u", "allow_insecure_login": True})


# Against an ugly server


def script(**changes: bytes | Callable[[int], bytes | None] | None) -> Callable[[str, int], bytes | None]:
    def answer(word: str, number: int) -> bytes | None:
        if word not in changes:
            return good(word, number)
        change = changes[word]
        return change(number) if callable(change) else change

    return answer


async def test_a_connection_lost_after_the_dot_leaves_the_message_in_doubt() -> None:
    async with UglyServer(script(DOT=None)).running() as server, sender_for(server.port, connections=1) as sender:
        (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Unknown), result
        assert [word for _, word in server.said].count("DOT") == 1


async def test_after_a_loss_at_the_dot_the_next_message_is_sent_and_the_first_is_not_repeated() -> None:
    async with (
        UglyServer(script(DOT=lambda number: None if number == 0 else b"250 ok\r\n")).running() as server,
        sender_for(server.port, connections=1) as sender,
    ):
        first, second, third = await sender.send_batch([mail(), mail(), mail()])
        assert isinstance(first, Unknown)
        assert isinstance(second, Accepted)
        assert isinstance(third, Accepted)
        assert len(server.taken) == 2


async def test_no_answer_after_the_dot_in_time_is_doubt_as_well() -> None:
    async with (
        UglyServer(script(DOT=b"")).running() as server,
        sender_for(server.port, connections=1, content_timeout=0.1) as sender,
    ):
        (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Unknown)
        assert "0.1 s" in result.detail


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "fault",
    [None, b"421 4.3.2 shutting down\r\n", b"what?\r\n", b"250-" + b"x" * 70000],
    ids=["drop", "421", "garbage", "endless"],
)
async def test_a_connection_lost_before_the_dot_is_tried_again_once(word: str, fault: bytes | None) -> None:
    first_only = script(**{word: lambda number: fault if number == 0 else good(word)})
    async with UglyServer(first_only).running() as server, sender_for(server.port, connections=1) as sender:
        (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Accepted), result
        assert server.connections == 2
        assert len(server.taken) == 1
    async with (
        UglyServer(script(**{word: fault})).running() as server,
        sender_for(server.port, connections=1) as sender,
    ):
        (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Rejected), result
        assert result.retryable
        assert server.connections == 2
        assert server.taken == []


async def test_a_421_at_the_dot_is_a_refusal_and_the_rest_goes_elsewhere() -> None:
    refusing = script(DOT=lambda number: b"421 4.3.2 bye\r\n" if number == 0 else b"250 ok\r\n")
    async with UglyServer(refusing).running() as server, sender_for(server.port, connections=1) as sender:
        first, second = await sender.send_batch([mail(), mail()])
        assert isinstance(first, Rejected)
        assert first.retryable
        assert isinstance(second, Accepted)
        assert len(server.taken) == 1


async def test_a_stale_connection_is_no_reason_to_fail() -> None:
    async with UglyServer(good).running() as server, sender_for(server.port, connections=1) as sender:
        await sender.send_batch([mail()])
        server.script = script(MAIL=lambda number: None if number == 0 else b"250 ok\r\n")
        (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Accepted), result


async def test_pipelining_is_only_used_when_offered() -> None:
    for offered in (True, False):
        ehlo = b"250-ugly\r\n250 PIPELINING\r\n" if offered else b"250 ugly\r\n"
        async with _recording(ehlo) as (port, chunks), sender_for(port, connections=1) as sender:
            results = await sender.send_batch([mail(), mail()])
            assert all(isinstance(result, Accepted) for result in results), results
        together = [chunk for chunk in chunks if chunk.startswith(b"MAIL") and chunk.endswith(b"DATA\r\n")]
        after_dot = [chunk for chunk in chunks if b"\r\n.\r\nMAIL" in chunk]
        assert (len(together), len(after_dot)) == ((1, 1) if offered else (0, 0))


@asynccontextmanager
async def _recording(ehlo: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A good server that notes what came in one read, and answers a moment later so that reads are whole writes."""
    chunks: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(b"220 hi\r\n")
        content = False
        while chunk := await reader.read(1 << 20):
            await asyncio.sleep(0.01)
            chunks.append(chunk)
            for line in chunk.split(b"\r\n")[:-1]:
                if content:
                    if line == b".":
                        content = False
                        writer.write(b"250 ok\r\n")
                elif line.startswith(b"EHLO"):
                    writer.write(ehlo)
                elif line == b"DATA":
                    content = True
                    writer.write(b"354 go\r\n")
                else:
                    writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], chunks
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.03)  # the handlers see the end of their connection


async def test_a_refused_recipient_does_not_disturb_the_next_even_if_the_server_says_354() -> None:
    answers = iter([b"550 5.1.1 no\r\n", b"250 ok\r\n"])
    dots = iter([b"554 no valid recipients\r\n", b"250 ok\r\n"])
    current = {"RCPT": b"", "DOT": b""}

    def answer(word: str, number: int) -> bytes | None:
        if word == "RCPT":
            current["RCPT"] = next(answers)
            current["DOT"] = next(dots)
        return current[word] if word in current else good(word, number)

    async with UglyServer(answer).running() as server, sender_for(server.port, connections=1) as sender:
        first, second = await sender.send_batch([mail(), mail()])
        assert isinstance(first, Rejected)
        assert first.reason is RejectReason.INVALID_ADDRESS
        assert isinstance(second, Accepted)
        assert len(server.taken) == 1
        assert (0, "RSET") in server.said


async def test_a_server_that_is_away_answers_at_once_until_the_pause_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph_channel_smtp.pool._FIRST_PAUSE", 0.2)
    async with (
        UglyServer(script(GREETING=b"554 go away\r\n")).running() as server,
        sender_for(server.port, connections=1) as sender,
    ):
        for _ in range(5):
            results = await sender.send_batch([mail(), mail()])
            assert all(isinstance(r, Rejected) and r.retryable and "554 go away" in r.detail for r in results)
        assert server.connections == 1
        assert not (await sender.health()).ok
        server.script = good
        await asyncio.sleep(0.25)
        assert all(isinstance(result, Accepted) for result in await sender.send_batch([mail(), mail()]))


async def test_a_server_that_allows_few_connections_still_gets_everything() -> None:
    limited = script(GREETING=lambda number: b"220 hi\r\n" if number == 0 else b"421 too many\r\n")
    async with UglyServer(limited).running() as server, sender_for(server.port, connections=5) as sender:
        results = await sender.send_batch([mail() for _ in range(40)])
        assert all(isinstance(result, Accepted) for result in results), results
        assert len(server.taken) == 40


async def test_the_size_the_server_announces_is_respected() -> None:
    async with (
        UglyServer(script(EHLO=b"250-ugly\r\n250 SIZE 2000\r\n")).running() as server,
        sender_for(server.port) as sender,
    ):
        small, large = await sender.send_batch([mail(), mail(text="y\n" * 2000)])
        assert isinstance(small, Accepted)
        assert isinstance(large, Rejected)
        assert "2000" in large.detail


async def test_large_messages_arrive_whole() -> None:
    async with UglyServer(good).running() as server:
        server_limit = asyncio.StreamReader.__init__.__defaults__
        assert server_limit
        async with sender_for(server.port) as sender:
            results = await sender.send_batch([mail(text="", html="<p>z</p>\n" * 5000)])
        assert isinstance(results[0], Accepted), results


async def test_a_cancelled_batch_sends_nothing_twice_and_leaves_no_half_message() -> None:
    async with UglyServer(good).running() as server, sender_for(server.port, connections=2) as sender:
        for turns in range(0, 60, 3):
            task = asyncio.ensure_future(sender.send_batch([mail() for _ in range(5)]))  # noqa: RUF006 - awaited below
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert isinstance((await sender.send_batch([mail()]))[0], Accepted)
        ids = [content.split(b"Message-ID: ")[1].split(b"\r\n")[0] for content in server.taken]
        assert len(ids) == len(set(ids))


async def test_idle_connections_are_closed() -> None:
    async with (
        UglyServer(good).running() as server,
        sender_for(server.port, connections=3, idle_seconds=0.05) as sender,
    ):
        await sender.send_batch([mail() for _ in range(6)])
        async with asyncio.timeout(5):
            while [word for _, word in server.said].count("QUIT") < server.connections:
                await asyncio.sleep(0.02)
        assert isinstance((await sender.send_batch([mail()]))[0], Accepted)


async def test_octets_before_the_encryption_begins_are_never_believed(certificate: tuple[Path, Path]) -> None:
    injected = script(EHLO=b"250-ugly\r\n250 STARTTLS\r\n", STAR=b"220 go\r\n250 injected\r\n")
    async with (
        UglyServer(injected).running() as server,
        sender_for(server.port, security="starttls", ca_file=str(certificate[0])) as sender,
    ):
        (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Rejected)
        assert "STARTTLS" in result.detail


@pytest.fixture
def sink_port() -> Iterator[int]:
    """A sink in a process of its own."""
    program = [sys.executable, str(Path(__file__).with_name("smtp_sink.py"))]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        yield int(sink.stdout.readline())
        sink.kill()


async def test_three_thousand_messages_a_second(sink_port: int) -> None:
    words = "Plenty of fixed words between the variables so that the body weighs what bodies weigh. \n"
    async with sender_for(sink_port, connections=16) as sender:
        best = wall = 0.0
        for _ in range(10):
            batches = [[mail(html="<p>" + words * 40) for _ in range(100)] for _ in range(10)]
            start, clock = time.process_time(), time.perf_counter()
            for batch in batches:
                results = await sender.send_batch(batch)
                assert all(isinstance(result, Accepted) for result in results)
            best = max(best, 1000 / (time.process_time() - start))
            wall = max(wall, 1000 / (time.perf_counter() - clock))
            if best >= 3000:
                break
    print(f"smtp: {best:,.0f} messages per second of processor time, {wall:,.0f} per second of the clock")
    assert best >= 3000  # of processor time: other work shares this machine
