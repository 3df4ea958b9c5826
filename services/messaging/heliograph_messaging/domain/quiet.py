"""Quiet time in the recipient's own zone (pinpoint-1 1.3). Pure: the instant is passed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class NoClockTime(ValueError):
    """A text that is no time of day of the form HH:MM."""


def clock_time(text: str) -> time:
    """Read `HH:MM`, 00:00 to 23:59 with leading zeros.

    Raises:
        NoClockTime: it is of another form.
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise NoClockTime("must be a time of day of the form HH:MM, from 00:00 to 23:59")
    return time(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class QuietTime:
    """From `start` to `end`, both inside to the minute; it spans midnight when `end` is before `start`."""

    start: time
    end: time

    def holds(self, zone_name: str, now: datetime) -> bool:
        """Tell whether it is quiet time in a zone (a tz database name); without a valid zone it never is."""
        zone = _zone(zone_name)
        if zone is None:
            return False
        local = now.astimezone(zone).time().replace(second=0, microsecond=0)
        if self.start <= self.end:
            return self.start <= local <= self.end
        return local >= self.start or local <= self.end


@lru_cache(maxsize=1000)
def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
