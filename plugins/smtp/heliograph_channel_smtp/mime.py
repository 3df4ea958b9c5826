"""From a message to the octets after DATA.

The frame is written by hand: the standard library's message builder takes 50 times as long (performance.md F) and lets
a trailing line break end the header block on Python 3.11. Only 7-bit content is made here, so no relay ever has to
re-encode it and no extension is needed; a whole message may be 8-bit.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from heliograph_channel_smtp.headers import (
    BadHeader,
    Mailbox,
    check_one_click,
    file_headers,
    header_line,
    mailbox,
    unstructured,
)
from heliograph_channel_smtp.whole import BadMessage, whole
from heliograph_channels import (
    Attachment,
    EmailContent,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Unsupported,
    email_problem,
)

__all__ = ["Frame", "frame"]

_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
# RFC 5322 allows 998 octets; the rest is left to relays that add to a line.
_LONGEST_LINE = 900
_LARGEST = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One message ready to go: envelope, and content with the dots doubled and the final dot in place."""

    message_id: str
    mail_from: bytes
    rcpt_to: bytes
    content: bytes
    needs_utf8: bool


def frame(
    message: OutgoingMessage, *, default_from: str, envelope_from: str, now: datetime
) -> Frame | Rejected | Unsupported:
    """Build the frame, or the result that says why there is none.

    A whole message (`raw`) goes as it is; its frame has an id of ours all the same, because several recipients of one
    message have to be told apart.
    """
    content = message.content
    if not isinstance(content, EmailContent):
        return Unsupported(type(content).__name__)
    if problem := email_problem(message.address):
        return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=f"the address {problem}")
    try:
        recipient = Mailbox("", message.address)
    except BadHeader as error:
        return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=str(error))
    try:
        sender = mailbox(message.origination or default_from)
        bounces = mailbox(envelope_from) if envelope_from else sender
    except BadHeader as error:
        return Rejected(RejectReason.INVALID_ORIGINATION, retryable=False, detail=str(error))
    utf8 = recipient.needs_utf8
    try:
        if content.raw:
            data = whole(content.raw)
        else:
            head, utf8 = _head(message, content, sender, recipient, now)
            data = (head + _body(content, message.message_id)).encode("utf-8" if utf8 else "ascii")
    except (BadHeader, BadMessage) as error:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=str(error))
    except UnicodeError:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail="the text holds half a character")
    if len(data) > _LARGEST:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail="the message is larger than 10 MiB")
    data = data.replace(b"\r\n.", b"\r\n..") + (b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n")
    return Frame(
        message_id=f"{message.message_id}@{sender.domain}",
        mail_from=bounces.envelope,
        rcpt_to=recipient.envelope,
        content=data,
        needs_utf8=utf8 or bounces.needs_utf8,
    )


def _head(
    message: OutgoingMessage, content: EmailContent, sender: Mailbox, recipient: Mailbox, now: datetime
) -> tuple[str, bool]:
    if not _ID.fullmatch(message.message_id):
        raise BadHeader("the message id has characters that are not allowed")
    boxes = [sender, recipient]
    replies = ""
    if content.reply_to:
        answers = [mailbox(text) for text in content.reply_to]
        boxes += answers
        replies = "Reply-To: " + ",\r\n ".join(answer.header for answer in answers) + "\r\n"
    more = ""
    if content.headers:
        if len({name.lower() for name in content.headers}) < len(content.headers):
            raise BadHeader("a header is given twice")
        check_one_click(content.headers)
        more = "".join(header_line(name, value) for name, value in content.headers.items())
    head = (
        f"From: {sender.header}\r\n"
        f"To: {recipient.header}\r\n"
        f"{replies}"
        f"Subject: {unstructured('Subject', content.subject)}\r\n"
        f"Date: {_date(now.replace(microsecond=0))}\r\n"
        f"Message-ID: <{message.message_id}@{sender.domain}>\r\n"
        f"{more}"
        "MIME-Version: 1.0\r\n"
    )
    return head, any(box.needs_utf8 for box in boxes)


@lru_cache(maxsize=4)
def _date(now: datetime) -> str:
    return format_datetime(now.astimezone(UTC))


def _body(content: EmailContent, message_id: str) -> str:
    # "=_" occurs neither in quoted-printable nor in base64; a plain part that holds the mark is encoded. Neither mark
    # begins with the other, and both hold the first.
    mark = f"=_{message_id}"
    if not content.attachments:
        return _words(content, mark, "")
    outer = f"=_{mark}"
    files = "".join(f"\r\n--{outer}\r\n{_file(attachment)}" for attachment in content.attachments)
    return (
        f'Content-Type: multipart/mixed; boundary="{outer}"\r\n\r\n'
        f"--{outer}\r\n{_words(content, mark, mark)}{files}\r\n--{outer}--\r\n"
    )


def _words(content: EmailContent, mark: str, inside: str) -> str:
    """Return what is read; `inside` is a mark of parts around it, which must not occur in it."""
    if not content.html:
        return _part("plain", content.text, inside)
    if not content.text:
        return _part("html", content.html, inside)
    return (
        f'Content-Type: multipart/alternative; boundary="{mark}"\r\n\r\n'
        f"--{mark}\r\n{_part('plain', content.text, mark)}"
        f"\r\n--{mark}\r\n{_part('html', content.html, mark)}"
        f"\r\n--{mark}--\r\n"
    )


# The same file goes to everybody in a batch; a few are kept, as each may have 10 MB.
@lru_cache(maxsize=4)
def _file(attachment: Attachment) -> str:
    return f"{file_headers(attachment.name, attachment.content_type)}\r\n{_base64(attachment.data)}"


def _part(subtype: str, text: str, mark: str) -> str:
    """Encode one part: as it is when it is short-lined ASCII, else quoted-printable, or base64 for foreign scripts."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: "
    # Not with an expression such as [^\n]{900}, which looks at each line again from each of its characters.
    short = max(map(len, text.split("\n"))) < _LONGEST_LINE
    plain = short and text.isascii() and "\x00" not in text and not (mark and mark in text)
    if plain:
        return f"{head}7bit\r\n\r\n" + text.replace("\n", "\r\n")
    octets = text.replace("\n", "\r\n").encode()
    if len(octets) - len(text) <= len(text) // 6 and "\x00" not in text:
        return f"{head}quoted-printable\r\n\r\n" + _quoted(octets)
    return f"{head}base64\r\n\r\n" + _base64(octets)


def _quoted(octets: bytes) -> str:
    # b2a_qp ends its soft breaks like the first line break it meets: with none inside, that is a bare LF.
    quoted = b2a_qp(octets, istext=True)
    if b"\r\n" not in octets:
        quoted = quoted.replace(b"\n", b"\r\n")
    return quoted.decode("ascii")


def _base64(octets: bytes) -> str:
    pieces = [b2a_base64(octets[start : start + 57], newline=False) for start in range(0, len(octets), 57)]
    return b"\r\n".join(pieces).decode("ascii")
