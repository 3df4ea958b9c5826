"""The launch plan against messaging's own pacing and the simulated carriers, in virtual time.

Batches take turns as workers do (`pacing.take`, the real one), several at once, each a little late; the brand's day is kept as the
plan says messaging keeps it; what leaves meets the simulator's carriers. The plan knows nothing of batches and lateness.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from heliograph_channel_simulator.carriers import CarrierRules, Counts
from heliograph_channels.us_carriers import Carrier, day_bucket, next_pacific_midnight, pacific_day
from heliograph_messaging.domain.pacing import Turn, fitting, take
from heliograph_registry10dlc.launch import Launch, Plan, plan

BATCH = 500
AT_ONCE = 4
LATEST = 0.25  # seconds
WITHIN = 0.02
AREA = {"ATT": "+1201", "T_MOBILE": "+1202", "VERIZON": "+1203", "OTHER": "+1204", "UNKNOWN": "+1205"}


@dataclass
class Outcome:
    """What became of a send: when its last message left, and the parts that carriers refused."""

    finish: datetime
    refused: dict[Carrier, int] = field(default_factory=dict)


@dataclass
class Batch:
    rows: list[str]
    held: Turn | None = None


def mixed(audience: Mapping[str, int]) -> list[str]:
    """Return the numbers of an audience, the carriers' customers evenly mixed."""
    placed = [
        ((place + 0.5) / count, f"{AREA[carrier]}{place:07}")
        for carrier, count in audience.items()
        for place in range(count)
    ]
    return [number for _, number in sorted(placed)]


def carriers_of(made: Plan) -> CarrierRules:
    """Return the simulator's carriers with the limits that a plan reckons with."""
    rules = CarrierRules.of(
        {
            "carrier_caps": [
                {
                    "brand": "acme",
                    "use_case": "news",
                    "parts_per_second": {"ATT": made.allowance.parts_per_second},
                    "parts_per_day": {"T_MOBILE": made.allowance.messages_per_day},
                }
            ],
            "carrier_prefixes": [
                {"prefix": prefix, "carrier": carrier} for carrier, prefix in AREA.items() if carrier != "UNKNOWN"
            ],
        }
    )
    assert rules is not None
    return rules


def sent(made: Plan, numbers: Sequence[str]) -> Outcome:
    """Send an audience as messaging does, under a clock that jumps from wake to wake."""
    launch, parts, share = made.launch, made.launch.parts, made.shares[Carrier.T_MOBILE]
    rules, counts = carriers_of(made), Counts()
    today = pacific_day(launch.start)
    counts.days["acme\nT_MOBILE"] = (today.isoformat(), launch.used_today)
    left = day_bucket(max(0, made.allowance.messages_per_day - launch.used_today), share)
    late = random.Random(1)
    waiting = [Batch(list(numbers[at : at + BATCH])) for at in range(0, len(numbers), BATCH)]
    wakes: list[tuple[datetime, int, Batch]] = []
    number = itertools.count()
    for batch in waiting[:AT_ONCE]:
        heapq.heappush(wakes, (launch.start, next(number), batch))
    del waiting[:AT_ONCE]
    outcome = Outcome(launch.start)
    free_at = launch.start
    while wakes:
        now, _, batch = heapq.heappop(wakes)
        now += timedelta(seconds=late.uniform(0, LATEST))
        if pacific_day(now) != today:
            today, left = pacific_day(now), made.limits.day_bucket
        if left < parts:
            batch.held = None
            heapq.heappush(wakes, (next_pacific_midnight(now), next(number), batch))
            continue
        sizes = [parts] * len(batch.rows)
        taken = take(
            wanted=sum(sizes),
            largest=parts,
            held=batch.held,
            free_at=free_at,
            rate=made.limits.parts_per_second,
            now=now,
        )
        free_at, batch.held = taken.free_at, taken.ahead
        going = min(fitting(sizes, taken.parts), left // parts)
        left -= going * parts
        for to in batch.rows[:going]:
            outcome.finish = now
            refusal = rules.refusal(counts, origination="", number=to, body="", parts=parts, now=now)
            if refusal is not None:
                carrier = rules.carrier_of(to, "")
                assert carrier is not None
                outcome.refused[carrier] = outcome.refused.get(carrier, 0) + parts
        del batch.rows[:going]
        if batch.rows:
            heapq.heappush(wakes, (taken.ahead.start if taken.ahead else now, next(number), batch))
        elif waiting:
            heapq.heappush(wakes, (now, next(number), waiting.pop(0)))
    return outcome


def predicted(made: Plan, outcome: Outcome) -> float:
    """Return how far the plan's duration is from the simulated one, as a share of it."""
    assert made.duration is not None
    simulated = outcome.finish - made.launch.start
    return abs(made.duration - simulated) / simulated


@pytest.mark.parametrize(
    ("launch", "days"),
    [
        pytest.param(
            Launch({"ATT": 4_000, "T_MOBILE": 500, "VERIZON": 400, "OTHER": 100}, 1, "CUSTOMER_CARE", 40,
                   datetime(2026, 11, 27, 17, tzinfo=UTC)),
            1, id="5,000, most of them AT&T's, at 4 a second",
        ),
        pytest.param(
            Launch({"ATT": 18_000, "T_MOBILE": 18_000, "VERIZON": 21_000, "OTHER": 3_000}, 2, "MARKETING", 50,
                   datetime(2026, 11, 27, 17, tzinfo=UTC)),
            4, id="60,000 of two parts over days that T-Mobile's cap stops",
        ),
        pytest.param(
            Launch({"ATT": 300, "T_MOBILE": 300, "VERIZON": 400}, 1, "LOW_VOLUME", 90,
                   datetime(2026, 3, 8, 7, 30, tzinfo=UTC), used_today=1_940),
            2, id="1,000 of low volume into the night in which the clocks go forward",
        ),
        pytest.param(
            Launch({"ATT": 300, "T_MOBILE": 300, "VERIZON": 400}, 1, "LOW_VOLUME", 90,
                   datetime(2026, 11, 1, 7, 10, tzinfo=UTC), used_today=1_940),
            2, id="1,000 of low volume that wait for the end of a day of 25 hours",
        ),
        pytest.param(
            Launch({"ATT": 1_500, "T_MOBILE": 1_500, "VERIZON": 2_000}, 3, "CUSTOMER_CARE", 40,
                   datetime(2026, 11, 27, 17, tzinfo=UTC)),
            1, id="texts of three parts, which do not fill turns of eight",
        ),
        pytest.param(
            Launch({"ATT": 28_000, "T_MOBILE": 30_000, "VERIZON": 42_000}, 1, "CUSTOMER_CARE", 100,
                   datetime(2026, 11, 27, 17, tzinfo=UTC), platform_parts_per_second=20.0),
            1, id="numbers slower than the carriers",
        ),
    ],
)  # fmt: skip
def test_the_plan_foresees_the_finish_and_nothing_is_refused(launch: Launch, days: int) -> None:
    made = plan(launch)
    outcome = sent(made, mixed(launch.audience))
    assert predicted(made, outcome) <= WITHIN
    assert len(made.days) == days
    assert pacific_day(outcome.finish) == made.days[-1].day
    assert made.refused_parts == 0
    assert outcome.refused == {}


def test_what_is_refused_is_what_the_plan_says() -> None:
    launch = Launch(
        {"ATT": 10_000, "T_MOBILE": 30_000, "VERIZON": 20_000},
        1,
        "MARKETING",
        50,
        datetime(2026, 11, 27, 17, tzinfo=UTC),
    )
    made = plan(launch)
    outcome = sent(made, mixed(launch.audience))
    assert predicted(made, outcome) <= WITHIN
    assert made.refused_parts > 5_000
    # Where batches that go side by side overtake each other, a few messages change their day.
    assert outcome.refused[Carrier.T_MOBILE] == pytest.approx(made.refused_parts, rel=0.01)
    assert set(outcome.refused) == {Carrier.T_MOBILE}


def test_of_carriers_nobody_knows_chance_refuses_a_few_at_the_most() -> None:
    launch = Launch({"UNKNOWN": 60_000}, 1, "MARKETING", 50, datetime(2026, 11, 27, 17, tzinfo=UTC))
    made = plan(launch)
    outcome = sent(made, mixed(launch.audience))
    assert predicted(made, outcome) <= WITHIN
    assert made.refused_parts == 0
    assert outcome.refused.get(Carrier.T_MOBILE, 0) <= 168 * len(made.days)  # what the plan's remark says of a day
    assert set(outcome.refused) <= {Carrier.T_MOBILE}


def test_who_does_not_keep_to_the_day_is_refused() -> None:
    launch = Launch({"T_MOBILE": 3_000}, 1, "CUSTOMER_CARE", 0, datetime(2026, 11, 27, 17, tzinfo=UTC))
    rules, counts = carriers_of(plan(launch)), Counts()
    at = (launch.start + timedelta(seconds=5 * place) for place in range(3_000))
    refused = [
        rules.refusal(counts, origination="", number=to, body="", parts=1, now=now)
        for to, now in zip(mixed(launch.audience), at, strict=True)
    ]
    assert sum(told is not None for told in refused) == 1_000 == plan(launch).refused_parts
