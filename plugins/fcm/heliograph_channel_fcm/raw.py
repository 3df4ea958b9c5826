"""Raw content: a message in FCM's own JSON, of today or of before 2024 (pinpoint-2 2.5). Pure.

Understood are a message of HTTP v1 (alone, below `message`, or below `fcmV1Message`, as Pinpoint wants it), and one of the
legacy protocol, which Pinpoint's raw content was in until FCM gave that up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

__all__ = ["RawProblem", "raw_message"]

_WRAPPERS = ("GCMMessage", "fcmV1Message", "message")
_TARGETS = frozenset({"topic", "condition", "to", "registration_ids"})
_V1 = frozenset({"notification", "data", "android", "webpush", "apns", "fcm_options", "name"})
_LEGACY = frozenset({"collapse_key", "priority", "time_to_live", "restricted_package_name", "delay_while_idle"})
_BOTH_NOTIFICATIONS = frozenset({"title", "body", "image"})
_ANDROID_NAMES = {
    "android_channel_id": "channel_id",
    "icon": "icon",
    "sound": "sound",
    "tag": "tag",
    "color": "color",
    "click_action": "click_action",
    "body_loc_key": "body_loc_key",
    "body_loc_args": "body_loc_args",
    "title_loc_key": "title_loc_key",
    "title_loc_args": "title_loc_args",
}
_LONGEST_LIFE = 2_419_200


class RawProblem(ValueError):
    """The raw content cannot be sent; the text is a clause."""


def raw_message(text: str) -> dict[str, object]:
    """Return the HTTP v1 message without its token.

    Raises:
        RawProblem: it is no JSON object, or names another recipient, or something neither protocol has.
    """
    message = _object(text)
    for wrapper in _WRAPPERS:
        inner = message.get(wrapper)
        # A message beside `validate_only` is a request of HTTP v1; that field would keep it from being sent.
        if isinstance(inner, dict) and set(message) <= {wrapper, "validate_only"}:
            message = inner
    message.pop("token", None)
    if named := sorted(_TARGETS & set(message)):
        raise RawProblem(f"names another recipient ({named[0]})")
    converted = _converted(message) if _is_legacy(message) else message
    if strange := sorted(set(converted) - _V1):
        raise RawProblem(f"has a field that FCM does not know: {strange[0][:100]!r}")
    if not converted:
        raise RawProblem("is empty")
    return converted


def _object(text: str) -> dict[str, object]:
    try:
        parsed = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise RawProblem("is no JSON") from error
    if not isinstance(parsed, dict):
        raise RawProblem("is no JSON object")
    return parsed


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def _is_legacy(message: Mapping[str, object]) -> bool:
    notification = message.get("notification")
    shown = set(notification) if isinstance(notification, dict) else set()
    return bool(_LEGACY & set(message) or shown & set(_ANDROID_NAMES)) or not set(message) & _V1


def _converted(message: Mapping[str, object]) -> dict[str, object]:
    """Say the same in HTTP v1 (FCM: "Migrate from legacy FCM APIs to HTTP v1")."""
    if strange := sorted(set(message) - _LEGACY - {"notification", "data"}):
        raise RawProblem(f"has a field that FCM's legacy protocol does not know: {strange[0][:100]!r}")
    android: dict[str, object] = {}
    if "priority" in message:
        android["priority"] = "HIGH" if message["priority"] in ("high", "10", 10) else "NORMAL"
    if "time_to_live" in message:
        android["ttl"] = f"{_seconds(message['time_to_live'])}s"
    for name in ("collapse_key", "restricted_package_name"):
        if name in message:
            android[name] = message[name]
    converted: dict[str, object] = {}
    notification = message.get("notification")
    if isinstance(notification, dict):
        if strange := sorted(set(notification) - _BOTH_NOTIFICATIONS - set(_ANDROID_NAMES)):
            raise RawProblem(f"has a field in notification that FCM does not know: {strange[0][:100]!r}")
        both = {name: value for name, value in notification.items() if name in _BOTH_NOTIFICATIONS}
        shown = {_ANDROID_NAMES[name]: value for name, value in notification.items() if name in _ANDROID_NAMES}
        converted.update({"notification": both} if both else {})
        android.update({"notification": shown} if shown else {})
    data = message.get("data")
    if isinstance(data, dict):
        converted["data"] = {name: _text(value) for name, value in data.items()}
    if android:
        converted["android"] = android
    return converted


def _seconds(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise RawProblem("has a time_to_live that is no number of seconds")
    return min(int(text), _LONGEST_LIFE)


def _text(value: object) -> str:
    """Return a value of `data` as text: the legacy protocol took anything there, HTTP v1 takes texts only."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
