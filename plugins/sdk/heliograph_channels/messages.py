"""What a channel is asked to send: one rendered message for one recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

__all__ = [
    "Content",
    "CustomContent",
    "EmailContent",
    "Kind",
    "MessageClass",
    "OutgoingMessage",
    "PushContent",
    "SmsContent",
    "VoiceContent",
]

MessageClass: TypeAlias = Literal["transactional", "campaign", "journey"]
"""Why the message is sent. It decides what happens to a message in doubt: `campaign` is sent at most once."""


class Kind(StrEnum):
    """The way a message reaches a person. A channel serves one kind or several."""

    EMAIL = "EMAIL"
    SMS = "SMS"
    PUSH = "PUSH"
    VOICE = "VOICE"
    CUSTOM = "CUSTOM"
    IN_APP = "IN_APP"


@dataclass(frozen=True, slots=True)
class EmailContent:
    """An e-mail. At least one of `html` and `text` is not empty.

    `headers` are further header fields (`List-Unsubscribe` and its like) as name and value; a channel that cannot set
    headers answers `Unsupported("headers")` instead of dropping them. `reply_to` holds zero or more addresses.
    """

    subject: str
    html: str = ""
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    reply_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmsContent:
    """A text message, not yet split into parts: at most 1,600 characters (pinpoint-2 2.3)."""

    body: str
    message_type: Literal["TRANSACTIONAL", "PROMOTIONAL"] = "TRANSACTIONAL"


@dataclass(frozen=True, slots=True)
class PushContent:
    """A notification for a device. With `raw` (the platform's own JSON) the other fields are ignored (pinpoint-2 2.5).

    `time_to_live_seconds`: 0 = deliver now or never, None = the platform's default.
    """

    title: str = ""
    body: str = ""
    url: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    time_to_live_seconds: int | None = None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class VoiceContent:
    """A text to be spoken on the telephone; `language` is a tag like `en-US`, `voice` a name the provider knows."""

    body: str
    language: str = "en-US"
    voice: str = ""


@dataclass(frozen=True, slots=True)
class CustomContent:
    """Content for a channel Heliograph knows nothing about.

    `data` is the string the campaign or journey carries (at most 5 KB, pinpoint-2 2.7); `endpoint` is the recipient's
    endpoint as JSON-like values, in the field names of the API.
    """

    data: str = ""
    endpoint: Mapping[str, object] = field(default_factory=dict)


Content: TypeAlias = EmailContent | SmsContent | PushContent | VoiceContent | CustomContent


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One rendered message to one address.

    `message_id` is 32 lowercase hex digits and the same when the message is sent again after a crash: a provider that
    takes an idempotency key is given exactly this. `origination` is the address or number to send from; empty means the
    channel's own default. `attributes` carry what the source knows (`campaign_id`, `treatment_id`, `endpoint_id`, ...);
    a channel may pass them on as tags and must not require any of them.
    """

    message_id: str
    kind: Kind
    address: str
    content: Content
    message_class: MessageClass = "transactional"
    origination: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
