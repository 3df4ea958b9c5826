"""What a mail in the bounce mailbox says: delivery status notifications, complaints, and bounces of no standard.

Formats: RFC 3464 (multipart/report with message/delivery-status), RFC 5965 (feedback reports), and what qmail, Exim and
others write as plain text. A finding always names the message it is about; mail about nothing we sent is no finding.
Anybody may write to the mailbox, so a message id (128 bits, known to those who got the message) is what a finding is
believed for.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import parseaddr, parsedate_to_datetime

from heliograph_channel_smtp.envelopes import ID_HEADER, Verp
from heliograph_channel_smtp.statuses import is_permanent, status_in
from heliograph_channels import Receipt, ReceiptKind

__all__ = ["read_bounce"]

_ID = re.compile(r"[0-9a-f]{32}")
_OUR_ID = re.compile(rf"^[> \t]*{ID_HEADER}:[ \t]*([0-9a-f]{{32}})\b", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(r"^[> \t]*Message-ID:\s*<([0-9a-f]{32})@", re.IGNORECASE | re.MULTILINE)
_SENT_TO = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To")
_DAEMONS = re.compile(r"(?:mail(?:er)?[-_. ]?daemon|postmaster|mdaemon|mail[-_. ]?delivery[-\w.]*)", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_REFERENCE = re.compile(r"<([0-9a-f]{32})@", re.IGNORECASE)
# Below a copy of our own message stands our own text, in which any number may occur.
_COPY_MARKS = (
    "Below this line is a copy",
    "This is a copy of",
    "Original message follows",
    "Original Message",
    ID_HEADER,
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PARSER = BytesParser(policy=compat32)
_MOST_FINDINGS = 20
_MOST_TEXT = 64 * 1024
_COMPLAINTS = {
    # RFC 5965 7.3 and what is in use; `not-spam` and reports of failed authentication say nothing about the person.
    "abuse": ReceiptKind.COMPLAINED,
    "fraud": ReceiptKind.COMPLAINED,
    "virus": ReceiptKind.COMPLAINED,
    "other": ReceiptKind.COMPLAINED,
    "opt-out": ReceiptKind.OPTED_OUT,
    "opt-out-list": ReceiptKind.OPTED_OUT,
}
_ACTIONS = {"failed": ReceiptKind.BOUNCED, "delivered": ReceiptKind.DELIVERED}


@dataclass(frozen=True, slots=True)
class _Mail:
    """A parsed mail with what every reader needs: the returned ids and when it says it was written."""

    message: Message
    parts: Sequence[Message]
    message_id: str
    written: datetime


def read_bounce(raw: bytes, *, verp: Verp | None, now: datetime) -> list[Receipt]:
    """Return what a mail reports, empty when it is no bounce and no complaint about a message of ours.

    `raw` may be cut off anywhere. The same mail gives the same receipts, whenever it is read; times after `now` become
    `now`. Never raises for what a mail contains.
    """
    try:
        message = _PARSER.parsebytes(raw)
        parts = list(message.walk())
        mail = _Mail(message, parts, _message_id(raw, message, parts, verp), _written(message, "Date", now))
        by_type = {part.get_content_type(): part for part in reversed(parts)}
        if (report := by_type.get("message/feedback-report")) is not None:
            return _complaint(mail, report, now)
        if (
            status := by_type.get("message/delivery-status") or by_type.get("message/global-delivery-status")
        ) is not None:
            return _notification(mail, status, now)
        return _plain_words(mail)
    except (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError):
        # The library's parser fails in many ways on hostile mail, recursion on deep nesting among them.
        return []


def _notification(mail: _Mail, status: Message, now: datetime) -> list[Receipt]:
    """Read the per-recipient groups of a delivery status notification (RFC 3464 2.3)."""
    groups = _groups(status)
    whole: Mapping[str, str] = groups[0] if groups else {}
    envelope_id = whole.get("original-envelope-id", "").strip().lower()
    message_id = envelope_id if _ID.fullmatch(envelope_id) else mail.message_id
    receipts = []
    for group in groups[:_MOST_FINDINGS]:
        action = group.get("action", "").strip().lower().split(" ")[0].split(";")[0]
        kind = _ACTIONS.get(action)
        if kind is None or not message_id:
            continue  # delayed: the server goes on trying; relayed, expanded: it went where nobody tells us more
        diagnosis = group.get("diagnostic-code", "")
        code = status_in(group.get("status", "")) or status_in(diagnosis, phrases=True) or "5.0.0"
        if code.endswith(".0.0"):  # many say 5.0.0 and mean what stands in the diagnosis
            code = status_in(diagnosis, phrases=True) or code
        recipient = _recipient(group.get("original-recipient", "") or group.get("final-recipient", ""))
        when = _instant(group.get("last-attempt-date", ""), now) or mail.written
        receipts.append(
            _receipt(kind, message_id, recipient, code, when, f"{code} {_one_line(diagnosis) or recipient}".strip())
        )
    return receipts


def _complaint(mail: _Mail, report: Message, now: datetime) -> list[Receipt]:
    groups = _groups(report)
    fields: Mapping[str, str] = groups[0] if groups else {}
    word = fields.get("feedback-type", "").strip().lower()
    kind = _COMPLAINTS.get(word)
    if kind is None or not mail.message_id:
        return []
    when = _instant(fields.get("received-date", "") or fields.get("arrival-date", ""), now) or mail.written
    recipient = _recipient(fields.get("original-rcpt-to", "") or fields.get("removal-recipient", ""))
    told = f"{word}, told by {_one_line(fields.get('user-agent', '')) or 'a feedback report'}"
    return [_receipt(kind, mail.message_id, recipient, word, when, told)]


def _plain_words(mail: _Mail) -> list[Receipt]:
    """Understand a bounce of no standard: it comes from a mail system, names our message, and tells a code.

    A null return path is not enough to make a mail system: absence notes have one, and dates that look like codes.
    """
    failed = str(mail.message.get("X-Failed-Recipients", ""))
    if not mail.message_id or not (failed or _is_of_a_mail_system(mail.message)):
        return []
    text = "\n".join(_texts(_own_parts(mail.message)))
    for mark in _COPY_MARKS:
        text = text.partition(mark)[0]
    code = status_in(text, phrases=True)
    if not code or code.startswith("2."):
        return []
    line = next((line for line in text.splitlines() if status_in(line, phrases=True) == code), "")
    recipient = parseaddr(failed.partition(",")[0])[1]
    detail = f"{code} {_one_line(line)}".strip()
    return [_receipt(ReceiptKind.BOUNCED, mail.message_id, recipient, code, mail.written, detail)]


def _receipt(kind: ReceiptKind, message_id: str, recipient: str, code: str, when: datetime, detail: str) -> Receipt:
    # Built from what the occurrence is, not from the mail that tells it: the same bounce may be told twice.
    seed = "\n".join((kind, message_id, recipient.lower(), code)).encode("utf-8", "replace")
    return Receipt(
        receipt_id=f"mail-{hashlib.sha256(seed).hexdigest()[:40]}",
        kind=kind,
        time=when,
        message_id=message_id,
        detail=detail[:500],
        permanent=kind is not ReceiptKind.BOUNCED or is_permanent(code),
    )


def _message_id(raw: bytes, message: Message, parts: Sequence[Message], verp: Verp | None) -> str:
    """Find which message the mail is about: the address it came to, our field or Message-ID in what it returns."""
    if verp is not None:
        for name in _SENT_TO:
            for value in message.get_all(name, ()):
                if found := verp.message_id(str(value)):
                    return found
    # The mail's own header is left out: its Message-ID may look like one of ours.
    end = _BLANK_LINE.search(raw)
    returned = raw[end.start() :].decode("utf-8", "replace") if end else ""
    text = "\n".join((*_texts(parts), returned))
    for pattern in (_OUR_ID, _MESSAGE_ID):
        if match := pattern.search(text):
            return match[1].lower()
    for name in ("In-Reply-To", "References"):
        if match := _REFERENCE.search(str(message.get(name, ""))):
            return match[1].lower()
    return ""


def _own_parts(message: Message) -> Iterator[Message]:
    """Walk through the parts, and not into messages that are enclosed."""
    if message.get_content_maintype() == "message":
        return
    payload = message.get_payload()
    if not isinstance(payload, list):
        yield message
        return
    for part in payload:
        if isinstance(part, Message):
            yield from _own_parts(part)


def _texts(parts: Iterable[Message]) -> Iterator[str]:
    """Decode the readable parts, at most 64 KiB of each."""
    for part in parts:
        if part.get_content_type() in ("text/plain", "text/html", "text/rfc822-headers"):
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield payload[:_MOST_TEXT].decode("utf-8", "replace")


def _groups(part: Message) -> list[dict[str, str]]:
    """Return the groups of fields of a report.

    Of `message/delivery-status` the parser makes a message for each group; of other types one, with further groups as
    its text; of an encoded one a message whose text is the code.
    """
    payload = part.get_payload()
    blocks = [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []
    texts = [str(block.get_payload()) for block in blocks if not block.is_multipart()] or [str(payload)]
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64":
        blocks, texts = [], [b64decode("".join(texts)).decode("utf-8", "replace")]
    groups: list[dict[str, str]] = []
    for place, text in enumerate(texts):
        if place < len(blocks):
            groups.append(_fields(blocks[place]))
        groups += [
            _fields(_PARSER.parsebytes(block.strip() + b"\r\n\r\n"))
            for block in _BLANK_LINE.split(text.encode("utf-8", "surrogateescape"))
        ]
    return [group for group in groups if group]


def _fields(block: Message) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in reversed(block.items())}


def _is_of_a_mail_system(message: Message) -> bool:
    name, address = parseaddr(_words(str(message.get("From", ""))))
    return bool(_DAEMONS.fullmatch(address.partition("@")[0])) or bool(_DAEMONS.match(name))


def _recipient(field: str) -> str:
    """Return the address of a field like `rfc822; ann@example.com`."""
    return _one_line(field.rpartition(";")[2]).strip("<>")


def _words(text: str) -> str:
    try:
        return str(make_header(decode_header(text)))
    except (MessageError, LookupError, ValueError):
        return text


def _one_line(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:300]


def _written(message: Message, name: str, now: datetime) -> datetime:
    return _instant(str(message.get(name, "")), now) or now


def _instant(text: str, now: datetime) -> datetime | None:
    """Read a date, in UTC and not after `now`; None when it is none."""
    try:
        when = parsedate_to_datetime(" ".join(text.split()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    try:
        return min(when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC), now)
    except (ValueError, OverflowError):
        return None
