"""What contents may hold: sizes and forms (pinpoint-1 6.3, 4.6; pinpoint-2 2.2 to 2.7). Every problem at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import NamedTuple

from heliograph_messaging.domain.contents import EmailText, PushText, PushTexts, SmsText, VoiceText

MAX_EMAIL_CHARACTERS = 600_000
MAX_SUBJECT_CHARACTERS = 998
MAX_HEADERS = 15
MAX_HEADER_NAME = 126
MAX_HEADER_VALUE = 870
MAX_SMS_CHARACTERS = 1_600
MAX_VOICE_CHARACTERS = 10_000
MAX_CUSTOM_DATA_BYTES = 5 * 1024
MAX_MESSAGE_BYTES = 10 * 1024 * 1024
"""An e-mail with its files as it travels (pinpoint-2 2.2)."""
MAX_WEB_BYTES = 3_993
"""What is left of 4,096 when a message to a browser is encrypted (RFC 8291 4)."""
MAX_PUSH_CHARACTERS: Mapping[str, int] = {
    "default": 4_000, "apns": 4_000, "gcm": 4_000, "baidu": 4_000, "adm": 6_000, "web": MAX_WEB_BYTES,
}  # fmt: skip
MAX_PUSH_BYTES: Mapping[str, int] = {
    "": MAX_WEB_BYTES, "apns": 4_096, "gcm": 4_096, "baidu": 4_096, "adm": 6_144, "web": MAX_WEB_BYTES,
}  # fmt: skip
"""The payload a platform takes, by part; empty: the smallest of them."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")
_HEADER_NAME = re.compile(r"[!-9;-~]{1,126}")
_OUR_HEADERS = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "mime-version", "received",
        "return-path", "dkim-signature", "x-heliograph-message-id",
    }
)  # fmt: skip
_NO_PATH = re.compile(r"[^/\\\t]+")
_VOICE = re.compile(r"[A-Za-z0-9_-]{0,64}")
_LANGUAGE = re.compile(r"([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*)?")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


class Problem(NamedTuple):
    """What is wrong with one member: its path below the content, what to do about it, and a reason for code."""

    field: str
    words: str
    reason: str = "INVALID_ARGUMENT"


def too_large(field: str, words: str) -> Problem:
    """Return the problem of something that does not fit."""
    return Problem(field, words, "TEMPLATE_TOO_LARGE")


def email_problems(email: EmailText, *, prefix: str, whole: str, complete: bool = True) -> list[Problem]:
    """Check an e-mail; `prefix` begins the names of its members. `complete`: it stands for itself, without a template."""
    found: list[Problem] = []
    subject, unsubscribe = f"{prefix}subject", f"{prefix}list_unsubscribe"
    if complete and not email.subject:
        found.append(Problem(subject, "is required"))
    if len(email.subject) > MAX_SUBJECT_CHARACTERS:
        found.append(too_large(subject, f"must have at most {MAX_SUBJECT_CHARACTERS} characters"))
    if _CONTROL.search(email.subject):
        found.append(Problem(subject, "must be one line"))
    if complete and not email.says_something:
        found.append(Problem(f"{prefix}html", "is required when there is no text part"))
    size = len(email.subject) + len(email.html) + len(email.text)
    if size > MAX_EMAIL_CHARACTERS:
        words = f"subject, HTML and text have {size:,} characters together, at most {MAX_EMAIL_CHARACTERS:,} fit"
        found.append(too_large(whole, words))
    found += _header_problems(email.headers, f"{prefix}headers")
    if email.unsubscribe_url:
        if not email.one_click:
            found.append(Problem(f"{unsubscribe}.url", "needs one_click"))
        if not email.unsubscribe_url.startswith("https://") or _CONTROL.search(email.unsubscribe_url):
            found.append(Problem(f"{unsubscribe}.url", "must begin with https:// and be one line"))
        if len(email.unsubscribe_url) > MAX_HEADER_VALUE:
            found.append(too_large(f"{unsubscribe}.url", f"must have at most {MAX_HEADER_VALUE} characters"))
    if email.one_click and any(name.lower().startswith("list-unsubscribe") for name, _ in email.headers):
        found.append(Problem(f"{unsubscribe}.one_click", "stands beside a header of that name; give one of them"))
    return found


def _header_problems(headers: Sequence[tuple[str, str]], field: str) -> list[Problem]:
    found: list[Problem] = []
    if len(headers) > MAX_HEADERS:
        found.append(Problem(field, f"must be at most {MAX_HEADERS}, not {len(headers)}"))
    seen: set[str] = set()
    for index, (name, value) in enumerate(headers):
        at = f"{field}[{index}]"
        if not _HEADER_NAME.fullmatch(name):
            words = f"must be 1 to {MAX_HEADER_NAME} printable ASCII characters without colon and blank"
            found.append(Problem(f"{at}.name", words))
        elif name.lower() in _OUR_HEADERS or name.lower().startswith(("content-", "resent-")):
            found.append(Problem(f"{at}.name", f"{name} is set by the channel"))
        if name.lower() in seen:
            found.append(Problem(f"{at}.name", f"{name} is given twice"))
        seen.add(name.lower())
        if _CONTROL.search(value):
            found.append(Problem(f"{at}.value", "must be one line"))
        if len(value) > MAX_HEADER_VALUE:
            found.append(too_large(f"{at}.value", f"must have at most {MAX_HEADER_VALUE} characters"))
    return found


def sms_problems(sms: SmsText, *, field: str = "body", complete: bool = True) -> list[Problem]:
    """Check a text message."""
    if complete and not sms.body:
        return [Problem(field, "is required")]
    if len(sms.body) > MAX_SMS_CHARACTERS:
        return [too_large(field, f"has {len(sms.body):,} characters, at most {MAX_SMS_CHARACTERS:,} fit")]
    return []


def voice_problems(voice: VoiceText, *, complete: bool = True) -> list[Problem]:
    """Check a text to be spoken; how much of it is spoken in the end is known only when values are filled in."""
    found: list[Problem] = []
    if complete and not voice.body:
        found.append(Problem("body", "is required"))
    if len(voice.body) > MAX_VOICE_CHARACTERS:
        found.append(too_large("body", f"has {len(voice.body):,} characters, at most {MAX_VOICE_CHARACTERS:,} fit"))
    if not _LANGUAGE.fullmatch(voice.language):
        found.append(Problem("language", "must be a language tag such as en-US"))
    if not _VOICE.fullmatch(voice.voice):
        found.append(Problem("voice", "must be at most 64 of A-Z, a-z, 0-9, _ and -"))
    return found


def push_problems(push: PushTexts, *, complete: bool = True, default_name: str = "default_part") -> list[Problem]:
    """Check a notification of a template or of a message."""
    found: list[Problem] = []
    if complete and not push.says_something:
        found.append(Problem("", "needs a title, a body or raw content in one of its parts"))
    for name, part in push.parts().items():
        at = default_name if name == "default" else name
        if name == "default" and part.raw:
            found.append(Problem(f"{at}.raw_content", "belongs to one platform; set it in that platform's part"))
        found += _part_problems(part, at, MAX_PUSH_CHARACTERS[name])
    return found


def _part_problems(part: PushText, at: str, most: int) -> list[Problem]:
    found: list[Problem] = []
    texts = {one.name: str(getattr(part, one.name)) for one in fields(part) if one.name != "action"}
    size = sum(len(text) for text in texts.values())
    if size > most:
        found.append(too_large(at, f"its texts have {size:,} characters, at most {most:,} fit"))
    if part.action not in ("", "OPEN_APP", "DEEP_LINK", "URL"):
        found.append(Problem(f"{at}.action", "must be PUSH_ACTION_OPEN_APP, PUSH_ACTION_DEEP_LINK or PUSH_ACTION_URL"))
    if part.action in ("DEEP_LINK", "URL") and not part.url:
        found.append(Problem(f"{at}.url", f"is required with PUSH_ACTION_{part.action}"))
    if part.url and part.action not in ("DEEP_LINK", "URL"):
        found.append(Problem(f"{at}.url", "needs PUSH_ACTION_DEEP_LINK or PUSH_ACTION_URL"))
    lines = [name for name in texts if name not in ("title", "body", "raw")]
    found += [Problem(f"{at}.{name}", "must be one line") for name in lines if _CONTROL.search(texts[name])]
    # With variables in it only what comes of them can be read.
    if part.raw and "{{" not in part.raw and (problem := json_problem(part.raw)):
        found.append(Problem(f"{at}.raw_content", problem))
    return found


def json_problem(raw: str) -> str:
    """Say why a text is no JSON object; empty when it is one."""
    try:
        parsed = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return "is no JSON"
    return "" if isinstance(parsed, dict) else "must be a JSON object"


def _no_number(word: str) -> object:
    raise ValueError(f"JSON knows no {word}")


def file_problems(name: str, content_type: str, at: str) -> list[Problem]:
    """Check what is said of a file that goes with an e-mail."""
    found: list[Problem] = []
    if not 1 <= len(name) <= 255 or _CONTROL.search(name) or not _NO_PATH.fullmatch(name):
        found.append(Problem(f"{at}.name", "must be one line of 1 to 255 characters without a path"))
    if not _MEDIA_TYPE.fullmatch(content_type):
        found.append(Problem(f"{at}.content_type", "must be a type such as application/pdf"))
    elif content_type.lower().startswith(("multipart/", "message/")):
        found.append(Problem(f"{at}.content_type", "must not be multipart or message; use application/octet-stream"))
    return found


def travelling(size: int) -> int:
    """Return the octets that a file of `size` octets takes in a message: base64 in lines of 76."""
    return -(-size // 57) * 2 + -(-size // 3) * 4
