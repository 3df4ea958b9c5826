"""Objects that are imported, cut into pieces of whole lines."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Self

from heliograph_segments.domain.import_rows import MAX_LINE_BYTES, OTHER_FORMAT, OtherFormat, UnusableFile
from heliograph_segments.places.objects import BLOCK, too_large

_BOM = b"\xef\xbb\xbf"
_LOOKED_AT = 64 * 1024
# What files begin with that people take for text: how to say what it is instead of calling it broken.
_SIGNATURES = (
    (b"PK\x03\x04", "WRONG_FORMAT", "the file is a ZIP archive or a spreadsheet; save it as CSV with UTF-8"),
    (b"\xff\xfe", "NOT_UTF8", "the file is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "NOT_UTF8", "the file is UTF-16; save it as UTF-8"),
)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Line:
    """One line: its number from 1, its bytes without the line end, None when it is too long."""

    number: int
    content: bytes | None


@dataclass(frozen=True)
class Piece:
    """Some lines that follow each other, and where the next piece begins."""

    lines: list[Line]
    end: int
    end_lines: int


class SourceFile:
    """An opened object. Use it as a context manager. What gzip packed is read unpacked, from a file without a name."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        """Take an object, which is closed with this, and of which at most so many bytes are unpacked.

        Raises:
            UnusableFile: SOURCE_TOO_LARGE, WRONG_FORMAT.
        """
        self._file = file
        if file.read(len(_GZIP)) == _GZIP:
            with file as packed:
                self._file = _unpacked(packed, most_bytes)
        self.size = self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; what was unpacked is gone."""
        self._file.close()

    def check(self) -> None:
        """Look at the beginning.

        Raises:
            UnusableFile: the file is empty or no text: SOURCE_EMPTY, WRONG_FORMAT, NOT_UTF8.
        """
        self._file.seek(0)
        start = self._file.read(_LOOKED_AT)
        if not start.removeprefix(_BOM).strip():
            if len(start) == self.size:
                raise UnusableFile("SOURCE_EMPTY", "the file is empty")
            raise UnusableFile("WRONG_FORMAT", "the file begins with nothing but blanks")
        for signature, reason, message in _SIGNATURES:
            if start.startswith(signature):
                raise (OtherFormat if reason == OTHER_FORMAT else UnusableFile)(reason, message)
        if b"\x00" in start:
            raise OtherFormat(OTHER_FORMAT, "the file is not text")

    def first_line(self) -> str:
        """Return the first line without a byte order mark.

        Raises:
            UnusableFile: NOT_UTF8, or WRONG_FORMAT when it is too long.
        """
        line = self.piece(0, 0, 1).lines[0]
        if line.content is None:
            raise UnusableFile("WRONG_FORMAT", f"the first line is longer than {MAX_LINE_BYTES} bytes")
        try:
            return line.content.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            raise UnusableFile("NOT_UTF8", f"the first line is not UTF-8 ({error.reason})") from None

    def piece(self, start: int, lines_before: int, limit: int) -> Piece:
        """Return the lines that begin at `start` or up to `limit` bytes after it, the last one whole.

        A line over MAX_LINE_BYTES is passed over and not held in memory.
        """
        self._file.seek(start)
        block = self._file.read(limit)
        number = lines_before
        lines: list[Line] = []
        if not block.endswith(b"\n"):
            block += self._file.readline(MAX_LINE_BYTES + 1)
        *whole, last = block.split(b"\n")
        for content in whole:
            number += 1
            lines.append(_line(number, content))
        if last:  # no line end: the end of the file, or the line is too long for what was read
            number += 1
            rest = self._file.readline(MAX_LINE_BYTES)
            lines.append(_line(number, None if rest else last))
            while rest and not rest.endswith(b"\n"):
                rest = self._file.readline(MAX_LINE_BYTES)
        return Piece(lines, self._file.tell(), number)


def _unpacked(packed: BinaryIO, most_bytes: int) -> BinaryIO:
    """Unpack into a file without a name, which is gone when it is closed; pieces begin anywhere, and gzip does not."""
    packed.seek(0)
    unpacked: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with gzip.open(packed) as source:
            while block := source.read(BLOCK):
                unpacked.write(block)
                if unpacked.tell() > most_bytes:
                    raise too_large(most_bytes)
    except (OSError, EOFError, zlib.error) as error:
        unpacked.close()
        raise UnusableFile("WRONG_FORMAT", f"the file cannot be unpacked: {error}") from None
    except UnusableFile:
        unpacked.close()
        raise
    return unpacked


def _line(number: int, content: bytes | None) -> Line:
    if content is None or len(content) > MAX_LINE_BYTES:
        return Line(number, None)
    return Line(number, content.removesuffix(b"\r"))
