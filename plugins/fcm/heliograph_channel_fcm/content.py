"""A notification as a message of the HTTP v1 API (pinpoint-2 2.5; "projects.messages" of FCM's reference). Pure.

The keys under `pinpoint.` are those that Pinpoint's SDKs for Android read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from heliograph_channel_fcm.raw import RawProblem, raw_message
from heliograph_channels import MessageClass, PushContent

__all__ = ["LARGEST_PAYLOAD", "Message", "message_of", "payload_size"]

Message: TypeAlias = dict[str, object]

LARGEST_PAYLOAD = 4096
"""Bytes of names and values that reach the device (FCM: "The maximum payload for both message types is 4,096 bytes")."""
_LONGEST_LIFE = 2_419_200
_DIRECT = "_DIRECT"
_RESERVED = re.compile(r"(?:from|message_type|collapse_key)|(?:google|gcm|pinpoint)\..*|pinpoint", re.DOTALL)


def message_of(
    content: PushContent, message_class: MessageClass, *, shown_by: str = "system", click_action: str = ""
) -> Message | str:
    """Return the message without its token, or why it cannot be sent, as a clause."""
    if content.raw:
        try:
            message = raw_message(content.raw)
        except RawProblem as problem:
            return f"the raw content {problem}"
    else:
        built = _built(content, message_class, shown_by, click_action)
        if isinstance(built, str):
            return built
        message = built
    try:
        size = payload_size(message)
    except UnicodeEncodeError:
        return "the content holds half of a character (a lone surrogate)"
    if size > LARGEST_PAYLOAD:
        return f"the payload has {size:,} bytes; at most {LARGEST_PAYLOAD:,} are carried"
    return message


def payload_size(message: Mapping[str, object]) -> int:
    """Count the bytes of names and values in what the device gets.

    FCM does not say what it counts besides. So this is the least it can be: above the limit is certainly too large, and
    what FCM finds too large all the same it says itself.
    """
    android = message.get("android")
    shown = android.get("notification") if isinstance(android, dict) else None
    return sum(_bytes(part) for part in (message.get("notification"), message.get("data"), shown))


def _bytes(value: object) -> int:
    if isinstance(value, Mapping):
        return sum(_bytes(name) + _bytes(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_bytes, value))
    return len((value if isinstance(value, str) else "" if value is None else json.dumps(value)).encode())


def _built(content: PushContent, message_class: MessageClass, shown_by: str, click_action: str) -> Message | str:
    if content.time_to_live_seconds is not None and content.time_to_live_seconds < 0:
        return "time_to_live_seconds is below 0"
    if strange := sorted(name for name in content.data if _RESERVED.fullmatch(name) or not name):
        return f"the data has a name that is reserved: {strange[0][:100]!r}"
    if not content.silent and not (content.title or content.body):
        return "there is nothing to show: no title, no body"
    data = dict(_source(content, message_class))
    message: Message = {}
    if content.silent:
        data["pinpoint.notification.silentPush"] = "1"
        data["pinpoint.jsonBody"] = json.dumps(dict(content.data), separators=(",", ":"), ensure_ascii=False)
    else:
        data.update(content.data)
        data.update(_action(content))
        data.update(_icons(content))
        if shown_by == "app":
            data.update(_for_the_app(content))
        else:
            message["notification"] = {
                name: text for name, text in (("title", content.title), ("body", content.body)) if text
            }
    message["data"] = data
    android = _android(content)
    if not content.silent and shown_by == "system" and (shown := _shown(content, click_action)):
        android["notification"] = shown
    if android:
        message["android"] = android
    return message


def _source(content: PushContent, message_class: MessageClass) -> Iterator[tuple[str, str]]:
    """Say what sent the message: a campaign in flat names, a journey as JSON, because each SDK reads it like this."""
    journey = {name: value for name, value in content.correlation.items() if name.startswith("journey_")}
    campaign = {name: value for name, value in content.correlation.items() if name not in journey}
    if not content.correlation and message_class == "transactional":
        campaign = {"campaign_id": _DIRECT}
    for name, value in campaign.items():
        yield f"pinpoint.campaign.{name}", value
    if journey:
        yield "pinpoint", json.dumps({"journey": journey}, separators=(",", ":"), ensure_ascii=False)


def _action(content: PushContent) -> Iterator[tuple[str, str]]:
    if content.action == "OPEN_APP":
        yield "pinpoint.openApp", "true"
    elif content.url:
        yield "pinpoint.deeplink" if content.action == "DEEP_LINK" else "pinpoint.url", content.url


def _icons(content: PushContent) -> Iterator[tuple[str, str]]:
    """Return the icons that FCM cannot show itself: those are at an address."""
    if content.image_icon_url:
        yield "pinpoint.notification.imageIconUrl", content.image_icon_url
    if content.small_image_icon_url:
        yield "pinpoint.notification.imageSmallIconUrl", content.small_image_icon_url


def _for_the_app(content: PushContent) -> Iterator[tuple[str, str]]:
    named = {
        "title": content.title,
        "body": content.body,
        "imageUrl": content.image_url,
        "icon": content.icon,
        "sound": content.sound,
    }
    for name, value in named.items():
        if value:
            yield f"pinpoint.notification.{name}", value


def _android(content: PushContent) -> dict[str, object]:
    android: dict[str, object] = {}
    if content.priority:
        android["priority"] = content.priority.upper()
    if content.time_to_live_seconds is not None:
        android["ttl"] = f"{min(content.time_to_live_seconds, _LONGEST_LIFE)}s"
    if content.collapse_id:
        android["collapse_key"] = content.collapse_id
    if content.restricted_package_name:
        android["restricted_package_name"] = content.restricted_package_name
    return android


def _shown(content: PushContent, click_action: str) -> dict[str, object]:
    named = {
        "icon": content.icon,
        "sound": content.sound,
        "image": content.image_url,
        "click_action": click_action if content.action != "OPEN_APP" else "",
    }
    return {name: value for name, value in named.items() if value}
