"""Helpers that change texts (pinpoint-1 6.5). Positions and lengths count characters (code points)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from heliograph_messaging.domain.handlebars.limits import MAX_OUTPUT, MAX_WIDTH
from heliograph_messaging.domain.handlebars.values import NoValue, text_of

_WORD = re.compile(r"(?<!\S)\S")
_NOT_IN_SLUGS = re.compile(r"[^\w\s-]")
_GAPS = re.compile(r"[-\s]+")


def abbreviate(text: str, length: int) -> str:
    """Cut to `length` characters, the three dots included."""
    if length < 4:
        raise NoValue(f"at least 4 characters are needed, not {length}")
    return text if len(text) <= length else text[: length - 3] + "..."


def capitalize(text: str) -> str:
    """Begin each word with a capital; the rest of it stays as it is."""
    return _WORD.sub(lambda match: match[0].upper(), text)


def capitalize_first(text: str) -> str:
    """Begin with a capital."""
    return text[:1].upper() + text[1:]


def lower(text: str) -> str:
    """Write all in small letters."""
    return text.lower()


def upper(text: str) -> str:
    """Write all in capitals."""
    return text.upper()


def center(text: str, size: int, pad: str) -> str:
    """Pad on both sides; what is over goes to the right."""
    left = max(0, size - len(text)) // 2
    return ljust(_padding(left, pad) + text, size, pad)


def ljust(text: str, size: int, pad: str) -> str:
    """Pad on the right."""
    return text + _padding(size - len(text), pad)


def rjust(text: str, size: int, pad: str) -> str:
    """Pad on the left."""
    return _padding(size - len(text), pad) + text


def _padding(width: int, pad: str) -> str:
    if width > MAX_WIDTH:
        raise NoValue(f"texts are padded to at most {MAX_WIDTH:,} characters")
    if width <= 0 or not pad:
        return ""
    return (pad * (width // len(pad) + 1))[:width]


def cut(text: str, what: str) -> str:
    """Take all occurrences of a text away."""
    return text.replace(what, "") if what else text


def replace(text: str, what: str, by: str) -> str:
    """Replace all occurrences of a text, character for character."""
    if not what:
        return text
    if len(by) > len(what) and len(text) + text.count(what) * (len(by) - len(what)) > MAX_OUTPUT:
        raise NoValue(f"the result would be longer than {MAX_OUTPUT:,} characters")
    return text.replace(what, by)


def slugify(text: str) -> str:
    """Write in small letters without accents and signs, words joined by hyphens."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if unicodedata.category(one) != "Mn")
    kept = _NOT_IN_SLUGS.sub("", unicodedata.normalize("NFC", plain).lower())
    return _GAPS.sub("-", kept).strip("-_")


def strip_tags(text: str) -> str:
    """Take away everything from < to the next >."""
    kept: list[str] = []
    position = 0
    while (start := text.find("<", position)) >= 0 and (end := text.find(">", start)) >= 0:
        kept.append(text[position:start])
        position = end + 1
    return "".join([*kept, text[position:]])


def substring(text: str, start: int, end: int | None) -> str:
    """Return the characters from `start` (counted from 0) up to `end`, which does not belong to them."""
    return text[start:end]


def join(items: Sequence[str], separator: str, prefix: str, suffix: str) -> str:
    """Join the values of a list."""
    if sum(map(len, items)) + len(items) * len(separator) > MAX_OUTPUT:
        raise NoValue(f"the result would be longer than {MAX_OUTPUT:,} characters")
    return prefix + separator.join(items) + suffix


def inflect(number: float, singular: str, plural: str, include_count: bool) -> str:
    """Choose between singular and plural, with the number in front when wanted."""
    word = singular if number == 1 else plural
    return f"{text_of(number)} {word}" if include_count else word


def yes_or_no(value: object, yes: str, no: str, maybe: str) -> str:
    """Choose by true, false and missing. The texts `false` and `0` and empty ones are false, others true."""
    if value is None:
        return maybe
    false = value in ("false", "0", "") or not value
    return no if false else yes
