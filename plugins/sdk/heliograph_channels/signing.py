"""The signature of a call to somebody's own address, for whoever makes it and for whoever receives it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

__all__ = ["SIGNATURE", "TIMESTAMP", "sign", "verify"]

TIMESTAMP = "X-Heliograph-Timestamp"
"""Header with the time of the call, in whole seconds since 1970."""
SIGNATURE = "X-Heliograph-Signature"
"""Header with `v1=` and the hex HMAC-SHA256 of timestamp, a full stop, and the body."""


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Return the value of the signature header."""
    return "v1=" + hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float, tolerance: float = 300.0) -> bool:
    """Say whether a call is ours and at most `tolerance` seconds old. `headers` may have any case; `now` as time.time()."""
    lower = {name.lower(): value for name, value in headers.items()}
    stamp = lower.get(TIMESTAMP.lower(), "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or abs(now - int(stamp)) > tolerance:
        return False
    given = lower.get(SIGNATURE.lower(), "").encode("utf-8", "replace")
    return hmac.compare_digest(sign(secret, int(stamp), body).encode(), given)
