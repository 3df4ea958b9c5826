"""A notification as the page's service worker gets it, and the headers that go with it (RFC 8030 5). Pure."""

from __future__ import annotations

import hashlib
import json
import re

from heliograph_channel_webpush.encryption import LARGEST_TEXT
from heliograph_channels import MessageClass, PushContent
from heliograph_channels.jwt import base64url

__all__ = ["headers_of", "text_of"]

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LONGEST_LIFE = 2_419_200
"""Four weeks: what push services keep at most."""


def text_of(content: PushContent, message_class: MessageClass) -> bytes | str:
    """Return the plain text of the message, or why it cannot be sent, as a clause."""
    try:
        text = content.raw.encode() if content.raw else _built(content, message_class)
    except UnicodeEncodeError:
        return "the content holds half of a character (a lone surrogate)"
    if isinstance(text, str):
        return text
    if len(text) > LARGEST_TEXT:
        return f"the payload has {len(text):,} bytes; at most {LARGEST_TEXT:,} are carried"
    return text


def headers_of(content: PushContent, default_life: int) -> dict[str, str] | str:
    """Return TTL, Urgency and Topic, or why the message cannot be sent, as a clause.

    A topic has at most 32 characters of Base64url; what has more, or others, stands there as its hash.
    """
    life = default_life if content.time_to_live_seconds is None else content.time_to_live_seconds
    if life < 0:
        return "time_to_live_seconds is below 0"
    headers = {"TTL": str(min(life, _LONGEST_LIFE))}
    if content.priority:
        headers["Urgency"] = content.priority
    if content.collapse_id:
        topic = content.collapse_id
        if not _TOPIC.fullmatch(topic):
            topic = base64url(hashlib.sha256(topic.encode("utf-8", "surrogatepass")).digest())[:32]
        headers["Topic"] = topic
    return headers


def _built(content: PushContent, message_class: MessageClass) -> bytes | str:
    if not content.silent and not (content.title or content.body):
        return "there is nothing to show: no title, no body"
    payload: dict[str, object] = {}
    pinpoint: dict[str, object] = {}
    if content.silent:
        pinpoint["jsonBody"] = dict(content.data)
    else:
        payload["notification"] = _notification(content)
        payload["action"] = content.action
        if content.url and content.action != "OPEN_APP":
            payload["url"] = content.url
        if content.data:
            payload["data"] = dict(content.data)
    pinpoint.update(_source(content, message_class))
    if pinpoint:
        payload["pinpoint"] = pinpoint
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _notification(content: PushContent) -> dict[str, object]:
    """Return what `registration.showNotification(title, options)` takes, in its names."""
    named: dict[str, object] = {
        "title": content.title,
        "body": content.body,
        "icon": content.image_icon_url or content.icon,
        "badge": content.small_image_icon_url,
        "image": content.image_url or content.media_url,
        "tag": content.thread_id,
    }
    shown = {name: value for name, value in named.items() if value}
    if content.badge is not None:
        shown["app_badge"] = content.badge
    return shown


def _source(content: PushContent, message_class: MessageClass) -> dict[str, object]:
    journey = {name: value for name, value in content.correlation.items() if name.startswith("journey_")}
    campaign = {name: value for name, value in content.correlation.items() if name not in journey}
    if not content.correlation and message_class == "transactional":
        campaign = {"campaign_id": "_DIRECT"}
    return {name: block for name, block in (("campaign", campaign), ("journey", journey)) if block}
