"""Frames of HTTP/2 as they arrive, with GOAWAY taken out (RFC 9113 4.1 and 6.8). Pure.

The state machine of h2 takes a GOAWAY for the end: whatever the server still answers, as the RFC lets it, would then be
a protocol error, and the answers to messages that Apple did take would be lost. So h2 never sees one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Frames", "FramesBroken", "GoAway"]

_HEADER = 9
_GOAWAY = 7
_LARGEST_FRAME = 16384
"""What we let a server send: we announce no other SETTINGS_MAX_FRAME_SIZE."""


class FramesBroken(Exception):
    """The bytes are no HTTP/2."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server takes no more: streams above `last_stream` it never looked at. `words` say why, if it told."""

    last_stream: int
    words: str


class Frames:
    """Cuts what arrives into whole frames."""

    def __init__(self) -> None:
        """Begin at the start of a connection."""
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes | GoAway]:
        """Take what arrived; return whole frames, as bytes for h2, and what GOAWAY says in between.

        Raises:
            FramesBroken: a frame is larger than we allow, or a GOAWAY too short.
        """
        rest = self._rest + data
        begin = place = 0
        while len(rest) - place >= _HEADER:
            length = int.from_bytes(rest[place : place + 3], "big")
            if length > _LARGEST_FRAME:
                raise FramesBroken(f"a frame of {length} bytes came")
            end = place + _HEADER + length
            if len(rest) < end:
                break
            if rest[place + 3] == _GOAWAY:
                if place > begin:
                    yield rest[begin:place]
                yield _goaway(rest[place + _HEADER : end])
                begin = end
            place = end
        self._rest = rest[place:]
        if place > begin:
            yield rest[begin:place]


def _goaway(payload: bytes) -> GoAway:
    if len(payload) < 8:
        raise FramesBroken("a GOAWAY without its fields came")
    last = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
    code = int.from_bytes(payload[4:8], "big")
    return GoAway(last, _reason(payload[8:]) or f"code {code}")


def _reason(debug: bytes) -> str:
    """Return Apple's reason (`{"reason": "Shutdown"}`), empty when there is none."""
    try:
        told = json.loads(debug)
    except (ValueError, RecursionError):
        return ""
    reason = told.get("reason") if isinstance(told, dict) else None
    return "".join(filter(str.isprintable, reason))[:100] if isinstance(reason, str) else ""
