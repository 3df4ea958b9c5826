"""Signed tokens of the links in messages: what somebody did, with which message, and where a click leads.

The layout of a token is part of the contract (edge.proto). The id of the message stands last, right before the signature,
so that all that is the same for the recipients of a batch is encoded and hashed once: a token costs one microsecond.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from typing import Any

KEY_BYTES = 32
MAX_TARGET_BYTES = 2048
"""Longest target of a click; the edge takes request lines of some kilobytes."""
MAX_TOKEN = 4 * (5 + 64 + MAX_TARGET_BYTES + 2 + 30) // 3

_VERSION = 0x10
_MAC_BYTES = 14
_ID_BYTES = 16
_EPOCH = date(2020, 1, 1)
_LAST_DAY = 0xFFFF
_BLOCK = 64
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_PROJECT = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class LinkKind(IntEnum):
    """What calling a link means."""

    OPEN = 1
    CLICK = 2
    UNSUBSCRIBE = 3
    UNSUBSCRIBE_CLICK = 4
    """A click of a link that the author tagged as leading to an unsubscription; it changes nobody's opt-out."""


PATHS = {LinkKind.OPEN: "/o/", LinkKind.CLICK: "/c/", LinkKind.UNSUBSCRIBE: "/u/", LinkKind.UNSUBSCRIBE_CLICK: "/c/"}
"""Where the edge serves each kind (services/gateway)."""


@dataclass(frozen=True)
class Link:
    """What a token says. `target` is empty but for clicks."""

    kind: LinkKind
    project: str
    message_id: str
    target: str = ""


class Stamp:
    """Makes the address of one link for each message of a batch."""

    __slots__ = ("_end", "_inner", "_outer", "_start")

    def __init__(self, start: str, end: str, inner: Any, outer: Any) -> None:
        """Take the fixed ends of the address, and the two hashes of HMAC with what is the same for all messages in it."""
        self._start = start
        self._end = end
        self._inner = inner
        self._outer = outer

    def url(self, message: bytes) -> str:
        """Return the address for a message, given as its 16 bytes."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        signed = binascii.b2a_base64(message + outer.digest()[:_MAC_BYTES], newline=False)
        return f"{self._start}{signed.translate(_URL_SAFE).decode()}{self._end}"


class Signer:
    """Signs links of one project."""

    def __init__(self, key: bytes, base_url: str, project: str, *, today: date, click_days: int) -> None:
        """Take the key (32 bytes), the public URL without a slash at its end, and for how many days clicks lead on.

        Opens and unsubscriptions do not expire: people look at old letters, and may refuse more of them at any time.
        """
        self.base_url = base_url
        self._project = project.encode()
        self._key_id = _key_id(key)
        self._expires = min(_LAST_DAY, (today - _EPOCH).days + click_days)
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def stamp(self, kind: LinkKind, target: str = "") -> Stamp:
        """Prepare the address of one link."""
        expires = self._expires if kind in (LinkKind.CLICK, LinkKind.UNSUBSCRIBE_CLICK) else 0
        fixed = b"".join(
            (
                bytes((_VERSION | kind, self._key_id)),
                expires.to_bytes(2, "big"),
                bytes((len(self._project),)),
                self._project,
                target.encode(),
            )
        )
        # To a multiple of three bytes, where base64 can be cut.
        fixed += b"\0" * (-len(fixed) % 3)
        inner = self._inner.copy()
        inner.update(fixed)
        end = ".gif" if kind is LinkKind.OPEN else ""
        start = f"{self.base_url}{PATHS[kind]}{base64.urlsafe_b64encode(fixed).decode()}"
        return Stamp(start, end, inner, self._outer)

    def unsubscribe_url(self, message_id: str) -> str:
        """Return where the recipient of a message opts out; for `List-Unsubscribe` and for links of the author.

        A GET shows a page with a button and changes nothing, a POST opts out, with the body of RFC 8058 or the button's.
        """
        return self.stamp(LinkKind.UNSUBSCRIBE).url(bytes.fromhex(message_id))


def read_token(token: str, keys: Sequence[bytes], *, today: date) -> Link | None:
    """Return what a token says; None when it is forged, expired, damaged, or of another version."""
    if len(token) > MAX_TOKEN or len(token) % 4 or not _TOKEN.fullmatch(token):
        return None
    raw = base64.urlsafe_b64decode(token)
    if len(raw) < 6 + _ID_BYTES + _MAC_BYTES:
        return None
    signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    good = False
    for key in keys:
        if _key_id(key) == raw[1]:
            good = good or hmac.compare_digest(hmac.digest(key, signed, "sha256")[:_MAC_BYTES], mac)
    return _said(signed, today) if good else None


def _said(signed: bytes, today: date) -> Link | None:
    """Read what is signed: by us, but perhaps by another version of us."""
    fixed, message = signed[:-_ID_BYTES].rstrip(b"\0"), signed[-_ID_BYTES:]
    kind, expires, length = signed[0] ^ _VERSION, int.from_bytes(signed[2:4], "big"), signed[4]
    if kind not in LinkKind.__members__.values() or not _PROJECT.fullmatch(fixed[5 : 5 + length]):
        return None
    if expires and today > _EPOCH + timedelta(days=expires):
        return None
    try:
        target = fixed[5 + length :].decode()
    except UnicodeDecodeError:
        return None
    return Link(LinkKind(kind), fixed[5 : 5 + length].decode(), message.hex(), target)


def _key_id(key: bytes) -> int:
    return hashlib.sha256(key).digest()[0]
