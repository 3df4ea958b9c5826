"""The ways out of a channel for one batch: opened routes, in the order in which they are to be tried now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_channels import ChannelProvider
from heliograph_messaging.providers import OpenChannel


@dataclass(frozen=True)
class Lane:
    """One route. `opened` is None while it cannot be called: `away` says why, `seconds` when to look again.

    `provider` is None when the plugin is not installed.
    """

    route: str
    provider: ChannelProvider | None
    opened: OpenChannel | None
    away: str = ""
    seconds: float = 0.0


def order(lanes: Sequence[Lane], now: float) -> list[Lane]:
    """Return the lanes as they are to be tried: those that answered last time first, within these by priority.

    A lane whose last call failed goes behind for as long as its breaker would pause; after that it is tried again. `now`
    is on the monotonic clock.
    """

    def rank(lane: Lane) -> int:
        if lane.opened is None:
            return 2
        return 1 if lane.opened.breaker.suspect(now) else 0

    return sorted(lanes, key=rank)


class Lanes:
    """The lanes of a batch, asked for each kind of device once."""

    def __init__(self, lanes: Sequence[Lane], *, aside: Sequence[Lane] = ()) -> None:
        """Take the lanes in the order in which they are to be tried, and those that are only taken by name."""
        self._lanes = lanes
        self._all = (*lanes, *aside)
        self._of_platform: dict[str, Lane | None] = {}

    def of(self, platform: str) -> Lane | None:
        """Return the lane for a kind of device (empty: any), None when no provider of the channel reaches it."""
        if platform not in self._of_platform:
            able = (lane for lane in self._lanes if lane.provider is not None and reaches(lane.provider, platform))
            self._of_platform[platform] = next(able, None)
        return self._of_platform[platform]

    def named(self, route: str) -> Lane | None:
        """Return the lane of a route, None when it is not there."""
        return next((lane for lane in self._all if lane.route == route), None)

    def put_away(self, lane: Lane, why: str, seconds: float) -> bool:
        """Try this lane last from now on, because it cannot be called for so long; tell whether another one can."""
        away = Lane(lane.route, lane.provider, None, why, seconds)
        self._lanes = [*(one for one in self._lanes if one is not lane), away]
        self._all = tuple(away if one is lane else one for one in self._all)
        self._of_platform.clear()
        return self._lanes[0].opened is not None

    def of_route(self, route: str, provider: str) -> Lane | None:
        """Return the lane of a route if it still leads to this provider and can be called."""
        for lane in self._all:
            if lane.route == route and lane.opened is not None and lane.opened.provider.name == provider:
                return lane
        return None


def reaches(provider: ChannelProvider, platform: str) -> bool:
    """Tell whether a provider reaches a kind of device (empty: any)."""
    return not platform or not provider.platforms or platform in provider.platforms
