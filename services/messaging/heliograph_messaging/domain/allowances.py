"""How much may be sent in a day, a week or a month of the US Pacific, and what is left of it (pinpoint-2 4.4, 4.10). Pure.

One carrier counts the message parts of a brand by the day. Who the recipients' carriers are is not known, so a brand is let send
as much to all of them as brings that carrier its allowance, if it has the assumed share of the recipients. Toll-free numbers
whose use is not registered have thresholds of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from heliograph_channels.us_carriers import day_bucket, pacific_day, pacific_midnight
from heliograph_messaging.domain.numbers import Registration, project_of
from heliograph_messaging.domain.pacing import fitting


class Span(StrEnum):
    """What is counted together."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


UNREGISTERED_TOLL_FREE: Mapping[Span, int] = {Span.DAY: 500, Span.WEEK: 1_000, Span.MONTH: 2_000}
"""Message parts that a toll-free number sends at the most before its use is registered."""


@dataclass(frozen=True, slots=True)
class Window:
    """From an instant (UTC) on, to another that does not belong to it any more."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Allowance:
    """Message parts in each span, and who shares them: the name of a brand, or a number, of a project (empty: the sender's)."""

    key: str
    project: str
    limits: Mapping[Span, int]


class Registered(Protocol):
    """A number, as far as what it may send in a day goes."""

    @property
    def number(self) -> str:
        """The number."""
        ...

    @property
    def kind(self) -> str:
        """What it is."""
        ...

    @property
    def use_case(self) -> str:
        """The name of its use case, or empty."""
        ...

    @property
    def registration(self) -> Registration:
        """What the registry says of its use case."""
        ...


@dataclass(frozen=True, slots=True)
class Passed:
    """How many of the messages, from the first, may go, and when to ask again for the others; None: there are none."""

    count: int
    until: datetime | None


def window_of(span: Span, now: datetime) -> Window:
    """Return the day, the week (from Sunday) or the month of the US Pacific that an instant belongs to.

    A day has 23 or 25 hours when the clocks are changed.
    """
    day = pacific_day(now)
    match span:
        case Span.DAY:
            first, end = day, day + timedelta(days=1)
        case Span.WEEK:
            first = day - timedelta(days=day.isoweekday() % 7)
            end = first + timedelta(days=7)
        case Span.MONTH:
            first = day.replace(day=1)
            end = (first + timedelta(days=31)).replace(day=1)
    return Window(pacific_midnight(first), pacific_midnight(end))


def allowance_of(number: Registered, share: float) -> Allowance | None:
    """Return what a number may send in a day and longer, with whom it shares it; None: nothing limits it.

    `share`: the part of all recipients that the carrier which counts days is taken to have, above 0, at most 1.
    """
    registration = number.registration
    if number.kind == "TOLL_FREE":
        project = project_of(registration.lent_by)
        return None if registration.toll_free else Allowance(number.number, project, UNREGISTERED_TOLL_FREE)
    if not number.use_case or registration.parts_per_day <= 0:
        return None
    key = registration.brand or number.use_case
    return Allowance(key, project_of(key), {Span.DAY: day_bucket(registration.parts_per_day, share)})


def passing(sizes: Sequence[int], limits: Mapping[Span, int], used: Mapping[Span, int], now: datetime) -> Passed:
    """Return how many messages of these sizes (in parts) still fit.

    One that is larger than a whole window goes when nothing of it is used yet, as it cannot be cut and would never go.
    """
    left = {span: max(0, limit - used.get(span, 0)) for span, limit in limits.items()}
    count = fitting(sizes, min(left.values()))
    if sizes and not count and not any(used.get(span, 0) for span in limits):
        count = 1
    if count == len(sizes):
        return Passed(count, None)
    sent = sum(sizes[:count])
    full = [span for span, parts in left.items() if parts - sent < sizes[count]]
    return Passed(count, max(window_of(span, now).end for span in full))
