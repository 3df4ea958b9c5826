"""Which messages still fit into what a month may cost (pinpoint-2 2.4). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime


def month_of(instant: datetime) -> date:
    """Return the first day of the month (UTC) that an instant counts to."""
    return date(instant.year, instant.month, 1)


def over(costs: Sequence[int], *, spent: int, limit: int) -> set[int]:
    """Return the places of messages that no longer fit, in their order; those that cost nothing always do.

    A message that does not fit leaves its room to a cheaper one behind it.
    """
    beyond = set()
    for place, cost in enumerate(costs):
        if cost and spent + cost > limit:
            beyond.add(place)
        else:
            spent += cost
    return beyond
