"""The channel SES: what is asked of it, its health and its settings."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from heliograph_channel_ses import SesChannel
from heliograph_channel_ses.addresses import BadField, header_field, sender
from heliograph_channel_ses.settings import endpoint_of
from heliograph_channels import (
    Accepted,
    Attachment,
    ChannelProvider,
    EmailContent,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Unsupported,
)
from heliograph_channels.testing import ChannelContract, a_message
from tests.plugins.ses_sender import mail, sender_for, settings_for
from tests.plugins.ses_server import Call, Reply, SesServer
from tests.plugins.sns_topic import OUR_ID, TOPIC


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
