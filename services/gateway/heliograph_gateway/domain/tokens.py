"""What a token of a tracked link says. messaging signs them; the layout is the contract of edge.proto."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from urllib.parse import quote, urlsplit

MAX_TOKEN = 4096
"""Longest token, in characters; the longest that messaging makes is shorter."""

_VERSION = 0x10
_MAC_BYTES = 14
_ID_BYTES = 16
_EPOCH = date(2020, 1, 1)
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_KEPT = "!#$%&'()*+,/:;=?@[]~"
_TARGET = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)


class LinkKind(IntEnum):
    """What calling a link means."""

    OPEN = 1
    CLICK = 2
    UNSUBSCRIBE = 3
    UNSUBSCRIBE_CLICK = 4


CLICKS = frozenset({LinkKind.CLICK, LinkKind.UNSUBSCRIBE_CLICK})


@dataclass(frozen=True)
class Link:
    """A link that messaging signed; `target` is where a click leads."""

    kind: LinkKind
    target: str = ""


def key_id(key: bytes) -> int:
    """Return the byte by which tokens name the key that signed them."""
    return hashlib.sha256(key).digest()[0]


def key_named(token: str) -> int | None:
    """Return which key a token says it is signed with; None for what is no token."""
    if len(token) > MAX_TOKEN or len(token) % 4 or not _TOKEN.fullmatch(token):
        return None
    raw = base64.urlsafe_b64decode(token)
    return raw[1] if len(raw) > 5 + _ID_BYTES + _MAC_BYTES and raw[0] >> 4 == _VERSION >> 4 else None


def read_token(token: str, keys: Sequence[bytes], kinds: Collection[LinkKind], *, today: date) -> Link | None:
    """Return what a token says; None when it is forged, expired, damaged, or of none of the kinds."""
    named = key_named(token)
    if named is None:
        return None
    raw = base64.urlsafe_b64decode(token)
    signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    good = [
        hmac.compare_digest(hmac.digest(key, signed, "sha256")[:_MAC_BYTES], mac)
        for key in keys
        if key_id(key) == named
    ]
    return _said(signed[:-_ID_BYTES].rstrip(b"\0"), kinds, today) if any(good) else None


def location_of(target: str) -> str:
    """Return a target as it stands in a header: ASCII, its host in the form of the name system, nothing else changed."""
    parts = urlsplit(target)
    host = parts.netloc
    if not host.isascii():
        user, at, name = host.rpartition("@")
        try:
            host = f"{quote(user, safe=_KEPT)}{at}{name.encode('idna').decode()}"
        except UnicodeError:  # no name at all; the browser will say so
            host = quote(host, safe=_KEPT)
    start = f"{parts.scheme}://"
    return f"{start}{host}{quote(target[len(start) + len(parts.netloc) :], safe=_KEPT)}"


def _said(fixed: bytes, kinds: Collection[LinkKind], today: date) -> Link | None:
    kind, expires = fixed[0] & 0x0F, int.from_bytes(fixed[2:4], "big")
    if kind not in kinds or (expires and today > _EPOCH + timedelta(days=expires)):
        return None
    try:
        target = fixed[5 + fixed[4] :].decode()
    except UnicodeDecodeError:
        return None
    if kind in CLICKS and not _TARGET.match(target):
        return None
    return Link(LinkKind(kind), target)
