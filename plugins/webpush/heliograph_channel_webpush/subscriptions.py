"""The address of a browser: its subscription, in the JSON that the browser gives (W3C Push API, `PushSubscription`). Pure.

It is what `JSON.stringify(subscription)` says: `{"endpoint": "https://...", "keys": {"p256dh": "...", "auth": "..."}}` without
blanks; further members (`expirationTime`) are ignored. Whoever registers it chose every part of it, so nothing in it is
believed: see `hosts` for where a message may go.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channels.destinations import url_problem

__all__ = ["Subscription", "decoded", "subscription_of"]

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_LONGEST_ENDPOINT = 2048
_POINT = 65
_SECRET = 16


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a browser is reached, and how to write so that only it can read. Shows no part in its repr."""

    endpoint: str = field(repr=False)
    p256dh: ec.EllipticCurvePublicKey = field(repr=False)
    auth: bytes = field(repr=False)


def subscription_of(address: str) -> Subscription | str:
    """Understand an address; return what is wrong with it instead, as a clause that repeats nothing of it."""
    try:
        told = json.loads(address)
    except (ValueError, RecursionError):
        return "is not the JSON of a PushSubscription"
    keys = told.get("keys") if isinstance(told, dict) else None
    endpoint = told.get("endpoint") if isinstance(told, dict) else None
    if not isinstance(keys, dict) or not isinstance(endpoint, str):
        return "is not the JSON of a PushSubscription: endpoint, keys"
    if len(endpoint) > _LONGEST_ENDPOINT:
        return f"has an endpoint of more than {_LONGEST_ENDPOINT:,} characters"
    if not endpoint.isascii():
        return "has an endpoint that is not in ASCII"
    if problem := url_problem(endpoint, insecure_loopback=False):
        return f"has an endpoint that {problem}"
    if "#" in endpoint:
        return "has an endpoint with a fragment"
    point, secret = decoded(keys.get("p256dh")), decoded(keys.get("auth"))
    if point is None or len(point) != _POINT:
        return "has a key p256dh that is no point of 65 bytes in Base64url"
    if secret is None or len(secret) != _SECRET:
        return "has a key auth that is not 16 bytes in Base64url"
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return "has a key p256dh that is no point of the curve P-256"
    return Subscription(endpoint, key, secret)


def decoded(text: object) -> bytes | None:
    """Return the bytes of Base64url with or without padding, None when the text is none."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) > 200:
        return None
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
