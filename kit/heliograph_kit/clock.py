"""The time of the product: aware UTC, passed in wherever it is needed and never read from inside the domain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where `now` comes from."""

    def now(self) -> datetime:
        """Return the current instant as an aware UTC datetime."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)


class HurriedClock:
    """A clock that runs `rate` times as fast as another one, counted from `origin`.

    All services of one installation must share origin and rate, or they disagree about what is due.
    """

    def __init__(self, origin: datetime, rate: float, real: Clock) -> None:
        """Take the aware instant at which both clocks agree and the factor (> 0; 60 lets an hour pass in a minute).

        Raises:
            ValueError: the origin is naive or the rate is not above zero.
        """
        _require_aware(origin)
        if not rate > 0:
            raise ValueError("rate must be above zero")
        self._origin = origin.astimezone(UTC)
        self._rate = rate
        self._real = real

    @property
    def rate(self) -> float:
        """How many of its seconds pass in one of the other clock's."""
        return self._rate

    def now(self) -> datetime:
        """Return origin + (real - origin) * rate."""
        return self._origin + (self._real.now() - self._origin) * self._rate


class ManualClock:
    """A clock for tests that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        """Start at an aware instant.

        Raises:
            ValueError: the instant is naive.
        """
        _require_aware(now)
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        """Return the instant the clock was last moved to."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move the clock forward.

        Raises:
            ValueError: the step is negative; time in the product never runs backwards.
        """
        if by < timedelta():
            raise ValueError("a clock cannot be moved backwards")
        self._now += by


def real_seconds(clock: Clock, wait: timedelta) -> float:
    """Return how many seconds of the machine to wait for so much of the product's time to pass."""
    rate = clock.rate if isinstance(clock, HurriedClock) else 1.0
    return wait.total_seconds() / rate


def _require_aware(instant: datetime) -> None:
    if instant.utcoffset() is None:
        raise ValueError("the instant needs a time zone")
