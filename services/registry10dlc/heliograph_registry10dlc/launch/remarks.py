"""Why a launch takes as long as it does, and what to know about it: words for people. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from heliograph_channels.us_carriers import Carrier
from heliograph_registry10dlc.launch.audience import UNKNOWN
from heliograph_registry10dlc.launch.plan import Plan
from heliograph_registry10dlc.launch.schedule import MOST_DAYS
from heliograph_registry10dlc.launch.what_if import Alternative

_SECOND_LOOK = 0.95


def remarks_of(made: Plan, better: Sequence[Alternative]) -> list[str]:
    """Return what is worth saying of a plan and of what would be better, the reason for its pace first."""
    if not made.launch.recipients:
        return ["Nobody gets a message."]
    return [*_never(made), *_pace(made), *_days(made), *_refusals(made), *_advice(better)]


def _never(made: Plan) -> Iterator[str]:
    if made.finish is not None:
        return
    if made.limits.day_bucket < made.launch.parts:
        yield (
            f"It never finishes: a message has {made.launch.parts} parts and no more than {made.limits.day_bucket:,} go a day."
        )
    else:
        yield "It takes more than a hundred years."


def _pace(made: Plan) -> Iterator[str]:
    launch, limits = made.launch, made.limits
    rate = f"{limits.parts_per_second:g} {_word(limits.parts_per_second)} a second"
    scored = f"with a vetting score of {launch.score}" if launch.score else "without a vetting score"
    carrier = f"AT&T lets a {launch.use_case or 'STANDARD'} use case {scored} send {made.allowance.parts_per_second:g}"
    if limits.bound_by == "CARRIER":
        yield f"{carrier} {_word(made.allowance.parts_per_second)} a second; all recipients share this pace, as their carriers are not known when messages leave."
    elif limits.bound_by == "PLATFORM":
        yield f"The numbers send {rate} on this platform; {carrier}."
    else:
        yield f"The account's limit of {launch.account_messages_per_second:g} messages a second sets the pace; {carrier}."
    pace = made.schedule.pace
    real = pace.messages * launch.parts / pace.turn.total_seconds()
    if real < limits.parts_per_second * _SECOND_LOOK:
        yield f"Messages of {launch.parts} parts do not fill a turn: {real:.3g} of {rate} are used."


def _days(made: Plan) -> Iterator[str]:
    launch, limits = made.launch, made.limits
    if launch.used_today:
        left = max(0, limits.carrier_cap - launch.used_today)
        yield f"The brand has used {launch.used_today:,} parts of the first day's cap at T-Mobile; {left:,} are left."
    capped = sum(day.cap_time is not None for day in made.days)
    if capped or (made.days and made.is_cut and limits.day_bucket):
        share = made.shares[Carrier.T_MOBILE]
        yield (
            f"T-Mobile takes {limits.carrier_cap:,} parts a day of the whole brand. With {share:.0%} of recipients taken for its "
            f"customers, {limits.day_bucket:,} parts a day go in all; the others wait for the next midnight, US Pacific time "
            f"({capped} {'day is' if capped == 1 else 'days are'} cut short)."
        )
    if made.is_cut:
        yield f"Only the first {MOST_DAYS} days are listed."


def _refusals(made: Plan) -> Iterator[str]:
    launch, limits = made.launch, made.limits
    if made.refused_parts:
        yield (
            f"T-Mobile will refuse about {made.refused_parts:,} parts: more of the audience are its customers than the "
            f"{made.shares[Carrier.T_MOBILE]:.0%} the day's limit reckons with. Smaller audiences a day avoid it."
        )
    elif launch.audience.get(UNKNOWN) and any(day.cap_time is not None for day in made.days):
        share = made.shares[Carrier.T_MOBILE]
        spread = launch.parts * math.sqrt(limits.day_bucket / launch.parts * share * (1 - share))
        yield (
            f"On a day that is cut short T-Mobile may still refuse some {2 * math.ceil(spread):,} parts: how many recipients are its "
            "customers is chance."
        )
    if any(one.parts for one in made.carriers if one.carrier in (Carrier.VERIZON, Carrier.OTHER)):
        yield "Verizon publishes no limit and filters by content; smaller carriers do not limit strictly."


def _advice(better: Sequence[Alternative]) -> Iterator[str]:
    if any("vetting score" in one.change for one in better):
        yield "A vetting score counts only for use cases that are created after it: vet first, then create the use case anew."


def _word(parts: float) -> str:
    return "part" if parts == 1 else "parts"
