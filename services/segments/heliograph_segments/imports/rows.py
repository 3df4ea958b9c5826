"""The lines of a piece as updates and failures; runs in a thread while the piece before is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from heliograph_kit.ids import derived_id
from heliograph_segments.domain.endpoints import MAX_ID, EndpointUpdate, check_text
from heliograph_segments.domain.import_csv import CsvRows
from heliograph_segments.domain.import_ndjson import NdjsonRows
from heliograph_segments.domain.import_rows import (
    MAX_LINE_BYTES,
    OTHER_FORMAT,
    BadRow,
    Derive,
    OtherFormat,
    RowFailure,
    UserRow,
    bad_row,
)
from heliograph_segments.domain.jobs import JobFormat
from heliograph_segments.imports.source import Line, Piece, SourceFile

_BOM = b"\xef\xbb\xbf"


class Rows(Protocol):
    """Reads one line of a format."""

    def row(self, line: str, derive: Derive) -> EndpointUpdate | UserRow:
        """Return the update of a line, or the users it names; raises BadRow."""
        ...


@dataclass(frozen=True)
class Parsed:
    """What a piece asks for, with the line of each update, the users it names, and rows that failed."""

    updates: list[EndpointUpdate]
    lines: list[int]
    users: set[str]
    failures: list[RowFailure]
    rows: int
    end: int
    end_lines: int


def reader_of(format: JobFormat, file: SourceFile) -> Rows:
    """Return what reads the lines of the file, after looking whether it is of the format said.

    Raises:
        UnusableFile: with the reason for which the job fails.
    """
    file.check()
    first = file.first_line()
    looks_like_json = first.lstrip().startswith("{")
    if format is JobFormat.NDJSON:
        if not looks_like_json:
            raise OtherFormat(OTHER_FORMAT, "the first line is no JSON object; is the file CSV?")
        return NdjsonRows()
    if looks_like_json:
        raise OtherFormat(OTHER_FORMAT, "the first line is a JSON object and no header; is the file NDJSON?")
    return CsvRows(first)


def deriver(project: str) -> Derive:
    """Return how rows of a project get an id from channel and address when they bring none."""
    return lambda channel, address: derived_id(project, channel, address)


def parse_piece(piece: Piece, rows: Rows, derive: Derive, *, header: bool, lists_users: bool) -> Parsed:
    """Read all lines of a piece; `header` tells that line 1 of the file is none of the rows, `lists_users` that rows may
    name users.
    """
    updates: list[EndpointUpdate] = []
    lines: list[int] = []
    users: set[str] = set()
    failures: list[RowFailure] = []
    count = 0
    read: Callable[[str, Derive], EndpointUpdate | UserRow] = rows.row
    for line in piece.lines:
        if line.number == 1 and header:
            continue
        try:
            text = _text(line)
        except BadRow as error:
            count += 1
            failures.append(error.at(line.number))
            continue
        if not text.strip():
            continue  # the end of a file often has one
        count += 1
        try:
            found = read(text, derive)
            if isinstance(found, UserRow):
                users |= _users(found, allowed=lists_users)
                continue
            updates.append(found)
            lines.append(line.number)
        except BadRow as error:
            failures.append(error.at(line.number))
    return Parsed(updates, lines, users, failures, count, piece.end, piece.end_lines)


def _users(row: UserRow, *, allowed: bool) -> set[str]:
    if not allowed or not row.user_ids:
        raise BadRow("REQUIRED", "Id", "a row without Id needs ChannelType and Address")
    for user_id in row.user_ids:
        for problem in check_text("user.user_id", user_id, MAX_ID):
            raise bad_row(problem)
    return set(row.user_ids)


def _text(line: Line) -> str:
    if line.content is None:
        raise BadRow("LINE_TOO_LONG", "", f"is longer than {MAX_LINE_BYTES} bytes")
    content = line.content.removeprefix(_BOM) if line.number == 1 else line.content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadRow("NOT_UTF8", "", f"is not UTF-8 at byte {error.start + 1}") from None
