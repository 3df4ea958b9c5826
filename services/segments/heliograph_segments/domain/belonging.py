"""To whom addresses and users' places belong when endpoints are written: pure decisions (pinpoint-1 2.4 and 2.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from heliograph_segments.domain.endpoints import EVICTABLE_CHANNELS, EndpointUpdate


class Held(NamedTuple):
    """What is asked of an endpoint that is stored."""

    user_id: str
    channel: str
    address: str
    active: bool


class Owned(NamedTuple):
    """An endpoint of a user."""

    key: str
    channel: str
    effective_at: datetime
    ordinal: int


def give_addresses(
    updates: Mapping[str, EndpointUpdate], existing: Mapping[str, Held]
) -> tuple[Mapping[str, EndpointUpdate], list[str]]:
    """Give each address to the last who is written active with it; the older of one channel becomes inactive.

    `updates` are by key in the order of their writing, `existing` the endpoints stored that are written or hold an
    address that is claimed. Returns the updates, some of them inactive now, and the keys of stored ones to deactivate
    before anything is written: also those that are written with another address, so that no address is held twice on
    the way.
    """
    claims: dict[tuple[str, str], str] = {}
    losers: dict[str, EndpointUpdate] = {}
    for key, update in updates.items():
        place = place_of(update, existing.get(key))
        if not update.active or not place[1]:
            continue
        before = claims.get(place)
        if before is not None:
            losers[before] = updates[before]._replace(active=False)
        claims[place] = key
    deactivated = [
        key
        for key, held in existing.items()
        if held.active and held.address and claims.get((held.channel, held.address), key) != key
    ]
    if not losers:
        return updates, deactivated
    return {**updates, **losers}, deactivated


def place_of(update: EndpointUpdate, before: Held | None) -> tuple[str, str]:
    """Return the channel and the address that an endpoint has after an update."""
    channel = update.channel if update.channel is not None else before.channel if before else ""
    address = update.address if update.address is not None else before.address if before else ""
    return channel, address


def settle(owned: Iterable[Owned], gained: Sequence[str], limit: int) -> tuple[list[str], list[str]]:
    """Decide for a user with too many endpoints who goes: the keys that lose the user, and those that are refused him.

    `owned` are all endpoints of the user, the gained ones included, which came in the order given. Above the limit a new
    push endpoint takes the place of the one of that family that was updated the longest ago; others are refused.
    """
    arriving = {key: place for place, key in enumerate(gained)}
    every = {each.key: each for each in owned}
    kept = {key: each for key, each in every.items() if key not in arriving}
    evicted: list[str] = []
    refused: list[str] = []
    for key in sorted((key for key in every if key in arriving), key=lambda key: arriving[key]):
        if len(kept) >= limit:
            family = [each for each in kept.values() if each.channel in EVICTABLE_CHANNELS]
            if every[key].channel not in EVICTABLE_CHANNELS or not family:
                refused.append(key)
                continue
            oldest = min(family, key=lambda each: (each.effective_at, each.ordinal))
            evicted.append(oldest.key)
            del kept[oldest.key]
        kept[key] = every[key]
    return evicted, refused
