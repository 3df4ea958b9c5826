"""A notification as APNs takes it: headers and payload (pinpoint-2 2.5; Apple: "Generating a remote notification"). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from heliograph_channels import PushContent

__all__ = ["LARGEST_PAYLOAD", "LARGEST_VOIP_PAYLOAD", "Notification", "notification_of"]

LARGEST_PAYLOAD = 4096
LARGEST_VOIP_PAYLOAD = 5120
"""Bytes of JSON (Apple: 4 KB, and 5 KB for calls)."""
_LONGEST_COLLAPSE_ID = 64
_PRIORITIES = {"high": "10", "normal": "5"}
_TOPICS = {
    "alert": "",
    "background": "",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "mdm": "",
    "location": ".location-query",
    "liveactivity": ".push-type.liveactivity",
    "pushtotalk": ".voip-ptt",
}
"""What follows the bundle id in the topic, by push type."""
_DIRECT = "_DIRECT"
"""The campaign of a direct message on Android; iOS knows none (pinpoint-2 2.5)."""
_OF_ALERTS = ("alert", "badge", "sound")


@dataclass(frozen=True, slots=True)
class Notification:
    """What one call carries. `own_topic`: the topic is the app's own, not that of some extension of it."""

    headers: tuple[tuple[str, str], ...]
    payload: bytes
    own_topic: bool = True


class _Problem(ValueError):
    """The content cannot be sent; the text is a clause."""


def notification_of(content: PushContent, *, voip: bool, bundle_id: str, now: int) -> Notification | str:
    """Return what to send, or why it cannot be sent, as a clause.

    `voip`: the device's token is one for calls. `now` are seconds since 1970.
    """
    try:
        body = _raw(content.raw) if content.raw else _built(content, voip)
        push_type = _push_type(content, body, voip)
        if content.raw and push_type in ("alert", "background"):
            _check_raw(body, push_type)
        payload = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        headers = _headers(content, push_type, bundle_id, now)
    except UnicodeEncodeError:
        return "the content holds half of a character (a lone surrogate)"
    except _Problem as problem:
        return str(problem)
    largest = LARGEST_VOIP_PAYLOAD if push_type == "voip" else LARGEST_PAYLOAD
    if len(payload) > largest:
        return f"the payload has {len(payload):,} bytes; at most {largest:,} are carried"
    return Notification(headers, payload, own_topic=_TOPICS[push_type] in ("", ".voip"))


def _headers(content: PushContent, push_type: str, bundle_id: str, now: int) -> tuple[tuple[str, str], ...]:
    headers = {"apns-topic": bundle_id + _TOPICS[push_type], "apns-push-type": push_type}
    if push_type == "background":
        headers["apns-priority"] = "5"  # Apple: 10 is an error here
    elif content.priority:
        headers["apns-priority"] = _PRIORITIES[content.priority]
    else:
        headers["apns-priority"] = "10"
    if content.time_to_live_seconds is not None:
        if content.time_to_live_seconds < 0:
            raise _Problem("time_to_live_seconds is below 0")
        lives = content.time_to_live_seconds
        headers["apns-expiration"] = str(now + lives if lives else 0)
    if content.collapse_id:
        if len(content.collapse_id.encode()) > _LONGEST_COLLAPSE_ID:
            raise _Problem(f"collapse_id has more than {_LONGEST_COLLAPSE_ID} bytes")
        if not content.collapse_id.isprintable() or content.collapse_id != content.collapse_id.strip():
            raise _Problem("collapse_id holds a control character, or a blank at an end")
        headers["apns-collapse-id"] = content.collapse_id
    return tuple(headers.items())


def _push_type(content: PushContent, body: Mapping[str, object], voip: bool) -> str:
    given = content.push_type
    if given and given not in _TOPICS:
        raise _Problem(f"push_type {given[:30]!r} is none that Apple has")
    if given and (given == "voip") != voip:
        # Apple would call the token one for another topic, and a good endpoint would be given up for it.
        raise _Problem(
            f"push_type {given} does not fit a device whose token is for {'calls' if voip else 'notifications'}"
        )
    if given or voip:
        return given or "voip"
    aps = body.get("aps")
    silent = content.silent if not content.raw else isinstance(aps, dict) and _is_one(aps.get("content-available"))
    return "background" if silent else "alert"


def _built(content: PushContent, voip: bool) -> dict[str, object]:
    if "pinpoint" in content.data:
        raise _Problem("the data has a name that is reserved: 'pinpoint'")
    data: dict[str, object] = {}
    pinpoint = _pinpoint(content)
    if content.silent:
        aps: dict[str, object] = {"content-available": 1}
        pinpoint["jsonBody"] = dict(content.data)
    else:
        aps = _aps(content)
        if not aps and not voip:
            raise _Problem("there is nothing to show: no title, no body, no sound, no badge")
        data.update(content.data)
        if content.media_url:
            data["media-url"] = content.media_url
    data["pinpoint"] = pinpoint
    return {"aps": aps, "data": data}


def _aps(content: PushContent) -> dict[str, object]:
    aps: dict[str, object] = {}
    if alert := {name: text for name, text in (("title", content.title), ("body", content.body)) if text}:
        aps["alert"] = alert
    if content.badge is not None:
        if content.badge < 0:
            raise _Problem("badge is below 0")
        aps["badge"] = content.badge
    named = (("sound", content.sound), ("category", content.category), ("thread-id", content.thread_id))
    aps.update({name: text for name, text in named if text})
    if content.media_url:
        aps["mutable-content"] = 1  # only then the app's extension is asked, which loads the picture
    return aps


def _pinpoint(content: PushContent) -> dict[str, object]:
    """Return what Pinpoint's SDKs for iOS read: what sent the message, and what a tap does."""
    pinpoint: dict[str, object] = {}
    journey = {name: value for name, value in content.correlation.items() if name.startswith("journey_")}
    campaign = {name: value for name, value in content.correlation.items() if name not in journey}
    if campaign and campaign.get("campaign_id") != _DIRECT:
        pinpoint["campaign"] = campaign
    if journey:
        pinpoint["journey"] = journey
    if not content.silent:
        if content.action == "OPEN_APP":
            pinpoint["openApp"] = "true"
        elif content.url:
            pinpoint["deeplink" if content.action == "DEEP_LINK" else "url"] = content.url
    return pinpoint


def _raw(text: str) -> dict[str, object]:
    try:
        parsed = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _Problem("the raw content is no JSON") from error
    if isinstance(parsed, dict) and set(parsed) == {"APNSMessage"} and isinstance(parsed["APNSMessage"], dict):
        parsed = parsed["APNSMessage"]
    if not isinstance(parsed, dict) or not parsed:
        raise _Problem("the raw content is no JSON object, or an empty one")
    return parsed


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def _check_raw(body: Mapping[str, object], push_type: str) -> None:
    """Hold raw content to Pinpoint's rules; a Safari website (it has `url-args`) has rules of its own."""
    aps = body.get("aps")
    if not isinstance(aps, dict):
        raise _Problem("the raw content has no aps")
    if "url-args" in aps:
        arguments = aps["url-args"]
        if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments) or not arguments:
            raise _Problem("url-args of the raw content is no list of texts with at least one")
        return
    available = aps.get("content-available")
    if isinstance(available, bool) or available not in (0, 1):
        raise _Problem("the raw content has no content-available in aps that is 0 (standard) or 1 (silent)")
    shown = [name for name in _OF_ALERTS if name in aps]
    if shown and (push_type == "background" or _is_one(available)):
        raise _Problem(f"the raw content is silent and has {', '.join(shown)}")


def _is_one(value: object) -> bool:
    return value == 1 and not isinstance(value, bool)
