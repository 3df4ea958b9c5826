"""A circuit breaker: stops calling a provider that keeps failing, and tries again after a pause."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass
class Breaker:
    """The state of one channel of one project. Times are seconds of a monotonic clock and passed in.

    Closed: calls pass. After `threshold` failures in a row it opens for `pause`; then one call at a time is let through
    (half open): success closes it, failure opens it again for twice as long, up to `longest`.
    """

    threshold: int = 5
    pause: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(seconds=60)
    _failures: int = field(default=0, init=False)
    _trips: int = field(default=0, init=False)
    _open_until: float = field(default=0.0, init=False)
    _probing_until: float = field(default=0.0, init=False)
    _suspect_until: float = field(default=0.0, init=False)

    def wait(self, now: float) -> float:
        """Return how many seconds to wait before a call; 0 lets it pass."""
        if not self._trips:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        if now < self._probing_until:
            return self._probing_until - now
        # A probe that never reports (its worker was cancelled) must not lock the channel for ever.
        self._probing_until = now + self.pause.total_seconds()
        return 0.0

    def pause_left(self, now: float) -> float:
        """Return for how many seconds the breaker is still open; unlike `wait` it takes no turn."""
        return max(0.0, self._open_until - now) if self._trips else 0.0

    def suspect(self, now: float) -> bool:
        """Tell whether the last call failed a moment ago: while another provider answers, it is asked first."""
        return now < self._suspect_until

    def succeeded(self) -> None:
        """Note a call that reached the provider."""
        self._failures = self._trips = 0
        self._open_until = self._probing_until = self._suspect_until = 0.0

    def failed(self, now: float) -> None:
        """Note a call that raised, hung, or found the provider out of order."""
        self._failures += 1
        self._suspect_until = now + self.pause.total_seconds()
        if self._failures >= self.threshold or self._trips:
            pause = min(self.pause * 2**self._trips, self.longest)
            self._trips = min(self._trips + 1, 16)
            self._open_until = now + pause.total_seconds()
            self._probing_until = 0.0
