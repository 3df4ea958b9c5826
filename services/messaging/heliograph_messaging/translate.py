"""Contents as protos and as the domain knows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, templates_pb2
from heliograph_kit.names import parse_name
from heliograph_messaging.domain.contents import (
    PLATFORMS,
    Content,
    CustomText,
    EmailText,
    InAppText,
    PushText,
    PushTexts,
    SmsText,
    VoiceText,
)
from heliograph_messaging.domain.inline import (
    EMPTY,
    EmailSettings,
    Inline,
    PushesSettings,
    PushSettings,
    SmsSettings,
)
from heliograph_messaging.domain.precedence import Overrides

FIELDS = {"EMAIL": "email", "SMS": "sms", "PUSH": "push", "VOICE": "voice", "IN_APP": "in_app"}
"""The field of Template that holds the content of a kind."""

_PUSH_PARTS = {"default": "default_part", **{name: name for name in PLATFORMS}}
_MESSAGE_TYPES = {
    contents_pb2.SMS_MESSAGE_TYPE_UNSPECIFIED: "TRANSACTIONAL",
    contents_pb2.SMS_MESSAGE_TYPE_TRANSACTIONAL: "TRANSACTIONAL",
    contents_pb2.SMS_MESSAGE_TYPE_PROMOTIONAL: "PROMOTIONAL",
}
_PRIORITIES = {
    contents_pb2.PUSH_PRIORITY_UNSPECIFIED: "",
    contents_pb2.PUSH_PRIORITY_NORMAL: "normal",
    contents_pb2.PUSH_PRIORITY_HIGH: "high",
}
_ACTIONS = {
    contents_pb2.PUSH_ACTION_UNSPECIFIED: "",
    contents_pb2.PUSH_ACTION_OPEN_APP: "OPEN_APP",
    contents_pb2.PUSH_ACTION_DEEP_LINK: "DEEP_LINK",
    contents_pb2.PUSH_ACTION_URL: "URL",
}
_ACTION_OF = {word: number for number, word in _ACTIONS.items()}
_SAME_MEMBERS = ("title", "body", "url", "sound", "media_url", "image_url", "image_icon_url", "small_image_icon_url")


def read_content(kind: str, template: templates_pb2.Template) -> Content:
    """Return what a template holds for a kind."""
    match kind:
        case "EMAIL":
            email = template.email
            return _email(email.subject, email.html, email.text, email.headers, email.list_unsubscribe)
        case "SMS":
            return SmsText(template.sms.body)
        case "PUSH":
            return PushTexts(**{name: _push_text(getattr(template.push, part)) for name, part in _PUSH_PARTS.items()})
        case "VOICE":
            return VoiceText(template.voice.body, template.voice.language, template.voice.voice)
        case _:
            plain = json_format.MessageToDict(template.in_app, preserving_proto_field_name=True)
            return InAppText(
                plain.get("contents", []), str(plain.get("layout", "")), dict(template.in_app.custom_config)
            )


def write_content(proto: templates_pb2.Template, content: Content) -> None:
    """Set the content of a template."""
    match content:
        case EmailText():
            proto.email.subject, proto.email.html, proto.email.text = content.subject, content.html, content.text
            proto.email.headers.extend(write_headers(content.headers))
            if content.one_click:
                proto.email.list_unsubscribe.one_click = True
                proto.email.list_unsubscribe.url = content.unsubscribe_url
        case SmsText():
            proto.sms.body = content.body
        case PushTexts():
            proto.push.SetInParent()
            for name, text in content.parts().items():
                if text != PushText():
                    getattr(proto.push, _PUSH_PARTS[name]).CopyFrom(write_push(text))
        case VoiceText():
            proto.voice.body, proto.voice.language, proto.voice.voice = content.body, content.language, content.voice
        case InAppText():
            proto.in_app.CopyFrom(write_in_app(content))


def write_headers(headers: Iterable[tuple[str, str]]) -> list[contents_pb2.EmailHeader]:
    """Return headers as messages."""
    return [contents_pb2.EmailHeader(name=name, value=value) for name, value in headers]


def write_push(text: PushText) -> contents_pb2.PushPart:
    """Return a part of a notification as a message."""
    same = {name: getattr(text, name) for name in _SAME_MEMBERS}
    return contents_pb2.PushPart(**same, action=_ACTION_OF[text.action], raw_content=text.raw)


def write_in_app(content: InAppText) -> templates_pb2.InAppTemplate:
    """Return in-app messages; members of a later version are left out."""
    plain = {"contents": list(content.contents), "layout": content.layout, "custom_config": dict(content.custom_config)}
    return json_format.ParseDict(plain, templates_pb2.InAppTemplate(), ignore_unknown_fields=True)


def read_inline(channel: str, content: dispatch_pb2.MessageContent) -> Inline:
    """Return what a message says itself on a channel; `raw` of an e-mail only says that there is a whole message."""
    overrides = Overrides(content.overrides.title, content.overrides.body, content.overrides.raw_content)
    default = content.default_body
    match channel:
        case "EMAIL":
            raw = "raw" if content.email_raw or content.email_raw_file else ""
            email = _email(
                content.email_subject, content.email_html, content.email_text, content.email_headers,
                content.email_list_unsubscribe, raw,
            )  # fmt: skip
            return Inline(email, EmailSettings(tuple(content.email_reply_to)), default, overrides)
        case "SMS":
            settings = SmsSettings(
                _MESSAGE_TYPES.get(content.sms_message_type, "unknown"), tuple(content.sms_media_urls),
                content.sms_entity_id, content.sms_template_id,
            )  # fmt: skip
            return Inline(SmsText(content.sms_body), settings, default, overrides)
        case "PUSH":
            messages = {name: _of_platform(content.push, name) for name in ("default", *PLATFORMS)}
            texts = PushTexts(**{name: _push_text(message) for name, message in messages.items()})
            sent = PushesSettings(**{name: _push_settings(message) for name, message in messages.items()})
            return Inline(texts, sent, default, overrides)
        case "VOICE":
            voice = VoiceText(content.voice.body, content.voice.language, content.voice.voice)
            return Inline(voice, None, default, overrides)
        case "CUSTOM":
            return Inline(CustomText(content.custom_data))
        case _:
            return EMPTY["CUSTOM"]


def named_files(project: str, content: dispatch_pb2.MessageContent) -> list[str]:
    """Return the ids of the files a content names, in its order.

    Raises:
        InvalidName: one is no file of this project.
    """
    names = [(f"content.email_attachments[{at}].file", one.file) for at, one in enumerate(content.email_attachments)]
    names.append(("content.email_raw_file", content.email_raw_file))
    ids = []
    for field, name in names:
        if name:
            parsed = parse_name(name, "files", field=field)
            ids.append(parsed.id if parsed.project == project else "")
    return ids


def _email(
    subject: str, html: str, text: str, headers: Iterable[contents_pb2.EmailHeader],
    unsubscribe: contents_pb2.ListUnsubscribe, raw: str = "",
) -> EmailText:  # fmt: skip
    pairs = tuple((header.name, header.value) for header in headers)
    return EmailText(subject, html, text, pairs, unsubscribe.one_click, unsubscribe.url, raw)


def _of_platform(push: contents_pb2.PushMessages, name: str) -> contents_pb2.PushMessage:
    message: contents_pb2.PushMessage = push.default_message if name == "default" else getattr(push, name)
    return message


def _push_text(part: contents_pb2.PushPart | contents_pb2.PushMessage) -> PushText:
    same: dict[str, Any] = {name: getattr(part, name) for name in _SAME_MEMBERS}
    return PushText(**same, action=_ACTIONS.get(part.action, "unknown"), raw=part.raw_content)


def _push_settings(message: contents_pb2.PushMessage) -> PushSettings:
    return PushSettings(
        data=tuple(sorted(message.data.items())),
        silent=message.silent,
        time_to_live_seconds=message.time_to_live_seconds if message.HasField("time_to_live_seconds") else None,
        priority=_PRIORITIES.get(message.priority, "unknown"),
        collapse_id=message.collapse_id,
        badge=message.badge if message.HasField("badge") else None,
        category=message.category,
        thread_id=message.thread_id,
        push_type=message.push_type,
        icon=message.icon,
        restricted_package_name=message.restricted_package_name,
    )
