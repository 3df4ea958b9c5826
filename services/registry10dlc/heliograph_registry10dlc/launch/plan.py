"""A launch: who gets how much, and what comes of it day by day and carrier by carrier. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from heliograph_channels.us_carriers import Carrier, day_bucket, pacific_day
from heliograph_registry10dlc.allowance import BUNDLED, DEFAULT, Allowance, AllowanceTable
from heliograph_registry10dlc.launch.audience import among_first, last_of, shared_out
from heliograph_registry10dlc.launch.carriers import Limits, limits_of
from heliograph_registry10dlc.launch.schedule import Schedule, Stretch, lay_out


@dataclass(frozen=True)
class Launch:
    """What is to be sent.

    `audience` are recipients by carrier, `UNKNOWN` among them. `parts` are those of each message. `use_case` is its
    `campaignUseCase.useCase` and `score` the brand's vetting score (0 to 100) at its creation. `used_today` are parts that T-Mobile
    took of the brand on the Pacific day of the start. Rates of 0 are no limit.
    """

    audience: Mapping[str, int]
    parts: int
    use_case: str
    score: int
    start: datetime
    used_today: int = 0
    platform_parts_per_second: float = 0.0
    account_messages_per_second: float = 0.0

    @property
    def recipients(self) -> int:
        """All who get a message."""
        return sum(self.audience.values())


@dataclass(frozen=True)
class CarrierOutlook:
    """What comes of the messages to one carrier's customers, in parts; a limit of 0 is none.

    `finish` is when the last one is handed over; None: there are none, or never. `refused_parts` are those it will not deliver.
    """

    carrier: Carrier
    parts: int
    parts_per_second: float
    parts_per_day: int
    finish: datetime | None
    refused_parts: int


@dataclass(frozen=True)
class DayOutlook:
    """What is handed over on one US Pacific day, and when its cap stops it; None: it does not."""

    day: date
    parts: int
    cap_time: datetime | None


@dataclass(frozen=True)
class Plan:
    """What comes of a launch. `days` are the first of them, 366 at most; `finish` None: never, or in over a hundred years."""

    launch: Launch
    table: AllowanceTable
    shares: Mapping[Carrier, float]
    allowance: Allowance
    limits: Limits
    schedule: Schedule
    carriers: Sequence[CarrierOutlook]
    days: Sequence[DayOutlook]

    @property
    def finish(self) -> datetime | None:
        """When the last message is handed over."""
        return self.schedule.finish

    @property
    def duration(self) -> timedelta | None:
        """From the start to the finish."""
        return None if self.finish is None else self.finish - self.launch.start

    @property
    def parts(self) -> int:
        """All parts."""
        return self.launch.recipients * self.launch.parts

    @property
    def refused_parts(self) -> int:
        """Parts that carriers will not deliver."""
        return sum(carrier.refused_parts for carrier in self.carriers)

    @property
    def is_cut(self) -> bool:
        """Whether there are more days than `days` tells."""
        return self.schedule.rest is not None


def plan(
    launch: Launch,
    table: AllowanceTable = DEFAULT,
    shares: Mapping[Carrier, float] = BUNDLED.shares,
    *,
    granted: Allowance | None = None,
) -> Plan:
    """Plan a launch under a table of allowances; `granted` is what holds in place of the table's word."""
    granted = granted or table.allowance(launch.use_case, launch.score)
    share = shares[Carrier.T_MOBILE]
    limits = limits_of(
        granted,
        parts=launch.parts,
        t_mobile_share=share,
        platform_parts_per_second=launch.platform_parts_per_second,
        account_messages_per_second=launch.account_messages_per_second,
    )
    left_today = max(0, granted.messages_per_day - launch.used_today)
    schedule = lay_out(
        launch.recipients,
        parts=launch.parts,
        parts_per_second=limits.parts_per_second,
        day_bucket=limits.day_bucket,
        left_today=day_bucket(left_today, share),
        start=launch.start,
    )
    days = [
        DayOutlook(stretch.day, stretch.messages * launch.parts, schedule.cap_time(stretch))
        for stretch in schedule.stretches
    ]
    counts = shared_out(launch.audience, shares)
    carriers = [_outlook(carrier, counts[carrier], launch, granted, schedule) for carrier in Carrier]
    return Plan(launch, table, shares, granted, limits, schedule, carriers, days)


def _outlook(carrier: Carrier, count: int, launch: Launch, granted: Allowance, schedule: Schedule) -> CarrierOutlook:
    finish = schedule.instant_of(last_of(count, launch.recipients) - 1) if count else None
    refused = _refused(count, launch, granted, schedule) if carrier is Carrier.T_MOBILE and count else 0
    return CarrierOutlook(
        carrier,
        count * launch.parts,
        granted.parts_per_second if carrier is Carrier.ATT else 0.0,
        granted.messages_per_day if carrier is Carrier.T_MOBILE else 0,
        finish,
        refused,
    )


def _refused(count: int, launch: Launch, granted: Allowance, schedule: Schedule) -> int:
    """Return the parts above T-Mobile's own cap, day by day; a message is refused whole."""
    refused = 0
    today = pacific_day(launch.start)
    for stretch in schedule.stretches:
        cap = granted.messages_per_day - (launch.used_today if stretch.day == today else 0)
        refused += max(0, _messages(stretch, count, launch) - max(0, cap) // launch.parts)
    if schedule.rest is not None and schedule.rest.per_day is not None and schedule.stretches:
        # The days that are not laid out fare like the last one that is.
        last = schedule.stretches[-1]
        each = max(0, _messages(last, count, launch) - granted.messages_per_day // launch.parts)
        refused += each * ((launch.recipients - schedule.rest.first) // schedule.rest.per_day)
    return refused * launch.parts


def _messages(stretch: Stretch, count: int, launch: Launch) -> int:
    """Return how many of a carrier's `count` messages a stretch holds."""
    whole = launch.recipients
    return among_first(stretch.first + stretch.messages, count, whole) - among_first(stretch.first, count, whole)
