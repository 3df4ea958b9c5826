"""Reads a date that is written as a pattern says, for `inputFormat`. The whole text has to fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from heliograph_messaging.domain.handlebars.patterns import DAYS, MONTHS, Element
from heliograph_messaging.domain.handlebars.values import NoValue
from heliograph_messaging.domain.handlebars.zones import zone_of

_DIGITS = re.compile(r"[0-9]+")
_OFFSET = re.compile(r"[+-][0-9]{2}(?::?[0-9]{2})?")
_ZONE = re.compile(r"(?:UTC|GMT)[+-][0-9]{1,2}(?::?[0-9]{2})?|[A-Za-z]+(?:/[A-Za-z_]+){0,2}")
_NUMBERS = "yMLdDHkKhmsSuwWF"
_WHOLE = frozenset("HkKhmsS")


class _Reader:
    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now
        self._position = 0
        self.found: dict[str, int] = {}
        self.zone: tzinfo | None = None

    def done(self) -> bool:
        return self._position == len(self._text)

    def take(self, letter: str, count: int | str, *, glued: bool) -> bool:
        """Read one element of the pattern. `glued`: digits of another number follow at once."""
        if letter == "'":
            fixed = str(count)
            if not self._text.startswith(fixed, self._position):
                return False
            self._position += len(fixed)
            return True
        width = int(count)
        if letter in "ML" and width > 2:
            return self._word(letter, MONTHS)
        if letter == "E":
            return self._word(letter, DAYS)
        if letter == "a":
            return self._word(letter, ("AM", "PM"))
        if letter == "G":
            return self._word(letter, ("AD",))
        if letter in "zZX":
            return self._zone_name()
        return letter in _NUMBERS and self._number(letter, width, glued=glued)

    def _number(self, letter: str, width: int, *, glued: bool) -> bool:
        match = _DIGITS.match(self._text, self._position)
        if match is None:
            return False
        digits = match[0][:width] if glued else match[0]
        if len(digits) > 9:
            return False
        value = int(digits)
        if letter == "y" and width <= 2 and len(digits) == 2:
            value = self._century(value)
        self.found["M" if letter == "L" else letter] = value
        self._position += len(digits)
        return True

    def _century(self, year: int) -> int:
        """Return the year within 80 before and 20 after now, as Java does."""
        latest = self._now.year + 20
        return latest - (latest - year) % 100

    def _word(self, letter: str, words: Sequence[str]) -> bool:
        rest = self._text[self._position : self._position + 12].lower()
        for index, word in enumerate(words):
            for form in (word.lower(), word[:3].lower()):
                if rest.startswith(form):
                    self.found["M" if letter == "L" else letter] = index
                    if letter in "ML":
                        self.found["M"] = index + 1
                    self._position += len(form)
                    return True
        return False

    def _zone_name(self) -> bool:
        if self._text.startswith("Z", self._position):
            self.zone = UTC
            self._position += 1
            return True
        match = _OFFSET.match(self._text, self._position) or _ZONE.match(self._text, self._position)
        if match is None:
            return False
        self.zone = _ABBREVIATIONS.get(match[0]) or zone_of(match[0])
        self._position += len(match[0])
        return self.zone is not None


_ABBREVIATIONS: Mapping[str, tzinfo] = {
    name: timezone(timedelta(hours=hours), name)
    for name, hours in (
        ("EST", -5), ("EDT", -4), ("CST", -6), ("CDT", -5), ("MST", -7), ("MDT", -6), ("PST", -8), ("PDT", -7),
    )
}  # fmt: skip


def read(text: str, pattern: Sequence[Element], *, now: datetime) -> tuple[datetime, bool]:
    """Return the instant, in UTC when the text names no zone, and whether it is more than a day.

    Raises:
        NoValue: the text is not written so, or there is no such day or time.
    """
    reader = _Reader(text, now)
    for index, (letter, count) in enumerate(pattern):
        following = pattern[index + 1] if index + 1 < len(pattern) else ("'", "")
        glued = following[0] in _NUMBERS and not (following[0] in "ML" and int(following[1]) > 2)
        if not reader.take(letter, count, glued=glued):
            raise NoValue("the value is not written as inputFormat says")
    if not reader.done():
        raise NoValue("the value goes on behind the end of inputFormat")
    try:
        return _instant(reader.found, reader.zone or UTC), bool(_WHOLE & reader.found.keys())
    except (ValueError, OverflowError) as error:
        raise NoValue("there is no such date") from error


def _instant(found: Mapping[str, int], zone: tzinfo) -> datetime:
    hour = found.get("H", found.get("k", 0) % 24)
    if "h" in found or "K" in found:
        clock = found.get("h", found.get("K", 0))
        if clock > 12:
            raise ValueError
        hour = clock % 12 + 12 * found.get("a", 0)
    moment = datetime(
        found.get("y", 1970), found.get("M", 1), found.get("d", 1), hour, found.get("m", 0), found.get("s", 0),
        1000 * found.get("S", 0), tzinfo=zone,
    )  # fmt: skip
    if "D" in found and "M" not in found and "d" not in found:
        moment += timedelta(days=found["D"] - 1)
    return moment
