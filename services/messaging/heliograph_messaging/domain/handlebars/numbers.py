"""Helpers that calculate: floating point, whole numbers by `ceiling`, `floor` and `round` (pinpoint-1 6.5)."""

from __future__ import annotations

import math

from heliograph_messaging.domain.handlebars.limits import MAX_NUMBER
from heliograph_messaging.domain.handlebars.values import NoValue


def add(left: float, right: float) -> float:
    """Add two numbers."""
    return _bounded(left + right)


def subtract(left: float, right: float) -> float:
    """Subtract the second number from the first."""
    return _bounded(left - right)


def multiply(left: float, right: float) -> float:
    """Multiply two numbers."""
    return _bounded(left * right)


def divide(left: float, right: float) -> float:
    """Divide the first number by the second."""
    if right == 0:
        raise NoValue("nothing can be divided by 0")
    return _bounded(left / right)


def modulo(left: float, right: float) -> float:
    """Return what a division leaves over, with the sign of the first number."""
    if right == 0:
        raise NoValue("nothing can be divided by 0")
    return _bounded(math.fmod(left, right))


def ceiling(number: float) -> int:
    """Round up."""
    return math.ceil(_bounded(number))


def floor(number: float) -> int:
    """Round down."""
    return math.floor(_bounded(number))


def round_half_up(number: float) -> int:
    """Round to the nearest whole number, halves up (-2.5 to -2)."""
    whole = math.floor(_bounded(number))
    return whole + (number - whole >= 0.5)


def ordinalize(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, 11th, 22nd."""
    last = abs(number) % 100
    ending = "th" if 11 <= last <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(last % 10, "th")
    return f"{number}{ending}"


def _bounded(number: float) -> float:
    if not abs(number) <= MAX_NUMBER:
        raise NoValue(f"numbers go from -{MAX_NUMBER:,} to {MAX_NUMBER:,}")
    return number
