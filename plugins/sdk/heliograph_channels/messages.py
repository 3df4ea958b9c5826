"""What a channel is asked to send: one rendered message for one recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

__all__ = [
    "Attachment",
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
class Attachment:
    """A file that goes with an e-mail. `content_type` is like `application/pdf`; `name` has no path and one line."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class EmailContent:
    """An e-mail. At least one of `html`, `text` and `raw` is not empty.

    `headers` are further header fields (`List-Unsubscribe` and its like) as name and value; a channel that cannot set
    headers answers `Unsupported("headers")` instead of dropping them. `reply_to` holds zero or more addresses. A channel
    that cannot carry files answers `Unsupported("attachments")`. `raw` is a whole message in the form of RFC 5322: the
    other fields are ignored then, and a channel that cannot send it as it is answers `Unsupported("raw")`.
    """

    subject: str
    html: str = ""
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    reply_to: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class SmsContent:
    """A text message, not yet split into parts: at most 1,600 characters (pinpoint-2 2.3).

    `media_urls` make it an MMS; a channel without the capability `media` answers `Unsupported("media")`. `entity_id` and
    `template_id` are the registrations that senders in India need; a channel that cannot pass them on ignores them.
    """

    body: str
    message_type: Literal["TRANSACTIONAL", "PROMOTIONAL"] = "TRANSACTIONAL"
    media_urls: tuple[str, ...] = ()
    entity_id: str = ""
    template_id: str = ""


@dataclass(frozen=True, slots=True)
class PushContent:
    """A notification for a device. With `raw` (the platform's own JSON) the other fields are ignored (pinpoint-2 2.5).

    `action` says what a tap does; `url` is where `DEEP_LINK` and `URL` lead. `data` goes to the app; of a `silent`
    notification nothing is shown. `correlation` are the keys under which the app's SDK finds what sent the message
    (`campaign_id`, `treatment_id`, `campaign_activity_id`); a channel puts them where that platform's SDK reads them.
    `time_to_live_seconds`: 0 = deliver now or never, None = the platform's default. `priority`: empty = the platform's
    default. `badge`: None leaves it as it is, 0 removes it. `push_type` is that of APNs; empty = what fits.
    `restricted_package_name` is the only Android app that may get it; empty = any.
    """

    title: str = ""
    body: str = ""
    action: Literal["OPEN_APP", "DEEP_LINK", "URL"] = "OPEN_APP"
    url: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    correlation: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    time_to_live_seconds: int | None = None
    priority: Literal["", "normal", "high"] = ""
    collapse_id: str = ""
    sound: str = ""
    badge: int | None = None
    category: str = ""
    thread_id: str = ""
    push_type: str = ""
    media_url: str = ""
    image_url: str = ""
    image_icon_url: str = ""
    small_image_icon_url: str = ""
    icon: str = ""
    raw: str = ""
    restricted_package_name: str = ""


@dataclass(frozen=True, slots=True)
class VoiceContent:
    """A text to be spoken on the telephone; `language` is a tag like `en-US`, `voice` a name the provider knows.

    `ssml`: `body` is a document in Speech Synthesis Markup Language; a channel that cannot speak it answers
    `Unsupported("ssml")`.
    """

    body: str
    language: str = "en-US"
    voice: str = ""
    ssml: bool = False


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
    channel's own default. `platform` is the kind of device of a PUSH address (`GCM`, `APNS`, `APNS_SANDBOX` ...; the
    channel type of its endpoint), empty elsewhere. `attributes` carry what the source knows (`campaign_id`, `treatment_id`, `endpoint_id`, ...);
    a channel may pass them on as tags and must not require any of them.
    """

    message_id: str
    kind: Kind
    address: str
    content: Content
    message_class: MessageClass = "transactional"
    origination: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
