"""Recipients by carrier: those of unknown carriers shared out, all of them mixed evenly. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from heliograph_channels.us_carriers import Carrier

UNKNOWN = "UNKNOWN"
"""Recipients whose carrier nobody knows."""


def shared_out(counts: Mapping[str, int], shares: Mapping[Carrier, float]) -> dict[Carrier, int]:
    """Return the recipients of each carrier, those of UNKNOWN shared out by the shares (sum 1).

    Nobody gets lost: what rounding leaves over goes to the largest remainders, one each, earlier carriers first.
    """
    unknown = counts.get(UNKNOWN, 0)
    whole = sum(Fraction(str(share)) for share in shares.values())
    exact = {carrier: unknown * Fraction(str(shares[carrier])) / whole for carrier in Carrier}
    given = {carrier: int(exact[carrier]) for carrier in Carrier}
    by_remainder = sorted(Carrier, key=lambda carrier: given[carrier] - exact[carrier])
    for carrier in by_remainder[: unknown - sum(given.values())]:
        given[carrier] += 1
    return {carrier: counts.get(carrier, 0) + given[carrier] for carrier in Carrier}


def among_first(first: int, count: int, whole: int) -> int:
    """Return how many of `count` recipients are among the first `first` of an evenly mixed `whole` (1 or more)."""
    return (2 * first * count + whole) // (2 * whole)


def last_of(count: int, whole: int) -> int:
    """Return the place, from 1, of the last of `count` (1 or more) recipients in an evenly mixed `whole`."""
    return whole - whole // (2 * count) if count < whole else whole
