"""What US carriers count by: their names, and their calendar day (pinpoint-2 4.4). Pure.

The day of a cap is the calendar day of US Pacific time, whatever the zone of sender and recipient. It begins at midnight in
Los Angeles and has 23 hours on the second Sunday of March and 25 on the first Sunday of November.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

__all__ = ["PACIFIC", "Carrier", "day_bucket", "next_pacific_midnight", "pacific_day", "pacific_midnight"]

PACIFIC = ZoneInfo("America/Los_Angeles")
_DAY = timedelta(days=1)


class Carrier(StrEnum):
    """Whose customer a US recipient is. OTHER are all the smaller ones."""

    ATT = "ATT"
    T_MOBILE = "T_MOBILE"
    VERIZON = "VERIZON"
    OTHER = "OTHER"


def pacific_day(instant: datetime) -> date:
    """Return the day of the caps that an aware instant belongs to; midnight begins the new one."""
    return instant.astimezone(PACIFIC).date()


def pacific_midnight(day: date) -> datetime:
    """Return the instant, UTC, at which a day of the caps begins."""
    return datetime.combine(day, time(), PACIFIC).astimezone(UTC)


def next_pacific_midnight(instant: datetime) -> datetime:
    """Return the first instant, UTC, of the day of the caps after the one that an aware instant belongs to."""
    return pacific_midnight(pacific_day(instant) + _DAY)


def day_bucket(parts_per_day: int, share: float) -> int:
    """Return how many parts to all carriers bring the one that counts days its allowance (`parts_per_day`).

    Whose customers the recipients are is not known when messages leave, so all of them count; `share` of them (above 0, at most
    1) are taken to be that carrier's.
    """
    return floor(parts_per_day / Fraction(str(share)))
