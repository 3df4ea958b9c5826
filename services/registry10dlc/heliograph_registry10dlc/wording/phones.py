"""Phone numbers in a text. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heliograph_registry10dlc.wording.links import without_links

# US numbers as people write them; ten digits in a row unless a sign before makes them the number of something else;
# freephone numbers with words; numbers of other countries with their +.
_PHONE = re.compile(
    r"(?<![\w#$€£.+-])(?:"
    r"(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-]?)[2-9][0-9]{2}[ .-]?[0-9]{4}"
    r"|(?:\+?1[ .-])?8(?:00|33|44|55|66|77|88)[ .-][0-9A-Z]{1,7}(?:-[0-9A-Z]{1,7}){0,3}"
    r"|\+[0-9][0-9 ().-]{5,18}[0-9]"
    r")(?![\w-])"
)
_KEYS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_SHORTEST = 7


@dataclass(frozen=True)
class Phone:
    """A phone number as it is written, and its digits with the country code."""

    text: str
    digits: str


def find_phones(text: str) -> list[Phone]:
    """Return the phone numbers of a text in their order; none of those in links."""
    found = (Phone(match[0].strip(), digits_of(match[0])) for match in _PHONE.finditer(without_links(text)))
    return [phone for phone in found if len(phone.digits) >= _SHORTEST]


def digits_of(number: str) -> str:
    """Return the digits of a number with the country code; ten without + are of the US. Letters are keys."""
    digits = "".join(re.findall(r"[0-9]", number.upper().translate(_KEYS)))
    return f"1{digits}" if len(digits) == 10 and not number.lstrip().startswith("+") else digits
