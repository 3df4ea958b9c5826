"""The values of templates: texts, lists of texts, numbers, true and false, and None for what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TypeAlias

from heliograph_messaging.domain.handlebars.limits import MAX_NUMBER

Value: TypeAlias = str | int | float | bool | Sequence[str] | None

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 64
_DECIMALS = Decimal("0.00000001")
_EXACT = Context(prec=60)


class NoValue(ValueError):
    """A helper cannot work with what it was given; the text says why and begins with a small letter."""


def text_of(value: Value) -> str:
    """Return a value as it is rendered; lists are joined with a comma and a blank (pinpoint-1 6.4)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number_text(value)
    return ", ".join(value)


def number_of(value: Value) -> float | None:
    """Return a number, or the number that a text is; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        value = text_of(value)
    if len(value) > _LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if abs(number) < float("inf") else None


def rounded(number: float) -> float:
    """Round to eight decimals, halves away from zero (the sample of pinpoint-1 6.5 shows eight)."""
    if isinstance(number, int) or abs(number) > MAX_NUMBER:
        return number
    return float(Decimal(number).quantize(_DECIMALS, ROUND_HALF_UP, _EXACT))


def _number_text(number: float) -> str:
    number = rounded(number)
    if number == int(number):
        return str(int(number))
    return f"{Decimal(repr(number)):f}"


def same(left: Value, right: Value) -> bool:
    """Tell whether two values are equal: as numbers when both are, else as texts. Missing equals only missing."""
    if left is None or right is None:
        return left is right
    numbers = _both(left, right)
    if numbers is not None:
        return numbers[0] == numbers[1]
    return text_of(left) == text_of(right)


def before(left: Value, right: Value) -> bool:
    """Tell whether the left value is smaller: as numbers when both are, else by the characters of the texts."""
    numbers = _both(left, right)
    if numbers is not None:
        return numbers[0] < numbers[1]
    return text_of(left) < text_of(right)


def _both(left: Value, right: Value) -> tuple[float, float] | None:
    one = number_of(left)
    if one is None:
        return None
    other = number_of(right)
    return None if other is None else (rounded(one), rounded(other))
