"""When each message of a queue is handed over, in one step for each day. Pure.

Instants are whole microseconds, rounded where messaging rounds them, so that nothing drifts apart over thousands of turns.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from heliograph_channels.us_carriers import pacific_day, pacific_midnight

TURN = timedelta(seconds=2)
"""How much of a number's time one turn takes; messaging's `SLICE` (a test compares them)."""
MOST_DAYS = 366
"""Days that are laid out one by one. Those after them count as alike, of 24 hours."""
_FARTHEST = timedelta(days=36_525)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pace:
    """So many messages at once, and how long until the next ones."""

    messages: int
    turn: timedelta


@dataclass(frozen=True)
class Stretch:
    """What is handed over on one US Pacific day: messages from index `first` (from 0) on, in turns from `start` on.

    `capped`: the day's cap stops it; what is left waits for the next day.
    """

    day: date
    first: int
    messages: int
    start: datetime
    capped: bool


@dataclass(frozen=True)
class _Rest:
    """What comes after the days that are laid out; `per_day` messages each, or without a stop when that is None."""

    first: int
    start: datetime
    per_day: int | None


@dataclass(frozen=True)
class Schedule:
    """When messages are handed over. `finish` is that of the last one; None: never, or in more than a hundred years."""

    pace: Pace
    messages: int
    stretches: Sequence[Stretch]
    finish: datetime | None
    rest: _Rest | None = None

    def instant_of(self, index: int) -> datetime | None:
        """Return when the message with an index (0 to messages - 1) is handed over; None: as for `finish`."""
        if self.rest is not None and index >= self.rest.first:
            return _after(self.rest, self.pace, index)
        at = bisect_right(self.stretches, index, key=lambda stretch: stretch.first) - 1
        if at < 0 or index >= self.stretches[at].first + self.stretches[at].messages:
            return None
        stretch = self.stretches[at]
        return stretch.start + (index - stretch.first) // self.pace.messages * self.pace.turn

    def cap_time(self, stretch: Stretch) -> datetime | None:
        """Return when the day's cap stops a stretch: with its last message. None: it does not."""
        return self.instant_of(stretch.first + stretch.messages - 1) if stretch.capped else None


def pace_of(parts_per_second: float, parts: int) -> Pace:
    """Return how messages of `parts` parts go at a rate (above 0): messaging's turns, a message never cut."""
    turn_parts = max(parts, int(parts_per_second * TURN.total_seconds()), 1)
    return Pace(turn_parts // parts, timedelta(seconds=turn_parts / parts_per_second))


def lay_out(
    messages: int, *, parts: int, parts_per_second: float, day_bucket: int, left_today: int, start: datetime
) -> Schedule:
    """Lay a queue out. At most `left_today` parts go on the day of the start, and `day_bucket` on each day after it.

    A turn must be shorter than a day: 0.001 parts a second and 86 parts are.
    """
    pace = pace_of(parts_per_second, parts)
    stretches: list[Stretch] = []
    anchor, day, done = start, pacific_day(start), 0
    allowed, later = left_today // parts, day_bucket // parts
    for _ in range(MOST_DAYS):
        if done == messages:
            break
        midnight = pacific_midnight(day + _DAY)
        possible = max(0, -((anchor - midnight) // pace.turn)) * pace.messages
        sent = min(messages - done, allowed, possible)
        capped = sent == allowed < min(possible, messages - done)
        if sent:
            stretches.append(Stretch(day, done, sent, anchor, capped))
        done += sent
        anchor += -(-sent // pace.messages) * pace.turn
        if capped:
            anchor = max(anchor, midnight)
        day, allowed = day + _DAY, later
    if done == messages:
        whole = Schedule(pace, messages, stretches, start)
        return Schedule(pace, messages, stretches, whole.instant_of(messages - 1) if messages else start)
    if not later:
        return Schedule(pace, messages, stretches, None)
    in_a_day = -(-_DAY // pace.turn) * pace.messages
    rest = _Rest(done, anchor, later if later < in_a_day else None)
    return Schedule(pace, messages, stretches, _after(rest, pace, messages - 1), rest)


def _after(rest: _Rest, pace: Pace, index: int) -> datetime | None:
    ahead = index - rest.first
    if rest.per_day is None:
        turns = ahead // pace.messages
        return None if turns > _FARTHEST // pace.turn else rest.start + turns * pace.turn
    days, place = divmod(ahead, rest.per_day)
    if days > _FARTHEST.days:
        return None
    begins = max(rest.start, pacific_midnight(pacific_day(rest.start) + timedelta(days=days)))
    return begins + place // pace.messages * pace.turn
