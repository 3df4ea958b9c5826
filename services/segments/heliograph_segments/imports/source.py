"""Files that may be imported, cut into pieces of whole lines."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import unquote

from heliograph_segments.domain.import_rows import MAX_LINE_BYTES, UnusableFile

_BOM = b"\xef\xbb\xbf"
_LOOKED_AT = 64 * 1024
# What files begin with that people take for text: how to say what it is instead of calling it broken.
_SIGNATURES = (
    (b"PK\x03\x04", "WRONG_FORMAT", "the file is a ZIP archive or a spreadsheet; save it as CSV with UTF-8"),
    (b"\xff\xfe", "NOT_UTF8", "the file is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "NOT_UTF8", "the file is UTF-16; save it as UTF-8"),
)
_GZIP = b"\x1f\x8b"
_COPIED_AT_ONCE = 1024 * 1024


def path_of(source: str, root: Path | None) -> Path:
    """Return the file that `file:` and a path mean, below the folder that imports may read.

    Links are followed before the folder is compared, so none leads out of it.

    Raises:
        UnusableFile: SOURCE_NOT_ALLOWED when it lies elsewhere, or no folder was set.
    """
    if root is None:
        raise UnusableFile(
            "SOURCE_NOT_ALLOWED", "imports from files are switched off (HELIOGRAPH_SEGMENTS_IMPORT_ROOT)"
        )
    path = below(root, source)
    if path is None:
        raise UnusableFile("SOURCE_NOT_ALLOWED", "the file must lie below the folder that imports may read")
    return path


def below(root: Path, name: str) -> Path | None:
    """Return what `file:` and a path mean below a folder, None when it lies elsewhere or cannot be followed.

    Links are followed before the folder is compared, so none leads out of it.
    """
    spelled = name.removeprefix("file:")
    if spelled.startswith("//"):  # file:///path is a URL, file:/path and file:path are paths
        spelled = unquote(spelled[2:])
    folder = root.resolve()
    try:
        path = (folder / spelled).resolve()
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(folder) else None


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
    """An opened file. Use it as a context manager. What gzip packed is read unpacked, from a file without a name."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Open a file of which at most so many bytes are unpacked.

        Raises:
            UnusableFile: SOURCE_NOT_FOUND, SOURCE_UNREADABLE, SOURCE_TOO_LARGE, WRONG_FORMAT.
        """
        try:
            if not path.is_file():
                raise UnusableFile("SOURCE_NOT_FOUND", "there is no such file")
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise UnusableFile("SOURCE_UNREADABLE", f"the file cannot be read: {error.strerror}") from None
        status = path.stat()
        self.size = status.st_size
        self.modified_ns = status.st_mtime_ns
        if self._file.read(len(_GZIP)) == _GZIP:
            with self._file as packed:
                self._file = _unpacked(packed, most_bytes)
            self.size = self._file.tell()

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
                raise UnusableFile(reason, message)
        if b"\x00" in start:
            raise UnusableFile("WRONG_FORMAT", "the file is not text")

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
            while block := source.read(_COPIED_AT_ONCE):
                unpacked.write(block)
                if unpacked.tell() > most_bytes:
                    words = f"the file has more than {most_bytes} bytes unpacked (HELIOGRAPH_SEGMENTS_IMPORT_UNPACKED_BYTES)"
                    raise UnusableFile("SOURCE_TOO_LARGE", words)
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
