"""DKIM signatures of the smtp channel, verified by another implementation (dkimpy), over a corpus and over random mail."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Sequence
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph_channel_smtp import SmtpChannel
from heliograph_channel_smtp.dkim import (
    BadKey,
    Identity,
    NoFrom,
    PrivateKey,
    canonical_body,
    canonical_header,
    dns_record,
    load_key,
    signatures,
)
from heliograph_channels import Accepted, EmailContent, Kind
from heliograph_channels.testing import RecordingContext, a_message
from tests.plugins.smtp_servers import RealServer, content_of

DOMAIN, WHEN = "example.com", 1_772_000_000
KEYS: dict[str, PrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}


def pem(key: Any) -> str:
    octets = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert isinstance(octets, bytes)
    return octets.decode()


def identity(selector: str) -> Identity:
    return Identity(DOMAIN, selector, KEYS[selector])


def published(name: bytes, timeout: int = 5) -> bytes:
    """Answer as the domain's name server would."""
    selector, _, rest = name.decode().partition("._domainkey.")
    assert rest == f"{DOMAIN}."
    return dns_record(KEYS[selector]).encode()


def verifies(mail: bytes, which: int = 0) -> bool:
    result = dkim.DKIM(mail).verify(idx=which, dnsfunc=published)
    assert isinstance(result, bool)
    return result


def signed(mail: bytes, selectors: Sequence[str] = ("rsa",)) -> bytes:
    return signatures([identity(selector) for selector in selectors], mail, WHEN) + mail


HEAD = b"From: News <news@example.com>\r\nTo: ann@example.com\r\nSubject: News\r\nDate: Sun, 01 Mar 2026 12:00:00 +0000\r\n"
CORPUS = {
    "no body": HEAD + b"\r\n",
    "no body and no blank line": HEAD,
    "one empty line": HEAD + b"\r\n\r\n",
    "many empty lines": HEAD + b"\r\n" + b"\r\n" * 20,
    "only blanks": HEAD + b"\r\n  \t \r\n",
    "trailing empty lines": HEAD + b"\r\nHello\r\n\r\n\r\n\r\n",
    "trailing lines of blanks": HEAD + b"\r\nHello\r\n \r\n\t\r\n",
    "trailing blanks": HEAD + b"\r\nHello \t \r\nworld\t\r\n",
    "leading blanks": HEAD + b"\r\n    Hello\r\n\tworld\r\n",
    "runs of blanks": HEAD + b"\r\na  b \t \t c" + b" " * 1001 + b"d\r\n",
    "no line end at the end": HEAD + b"\r\nHello",
    "dots": HEAD + b"\r\n.\r\n..\r\n...x\r\n",
    "folded headers": b"From: News\r\n <news@example.com>\r\nSubject: a\r\n\t b \r\n  c\r\nTo:ann@example.com\r\n\r\nx\r\n",
    "odd blanks in headers": b"from:  news@example.com \t\r\nSUBJECT:\tx   y\r\nTo: \r\n\r\nx\r\n",
    "UTF-8 everywhere": "From: n\u00fc@example.com\r\nSubject: Gr\u00fc\u00dfe \U0001f600\r\n\r\nGr\u00fc\u00dfe  \u20ac\r\n".encode(),
    "octets that are no text": HEAD + b"\r\n\xff\xfe \x00 \x80\r\n",
    "several fields of one name": HEAD + b"Cc: a@example.com\r\nCc: b@example.com\r\n\r\nx\r\n",
    "a signature that is there": b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; b=xx\r\n" + HEAD + b"\r\nx\r\n",
    "List-Unsubscribe": HEAD
    + b"List-Unsubscribe: <https://example.com/u?id=1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nx\r\n",
    "all that is signed": HEAD
    + b"Reply-To: a@example.com\r\nMessage-ID: <x@y>\r\nIn-Reply-To: <z@y>\r\nReferences: <z@y>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\nList-Id: <l.example.com>\r\n\r\nx\r\n",
    "large": HEAD + b"\r\n" + b"<p>  some  markup </p>\r\n" * 20_000,
}


@pytest.mark.parametrize("selector", KEYS)
@pytest.mark.parametrize("mail", CORPUS.values(), ids=CORPUS)
def test_another_implementation_verifies_the_corpus(mail: bytes, selector: str) -> None:
    whole = signed(mail, [selector])
    assert verifies(whole)
    head = whole.partition(b"\r\n\r\n")[0]
    assert max(len(line) for line in head.split(b"\r\n")) <= 998
    field = head.partition(b"\r\nFrom")[0]
    assert all(len(line) <= 78 for line in field.split(b"\r\n") if line.startswith((b"DKIM", b" b", b" h")))


WORDS = st.lists(
    st.sampled_from([b" ", b"  ", b"\t", b"a", b".", b"\r\n", b"\r\n\r\n", b"\xc3\xa9", b"=", b":"]), max_size=30
)


@given(words=WORDS)
@example(words=[])
def test_bodies_take_the_form_another_implementation_gives_them(words: list[bytes]) -> None:
    body = b"".join(words)
    body += b"\r\n" if body.endswith((b" ", b"\t")) else b""  # what is sent ends with a line end
    assert canonical_body(body) == dkim.canonicalization.Relaxed.canonicalize_body(body)


@given(value=WORDS)
def test_headers_take_the_form_another_implementation_gives_them(value: list[bytes]) -> None:
    # A line break in a header is a fold: something follows it, and it starts with a blank.
    text = re.sub(rb"(\r\n)+", b"\r\n ", b"".join(value))
    text = re.sub(rb"\r\n[ \t]*$", b"", text)
    ((name, expected),) = dkim.canonicalization.Relaxed.canonicalize_headers([(b"X-Name ", text)])
    assert canonical_header(b"X-Name ", text) + b"\r\n" == name + b":" + expected


@given(words=WORDS, subject=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_random_mail_verifies(words: list[bytes], subject: str) -> None:
    assert verifies(signed(HEAD + b"X-A: " + subject.encode() + b"\r\n\r\n" + b"".join(words) + b"\r\n", ["ed"]))


def test_both_signatures_of_two_keys_verify() -> None:
    whole = signed(CORPUS["UTF-8 everywhere"], ["rsa", "ed"])
    assert whole.count(b"DKIM-Signature:") == 2
    assert verifies(whole, 0)
    assert verifies(whole, 1)
    assert b"a=rsa-sha256" in whole
    assert b"a=ed25519-sha256" in whole


CHANGES = {
    "body": lambda mail: mail.replace(b"world", b"World"),
    "blank lines inside": lambda mail: mail.replace(b"Hello\r\n", b"Hello\r\n\r\n"),
    "subject": lambda mail: mail.replace(b"Subject: News", b"Subject: Olds"),
    "another From": lambda mail: b"From: evil@example.com\r\n" + mail,
    "another Subject": lambda mail: b"Subject: evil\r\n" + mail,
    "an added Reply-To": lambda mail: b"Reply-To: evil@example.com\r\n" + mail,
    "an added Cc": lambda mail: b"Cc: evil@example.com\r\n" + mail,
    "the time of signing": lambda mail: mail.replace(str(WHEN).encode(), str(WHEN + 1).encode()),
    "the selector": lambda mail: mail.replace(b"s=rsa", b"s=ed"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_changed_on_the_way_does_not_verify(change: Any) -> None:
    mail = signed(HEAD + b"\r\nHello\r\nworld\r\n")
    assert verifies(mail)
    assert change(mail) != mail
    with contextlib.suppress(dkim.DKIMException, ValueError):  # a key of another kind
        assert not verifies(change(mail))


def test_what_relays_may_change_does_no_harm() -> None:
    mail = signed(HEAD + b"\r\nHello  world\r\n\r\n")
    relayed = b"Received: by mx; Sun, 1 Mar 2026\r\n" + mail.replace(b"Subject: News", b"SUBJECT:\r\n   News ")
    assert verifies(relayed.replace(b"Hello  world\r\n\r\n", b"Hello\t world \r\n\r\n\r\n"))


def test_a_mail_without_from_is_not_signed() -> None:
    with pytest.raises(NoFrom):
        signed(b"Subject: x\r\n\r\nx\r\n")


# Keys


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (pem(KEYS["rsa"]), rsa.RSAPrivateKey),
        (pem(KEYS["ed"]), ed25519.Ed25519PrivateKey),
        ("\n" + pem(KEYS["ed"]) + "\n\n", ed25519.Ed25519PrivateKey),
        (base64.b64encode(b"s" * 32).decode() + "\n", ed25519.Ed25519PrivateKey),
        (pem(rsa.generate_private_key(65537, 1024)), rsa.RSAPrivateKey),
    ],
    ids=["rsa", "ed25519", "blank lines", "seed", "smallest rsa"],
)
def test_keys_come_as_pem_or_as_a_seed(text: str, kind: type) -> None:
    assert isinstance(load_key(text), kind)


def encrypted() -> str:
    octets = KEYS["rsa"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    return octets.decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        base64.b64encode(b"s" * 31).decode(),
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\u00e9",
        pem(ec.generate_private_key(ec.SECP256R1())),
        encrypted(),
    ],
    ids=["empty", "a word", "short seed", "broken", "not ASCII", "elliptic curve", "encrypted"],
)
def test_other_keys_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(BadKey) as caught:
        load_key(text)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    settings = {
        "host": "h",
        "from_address": "a@example.com",
        "dkim_domain": DOMAIN,
        "dkim_selector": "s",
        "dkim_key": text,
    }
    problems = SmtpChannel().check_settings(settings)
    assert "hunter2" not in repr(list(problems))
    if text:
        assert [problem.field for problem in problems] == ["dkim_key"]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"dkim_key": pem(KEYS["ed"])}, {"dkim_domain", "dkim_selector"}),
        ({"dkim_selector": "s"}, {"dkim_key"}),
        ({"dkim_domain": "not a domain"}, {"dkim_domain"}),
        ({"dkim_domain": DOMAIN, "dkim_selector": "a b", "dkim_key": pem(KEYS["ed"])}, {"dkim_selector"}),
        (
            {"dkim_domain": DOMAIN, "dkim_selector": "s", "dkim_key": pem(KEYS["ed"]), "dkim_second_selector": "s",
             "dkim_second_key": pem(KEYS["ed"])},
            {"dkim_second_selector"},
        ),
        ({"dkim_domain": DOMAIN, "dkim_second_key": pem(KEYS["ed"])}, {"dkim_second_selector"}),
    ],
    ids=["key alone", "selector alone", "domain", "selector", "one selector twice", "second key alone"],
)  # fmt: skip
def test_settings_of_signing_belong_together(changes: dict[str, object], fields: set[str]) -> None:
    settings = {"host": "h", "from_address": "a@example.com", **changes}
    assert {problem.field for problem in SmtpChannel().check_settings(settings)} == fields


# Through the channel


BODIES = [
    "",
    "Hello",
    "Hello\n\n\n",
    "\n\n",
    "caf\u00e9 " * 80,
    "\u0417\u0434\u0440 " * 90,
    ".\n..\nx\n",
    "a \t \nb  c",
    "x" * 70_000,
]


async def test_what_arrives_verifies_whatever_the_message_holds() -> None:
    with RealServer() as server:
        settings = {
            "host": "127.0.0.1",
            "port": server.port,
            "security": "none",
            "from_address": "M\u00fcller & S\u00f6hne <news@example.com>",
            "dkim_domain": DOMAIN,
            "dkim_selector": "rsa",
            "dkim_key": pem(KEYS["rsa"]),
            "dkim_second_selector": "ed",
            "dkim_second_key": pem(KEYS["ed"]),
        }
        sender = await SmtpChannel().open(settings, RecordingContext().context)
        contents = [
            EmailContent(
                subject="Gr\u00fc\u00dfe " * 12,
                text=text,
                html=html,
                headers={"List-Unsubscribe": "<https://example.com/u?id=1>", "X-Long": "word " * 60},
                reply_to=("help@example.com",),
            )
            for text, html in [*((body, "") for body in BODIES), *((body, f"<p>{body}</p>") for body in BODIES)]
        ]
        results = await sender.send_batch([a_message(Kind.EMAIL, "ann@example.com", content=one) for one in contents])
        await sender.close()
        assert all(isinstance(result, Accepted) for result in results), results
        for envelope in server.envelopes:
            mail = content_of(envelope)
            assert verifies(mail, 0)
            assert verifies(mail, 1)
            assert b"list-unsubscribe" in mail.partition(b"bh=")[0]
        assert len(server.envelopes) == len(contents)
    assert "BEGIN" not in repr([sender, sender.__dict__])
