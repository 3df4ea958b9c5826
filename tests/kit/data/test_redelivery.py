from datetime import timedelta

import pytest

from heliograph_kit.redelivery import REDELIVERY, Backoff

STEP = Backoff(timedelta(seconds=1), timedelta(seconds=60))


@pytest.mark.parametrize(
    ("attempt", "jitter", "seconds"),
    [
        pytest.param(1, 1.0, 1, id="the first wait is one step"),
        pytest.param(1, 0.0, 0.5, id="no jitter waits half of it"),
        pytest.param(2, 1.0, 2, id="it doubles"),
        pytest.param(4, 0.5, 6, id="half a jitter waits three quarters"),
        pytest.param(7, 1.0, 60, id="it stops at the longest"),
        pytest.param(10_000, 1.0, 60, id="no attempt is too high"),
    ],
)
def test_the_delay_follows_from_attempt_and_jitter(attempt: int, jitter: float, seconds: float) -> None:
    assert STEP.delay(attempt, jitter) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.5), (1, -0.1), (1, 1.1)])
def test_attempts_and_jitter_out_of_range_are_refused(attempt: int, jitter: float) -> None:
    with pytest.raises(ValueError, match=r"attempts|jitter"):
        STEP.delay(attempt, jitter)


def test_ten_attempts_at_a_message_stretch_over_minutes() -> None:
    total = sum((REDELIVERY.delay(attempt, 1.0) for attempt in range(1, 10)), timedelta())
    assert timedelta(minutes=5) < total < timedelta(minutes=15)
