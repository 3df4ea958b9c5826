"""Frames on a local socket: a JSON document and raw bytes beside it. Both sides use it; neither trusts the other's lengths.

A frame is eight bytes (length of the document, length of all bytes beside it), the document, the bytes. The document is
`[type, number, body, [length of each piece of bytes]]`. Nothing in a frame is ever executed or instantiated by name, which
is why this is no pickle.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

CALL, ANSWER, FAULT, CANCEL, PING, PONG = "call", "answer", "fault", "cancel", "ping", "pong"
_TYPES = frozenset({CALL, ANSWER, FAULT, CANCEL, PING, PONG})
_HEAD = struct.Struct(">II")

TO_PLUGIN = 64 * 1024 * 1024
"""Most bytes of a frame to a plugin; a larger batch is handed over in parts."""
FROM_PLUGIN = 4 * 1024 * 1024
"""Most bytes of a frame from a plugin: a thousand results with their details need less."""

LOG_MARK = "\x1e"
"""Begins a line of a process's output that is a log record and not something printed."""


class BadFrame(Exception):
    """What came is no frame; the other side is not to be spoken with any more."""


class TooLarge(Exception):
    """What was to be sent does not fit into a frame."""


class Frame(NamedTuple):
    """One frame as it came."""

    type: str
    number: int
    body: object
    blobs: Sequence[bytes]


Encode = Callable[[object, "Blobs"], object]


class Blobs:
    """The bytes that go beside a document. The same object is sent once, however often it is referred to.

    A campaign's attachment is one object in a thousand messages; inside of the document it would go out a thousand times.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.all: list[bytes] = []
        self._places: dict[int, int] = {}

    def place(self, data: bytes) -> int:
        """Return the number under which the other side finds these bytes."""
        place = self._places.get(id(data))
        if place is None:
            place = self._places[id(data)] = len(self.all)
            self.all.append(data)
        return place


def pack(type: str, number: int, body: object, *, encode: Encode | None = None, limit: int) -> bytes:
    """Return a frame; `encode` turns what JSON does not know into what it knows.

    Raises:
        TooLarge: it would have more than `limit` bytes.
        TypeError, ValueError: the body cannot be written as JSON.
    """
    blobs = Blobs()
    default = (lambda thing: encode(thing, blobs)) if encode else None
    # ASCII, so that lone surrogates in a message's text survive.
    written = json.dumps(body, default=default, separators=(",", ":"))
    lengths = ",".join(str(len(blob)) for blob in blobs.all)
    document = f'["{type}",{number},{written},[{lengths}]]'.encode("ascii")
    beside = sum(map(len, blobs.all))
    if _HEAD.size + len(document) + beside > limit:
        raise TooLarge(f"{len(document) + beside:,} bytes")
    return b"".join((_HEAD.pack(len(document), beside), document, *blobs.all))


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self, limit: int) -> None:
        """Take the most bytes of one frame."""
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete with these bytes.

        Raises:
            BadFrame: a frame is too large, or is none.
        """
        buffer = self._buffer
        buffer += data
        found = []
        while len(buffer) >= _HEAD.size:
            length, beside = _HEAD.unpack_from(buffer)
            end = _HEAD.size + length + beside
            if end > self._limit:
                raise BadFrame(f"a frame of {end:,} bytes, where {self._limit:,} are allowed")
            if len(buffer) < end:
                break
            document = bytes(buffer[_HEAD.size : _HEAD.size + length])
            rest = bytes(buffer[_HEAD.size + length : end])
            del buffer[:end]
            found.append(_frame(document, rest))
        return found


def _frame(document: bytes, rest: bytes) -> Frame:
    try:
        read = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"a frame that is no JSON: {type(error).__name__}") from None
    match read:
        case [str() as kind, int() as number, body, [*lengths]] if kind in _TYPES:
            return Frame(kind, number, body, _cut(rest, lengths))
        case _:
            raise BadFrame("a frame of another form")


def _cut(rest: bytes, lengths: Sequence[object]) -> list[bytes]:
    blobs, at = [], 0
    for length in lengths:
        if not isinstance(length, int) or length < 0:
            raise BadFrame("a frame with a length that is no number")
        blobs.append(rest[at : at + length])
        at += length
    if at != len(rest):
        raise BadFrame("a frame whose lengths do not add up")
    return blobs
