"""How often one endpoint may be written to: pure decisions over what it was the target of before (pinpoint-1 4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MAX_LIMIT = 100
MAX_CAPS = 5
MAX_WINDOW = timedelta(days=30)
DAY = timedelta(days=1)


class Scope(StrEnum):
    """What a cap counts: messages of this campaign or journey, of all of the project, of all journeys."""

    SOURCE = "SOURCE"
    PROJECT = "PROJECT"
    JOURNEYS = "JOURNEYS"


@dataclass(frozen=True, slots=True)
class Cap:
    """The most messages (1..100) in a window (up to 30 days), or ever when there is none, which only a source counts."""

    scope: Scope
    limit: int
    window: timedelta | None

    def reason(self, *, journey: bool) -> str:
        """Return the reason of pinpoint-1 4.5 for who would pass it."""
        if self.window is None:
            return "JOURNEY_CAP" if journey else "CAMPAIGN_CAP"
        return "DAILY_CAP" if self.window == DAY else "TIMEFRAME_CAP"


@dataclass(frozen=True, slots=True)
class Touched:
    """What one endpoint was the target of: instants of the last 100 messages by scope.

    `project` holds those of campaigns and journeys, `journeys` those of journeys alone, `source` those of one of them, and
    `source_total` how many of these there ever were.
    """

    project: Sequence[datetime] = ()
    journeys: Sequence[datetime] = ()
    source: Sequence[datetime] = ()
    source_total: int = 0


def passed(caps: Sequence[Cap], touched: Touched, now: datetime) -> Cap | None:
    """Return the first cap that one more message now would pass, None when it may be sent.

    A window holds the instants after `now - window`: a message exactly one window ago counts no more.
    """
    for cap in caps:
        if cap.window is None:
            count = touched.source_total
        else:
            since = now - cap.window
            count = sum(time > since for time in _times(cap.scope, touched))
        if count >= cap.limit:
            return cap
    return None


def _times(scope: Scope, touched: Touched) -> Sequence[datetime]:
    match scope:
        case Scope.SOURCE:
            return touched.source
        case Scope.PROJECT:
            return touched.project
        case Scope.JOURNEYS:
            return touched.journeys
