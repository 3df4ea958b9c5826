"""What holds back a send: the parts a second of its queue, and the parts a day that messaging lets pass. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph_channels.us_carriers import day_bucket
from heliograph_registry10dlc.allowance import Allowance


@dataclass(frozen=True)
class Limits:
    """What a queue keeps to.

    `parts_per_second` is its pace. `carrier_cap` is what T-Mobile takes a US Pacific day of the brand, `day_bucket` what messaging
    lets pass a day for it, both in parts. `bound_by` is what sets the pace: `CARRIER`, `PLATFORM` or `ACCOUNT`.
    """

    parts_per_second: float
    carrier_cap: int
    day_bucket: int
    bound_by: str


def limits_of(
    granted: Allowance,
    *,
    parts: int,
    t_mobile_share: float,
    platform_parts_per_second: float = 0.0,
    account_messages_per_second: float = 0.0,
) -> Limits:
    """Return what a queue of messages of `parts` parts keeps to; a rate of 0 is no limit.

    The account's rate counts messages, not parts (S123).
    """
    rates = [(granted.parts_per_second, "CARRIER")]
    if platform_parts_per_second:
        rates.append((platform_parts_per_second, "PLATFORM"))
    if account_messages_per_second:
        rates.append((account_messages_per_second * parts, "ACCOUNT"))
    rate, bound_by = min(rates, key=lambda one: one[0])
    return Limits(rate, granted.messages_per_day, day_bucket(granted.messages_per_day, t_mobile_share), bound_by)
