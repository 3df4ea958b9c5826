"""The octets of e-mails: files, further headers, whole messages, one-click unsubscribing, and nothing smuggled in."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channel_smtp.headers import BadHeader, file_headers, header_line
from heliograph_channel_smtp.mime import Frame, frame
from heliograph_channel_smtp.whole import BadMessage, whole
from heliograph_channels import Attachment, EmailContent, Kind, Rejected, RejectReason
from heliograph_channels.testing import a_message

pytestmark = pytest.mark.unit
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
PDF = Attachment("plan.pdf", "application/pdf", b"%PDF-1.7 \x00\xff" * 100)
UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://shop.example/u?t=1>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}


def framed(**changes: object) -> Frame | Rejected:
    content = EmailContent(**{"subject": "News", "html": "<p>Hi</p>", "text": "Hi", **changes})  # type: ignore[arg-type]
    message = a_message(Kind.EMAIL, "ann@example.com", content=content)
    return cast(Frame | Rejected, frame(message, default_from="news@example.com", envelope_from="", now=NOW))


def octets(**changes: object) -> bytes:
    built = framed(**changes)
    assert isinstance(built, Frame), built
    assert built.content.endswith(b"\r\n.\r\n")
    return built.content[:-3].replace(b"\r\n..", b"\r\n.")


def parsed(**changes: object) -> EmailMessage:
    read = email.message_from_bytes(octets(**changes), policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    assert not read.defects
    return read


def refused(**changes: object) -> str:
    built = framed(**changes)
    assert isinstance(built, Rejected), built
    assert (built.reason, built.retryable) == (RejectReason.INVALID_CONTENT, False)
    return built.detail


@pytest.mark.parametrize(
    "changes",
    [{}, {"html": ""}, {"text": ""}, {"text": "=_" * 50 + "\n--=_"}],
    ids=["both parts", "text alone", "HTML alone", "text like a boundary"],
)
def test_files_stand_behind_what_is_read(changes: dict[str, object]) -> None:
    got = parsed(attachments=(PDF, Attachment("a b.txt", "text/plain", b"x")), **changes)
    assert got.get_content_type() == "multipart/mixed"
    words, first, second = cast("list[EmailMessage]", got.get_payload())
    assert words.get_content_type() == (
        "multipart/alternative" if not changes or "\n" in str(changes.get("text")) else
        "text/plain" if changes.get("html") == "" else "text/html"
    )  # fmt: skip
    assert (first.get_content_type(), first.get_filename(), first.get_payload(decode=True)) == (
        "application/pdf", "plan.pdf", PDF.data,
    )  # fmt: skip
    assert (second.get_filename(), second.get_content_disposition()) == ("a b.txt", "attachment")
    assert second.get_payload(decode=True) == b"x"


@pytest.mark.parametrize(
    "name",
    [
        "a.pdf",
        "a b.pdf",
        'say "hi".pdf',
        "Übersicht.pdf",
        "計画書" * 40,
        "n" * 255,
        "%41.pdf",
        "a;b=c,d.pdf",
        "l'été.pdf",
    ],
    ids=["plain", "blank", "quotes", "umlaut", "long foreign", "long", "percent", "separators", "apostrophe"],
)
def test_a_file_arrives_under_its_own_name(name: str) -> None:
    got = parsed(attachments=(Attachment(name, "application/pdf", b"x"),))
    _, file = cast("list[EmailMessage]", got.get_payload())
    assert file.get_filename() == name
    assert (
        max(len(line) for line in octets(attachments=(Attachment(name, "application/pdf", b"x"),)).split(b"\r\n")) < 100
    )


UNSAFE = ["\r\nBcc: x@example.com", "\n", "\r", "\x00", "\u2028", "\u2029", "\u0085", "\x0b", "\x1b", "\ud800"]


@pytest.mark.parametrize("poison", UNSAFE, ids=[ascii(poison) for poison in UNSAFE])
@pytest.mark.parametrize("end", [True, False], ids=["at the end", "inside"])
@pytest.mark.parametrize("where", ["file name", "file type", "header value", "header name", "unsubscribe", "subject"])
def test_nothing_that_could_end_a_header_gets_through(where: str, end: bool, poison: str) -> None:
    bad = f"a{poison}" if end else f"a{poison}b"
    changes: dict[str, object] = {
        "file name": {"attachments": (Attachment(bad, "application/pdf", b"x"),)},
        "file type": {"attachments": (Attachment("a", f"text/{bad}", b"x"),)},
        "header value": {"headers": {"X-A": bad}},
        "header name": {"headers": {f"X-{bad}": "1"}},
        "unsubscribe": {"headers": UNSUBSCRIBE | {"List-Unsubscribe": f"<https://shop.example/{bad}>"}},
        "subject": {"subject": bad},
    }[where]  # type: ignore[assignment]
    assert refused(**changes)


@given(st.text(max_size=60), st.sampled_from(["text/plain", "image/png"]))
def test_the_header_of_a_file_has_three_fields_or_is_refused(name: str, content_type: str) -> None:
    try:
        head = file_headers(name, content_type)
    except BadHeader:
        return
    lines = [line for line in head.split("\r\n") if line]
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [
        "Content-Type", "Content-Disposition", "Content-Transfer-Encoding",
    ]  # fmt: skip
    assert head.isascii()
    assert not any(ord(character) < 32 for line in lines for character in line)


@pytest.mark.parametrize(
    ("attachment", "words"),
    [
        (Attachment("", "text/plain", b""), "name"),
        (Attachment("n" * 256, "text/plain", b""), "name"),
        (Attachment("../etc/passwd", "text/plain", b""), "name"),
        (Attachment("c:\\x", "text/plain", b""), "name"),
        (Attachment("a", "text", b""), "type"),
        (Attachment("a", "text/plain; charset=x", b""), "type"),
        (Attachment("a", "multipart/mixed", b""), "type"),
        (Attachment("a", "Message/RFC822", b""), "type"),
    ],
)
def test_a_file_that_cannot_be_named_is_refused(attachment: Attachment, words: str) -> None:
    assert words in refused(attachments=(attachment,))


def test_a_message_has_ten_megabytes_with_its_files_and_not_one_octet_more() -> None:
    def of(size: int) -> Attachment:
        return Attachment("a.bin", "application/octet-stream", b"\0" * size)

    room = 10 * 1024 * 1024 - (len(octets(attachments=(of(57),))) - 78)
    lines, rest = divmod(room, 78)
    size = lines * 57 + rest // 4 * 3 - 57
    assert len(octets(attachments=(of(size),))) <= 10 * 1024 * 1024
    assert "10 MiB" in refused(attachments=(of(size + 114),))


def test_one_click_headers_leave_whole_and_unencoded() -> None:
    got = parsed(headers=UNSUBSCRIBE | {"X-Campaign": "Grüße"})
    assert got["List-Unsubscribe"] == "<https://shop.example/u?t=1>"
    assert got["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert got["X-Campaign"] == "Grüße"
    long = f"<https://shop.example/{'t' * 800}>"
    assert f"List-Unsubscribe: {long}\r\n".encode() in octets(headers=UNSUBSCRIBE | {"List-Unsubscribe": long})


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}, "needs an https address"),
        (UNSUBSCRIBE | {"List-Unsubscribe": "<mailto:u@shop.example>"}, "needs an https address"),
        (UNSUBSCRIBE | {"List-Unsubscribe": "<http://shop.example/u>"}, "needs an https address"),
        (UNSUBSCRIBE | {"List-Unsubscribe": "https://shop.example/u"}, "needs an https address"),
        (UNSUBSCRIBE | {"List-Unsubscribe-Post": "yes"}, "must be List-Unsubscribe=One-Click"),
        ({"List-Unsubscribe": "<https://shop.example/ü>"}, "characters that its links cannot have"),
        ({"list-id": "Grüße <a.b>"}, "characters that its links cannot have"),
    ],
    ids=["no link", "mail alone", "no encryption", "no brackets", "other words", "umlaut", "any list header"],
)
def test_one_click_is_said_in_whole_or_not_at_all(headers: dict[str, str], words: str) -> None:
    assert words in refused(headers=headers)


def test_a_mail_address_may_stand_beside_the_link() -> None:
    both = "<mailto:u@shop.example>, <https://shop.example/u>"
    assert parsed(headers=UNSUBSCRIBE | {"List-Unsubscribe": both})["List-Unsubscribe"] == both


def test_header_names_have_126_characters_and_no_more() -> None:
    assert header_line("X" * 126, "1")
    with pytest.raises(BadHeader, match="name that is not allowed"):
        header_line("X" * 127, "1")


RAW = (
    b"From: Ann <ann@shop.example>\r\nTo: list:;\r\nSubject: Hi\r\n there\r\nDKIM-Signature: x\r\n\r\nBody\r\n.dot\r\n"
)


def test_a_whole_message_leaves_as_it_is_but_for_its_dots() -> None:
    built = framed(raw=RAW, subject="ignored", html="ignored")
    assert isinstance(built, Frame)
    assert built.content == RAW.replace(b"\r\n.dot", b"\r\n..dot") + b".\r\n"
    assert (built.mail_from, built.rcpt_to) == (b"<news@example.com>", b"<ann@example.com>")
    assert octets(raw=RAW.replace(b"\r\n", b"\n")) == RAW
    assert octets(raw=RAW + b"caf\xc3\xa9\r\n") == RAW + b"caf\xc3\xa9\r\n"
    assert octets(raw=RAW.removesuffix(b"\r\n")) == RAW


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"From: a@b.example", "no end of its headers"),
        (b"\r\n\r\nhello", "needs a From"),
        (b"Subject: x\r\n\r\n", "needs a From"),
        (b"From: a@b.example\r\nFrom: c@d.example\r\n\r\n", "From twice"),
        (b"From: a@b.example\r\nSUBJECT: 1\r\nsubject: 2\r\n\r\n", "Subject twice"),
        (b"From: a@b.example, c@d.example\r\n\r\n", "the From header"),
        (b"From: a@b.example\r\nBcc: c@d.example\r\n\r\n", "must not have the header Bcc"),
        (b"From: a@b.example\r\nBcc : c@d.example\r\n\r\n", "must not have the header Bcc"),
        (b"From: a@b.example\r\nReturn-Path: <>\r\n\r\n", "Return-Path"),
        (b"From: a@b.example\r\nno colon\r\n\r\n", "malformed header"),
        (b" From: a@b.example\r\n\r\n", "malformed header"),
        (b"From: a@b.example\r\nX: 1\r\n \r\nBcc: x\r\n\r\n", "malformed header"),
        (b"From: a@b.example\r\nX: 1\x0bBcc: x\r\n\r\n", "malformed header"),
        (b"From: a@b.example\r\nX: 1\nBcc: x\r\n\r\n", "mixes line ends"),
        (b"From: a@b.example\r\n\r\nx\n.\nMAIL FROM:<x>\r\n", "mixes line ends"),
        (b"From: a@b.example\r\rBcc: x\r\n\r\n", "mixes line ends"),
        (b"From: a@b.example\r\nSubject: caf\xc3\xa9\r\n\r\n", "malformed header"),
        (b"From: a@b.example\r\nX-Heliograph-Message-Id: x\r\n\r\n", "must not have"),
        (b"From: a@b.example\r\n\r\n\0", "NUL"),
        (b"From: a@b.example\r\n\r\n" + b"x" * 999, "998"),
    ],
)
def test_a_whole_message_that_is_not_one_is_refused(raw: bytes, words: str) -> None:
    assert words in refused(raw=raw)


def test_a_whole_message_may_have_lines_of_998_octets() -> None:
    assert whole(b"From: a@b.example\r\n\r\n" + b"x" * 998)


@given(st.binary(max_size=300))
def test_any_octets_are_a_whole_message_or_refused(raw: bytes) -> None:
    try:
        data = whole(raw)
    except BadMessage:
        return
    assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")


@given(
    st.lists(
        st.sampled_from([b"From: a@b.example", b"Bcc: x@y.example", b" folded", b"", b"\t", b"X: 1", b"x"]), max_size=8
    )
)
def test_whatever_is_sent_whole_has_one_sender_and_hides_nobody(lines: list[bytes]) -> None:
    try:
        data = whole(b"\r\n".join(lines))
    except BadMessage:
        return
    read = email.message_from_bytes(data, policy=email.policy.compat32)
    assert len(read.get_all("From", [])) == 1
    assert read.get_all("Bcc") is None
