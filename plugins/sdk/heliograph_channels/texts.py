"""What no provider of text messages takes, so that a channel need not ask it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from heliograph_channels.messages import SmsContent

__all__ = ["sms_problem"]

_MOST_CHARACTERS = 1600
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HALF = re.compile("[\ud800-\udfff]")


def sms_problem(content: SmsContent, *, most_media: int) -> str | None:
    """Say why a text message cannot be sent ("the text ..."), or None.

    It has text or media, at most 1,600 characters (pinpoint-2 2.3) without control characters other than tab and line
    breaks, and at most `most_media` addresses of media, each http or https. Repeats nothing of the content.
    """
    if not content.body.strip() and not content.media_urls:
        return "the message has neither text nor media"
    if len(content.body) > _MOST_CHARACTERS:
        return f"the text has more than {_MOST_CHARACTERS:,} characters"
    if _CONTROL.search(content.body):
        return "the text holds a control character"
    if _HALF.search(content.body):
        return "the text holds half a character"
    if len(content.media_urls) > most_media:
        return f"the message has more than {most_media} media addresses"
    if not all(map(_is_web_address, content.media_urls)):
        return "a media address is no http:// or https:// address"
    return None


def _is_web_address(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > 2048:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
