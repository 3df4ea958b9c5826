"""Who is calling: a person who follows a link, or a program that looks ahead."""

from __future__ import annotations

from collections.abc import Mapping

_ANNOUNCED = ("purpose", "sec-purpose", "x-purpose", "x-moz")
_AHEAD = ("prefetch", "preview", "prerender")


def is_person(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a call counts as somebody's: HEAD asks without looking, and browsers say when they load ahead.

    A scanner that behaves like a browser cannot be told from one; that is why nothing is changed by following a link.
    """
    if method == "HEAD":
        return False
    said = " ".join(headers.get(name, "") for name in _ANNOUNCED).lower()
    return not any(word in said for word in _AHEAD)
