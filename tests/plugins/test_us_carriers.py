"""The calendar of the carriers' caps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channels.us_carriers import next_pacific_midnight, pacific_day, pacific_midnight


@pytest.mark.parametrize(
    ("day", "begins", "hours"),
    [
        pytest.param(date(2026, 1, 15), datetime(2026, 1, 15, 8, tzinfo=UTC), 24, id="winter"),
        pytest.param(date(2026, 7, 15), datetime(2026, 7, 15, 7, tzinfo=UTC), 24, id="summer"),
        pytest.param(date(2026, 3, 8), datetime(2026, 3, 8, 8, tzinfo=UTC), 23, id="the clocks go forward"),
        pytest.param(date(2026, 3, 9), datetime(2026, 3, 9, 7, tzinfo=UTC), 24, id="after they went forward"),
        pytest.param(date(2026, 11, 1), datetime(2026, 11, 1, 7, tzinfo=UTC), 25, id="the clocks go back"),
        pytest.param(date(2026, 11, 2), datetime(2026, 11, 2, 8, tzinfo=UTC), 24, id="after they went back"),
    ],
)
def test_a_day_of_the_caps_is_one_of_los_angeles(day: date, begins: datetime, hours: int) -> None:
    ends = begins + timedelta(hours=hours)
    assert pacific_midnight(day) == begins
    assert next_pacific_midnight(begins) == ends
    assert next_pacific_midnight(ends - timedelta(microseconds=1)) == ends
    assert pacific_day(begins - timedelta(microseconds=1)) == day - timedelta(days=1)
    assert pacific_day(begins) == pacific_day(ends - timedelta(microseconds=1)) == day
    assert pacific_day(ends) == day + timedelta(days=1)


def test_the_zone_of_the_instant_does_not_matter() -> None:
    assert pacific_day(datetime(2026, 7, 15, 8, 59, tzinfo=timezone(timedelta(hours=2)))) == date(2026, 7, 14)
    assert pacific_day(datetime(2026, 7, 15, 9, 0, tzinfo=timezone(timedelta(hours=2)))) == date(2026, 7, 15)


@given(st.integers(1_175_000_000, 4_102_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_every_instant_is_inside_its_day(instant: datetime) -> None:
    day = pacific_day(instant)
    assert pacific_midnight(day) <= instant < next_pacific_midnight(instant)
    assert next_pacific_midnight(instant) - pacific_midnight(day) in {timedelta(hours=h) for h in (23, 24, 25)}
