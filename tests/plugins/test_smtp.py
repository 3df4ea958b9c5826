"""The channel SMTP against real servers, and what is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from heliograph_channel_smtp import SmtpChannel
from heliograph_channels import Accepted, ChannelProvider, Kind, Rejected, RejectReason, Unsupported
from heliograph_channels.testing import ChannelContract, RecordingContext
from tests.plugins.smtp_sender import PLAIN, mail, secure_settings, sender_for
from tests.plugins.smtp_servers import RealServer, UglyServer, content_of, good


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
