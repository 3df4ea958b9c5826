"""Ids: 32 lowercase hexadecimal digits, either new and time ordered or derived from what they stand for."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterable, Sequence

_RANDOM_BITS = 62
_lock = threading.Lock()
_last_tick = 0


def new_id() -> str:
    """Return a fresh id in the layout of UUID version 7: later ids of one process sort after earlier ones.

    48 bits of Unix milliseconds, 12 bits that count 1/4096 milliseconds, 62 random bits. The machine's clock is used on
    purpose, also when the product's clock is hurried: ids order rows by creation, they carry no meaning in time.
    """
    global _last_tick
    with _lock:
        # 4096 ticks a millisecond. A clock that stands or steps back must not break the order, so the tick only grows.
        _last_tick = tick = max(time.time_ns() * 4096 // 1_000_000, _last_tick + 1)
    milliseconds, fraction = tick >> 12, tick & 0xFFF
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << _RANDOM_BITS
    return f"{value | secrets.randbits(_RANDOM_BITS):032x}"


def derived_id(*parts: str) -> str:
    """Return the id that always belongs to these parts in this order.

    Each part is hashed behind its length, so ("ab", "c") and ("a", "bc") differ, whatever characters the parts hold.
    Safe to repeat: this is what makes a second attempt produce the same ids as the first.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(_framed(part))
    return digest.hexdigest()


def derived_ids(prefix: Sequence[str], varying: Iterable[str], suffix: Sequence[str] = ()) -> list[str]:
    """Return `derived_id(*prefix, one, *suffix)` for each varying part, hashing the prefix only once."""
    base = hashlib.blake2b(digest_size=16)
    for part in prefix:
        base.update(_framed(part))
    behind = b"".join(map(_framed, suffix))
    ids: list[str] = []
    for one in varying:
        digest = base.copy()
        digest.update(_framed(one) + behind)
        ids.append(digest.hexdigest())
    return ids


def _framed(part: str) -> bytes:
    # surrogatepass: a part may come from a file with broken text, and an id must exist for it all the same.
    encoded = part.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "big") + encoded
