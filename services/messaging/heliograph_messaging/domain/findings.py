"""What a finished message may fare badly with, though it can be sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from heliograph_channels.parts import SmsSize, measure, outside_gsm
from heliograph_messaging.domain.contents import InAppText
from heliograph_messaging.domain.in_app import LONGEST
from heliograph_messaging.domain.limits import MAX_PUSH_BYTES

CLIPPED_BYTES = 102 * 1024
"""Gmail shows this much of an HTML part and hides the rest behind a link."""
SHORTENERS = frozenset(
    {
        "bit.ly", "bitly.com", "buff.ly", "cutt.ly", "dlvr.it", "goo.gl", "is.gd", "j.mp", "lnkd.in", "ow.ly", "rb.gy",
        "rebrand.ly", "rebrandly.com", "s.id", "short.io", "shorturl.at", "shrtco.de", "soo.gd", "t.co", "t.ly", "t2m.io",
        "tiny.cc", "tinyurl.com", "tr.im", "trib.al", "v.gd", "x.co",
    }
)  # fmt: skip
"""Public link shorteners: US carriers refuse messages that use them (pinpoint-2 2.4)."""

_HOST = re.compile(
    r"(?<![A-Za-z0-9.@/-])(?:https?://)?(?:www\.)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?=[/?#:\s,.;!)]|$)"
)


class Finding(NamedTuple):
    """Something worth a look: a reason for code, the member it is about, words for people; `error`: it is not sent so."""

    reason: str
    field: str
    words: str
    error: bool = False


def shorteners(text: str) -> list[str]:
    """Return the public link shorteners in a text, in their order."""
    hosts = (match[1].lower() for match in _HOST.finditer(text))
    return list(dict.fromkeys(host for host in hosts if host in SHORTENERS))


def sms_findings(body: str, address: str) -> list[Finding]:
    """Look at a text message; `address` is the recipient's, empty when it is not known."""
    size, found = measure(body), []
    if not size.parts:
        found.append(Finding("EMPTY", "sms.body", "the text is empty", error=True))
    if size.too_long:
        words = f"the text takes {size.units} units in {size.encoding}, which is too long for an SMS"
        found.append(Finding("TOO_LARGE", "sms.body", words, error=True))
    if (not address or address.startswith("+1")) and (short := shorteners(body)):
        words = f"US carriers refuse public link shorteners ({', '.join(short)}); use a domain of your own"
        found.append(Finding("LINK_SHORTENER", "sms.body", words))
    return found + _encoding_findings(body, size)


def _encoding_findings(body: str, size: SmsSize) -> list[Finding]:
    strange = outside_gsm(body)
    plain = measure("".join("?" if character in strange else character for character in body))
    if not strange or plain.parts == size.parts:
        return []
    shown = " ".join(strange[:10])
    return [Finding("UCS2", "sms.body", f"takes {size.parts} parts instead of {plain.parts} because of {shown}")]


def email_findings(html: str, text: str) -> list[Finding]:
    """Look at the parts of an e-mail."""
    found = []
    if len(html.encode("utf-8", "replace")) > CLIPPED_BYTES:
        words = f"is larger than {CLIPPED_BYTES // 1024} KB: Gmail hides the end of it"
        found.append(Finding("HTML_CLIPPED", "email.html", words))
    if not text.strip():
        words = "there is no text part; filters trust such e-mails less, and some people read only text"
        found.append(Finding("TEXT_PART_MISSING", "email.text", words))
    return found


def payload_bytes(words: Mapping[str, str], raw: str) -> int:
    """Return how large the payload of a notification is: the raw one, or its members as JSON."""
    said = raw or json.dumps({name: text for name, text in words.items() if text}, ensure_ascii=False)
    return len(said.encode("utf-8", "replace"))


def push_findings(platform: str, size: int) -> list[Finding]:
    """Look at the size of a payload in bytes."""
    most = MAX_PUSH_BYTES[platform]
    if size <= most:
        return []
    field = f"push.{platform or 'default_part'}"
    return [Finding("TOO_LARGE", field, f"the payload has {size:,} bytes, the platform takes {most:,}", error=True)]


def in_app_findings(in_app: InAppText) -> list[Finding]:
    """Look at in-app messages: long texts, and what looks like a variable."""
    found = []
    for index, content in enumerate(in_app.contents):
        for name, kind in (
            ("header", "header"),
            ("body", "body"),
            ("primary_button", "button"),
            ("secondary_button", "button"),
        ):
            part = content.get(name)
            text = str(part.get("text", "")) if isinstance(part, Mapping) else ""
            field = f"in_app.contents[{index}].{name}.text"
            if len(text) > LONGEST[kind]:
                words = f"has {len(text)} characters; up to {LONGEST[kind]} are shown whole everywhere"
                found.append(Finding("LONG_TEXT", field, words))
            if "{{" in text:
                found.append(Finding("NO_VARIABLES", field, "is shown as it stands: in-app messages have no variables"))
    return found


def errors_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with the errors first."""
    return sorted(findings, key=lambda finding: not finding.error)
