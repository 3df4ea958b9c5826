"""What a message says before its variables are filled in, kind by kind; and which texts of it hold variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TypeAlias

PLATFORMS = ("apns", "gcm", "adm", "baidu", "web")
"""The parts of a notification beside the default one."""

_PLATFORM_OF: Mapping[str, str] = {
    "APNS": "apns", "APNS_SANDBOX": "apns", "APNS_VOIP": "apns", "APNS_VOIP_SANDBOX": "apns",
    "GCM": "gcm", "ADM": "adm", "BAIDU": "baidu", "WEB": "web",
}  # fmt: skip


def platform_of(channel_type: str) -> str:
    """Return the part that speaks to endpoints of a channel type; empty when only the default part does."""
    return _PLATFORM_OF.get(channel_type, "")


@dataclass(frozen=True, slots=True)
class EmailText:
    """An e-mail. `headers` are name and value; `raw` names a whole message (RFC 5322) that replaces the rest.

    `one_click` adds the headers of RFC 8058, with `unsubscribe_url` or, when that is empty, a link of the installation.
    """

    subject: str = ""
    html: str = ""
    text: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    one_click: bool = False
    unsubscribe_url: str = ""
    raw: str = ""

    @property
    def says_something(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.html or self.text or self.raw)


@dataclass(frozen=True, slots=True)
class SmsText:
    """A text message."""

    body: str = ""

    @property
    def says_something(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.body)


@dataclass(frozen=True, slots=True)
class PushText:
    """A notification on one platform. `action` is OPEN_APP, DEEP_LINK, URL or empty; `raw` replaces the rest."""

    title: str = ""
    body: str = ""
    action: str = ""
    url: str = ""
    sound: str = ""
    media_url: str = ""
    image_url: str = ""
    image_icon_url: str = ""
    small_image_icon_url: str = ""
    raw: str = ""

    @property
    def says_something(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.title or self.body or self.raw)


@dataclass(frozen=True, slots=True)
class PushTexts:
    """A notification for all platforms."""

    default: PushText = PushText()
    apns: PushText = PushText()
    gcm: PushText = PushText()
    adm: PushText = PushText()
    baidu: PushText = PushText()
    web: PushText = PushText()

    @property
    def says_something(self) -> bool:
        """Whether there is anything to see, on any platform."""
        return any(part.says_something for part in self.parts().values())

    def parts(self) -> dict[str, PushText]:
        """Return the parts by name, as they are."""
        return {name: getattr(self, name) for name in ("default", *PLATFORMS)}

    def on(self, platform: str) -> PushText:
        """Return what is said on a platform: its part, and from the default one what that leaves empty."""
        return over(getattr(self, platform), self.default) if platform else self.default


@dataclass(frozen=True, slots=True)
class VoiceText:
    """A text to be spoken; SSML when it begins with `<speak`. Empty `language` and `voice` mean the default."""

    body: str = ""
    language: str = ""
    voice: str = ""

    @property
    def says_something(self) -> bool:
        """Whether there is anything to hear."""
        return bool(self.body)

    @property
    def ssml(self) -> bool:
        """Whether it is markup. Decided before values are filled in, so that none of them can decide it."""
        return self.body.lstrip().startswith("<speak")


@dataclass(frozen=True, slots=True)
class InAppText:
    """Messages that an app shows, as JSON-like values under the field names of the API."""

    contents: Sequence[Mapping[str, object]] = ()
    layout: str = ""
    custom_config: Mapping[str, str] = field(default_factory=dict)

    @property
    def says_something(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.contents)


@dataclass(frozen=True, slots=True)
class CustomText:
    """The string that a custom channel passes on."""

    data: str = ""

    @property
    def says_something(self) -> bool:
        """A custom channel sends the endpoints; there need not be a text."""
        return True


Said: TypeAlias = EmailText | SmsText | PushText | VoiceText | CustomText
"""What one recipient is told."""
Content: TypeAlias = EmailText | SmsText | PushTexts | VoiceText | InAppText
"""What a template of some kind holds."""
KINDS: Mapping[str, type[Content]] = {
    "EMAIL": EmailText, "SMS": SmsText, "PUSH": PushTexts, "VOICE": VoiceText, "IN_APP": InAppText,
}  # fmt: skip
"""The kinds of template."""


def over(top: PushText, below: PushText) -> PushText:
    """Return a notification with the members of `top` that are set, and for the rest those of `below`.

    Action and address of a tap belong together. A raw payload stands for the whole: one of `below` gives way to any words
    of `top`.
    """
    if top.raw:
        return PushText(raw=top.raw)
    if below.raw:
        return top if top.says_something else below
    chosen = {name: getattr(top, name) or getattr(below, name) for name in _PUSH_MEMBERS}
    if top.action or top.url:
        chosen |= {"action": top.action, "url": top.url}
    return PushText(**chosen)


def to_json(content: Content) -> dict[str, object]:
    """Return a content as JSON, without what is empty."""
    plain = asdict(content)
    return {name: _dense(value) for name, value in plain.items() if value}


def from_json(kind: str, stored: Mapping[str, object]) -> Content:
    """Return the content that `to_json` wrote; members that a later version wrote are left out."""
    known = {one.name for one in fields(KINDS[kind])}
    values = {name: value for name, value in stored.items() if name in known}
    if kind == "PUSH":
        return PushTexts(**{name: _part(value) for name, value in values.items()})
    if kind == "EMAIL" and isinstance(pairs := values.get("headers"), list):
        values["headers"] = tuple((str(name), str(value)) for name, value in pairs)
    return KINDS[kind](**values)  # type: ignore[arg-type]


_PUSH_MEMBERS = tuple(one.name for one in fields(PushText))


def _part(value: object) -> PushText:
    given = value if isinstance(value, dict) else {}
    return PushText(**{name: str(text) for name, text in given.items() if name in _PUSH_MEMBERS})


def _dense(value: object) -> object:
    return {name: text for name, text in value.items() if text} if isinstance(value, dict) else value
