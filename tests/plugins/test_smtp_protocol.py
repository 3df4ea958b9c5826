"""How the smtp channel speaks: encryption, login, extensions, return paths, and what each answer means."""

from __future__ import annotations

import base64
import hmac
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from heliograph_channel_smtp import SmtpChannel
from heliograph_channel_smtp.replies import Command, Reply, rejection
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    EmailContent,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Sender,
    Unsupported,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.smtp_servers import PASSWORD, USER, RealServer, UglyServer, content_of
from tests.plugins.test_smtp_dkim import DOMAIN, KEYS, pem, verifies

OUR_ID = "0123456789abcdef0123456789abcdef"


@asynccontextmanager
async def sender_for(port: int, **changes: object) -> AsyncIterator[Sender]:
    settings = {"host": "127.0.0.1", "port": port, "security": "none", "from_address": "news@example.com", **changes}
    assert list(SmtpChannel().check_settings(settings)) == []
    sender = await SmtpChannel().open(settings, RecordingContext().context)
    try:
        yield sender
    finally:
        await sender.close()


def mail(to: str = "ann@example.com", **changes: Any) -> OutgoingMessage:
    content = EmailContent(**{"subject": "News", "text": "Hello", **changes})
    return a_message(Kind.EMAIL, to, content=content, message_id=OUR_ID)


class TestSmtpWithEverythingContract(ChannelContract):
    """Signed, with variable return paths, notifications and a mailbox that is read."""

    kind = Kind.EMAIL
    good_address = "ann@example.com"
    bad_addresses = ("ann",)

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return SmtpChannel()

    @pytest.fixture
    def server(self) -> Iterator[RealServer]:
        with RealServer() as server:
            yield server

    @pytest.fixture
    def settings(self, server: RealServer, tmp_path: Path) -> Mapping[str, object]:
        for name in ("new", "cur"):
            (tmp_path / name).mkdir()
        return {
            "host": "127.0.0.1",
            "port": server.port,
            "security": "none",
            "from_address": "news@example.com",
            "envelope_from": "bounces@example.com",
            "verp_delimiter": "+",
            "delivery_notices": "delivery",
            "dkim_domain": DOMAIN,
            "dkim_selector": "rsa",
            "dkim_key": pem(KEYS["rsa"]),
            "dkim_second_selector": "ed",
            "dkim_second_key": pem(KEYS["ed"]),
            "bounce_maildir": str(tmp_path),
        }


# Encryption and login


async def test_opportunistic_encryption_is_used_where_it_is_offered(certificate: tuple[Path, Path]) -> None:
    """And asks for nobody's papers: the certificate is signed by nobody known here."""
    with RealServer(certificate=certificate) as server:  # which takes no message in the clear
        async with sender_for(server.port, security="opportunistic") as sender:
            (result,) = await sender.send_batch([mail()])
    assert isinstance(result, Accepted), result
    with RealServer() as server:
        async with sender_for(server.port, security="opportunistic") as sender:
            (result,) = await sender.send_batch([mail()])
    assert isinstance(result, Accepted), result


async def test_a_handshake_that_fails_is_not_made_good_in_the_clear() -> None:
    def script(word: str, number: int) -> bytes | None:
        answers = {"GREETING": b"220 x\r\n", "EHLO": b"250-x\r\n250 STARTTLS\r\n", "STAR": b"220 go\r\n"}
        return answers.get(word)  # what follows STARTTLS is no TLS: the connection is dropped

    async with UglyServer(script).running() as server, sender_for(server.port, security="opportunistic") as sender:
        (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Rejected), result
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        assert "MAIL" not in [word for _, word in server.said]


@pytest.mark.parametrize("security", ["none", "opportunistic"])
def test_no_password_goes_where_nobody_shows_papers(security: str) -> None:
    settings = {"host": "h", "from_address": "a@example.com", "security": security, "username": "u"}
    assert [problem.field for problem in SmtpChannel().check_settings(settings)] == ["security"]
    assert not SmtpChannel().check_settings({**settings, "allow_insecure_login": True})


@dataclass
class CramServer(RealServer):
    """A server that offers CRAM-MD5 as well."""

    used: list[str] = field(default_factory=list)

    async def auth_CRAM__MD5(self, server: SMTP, args: list[str]) -> AuthResult:
        challenge = b"<1896.697170952@127.0.0.1>"
        answer = await server.challenge_auth(challenge)
        assert isinstance(answer, bytes)
        user, _, digest = answer.decode().partition(" ")
        expected = hmac.new(PASSWORD.encode(), challenge, "md5").hexdigest()
        self.used.append("CRAM-MD5")
        return AuthResult(success=user == USER and hmac.compare_digest(digest, expected), handled=False)


@pytest.mark.parametrize(("password", "good"), [(PASSWORD, True), ("hunter2", False)])
async def test_cram_md5_is_the_choice_on_an_open_wire(password: str, good: bool) -> None:
    with CramServer(login=True) as server:
        login = {"username": USER, "password": password, "allow_insecure_login": True}
        async with sender_for(server.port, **login) as sender:
            (result,) = await sender.send_batch([mail()])
        assert server.used == ["CRAM-MD5"]
        assert server.logins == []
    if good:
        assert isinstance(result, Accepted), result
    else:
        assert isinstance(result, Rejected)
        assert result.reason is RejectReason.CREDENTIALS


async def test_on_an_encrypted_wire_plain_is_the_choice(certificate: tuple[Path, Path]) -> None:
    with CramServer(certificate=certificate, login=True) as server:
        login = {"username": USER, "password": PASSWORD, "security": "starttls", "ca_file": str(certificate[0])}
        async with sender_for(server.port, **login) as sender:
            (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Accepted), result
        assert server.used == []
        assert server.logins == ["PLAIN"]


@pytest.mark.parametrize("offered", ["CRAM-MD5", "LOGIN", "PLAIN", "XOAUTH2"])
async def test_the_login_that_is_offered_is_the_one_that_is_spoken(offered: str) -> None:
    def script(word: str, number: int) -> bytes | None:
        answers = {"GREETING": b"220 x\r\n", "EHLO": f"250-x\r\n250 AUTH {offered}\r\n".encode(), "AUTH": b"334 !\r\n"}
        return answers.get(word, b"250 ok\r\n")

    async with UglyServer(script).running() as server:
        login = {"username": "u", "password": "hunter2", "allow_insecure_login": True}
        async with sender_for(server.port, **login) as sender:
            (result,) = await sender.send_batch([mail()])
        assert isinstance(result, Rejected), result
        assert "hunter2" not in repr(result)
        assert base64.b64encode(b"hunter2").decode() not in repr(result)
        if offered == "XOAUTH2":
            assert result.reason is RejectReason.CREDENTIALS
            assert "AUTH" not in [word for _, word in server.said]
        elif offered == "CRAM-MD5":
            assert "not base64" in result.detail


# Extensions


async def spoken(offers: tuple[str, ...], message: OutgoingMessage, **settings: object) -> list[str]:
    """Send one message to a server with these extensions and return its MAIL and RCPT."""
    lines: list[str] = []

    def script(word: str, number: int) -> bytes | None:
        if word == "GREETING":
            return b"220 x\r\n"
        if word == "EHLO":
            return b"".join(b"250-%b\r\n" % offer.encode() for offer in ("x", *offers)) + b"250 HELP\r\n"
        return b"354 go\r\n" if word == "DATA" else b"250 ok\r\n"

    server = UglyServer(script)
    async with server.running(), sender_for(server.port, **settings) as sender:
        (result,) = await sender.send_batch([message])
        if isinstance(result, Unsupported):
            return [result.feature]
        assert isinstance(result, Accepted), result
        lines += [line.decode().rstrip() for line in server.lines if line[:4].upper() in (b"MAIL", b"RCPT")]
        for line in lines:
            if " SIZE=" in line:
                size = int(line.partition(" SIZE=")[2].split()[0])
                assert abs(size - len(server.taken[0])) <= 5
    return [line.partition(" SIZE=")[0] if " SIZE=" in line else line for line in lines]


async def test_nothing_is_said_that_was_not_offered() -> None:
    settings = {"delivery_notices": "delivery"}
    assert await spoken((), mail(), **settings) == ["MAIL FROM:<news@example.com>", "RCPT TO:<ann@example.com>"]


async def test_the_size_is_told_where_it_is_wanted() -> None:
    assert await spoken(("SIZE 1000000",), mail()) == ["MAIL FROM:<news@example.com>", "RCPT TO:<ann@example.com>"]
    assert await spoken(("SIZE",), mail()) == ["MAIL FROM:<news@example.com>", "RCPT TO:<ann@example.com>"]


@pytest.mark.parametrize(("notices", "wanted"), [("failure", "FAILURE,DELAY"), ("delivery", "SUCCESS,FAILURE,DELAY")])
async def test_notifications_are_asked_for_with_our_id(notices: str, wanted: str) -> None:
    lines = await spoken(("DSN",), mail("ann+x=y@example.com"), delivery_notices=notices)
    assert lines == [
        f"MAIL FROM:<news@example.com> RET=HDRS ENVID={OUR_ID}",
        f"RCPT TO:<ann+x=y@example.com> NOTIFY={wanted} ORCPT=rfc822;ann+2Bx+3Dy@example.com",
    ]
    assert await spoken(("DSN",), mail()) == ["MAIL FROM:<news@example.com>", "RCPT TO:<ann@example.com>"]


async def test_other_letters_before_the_at_need_smtputf8_and_8bitmime() -> None:
    message = mail("\u00fcn\u00ef@example.com")
    assert await spoken(("SMTPUTF8", "8BITMIME", "DSN"), message, delivery_notices="failure") == [
        f"MAIL FROM:<news@example.com> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID={OUR_ID}",
        "RCPT TO:<\u00fcn\u00ef@example.com> NOTIFY=FAILURE,DELAY",
    ]
    assert await spoken(("8BITMIME",), message) == ["SMTPUTF8"]
    assert await spoken(("SMTPUTF8",), message) == ["8BITMIME"]


# What is put around a message


async def test_each_message_has_a_return_path_of_its_own_and_carries_our_id() -> None:
    with RealServer() as server:
        settings = {"envelope_from": "bounces@b\u00fccher.example", "verp_delimiter": "-"}
        async with sender_for(server.port, **settings) as sender:
            await sender.send_batch([mail()])
        async with sender_for(server.port, envelope_from="bounces@example.com") as sender:
            await sender.send_batch([mail()])
        varied, plain = server.envelopes
    assert varied.mail_from == f"bounces-{OUR_ID}@xn--bcher-kva.example"
    assert plain.mail_from == "bounces@example.com"
    for envelope in (varied, plain):
        assert content_of(envelope).startswith(f"X-Heliograph-Message-Id: {OUR_ID}\r\n".encode())


@pytest.mark.parametrize("selector", ["rsa", "ed"])
async def test_the_signature_covers_what_is_sent_and_not_the_doubled_dots(selector: str) -> None:
    key = {"dkim_domain": DOMAIN, "dkim_selector": selector, "dkim_key": pem(KEYS[selector])}
    with RealServer() as server:
        async with sender_for(server.port, **key) as sender:
            results = await sender.send_batch([mail(text=f".{number}\n..\n.\n") for number in range(30)])
        assert all(isinstance(result, Accepted) for result in results)
        mails = [content_of(envelope) for envelope in server.envelopes]
    assert len(mails) == 30
    assert all(verifies(one) for one in mails)
    assert all(one.count(b"DKIM-Signature:") == 1 for one in mails)


# What the answers mean

ANSWERS: list[tuple[Command, str, RejectReason, bool]] = [
    ("MAIL", "530 5.7.0 Authentication required", RejectReason.CREDENTIALS, False),
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", RejectReason.CREDENTIALS, False),
    ("RCPT", "535 5.7.8 bad credentials", RejectReason.CREDENTIALS, False),
    ("MAIL", "538 5.7.11 encryption required", RejectReason.CREDENTIALS, False),
    ("MAIL", "550 5.7.13 account disabled", RejectReason.CREDENTIALS, False),
    ("MAIL", "553 5.1.7 bad sender", RejectReason.INVALID_ORIGINATION, False),
    ("MAIL", "450 4.1.8 sender's domain not found", RejectReason.INVALID_ORIGINATION, True),
    ("MAIL", "552 too large", RejectReason.INVALID_CONTENT, False),
    ("MAIL", "550 who are you", RejectReason.INVALID_ORIGINATION, False),
    ("MAIL", "451 4.7.0 too many messages", RejectReason.THROTTLED, True),
    ("MAIL", "452 4.3.1 disk full", RejectReason.UNAVAILABLE, True),
    ("RCPT", "550 5.1.1 unknown", RejectReason.INVALID_ADDRESS, False),
    ("RCPT", "550 5.1.10 null MX", RejectReason.INVALID_ADDRESS, False),
    ("RCPT", "550 5.4.4 no route", RejectReason.INVALID_ADDRESS, False),
    ("RCPT", "550 5.4.1 Recipient address rejected: Access denied", RejectReason.INVALID_ADDRESS, False),
    ("RCPT", "450 4.4.1 no answer", RejectReason.UNAVAILABLE, True),
    ("RCPT", "550 5.6.7 no such letters here", RejectReason.INVALID_ADDRESS, False),
    ("RCPT", "551 5.1.6 moved", RejectReason.ADDRESS_GONE, False),
    ("RCPT", "550 5.2.1 disabled", RejectReason.ADDRESS_GONE, False),
    ("RCPT", "550 5.7.17 another owner", RejectReason.ADDRESS_GONE, False),
    ("RCPT", "450 4.1.1 cannot look that up", RejectReason.UNAVAILABLE, True),
    ("RCPT", "450 4.2.1 closed for now", RejectReason.UNAVAILABLE, True),
    ("RCPT", "552 5.2.2 full", RejectReason.QUOTA_EXCEEDED, False),
    ("RCPT", "452 4.2.2 full", RejectReason.QUOTA_EXCEEDED, True),
    ("RCPT", "452 too many recipients", RejectReason.QUOTA_EXCEEDED, True),
    ("RCPT", "450 4.7.1 greylisted", RejectReason.THROTTLED, True),
    ("RCPT", "451 4.4.5 busy", RejectReason.THROTTLED, True),
    ("RCPT", "554 5.7.1 blocked", RejectReason.BLOCKED, False),
    ("RCPT", "550 Blocked - see https://zen.example", RejectReason.BLOCKED, False),
    ("RCPT", "550 5.0.0 your IP has a poor reputation", RejectReason.BLOCKED, False),
    ("RCPT", "550 no such user", RejectReason.INVALID_ADDRESS, False),
    ("RCPT", "554 no", RejectReason.BLOCKED, False),
    ("DATA", "554 no valid recipients", RejectReason.REFUSED, False),
    ("DATA", "451 later", RejectReason.UNAVAILABLE, True),
    ("content", "552 5.3.4 too big", RejectReason.INVALID_CONTENT, False),
    ("content", "550 5.7.26 DMARC", RejectReason.INVALID_ORIGINATION, False),
    ("content", "550 5.7.20 no DKIM", RejectReason.INVALID_ORIGINATION, False),
    ("content", "550 5.7.28 mail flood", RejectReason.THROTTLED, False),
    ("content", "554 5.6.0 odd", RejectReason.BLOCKED, False),
    ("content", "554 5.7.0 virus", RejectReason.BLOCKED, False),
    ("content", "550 5.4.6 loop", RejectReason.UNAVAILABLE, False),
    ("content", "421 4.3.2 closing", RejectReason.UNAVAILABLE, True),
    ("content", "500 what", RejectReason.REFUSED, False),
]


@pytest.mark.parametrize(("command", "answer", "reason", "again"), ANSWERS, ids=[f"{c} {a}" for c, a, _, _ in ANSWERS])
def test_each_answer_has_its_reason(command: Command, answer: str, reason: RejectReason, again: bool) -> None:
    result = rejection(command, Reply(int(answer[:3]), (answer[4:],)))
    assert (result.reason, result.retryable) == (reason, again)
    assert answer in result.detail


@pytest.mark.parametrize(
    "field", ["helo_name", "host", "from_address", "envelope_from", "dkim_domain", "dkim_selector"]
)
def test_no_setting_can_end_a_line_of_the_protocol(field: str) -> None:
    settings = {"host": "h", "from_address": "a@example.com", "dkim_key": pem(KEYS["ed"]), "dkim_domain": DOMAIN}
    settings["dkim_selector"] = "s"
    for poison in ("\n", "\r\nRSET", "\x00"):
        value = settings.get(field, "x") + poison
        assert field in {problem.field for problem in SmtpChannel().check_settings({**settings, field: value})}


def test_the_readme_names_the_settings_that_came_last() -> None:
    readme = (Path(__file__).parents[2] / "plugins" / "smtp" / "README.md").read_text()
    properties = SmtpChannel.settings_schema["properties"]
    assert isinstance(properties, dict)
    told = [name for name in properties if name.startswith(("dkim", "bounce", "verp", "delivery", "security", "allow"))]
    assert [name for name in told if f"`{name}`" not in readme] == []
