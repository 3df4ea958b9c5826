"""Date patterns as Java's SimpleDateFormat has them, and the English names of months and days.

A pattern is a text or one of `full`, `long`, `medium` and `short`. Apostrophes enclose fixed text, two of them are one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

STYLES: Mapping[str, str] = {
    "full": "EEEE, MMMM d, yyyy",
    "long": "MMMM d, yyyy",
    "medium": "MMM d, yyyy",
    "short": "M/d/yy",
}
MONTHS = tuple("January February March April May June July August September October November December".split())
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
MAX_PATTERN = 200
_LETTERS = frozenset("GyYMLwWDdFEuaHkKhmsSzZX")
_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^'A-Za-z]+")

Element: TypeAlias = tuple[str, int | str]
"""A letter and how often it stands there, or an apostrophe and a fixed text."""


class BadPattern(ValueError):
    """The text is no pattern; the message says why."""


@lru_cache(maxsize=512)
def parse_pattern(written: str) -> tuple[Element, ...]:
    """Cut a pattern into letters with their counts, and fixed texts with the letter `'`.

    Raises:
        BadPattern: an unknown letter, an apostrophe without its second, or too long.
    """
    pattern = STYLES.get(written, written)
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"a date pattern has at most {MAX_PATTERN} characters")
    found: list[Element] = []
    position = 0
    while position < len(pattern):
        match = _TOKEN.match(pattern, position)
        if match is None:
            raise BadPattern("an apostrophe in the date pattern is not closed")
        if match[1] is not None:
            found.append(("'", match[1].replace("''", "'") or "'"))
        elif match[2]:
            if match[2] not in _LETTERS:
                raise BadPattern(
                    f"the letter {match[2]} means nothing in a date pattern; put fixed text in apostrophes"
                )
            found.append((match[2], len(match[0])))
        else:
            found.append(("'", match[0]))
        position = match.end()
    return tuple(found)
