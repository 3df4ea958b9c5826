"""Pages of lists: sizes, and opaque tokens that belong to one call with its arguments (AIP-158)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_kit.errors import InvalidArgument, Violation, Violations

DEFAULT_SIZE = 50
LARGEST_SIZE = 500
_MARK_BYTES = 8


class PageTokenInvalid(InvalidArgument):
    """The token is damaged, or belongs to another list call."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        """Name the field; what was wrong with the token helps nobody."""
        words = "is not the next_page_token of this list; begin without one"
        super().__init__([Violation("page_token", words, "PAGE_TOKEN_INVALID")])


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for: `size` items behind the position `after` (None: from the beginning)."""

    size: int
    after: tuple[str, ...] | None


def page_of(
    call: str, page_size: int, page_token: str, *, default: int = DEFAULT_SIZE, largest: int = LARGEST_SIZE
) -> Page:
    """Read the paging fields of a list request.

    `call` names the method and the arguments that a token is bound to, as in `ListCampaigns projects/shop`. 0 means
    the default size; above `largest` is lowered.

    Raises:
        InvalidArgument: a negative size.
        PageTokenInvalid: a token of another call, or a damaged one.
    """
    violations = Violations()
    if page_size < 0:
        violations.add("page_size", "must not be negative", "OUT_OF_RANGE")
    violations.check()
    return Page(min(page_size or default, largest), _position(call, page_token) if page_token else None)


def next_token(call: str, position: Sequence[str]) -> str:
    """Return the token that continues `call` behind the position of the last item."""
    return base64.urlsafe_b64encode(_mark(call) + json.dumps(list(position)).encode()).decode().rstrip("=")


def _position(call: str, token: str) -> tuple[str, ...]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        position = json.loads(raw[_MARK_BYTES:])
    except (binascii.Error, ValueError) as error:
        raise PageTokenInvalid from error
    if raw[:_MARK_BYTES] != _mark(call) or not all(isinstance(part, str) for part in position):
        raise PageTokenInvalid
    return tuple(position)


def _mark(call: str) -> bytes:
    return hashlib.blake2b(call.encode(), digest_size=_MARK_BYTES).digest()
