"""What a message says of itself beside its template: its own words, the defaults below, and its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

from heliograph_messaging.domain.contents import PLATFORMS, CustomText, EmailText, PushTexts, SmsText, VoiceText
from heliograph_messaging.domain.limits import (
    MAX_CUSTOM_DATA_BYTES,
    Problem,
    email_problems,
    push_problems,
    sms_problems,
    too_large,
    voice_problems,
)
from heliograph_messaging.domain.precedence import NONE, Overrides

MAX_REPLY_TO = 50
MAX_MEDIA_URLS = 10
MAX_DATA = 100
MAX_TIME_TO_LIVE = 2_419_200
_PUSH_TYPES = ("", "alert", "background", "complication", "fileprovider", "mdm", "voip")
_MEDIA_URL = re.compile(r"https://[!-~]+")
_PACKAGE = re.compile(r"(?=.{0,255}\Z)(?:[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+)?")
_REGISTERED = re.compile(r"[!-~]{0,64}")


@dataclass(frozen=True, slots=True)
class EmailSettings:
    """How an e-mail is sent beside what it says."""

    reply_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """How a text message is sent beside what it says. `message_type` is TRANSACTIONAL or PROMOTIONAL."""

    message_type: str = "TRANSACTIONAL"
    media_urls: tuple[str, ...] = ()
    entity_id: str = ""
    template_id: str = ""


@dataclass(frozen=True, slots=True)
class PushSettings:
    """How a notification is sent on one platform; None and empty mean the platform's default."""

    data: tuple[tuple[str, str], ...] = ()
    silent: bool = False
    time_to_live_seconds: int | None = None
    priority: str = ""
    collapse_id: str = ""
    badge: int | None = None
    category: str = ""
    thread_id: str = ""
    push_type: str = ""
    icon: str = ""
    restricted_package_name: str = ""

    def over(self, below: PushSettings) -> PushSettings:
        """Return these, and for those that are not set the ones below."""
        chosen = {}
        for one in fields(self):
            value = getattr(self, one.name)
            # 0 is a time to live and a badge: only what was not given gives way.
            given = value is not None and value is not False and value not in ("", ())
            chosen[one.name] = value if given else getattr(below, one.name)
        return PushSettings(**chosen)


@dataclass(frozen=True, slots=True)
class PushesSettings:
    """The settings of a notification, by platform."""

    default: PushSettings = PushSettings()
    apns: PushSettings = PushSettings()
    gcm: PushSettings = PushSettings()
    adm: PushSettings = PushSettings()
    baidu: PushSettings = PushSettings()
    web: PushSettings = PushSettings()

    def on(self, platform: str) -> PushSettings:
        """Return the settings on a platform; empty: those of the default message."""
        own: PushSettings = getattr(self, platform) if platform else self.default
        return own.over(self.default) if platform else own


Settings: TypeAlias = EmailSettings | SmsSettings | PushesSettings | None
Own: TypeAlias = EmailText | SmsText | PushTexts | VoiceText | CustomText


@dataclass(frozen=True, slots=True)
class Inline:
    """What a message says itself on one channel. The default part of a notification stands below the template."""

    message: Own
    settings: Settings = None
    default_body: str = ""
    overrides: Overrides = NONE


EMPTY: Mapping[str, Inline] = {
    "EMAIL": Inline(EmailText(), EmailSettings()), "SMS": Inline(SmsText(), SmsSettings()),
    "PUSH": Inline(PushTexts(), PushesSettings()), "VOICE": Inline(VoiceText()), "CUSTOM": Inline(CustomText()),
}  # fmt: skip
"""A message that leaves everything to its template."""


def inline_problems(inline: Inline) -> list[Problem]:
    """Check a message's own words and settings; fields are those of MessageContent."""
    message, settings = inline.message, inline.settings
    found: list[Problem] = []
    if isinstance(message, EmailText):
        found += email_problems(message, prefix="email_", whole="", complete=False)
    elif isinstance(message, SmsText):
        found += sms_problems(message, field="sms_body", complete=False)
    elif isinstance(message, VoiceText):
        found += _under("voice", voice_problems(message, complete=False))
    elif isinstance(message, PushTexts):
        found += _under("push", push_problems(message, complete=False, default_name="default_message"))
    elif len(message.data.encode("utf-8", "replace")) > MAX_CUSTOM_DATA_BYTES:
        found.append(too_large("custom_data", f"must have at most {MAX_CUSTOM_DATA_BYTES:,} bytes"))
    if isinstance(settings, EmailSettings) and len(settings.reply_to) > MAX_REPLY_TO:
        found.append(Problem("email_reply_to", f"must be at most {MAX_REPLY_TO}, not {len(settings.reply_to)}"))
    elif isinstance(settings, SmsSettings):
        found += _sms_settings_problems(settings)
    elif isinstance(settings, PushesSettings):
        for name in ("default", *PLATFORMS):
            at = "push.default_message" if name == "default" else f"push.{name}"
            found += _under(at, _push_settings_problems(getattr(settings, name)))
    return found


def _sms_settings_problems(settings: SmsSettings) -> list[Problem]:
    found: list[Problem] = []
    if settings.message_type not in ("TRANSACTIONAL", "PROMOTIONAL"):
        found.append(Problem("sms_message_type", "must be transactional or promotional"))
    if len(settings.media_urls) > MAX_MEDIA_URLS:
        found.append(Problem("sms_media_urls", f"must be at most {MAX_MEDIA_URLS}, not {len(settings.media_urls)}"))
    for index, url in enumerate(settings.media_urls):
        if not _MEDIA_URL.fullmatch(url):
            found.append(Problem(f"sms_media_urls[{index}]", "must be an https address"))
    words = "must be at most 64 printable characters without blanks"
    given = {"sms_entity_id": settings.entity_id, "sms_template_id": settings.template_id}
    return found + [Problem(name, words) for name, id in given.items() if not _REGISTERED.fullmatch(id)]


def _push_settings_problems(settings: PushSettings) -> list[Problem]:
    found: list[Problem] = []
    if len(settings.data) > MAX_DATA:
        found.append(Problem("data", f"must have at most {MAX_DATA} entries"))
    if settings.time_to_live_seconds is not None and not 0 <= settings.time_to_live_seconds <= MAX_TIME_TO_LIVE:
        found.append(Problem("time_to_live_seconds", f"must be 0 to {MAX_TIME_TO_LIVE:,}"))
    if settings.badge is not None and settings.badge < 0:
        found.append(Problem("badge", "must not be negative"))
    if len(settings.collapse_id.encode("utf-8", "replace")) > 64:
        found.append(Problem("collapse_id", "must have at most 64 bytes"))
    if settings.push_type not in _PUSH_TYPES:
        found.append(Problem("push_type", f"must be one of {', '.join(_PUSH_TYPES[1:])}"))
    if settings.priority not in ("", "normal", "high"):
        found.append(Problem("priority", "must be normal or high"))
    if not _PACKAGE.fullmatch(settings.restricted_package_name):
        words = "must be the name of an Android package such as com.example.shop, of at most 255 characters"
        found.append(Problem("restricted_package_name", words))
    return found


def _under(at: str, problems: list[Problem]) -> list[Problem]:
    return [problem._replace(field=".".join(part for part in (at, problem.field) if part)) for problem in problems]
