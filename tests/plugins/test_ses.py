"""The ses channel: contract and outcomes against a server that checks signatures and shapes, events against signed SNS."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channel_ses import SesChannel
from heliograph_channel_ses.addresses import BadField, header_field, sender
from heliograph_channel_ses.settings import endpoint_of
from heliograph_channel_ses.sigv4 import Credentials, signed
from heliograph_channels import (
    Accepted,
    Attachment,
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
from tests.plugins.ses_server import ACCESS_KEY, SECRET, Answer, Call, Reply, SesServer
from tests.plugins.sns_topic import OUR_ID, TOPIC, Topic

FROM = "News <news@example.com>"


def settings_for(url: str = "", **changes: object) -> dict[str, object]:
    return {
        "region": "eu-central-1",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET,
        "from_address": FROM,
        "endpoint_url": url,
        **changes,
    }


@asynccontextmanager
async def sender_for(url: str, topic: Topic | None = None, **changes: object) -> AsyncIterator[Sender]:
    settings = settings_for(url, **changes)
    channel = SesChannel(topic.fetch if topic else None)
    assert list(channel.check_settings(settings)) == []
    opened = await channel.open(settings, RecordingContext().context)
    try:
        yield opened
    finally:
        await opened.close()


def mail(to: str = "ann@example.com", *, origination: str = "", **changes: Any) -> OutgoingMessage:
    content = EmailContent(**{"subject": "News", "html": "<p>Hello</p>", "text": "Hello", **changes})
    return a_message(Kind.EMAIL, to, content=content, origination=origination)


class TestSesContract(ChannelContract):
    kind = Kind.EMAIL
    good_address = "ann@example.com"
    bad_addresses = ("ann", "ann@localhost", "Ann <ann@example.com>", "ann@example.com,bob@example.com")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return SesChannel()

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[SesServer]:
        async with SesServer(token="a-token-of-temporary-credentials").running() as server:
            yield server

    @pytest.fixture
    def settings(self, server: SesServer) -> Mapping[str, object]:
        return settings_for(server.url, session_token=server.token, topic_arn=TOPIC)


# Signatures


@pytest.mark.parametrize("token", ["", "session-token/with+signs=="])
@pytest.mark.parametrize(
    ("url", "method", "body"),
    [
        ("https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails", "POST", b'{"a": 1}'),
        ("https://email.us-east-1.amazonaws.com/v2/email/account", "GET", b""),
        ("http://127.0.0.1:8080/v2/email/account", "GET", b""),
        ("https://example.com", "GET", b""),
        ("https://example.com/a%20b/%C3%A9?z=1&a=%2F&a=b&empty", "PUT", b"\xff\x00" * 1000),
    ],
    ids=["send", "account", "port", "no path", "query"],
)
def test_a_signature_is_the_one_botocore_makes(url: str, method: str, body: bytes, token: str) -> None:
    headers = {"Content-Type": "application/json", "X-Two": "  two   blanks "}
    now = dt.datetime(2026, 3, 1, 23, 59, 59, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    assert_same_as_botocore(method, url, headers, body, token, now)


@given(
    body=st.binary(max_size=200),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50),
    path=st.text(st.characters(codec="ascii", categories=["L", "Nd"], include_characters="-_.~/"), max_size=40),
    seconds=st.integers(min_value=1_577_836_800, max_value=4_000_000_000),
)
def test_any_request_is_signed_as_botocore_signs_it(body: bytes, value: str, path: str, seconds: int) -> None:
    now = dt.datetime.fromtimestamp(seconds, dt.UTC)
    clean = "/".join(part for part in path.split("/") if part.strip("."))  # botocore resolves "..": we never send one
    assert_same_as_botocore("POST", f"https://host.example/{clean}", {"X-Value": value}, body, "", now)


def assert_same_as_botocore(
    method: str, url: str, headers: dict[str, str], body: bytes, token: str, now: dt.datetime
) -> None:
    ours = signed(
        method, url, headers, body, credentials=Credentials(ACCESS_KEY, SECRET, token), region="eu-central-1",
        service="ses", now=now,
    )  # fmt: skip
    request = AWSRequest(method, url, headers={n: v for n, v in ours.items() if n != "Authorization"}, data=body)
    request.context["timestamp"] = ours["X-Amz-Date"]
    signer = SigV4Auth(BotoCredentials(ACCESS_KEY, SECRET, token or None), "ses", "eu-central-1")
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["Authorization"].rpartition("Signature=")[2] == expected


async def test_a_wrong_secret_is_credentials_and_never_shown() -> None:
    async with (
        SesServer().running() as server,
        sender_for(server.url, secret_access_key="hunter2-is-wrong-here") as opened,
    ):
        (result,) = await opened.send_batch([mail()])
        health = await opened.health()
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.CREDENTIALS, True)
    assert not health.ok
    assert "hunter2" not in repr([result, health, opened, opened.__dict__])


# What is asked of SES


async def test_a_message_is_asked_for_with_everything_it_has() -> None:
    message = a_message(
        Kind.EMAIL,
        "ann@b\u00fccher.example",
        message_id=OUR_ID,
        content=EmailContent(
            subject="Gr\u00fc\u00dfe \U0001f600",
            html="<p>Gr\u00fc\u00dfe</p>",
            text="Gr\u00fc\u00dfe",
            headers={"List-Unsubscribe": "<https://example.com/u?id=1>", "X-Word": "na\u00efve"},
            reply_to=("help@example.com", "Ann M\u00fcller <ann@example.com>"),
            attachments=(Attachment("Pl\u00e4ne.pdf", "application/pdf", b"%PDF\x00\xff"),),
        ),
        origination='"Smith, Ann" <ann@news.example.com>',
        attributes={"campaign_id": "c1", "treatment_id": "2", "endpoint_id": "e1", "activity_id": "not a tag"},
    )
    async with (
        SesServer().running() as server,
        sender_for(server.url, configuration_set="events", return_path="bounces@example.com") as opened,
    ):
        (result,) = await opened.send_batch([message])
        assert result == Accepted("0107019-000001-000000")
        (asked,) = server.taken
    assert asked == {
        "FromEmailAddress": '"Smith, Ann" <ann@news.example.com>',
        "Destination": {"ToAddresses": ["ann@xn--bcher-kva.example"]},
        "ReplyToAddresses": ["help@example.com", "=?utf-8?q?Ann_M=C3=BCller?= <ann@example.com>"],
        "FeedbackForwardingEmailAddress": "bounces@example.com",
        "ConfigurationSetName": "events",
        "EmailTags": [
            {"Name": "heliograph_message_id", "Value": OUR_ID},
            {"Name": "campaign_id", "Value": "c1"},
            {"Name": "treatment_id", "Value": "2"},
        ],
        "Content": {
            "Simple": {
                "Subject": {"Data": "Gr\u00fc\u00dfe \U0001f600", "Charset": "UTF-8"},
                "Body": {
                    "Html": {"Data": "<p>Gr\u00fc\u00dfe</p>", "Charset": "UTF-8"},
                    "Text": {"Data": "Gr\u00fc\u00dfe", "Charset": "UTF-8"},
                },
                "Headers": [
                    {"Name": "List-Unsubscribe", "Value": "<https://example.com/u?id=1>"},
                    {"Name": "X-Word", "Value": "=?utf-8?b?bmHDr3Zl?="},
                    {"Name": "X-Heliograph-Message-Id", "Value": OUR_ID},
                ],
                "Attachments": [
                    {
                        "FileName": "Pl\u00e4ne.pdf",
                        "ContentType": "application/pdf",
                        "ContentDisposition": "ATTACHMENT",
                        "ContentTransferEncoding": "BASE64",
                        "RawContent": base64.b64encode(b"%PDF\x00\xff").decode(),
                    }
                ],
            }
        },
    }


async def test_a_raw_message_goes_as_it_is_to_the_one_recipient() -> None:
    raw = b"From: news@example.com\r\nTo: everybody@example.com\r\nSubject: x\r\n\r\n\xff\x00raw\r\n"
    async with SesServer().running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail(raw=raw, headers={"Bad Name": ""}, reply_to=("no address",))])
        assert isinstance(result, Accepted), result
        (asked,) = server.taken
    assert base64.b64decode(asked["Content"]["Raw"]["Data"]) == raw
    assert asked["Destination"] == {"ToAddresses": ["ann@example.com"]}
    assert "ReplyToAddresses" not in asked


UNSAFE = ["\r\nBcc: x@example.com", "\n", "\r", "\x00", "\u2028", "\u0085", "\x0b", "\x1b", "\ud800"]


@pytest.mark.parametrize("poison", UNSAFE, ids=[ascii(poison) for poison in UNSAFE])
@pytest.mark.parametrize(
    "where", ["subject", "header value", "header name", "reply_to", "origination", "address", "file"]
)
async def test_nothing_that_could_end_a_header_gets_through(where: str, poison: str) -> None:
    message = {
        "subject": lambda: mail(subject="News" + poison),
        "header value": lambda: mail(headers={"X-Tag": "a" + poison}),
        "header name": lambda: mail(headers={"X-Tag" + poison: "a"}),
        "reply_to": lambda: mail(reply_to=("a@example.com" + poison,)),
        "origination": lambda: mail(origination="a@example.com" + poison),
        "address": lambda: mail("a@example.com" + poison),
        "file": lambda: mail(attachments=(Attachment("a.pdf" + poison, "application/pdf", b""),)),
    }[where]()
    async with SesServer().running() as server, sender_for(server.url) as opened:
        bad, fine = await opened.send_batch([message, mail()])
        assert isinstance(bad, Rejected), bad
        assert not bad.retryable
        assert bad.detail
        assert isinstance(fine, Accepted)
        assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (mail(headers={"From": "x@example.com"}), RejectReason.INVALID_CONTENT, "From is set by the channel"),
        (mail(headers={"message-id": "<x@y>"}), RejectReason.INVALID_CONTENT, "set by the channel"),
        (mail(headers={"X-A": "1", "x-a": "2"}), RejectReason.INVALID_CONTENT, "given twice"),
        (mail(headers={"X A": "1"}), RejectReason.INVALID_CONTENT, "name that is not allowed"),
        (mail(headers={"X-A": " "}), RejectReason.INVALID_CONTENT, "is empty"),
        (mail(headers={"X-A": "y" * 996}), RejectReason.INVALID_CONTENT, "longer than 995"),
        (mail(headers={f"X-{n}": "1" for n in range(15)}), RejectReason.INVALID_CONTENT, "more than 14"),
        (mail(subject="s" * 999), RejectReason.INVALID_CONTENT, "longer than 998"),
        (mail(text="\ud800"), RejectReason.INVALID_CONTENT, "half a character"),
        (mail(attachments=(Attachment("../x", "a/b", b""),)), RejectReason.INVALID_CONTENT, "a name"),
        (mail(attachments=(Attachment("x", "text", b""),)), RejectReason.INVALID_CONTENT, "content type"),
        (mail(attachments=(Attachment("x", "a/b", b"x" * 32 * 2**20),)), RejectReason.INVALID_CONTENT, "40 MiB"),
        (mail(origination="a@example.com, b@example.com"), RejectReason.INVALID_ORIGINATION, "an address"),
        (mail("ann@localhost"), RejectReason.INVALID_ADDRESS, "the address"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_message_that_cannot_be_sent_says_why(
    message: OutgoingMessage, reason: RejectReason, words: str
) -> None:
    async with sender_for("http://127.0.0.1:1") as opened:
        (result,) = await opened.send_batch([message])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, False)
    assert words in result.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {f"X-{n}": "y" * 995 for n in range(14)}},
        {"subject": "s" * 998},
        {"headers": {"X-Accents": "\u00e9" * 150}},
        {"html": "", "text": ""},
        {"html": "x" * 2**20},
    ],
    ids=["as many headers as SES takes", "subject", "encoded header", "no text at all", "large"],
)
async def test_what_is_at_the_limit_is_taken(changes: dict[str, Any]) -> None:
    async with SesServer().running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail(**changes)])
    assert isinstance(result, Accepted), result


async def test_addresses_that_ses_cannot_carry_are_unsupported() -> None:
    async with sender_for("http://127.0.0.1:1") as opened:
        results = await opened.send_batch([mail("\u00fcn\u00ef@example.com"), mail(origination="\u00fc@example.com")])
    assert list(results) == [Unsupported("SMTPUTF8")] * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann <ann@example.com>", "Ann <ann@example.com>"),
        ("A. Smith <a@example.com>", '"A. Smith" <a@example.com>'),
        ('"a \\"b\\" c" <a@example.com>', '"a \\"b\\" c" <a@example.com>'),
        ("\u20ac <a@example.com>", "=?utf-8?b?4oKs?= <a@example.com>"),
        ("=?utf-8?q?x?= <a@example.com>", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@example.com>"),
    ],
)
def test_a_sender_is_written_so_that_it_cannot_be_read_as_another(text: str, expected: str) -> None:
    written = sender(text)
    assert written.isascii()
    assert written == expected or written.partition(" <")[2] == expected.partition(" <")[2]
    assert "\n" not in written


def test_a_long_header_stays_on_one_line() -> None:
    _, value = header_field("X-Long", "\u00e9" * 100)
    assert "\n" not in value
    assert value.isascii()
    with pytest.raises(BadField):
        header_field("X-Long", "\u00e9" * 400)


# What the answers mean


def answered(status: int, kind: str, words: str = "", *, prefix: str = "") -> Answer:
    return lambda call: Reply(status, {"message": words}, prefix + kind)


REJECTED = {
    "rate": (400, "ThrottlingException", "Maximum sending rate exceeded.", RejectReason.THROTTLED, True),
    "day": (400, "ThrottlingException", "Daily message quota exceeded.", RejectReason.QUOTA_EXCEEDED, True),
    "too many": (429, "TooManyRequestsException", "Too many requests", RejectReason.THROTTLED, True),
    "throttled without a name": (429, "", "slow down", RejectReason.THROTTLED, True),
    "limit": (400, "LimitExceededException", "", RejectReason.QUOTA_EXCEEDED, True),
    "paused": (400, "SendingPausedException", "paused", RejectReason.UNAVAILABLE, True),
    "suspended": (400, "AccountSuspendedException", "", RejectReason.CREDENTIALS, False),
    "mail from": (400, "MailFromDomainNotVerifiedException", "", RejectReason.INVALID_ORIGINATION, False),
    "no set": (404, "NotFoundException", "Configuration set does not exist.", RejectReason.REFUSED, False),
    "sender not verified": (
        400, "MessageRejected",
        "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: news@example.com",
        RejectReason.INVALID_ORIGINATION, False,
    ),
    "sandbox": (
        400, "MessageRejected",
        "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: ann@example.com",
        RejectReason.BLOCKED, False,
    ),
    "both not verified": (
        400, "MessageRejected",
        "Email address is not verified. The following identities failed the check in region X: ann@example.com, news@example.com",
        RejectReason.INVALID_ORIGINATION, False,
    ),
    "virus": (400, "MessageRejected", "Message contains a virus", RejectReason.INVALID_CONTENT, False),
    "other rejection": (400, "MessageRejected", "Message rejected", RejectReason.BLOCKED, False),
    "suppressed": (400, "MessageRejected", "Address is on the suppression list", RejectReason.BLOCKED, False),
    "domain": (400, "BadRequestException", "Missing final '@domain'", RejectReason.INVALID_ADDRESS, False),
    "local part": (400, "BadRequestException", "Local address contains control or whitespace", RejectReason.INVALID_ADDRESS, False),
    "header": (400, "BadRequestException", "Header name is not allowed", RejectReason.INVALID_CONTENT, False),
    "other bad request": (400, "BadRequestException", "1 validation error", RejectReason.REFUSED, False),
    "forbidden": (403, "AccessDeniedException", "not authorized to perform ses:SendEmail", RejectReason.CREDENTIALS, True),
    "unknown key": (403, "UnrecognizedClientException", "invalid", RejectReason.CREDENTIALS, True),
    "expired token": (403, "ExpiredTokenException", "expired", RejectReason.CREDENTIALS, True),
    "forbidden without a name": (403, "", "", RejectReason.CREDENTIALS, True),
    "unavailable": (503, "ServiceUnavailable", "", RejectReason.UNAVAILABLE, True),
    "unavailable without a name": (503, "", "", RejectReason.UNAVAILABLE, True),
    "redirect": (302, "", "", RejectReason.REFUSED, False),
    "strange": (418, "", "", RejectReason.REFUSED, False),
}  # fmt: skip


@pytest.mark.parametrize(("status", "kind", "words", "reason", "again"), REJECTED.values(), ids=REJECTED)
async def test_each_error_of_ses_has_its_reason(
    status: int, kind: str, words: str, reason: RejectReason, again: bool
) -> None:
    async with SesServer(answered(status, kind, words)).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
        assert isinstance(result, Rejected), result
        assert (result.reason, result.retryable) == (reason, again)
        assert words in result.detail
        assert len(server.calls) == 1


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"message": 1}', b"[" * 10_000], ids=repr)
@pytest.mark.parametrize("status", [500, 502, 504], ids=str)
async def test_an_error_that_ses_may_not_have_written_leaves_the_message_in_doubt(status: int, body: bytes) -> None:
    async with SesServer(lambda call: Reply(status, body)).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert isinstance(result, Unknown), result
    assert str(status) in result.detail


@pytest.mark.parametrize("prefix", ["com.amazonaws.sesv2#", ""])
async def test_the_name_of_an_error_may_stand_in_the_body(prefix: str) -> None:
    answer = Reply(400, {"__type": f"{prefix}TooManyRequestsException:http://x", "Message": "slow"})
    async with SesServer(lambda call: answer).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert result == Rejected(RejectReason.THROTTLED, True, "SES answered 400 TooManyRequestsException: slow")


# Connections that break


async def test_nobody_there_is_a_rejection_that_may_be_repeated() -> None:
    async with SesServer().running() as server:
        url = server.url
    async with sender_for(url) as opened:
        (result,) = await opened.send_batch([mail()])
        health = await opened.health()
    assert isinstance(result, Rejected), result
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert not health.ok


async def test_a_connection_lost_after_the_request_leaves_the_message_in_doubt() -> None:
    async with SesServer(lambda call: None).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
        assert isinstance(result, Unknown), result
        assert len(server.calls) == 1  # and it was not sent again


async def test_a_connection_lost_within_an_error_leaves_the_message_in_doubt() -> None:
    reply = Reply(400, {"message": "x" * 100}, cut=20)
    async with SesServer(lambda call: reply).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert isinstance(result, Unknown), result


async def test_a_connection_lost_within_the_acceptance_is_an_acceptance() -> None:
    reply = Reply(200, {"MessageId": "0107019-1-000000"}, cut=10)
    async with SesServer(lambda call: reply).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert result == Accepted("r-1")


async def test_no_answer_in_time_leaves_the_message_in_doubt() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async with SesServer(delay=never).running() as server, sender_for(server.url, timeout=0.2) as opened:
        (result,) = await opened.send_batch([mail()])
    assert isinstance(result, Unknown), result


async def test_a_kept_connection_that_the_server_closed_costs_nothing() -> None:
    async with SesServer().running() as server, sender_for(server.url, connections=1) as opened:
        assert isinstance((await opened.send_batch([mail()]))[0], Accepted)
        server.drop()
        await asyncio.sleep(0)
        assert isinstance((await opened.send_batch([mail()]))[0], Accepted)
        assert server.connections == 2


async def test_calls_are_as_many_at_once_as_there_are_connections() -> None:
    waiting: list[asyncio.Event] = []

    async def hold() -> None:
        waiting.append(asyncio.Event())
        await waiting[-1].wait()

    async with SesServer(delay=hold).running() as server, sender_for(server.url, connections=3) as opened:
        sending = asyncio.ensure_future(opened.send_batch([mail() for _ in range(7)]))  # noqa: RUF006 - awaited below
        released = 0
        while not sending.done():
            async with asyncio.timeout(10):
                while len(waiting) < min(7, released + 3):
                    await asyncio.sleep(0)
            assert server.connections == 3
            assert len(server.calls) == min(7, released + 3)
            waiting[released].set()
            released += 1
            if released == 7:
                await sending
        assert all(isinstance(result, Accepted) for result in sending.result())


# Health


@pytest.mark.parametrize(
    ("reply", "ok", "words"),
    [
        (Reply(200, {"SendingEnabled": True, "SendQuota": {"Max24HourSend": 10.0, "SentLast24Hours": 9.0}}), True, "9 of 10"),
        (Reply(200, {"SendingEnabled": True, "SendQuota": {"Max24HourSend": 10.0, "SentLast24Hours": 10.0}}), False, "10 of 10"),
        (Reply(200, {"SendingEnabled": True, "SendQuota": {"Max24HourSend": -1.0, "SentLast24Hours": 9.0}}), True, ""),
        (Reply(200, {"SendingEnabled": False}), False, "paused"),
        (Reply(200, {"SendingEnabled": True, "EnforcementStatus": "SHUTDOWN"}), False, "suspended"),
        (Reply(403, {}, "AccessDeniedException"), True, "ses:GetAccount"),
        (Reply(403, {"message": "expired"}, "ExpiredTokenException"), False, "expired"),
        (Reply(500, b"<html>"), False, "500"),
        (Reply(200, b"[]"), True, ""),
        (None, False, ""),
    ],
    ids=["fine", "quota used up", "no quota", "paused", "suspended", "may not ask", "expired", "broken", "odd", "dropped"],
)  # fmt: skip
async def test_health_says_whether_the_account_may_send(reply: Reply | None, ok: bool, words: str) -> None:
    def answer(call: Call) -> Reply | None:
        assert (call.method, call.path) == ("GET", "/v2/email/account")
        return reply

    async with SesServer(answer).running() as server, sender_for(server.url) as opened:
        health = await opened.health()
    assert health.ok is ok
    assert words in health.detail


# Settings


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"region": "Frankfurt"}, {"region"}),
        ({"from_address": "x\n"}, {"from_address"}),
        ({"from_address": "\u00fc@example.com"}, {"from_address"}),
        ({"return_path": "Ann <a@example.com>"}, {"return_path"}),
        ({"topic_arn": "arn:aws:sqs:eu-central-1:123456789012:x"}, {"topic_arn"}),
        ({"topic_arn": TOPIC + "\n"}, {"topic_arn"}),
        ({"endpoint_url": "http://ses.example"}, {"endpoint_url"}),
        ({"endpoint_url": "https://user:secret@ses.example"}, {"endpoint_url"}),
        ({"endpoint_url": "https://ses.example/path?x"}, {"endpoint_url"}),
        ({"endpoint_url": "file:///etc/passwd"}, {"endpoint_url"}),
        ({"endpoint_url": "https://ses.example:port"}, {"endpoint_url"}),
        ({"connections": 0, "timeout": 121}, {"connections", "timeout"}),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set) else str(value)[:60],
)
def test_wrong_settings_are_named(changes: dict[str, object], fields: set[str]) -> None:
    assert {problem.field for problem in SesChannel().check_settings({**settings_for(), **changes})} == fields


@pytest.mark.parametrize(
    "url", ["https://vpce-1.email.eu-central-1.vpce.amazonaws.com", "http://127.0.0.1:8080/", "http://[::1]:1"]
)
def test_other_endpoints_are_good_settings(url: str) -> None:
    assert not SesChannel().check_settings(settings_for(url))


def test_every_region_has_its_endpoint() -> None:
    assert endpoint_of("us-east-1", "") == "https://email.us-east-1.amazonaws.com"
    assert endpoint_of("cn-north-1", "") == "https://email.cn-north-1.amazonaws.com.cn"
    assert endpoint_of("us-east-1", "http://127.0.0.1:1/") == "http://127.0.0.1:1"


def test_receipts_are_promised_with_a_topic_only() -> None:
    channel = SesChannel()
    assert channel.capabilities_for(settings_for(topic_arn=TOPIC)).receipts
    assert not channel.capabilities_for(settings_for()).receipts
    assert not channel.capabilities_for(settings_for()).webhook


def test_the_readme_names_every_setting() -> None:
    readme = (Path(__file__).parents[2] / "plugins" / "ses" / "README.md").read_text()
    properties = SesChannel.settings_schema["properties"]
    assert isinstance(properties, dict)
    assert [name for name in properties if f"`{name}`" not in readme] == []
