"""From what is said to what channels are handed: the texts to compile, and how the SDK's content is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, Literal, TypeAlias, cast

from heliograph_channels import Content, CustomContent, EmailContent, PushContent, SmsContent, VoiceContent
from heliograph_messaging.domain.contents import Content as Stored
from heliograph_messaging.domain.contents import (
    CustomText,
    EmailText,
    InAppText,
    PushText,
    PushTexts,
    Said,
    SmsText,
    VoiceText,
)
from heliograph_messaging.domain.filled import header_value, one_click, raw_payload, spoken
from heliograph_messaging.domain.handlebars import Part
from heliograph_messaging.domain.inline import EmailSettings, PushSettings, SmsSettings

Build: TypeAlias = Callable[[tuple[str, ...]], Content]
"""Makes a content of the rendered parts. Raises CannotSend when values make it one that cannot be sent."""

_LANGUAGE = "en-US"
_WORDS = ("title", "body", "url", "media_url", "image_url", "image_icon_url", "small_image_icon_url")
"""The members of a notification that hold variables."""


def parts_of(said: Said, platform: str = "") -> list[Part]:
    """Return what there is to compile; parts are named as the members are in the API."""
    match said:
        case EmailText():
            return _email_parts(said)
        case SmsText():
            return [Part("body", said.body)]
        case VoiceText():
            return [Part("body", said.body, html=said.ssml)]
        case PushText():
            return _push_parts(said, f"{platform}." if platform else "")
        case CustomText():
            return [Part("data", said.data)]


def all_parts(content: Stored) -> list[Part]:
    """Return what there is to compile of a template, whatever the platform."""
    if isinstance(content, PushTexts):
        named = ("default_part" if name == "default" else name for name in content.parts())
        return [
            part for name, text in zip(named, content.parts().values(), strict=True) for part in parts_of(text, name)
        ]
    return [] if isinstance(content, InAppText) else parts_of(content)


def builder(said: Said, settings: object, platform: str = "") -> Build:
    """Return what makes the content of the rendered `parts_of(said)`."""
    match said:
        case EmailText():
            return _email_builder(said, settings if isinstance(settings, EmailSettings) else EmailSettings())
        case SmsText():
            return _sms_builder(settings if isinstance(settings, SmsSettings) else SmsSettings())
        case VoiceText():
            return partial(_voice, said.language or _LANGUAGE, said.voice, said.ssml)
        case PushText():
            return _push_builder(said, settings if isinstance(settings, PushSettings) else PushSettings(), platform)
        case CustomText():
            return lambda parts: CustomContent(parts[0])


def _email_parts(said: EmailText) -> list[Part]:
    if said.raw:
        return []
    parts = [Part("subject", said.subject, one_line=True), Part("html", said.html, html=True), Part("text", said.text)]
    parts += [Part(f"headers[{index}].value", value, one_line=True) for index, (_, value) in enumerate(said.headers)]
    if said.one_click and said.unsubscribe_url:
        parts.append(Part("list_unsubscribe.url", said.unsubscribe_url, one_line=True))
    return parts


def _email_builder(said: EmailText, settings: EmailSettings) -> Build:
    reply_to = settings.reply_to
    if said.raw:
        return lambda _: EmailContent("")
    if not said.headers and not said.one_click and not reply_to:
        return lambda parts: EmailContent(parts[0], parts[1], parts[2])
    names = [name for name, _ in said.headers]
    linked = said.one_click and bool(said.unsubscribe_url)

    def build(parts: tuple[str, ...]) -> Content:
        headers = {name: header_value(name, value) for name, value in zip(names, parts[3:], strict=False)}
        if linked:
            headers |= one_click(parts[-1])
        return EmailContent(parts[0], parts[1], parts[2], headers, reply_to)

    return build


def _sms_builder(settings: SmsSettings) -> Build:
    kind = cast(Literal["TRANSACTIONAL", "PROMOTIONAL"], settings.message_type)
    more = (kind, settings.media_urls, settings.entity_id, settings.template_id)
    return lambda parts: SmsContent(parts[0], *more)


def _voice(language: str, voice: str, ssml: bool, parts: tuple[str, ...]) -> Content:
    spoken(parts[0], ssml=ssml)
    return VoiceContent(parts[0], language, voice, ssml)


def _push_parts(said: PushText, prefix: str) -> list[Part]:
    if said.raw:
        return [Part(f"{prefix}raw_content", said.raw, json=True)]
    return [Part(f"{prefix}{name}", text) for name in _WORDS if (text := getattr(said, name))]


def _push_builder(said: PushText, settings: PushSettings, platform: str) -> Build:
    fixed = {one.name: getattr(settings, one.name) for one in fields(settings)} | {"data": dict(settings.data)}
    if said.raw:
        return lambda parts: _content(fixed, {"raw": raw_payload(platform, parts[0])})
    fixed |= {"sound": said.sound, "action": said.action or "OPEN_APP"}
    names = [name for name in _WORDS if getattr(said, name)]
    return lambda parts: _content(fixed, dict(zip(names, parts, strict=True)))


def _content(fixed: Mapping[str, Any], words: Mapping[str, str]) -> Content:
    return PushContent(**{**fixed, **words})
