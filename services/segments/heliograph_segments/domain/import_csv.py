"""CSV imports: a header with dotted columns, then one endpoint a line (pinpoint-1 3.5)."""

from __future__ import annotations

import csv

from heliograph_segments.domain.endpoints import (
    MAX_NAMES,
    MAX_VALUE,
    MAX_VALUES,
    EndpointUpdate,
    check_id,
    check_location,
    check_name,
    rounded,
)
from heliograph_segments.domain.import_rows import (
    COORDINATES,
    DEMOGRAPHIC_COLUMNS,
    ENDPOINT_COLUMNS,
    IGNORED_COLUMNS,
    LOCATION_COLUMNS,
    MAX_LINE_BYTES,
    BadRow,
    Derive,
    UnusableFile,
    UserRow,
    bad_row,
    checked,
    effective_time,
    identity,
    known_channel,
    number,
    opted_out,
    shown,
)

csv.field_size_limit(MAX_LINE_BYTES)

_ATTRIBUTE = "Attributes."
_USER_ATTRIBUTE = "User.UserAttributes."
_METRIC = "Metrics."
MAX_COLUMNS = 1000


def cells_of(line: str) -> list[str]:
    """Take one line apart. Values hold no line breaks, so a line is a row.

    Raises:
        BadRow: the quotes do not match.
    """
    if '"' not in line:
        return line.split(",")
    try:
        cells = next(csv.reader((line,), strict=True))
    except csv.Error as error:
        raise BadRow(
            "MALFORMED_ROW", "", f"the quotes do not match ({error}); values must not hold line breaks"
        ) from None
    return cells


class CsvRows:
    """Reads the lines of one file by its header."""

    def __init__(self, header: str) -> None:
        """Take the first line apart.

        Raises:
            UnusableFile: unknown columns (all are named), or columns that may not be repeated.
        """
        try:
            columns = [column.strip() for column in cells_of(header)]
        except BadRow as error:
            raise UnusableFile("WRONG_FORMAT", f"the header: {error.message}") from None
        _check_header(columns)
        self._width = len(columns)
        at = {column: index for index, column in enumerate(columns)}
        self._id, self._address, self._channel, self._opt_out, self._effective, self._request, self._user = (
            at.get(column) for column in ENDPOINT_COLUMNS
        )
        self._attributes = _named(columns, _ATTRIBUTE)
        self._user_attributes = _named(columns, _USER_ATTRIBUTE)
        self._metrics = _named(columns, _METRIC)
        self._demographic = [(at[column], member) for column, member in DEMOGRAPHIC_COLUMNS.items() if column in at]
        self._places = [(at[column], member) for column, member in LOCATION_COLUMNS.items() if column in at]
        self._few_names = len(self._attributes) + len(self._user_attributes) + len(self._metrics) <= MAX_NAMES
        self._coordinates = [(at[column], member, column) for column, member in COORDINATES.items() if column in at]

    def row(self, line: str, derive: Derive) -> EndpointUpdate | UserRow:
        """Return the update that a line asks for; empty cells leave things as they are. A line that holds nothing but
        user ids names users.

        Raises:
            BadRow: the row cannot be imported.
        """
        cells = cells_of(line)
        if len(cells) != self._width:
            raise BadRow("MALFORMED_ROW", "", f"has {len(cells)} values where the header has {self._width} columns")
        channel = cells[self._channel] if self._channel is not None else ""
        address = cells[self._address] if self._address is not None else ""
        effective = cells[self._effective] if self._effective is not None else ""
        refused = cells[self._opt_out] if self._opt_out is not None else ""
        user_id = cells[self._user] if self._user is not None else ""
        if user_id and not channel and not address and sum(map(bool, cells)) == 1:
            return UserRow(tuple(user_id.split()))
        update = EndpointUpdate(
            endpoint_id=identity(
                cells[self._id] if self._id is not None else None,
                known_channel(channel) if channel else None,
                address,
                derive,
            ),
            channel=channel or None,
            address=address or None,
            attributes=_lists(self._attributes, cells),
            metrics={name: number(_METRIC + name, cells[index]) for index, name in self._metrics if cells[index]},
            demographic={member: cells[index] for index, member in self._demographic if cells[index]},
            location=self._location(cells),
            user_id=user_id or None,
            user_attributes=_lists(self._user_attributes, cells),
            opted_out=opted_out(refused) if refused else None,
            effective_time=effective_time(effective) if effective else None,
            request_id=(cells[self._request] or None) if self._request is not None else None,
        )
        # The header settled names and counts: of short cells only the id and the coordinates are left to look at.
        plain = self._few_names and (len(line) <= MAX_VALUE or max(map(len, cells)) <= MAX_VALUE)
        plain = plain and "\x00" not in line and (not self._coordinates or not check_location(update.location))
        if plain and (user_id or not update.user_attributes) and not check_id(update.endpoint_id):
            return update
        return checked(update)

    def _location(self, cells: list[str]) -> dict[str, str | float | None]:
        place: dict[str, str | float | None] = {member: cells[index] for index, member in self._places if cells[index]}
        for index, member, column in self._coordinates:
            if cells[index]:
                place[member] = rounded(number(column, cells[index]))
        return place


def _lists(columns: list[tuple[int, str]], cells: list[str]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for index, name in columns:
        if value := cells[index]:
            if name in lists:
                lists[name].append(value)
            else:
                lists[name] = [value]
    return lists


def _named(columns: list[str], prefix: str) -> list[tuple[int, str]]:
    return [(index, column[len(prefix) :]) for index, column in enumerate(columns) if column.startswith(prefix)]


def _check_header(columns: list[str]) -> None:
    single = {*ENDPOINT_COLUMNS, *DEMOGRAPHIC_COLUMNS, *LOCATION_COLUMNS, *COORDINATES, *IGNORED_COLUMNS}
    unknown, wrong = [], []
    seen: dict[str, int] = {}
    for column in columns:
        seen[column] = seen.get(column, 0) + 1
        prefix = next((p for p in (_ATTRIBUTE, _USER_ATTRIBUTE, _METRIC) if column.startswith(p)), None)
        if prefix is not None:
            wrong += [f"{column}: {bad_row(problem).message}" for problem in check_name("", column[len(prefix) :])]
        elif column not in single:
            unknown.append(shown(column))
        if seen[column] == 2 and prefix in (None, _METRIC):
            wrong.append(f"{column} is there twice; only attributes may be repeated")
        if seen[column] == MAX_VALUES + 1 and prefix not in (None, _METRIC):
            wrong.append(f"{column} is there more than {MAX_VALUES} times")
    if unknown:
        listed = ", ".join(unknown[:20])
        raise UnusableFile("UNKNOWN_COLUMNS", f"the first line must be the header; it names unknown columns: {listed}")
    if len(columns) > MAX_COLUMNS:
        wrong.append(f"has more than {MAX_COLUMNS} columns")
    if wrong:
        raise UnusableFile("WRONG_FORMAT", f"the header: {'; '.join(wrong[:20])}")
