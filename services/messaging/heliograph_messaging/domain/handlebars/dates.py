"""Dates for `dateFormat` and `now`: patterns as Java's SimpleDateFormat has them, in English.

A pattern is a text or one of `full`, `long`, `medium` and `short`. Apostrophes enclose fixed text, two of them are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo

from heliograph_messaging.domain.handlebars.datereader import read
from heliograph_messaging.domain.handlebars.patterns import DAYS, MONTHS, BadPattern, Element, parse_pattern
from heliograph_messaging.domain.handlebars.values import NoValue

_LONGEST_DATE = 64
_DATE_ONLY = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")


def format_date(moment: datetime, pattern: str) -> str:
    """Write an instant as the pattern says.

    Raises:
        NoValue: the text is no pattern.
    """
    return "".join(
        str(count) if letter == "'" else _WRITERS[letter](moment, int(count)) for letter, count in _pattern(pattern)
    )


def read_date(text: str, pattern: str | None, *, now: datetime) -> tuple[datetime, bool]:
    """Read a date, as ISO 8601 when there is no pattern; tells also whether it is an instant, not only a day.

    What names no zone is UTC. `now` decides the century of years with two digits.

    Raises:
        NoValue: it is no date, or not written as the pattern says.
    """
    text = text.strip()
    if len(text) > _LONGEST_DATE:
        raise NoValue("the value is no date")
    if pattern is not None:
        return read(text, _pattern(pattern), now=now)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise NoValue("the value is no date as in 2020-09-19 or 2020-09-19T18:30:00Z; say inputFormat=") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)), not _DATE_ONLY.fullmatch(text)


def shifted(moment: datetime, zone: tzinfo) -> datetime:
    """Return an instant in a zone.

    Raises:
        NoValue: the calendar ends there.
    """
    try:
        return moment.astimezone(zone)
    except (OverflowError, ValueError) as error:
        raise NoValue("the date lies outside of the years 1 to 9999") from error


def _pattern(pattern: str) -> tuple[Element, ...]:
    try:
        return parse_pattern(pattern)
    except BadPattern as error:
        raise NoValue(str(error)) from error


def _number(value: Callable[[datetime], int]) -> Callable[[datetime, int], str]:
    return lambda moment, count: str(value(moment)).zfill(count)


def _year(moment: datetime, count: int) -> str:
    return str(moment.year % 100).zfill(2) if count == 2 else str(moment.year).zfill(count)


def _month(moment: datetime, count: int) -> str:
    if count < 3:
        return str(moment.month).zfill(count)
    return MONTHS[moment.month - 1] if count > 3 else MONTHS[moment.month - 1][:3]


def _day_name(moment: datetime, count: int) -> str:
    return DAYS[moment.weekday()] if count > 3 else DAYS[moment.weekday()][:3]


def _week_year(moment: datetime) -> tuple[int, int]:
    """Return year and number of the week, which begins on Sunday; the week of January 1 is the first (as in the US)."""
    day = moment.date()
    sunday = day.toordinal() - (day.weekday() + 1) % 7
    year = day.year + 1 if day.year < date.max.year and sunday + 6 >= date(day.year + 1, 1, 1).toordinal() else day.year
    first = date(year, 1, 1)
    return year, (sunday - (first.toordinal() - (first.weekday() + 1) % 7)) // 7 + 1


def _week_year_text(moment: datetime, count: int) -> str:
    year, _ = _week_year(moment)
    return str(year % 100).zfill(2) if count == 2 else str(year).zfill(count)


def _week_of_month(moment: datetime) -> int:
    first = moment.replace(day=1)
    return (moment.day + (first.weekday() + 1) % 7 - 1) // 7 + 1


def _offset(moment: datetime, *, colon: bool) -> str:
    minutes = int((moment.utcoffset() or timedelta()).total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{':' if colon else ''}{abs(minutes) % 60:02}"


def _zone_name(moment: datetime) -> str:
    name = moment.tzname() or ""
    return name if name[:1].isalpha() and not name.startswith(("UTC+", "UTC-")) else f"GMT{_offset(moment, colon=True)}"


def _iso_offset(moment: datetime, count: int) -> str:
    if not moment.utcoffset():
        return "Z"
    return _offset(moment, colon=count > 2)[: 3 if count == 1 else None]


_WRITERS: Mapping[str, Callable[[datetime, int], str]] = {
    "G": lambda _moment, _count: "AD",
    "y": _year,
    "Y": _week_year_text,
    "M": _month,
    "L": _month,
    "w": _number(lambda moment: _week_year(moment)[1]),
    "W": _number(_week_of_month),
    "D": _number(lambda moment: moment.timetuple().tm_yday),
    "d": _number(lambda moment: moment.day),
    "F": _number(lambda moment: (moment.day - 1) // 7 + 1),
    "E": _day_name,
    "u": _number(lambda moment: moment.isoweekday()),
    "a": lambda moment, _count: "AM" if moment.hour < 12 else "PM",
    "H": _number(lambda moment: moment.hour),
    "k": _number(lambda moment: moment.hour or 24),
    "K": _number(lambda moment: moment.hour % 12),
    "h": _number(lambda moment: moment.hour % 12 or 12),
    "m": _number(lambda moment: moment.minute),
    "s": _number(lambda moment: moment.second),
    "S": _number(lambda moment: moment.microsecond // 1000),
    "z": lambda moment, _count: _zone_name(moment),
    "Z": lambda moment, _count: _offset(moment, colon=False),
    "X": _iso_offset,
}
