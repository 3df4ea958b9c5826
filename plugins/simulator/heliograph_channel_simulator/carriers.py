"""The simulated US carriers: whose customer a recipient is, and what each carrier lets through (pinpoint-2 4.4).

Above its own allowance a carrier refuses: the provider has taken the message already, so that it fails afterwards, with the record
status `CARRIER_BLOCKED` (S126). A limit a second belongs to a use case, a limit a US Pacific day to its whole brand; both count
message parts. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from heliograph_channels import Problem
from heliograph_channels.us_carriers import Carrier, pacific_day

__all__ = ["BLOCKED", "CARRIER_SETTINGS", "CarrierRules", "Counts", "UseCase", "carrier_problems"]

BLOCKED = "CARRIER_BLOCKED (simulated)"
_NAMES = [str(carrier) for carrier in Carrier]
_SHARES = {"ATT": 0.28, "T_MOBILE": 0.30, "VERIZON": 0.36, "OTHER": 0.06}
_SCRIPTED = re.compile(rf"\bcarrier:({'|'.join(_NAMES)})\b")


def _by_carrier(description: str, limit: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(_NAMES, limit),
        "description": description,
    }


CARRIER_SETTINGS: dict[str, object] = {
    "carrier_caps": {
        "type": "array",
        "maxItems": 200,
        "default": [],
        "description": "What US carriers let through, by use case. Empty: carriers take everything.",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["brand", "use_case"],
            "properties": {
                "brand": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Whose day it is."},
                "use_case": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Whose second it is."},
                "originations": {
                    "type": "array",
                    "maxItems": 100,
                    "items": {"type": "string", "minLength": 1, "maxLength": 40},
                    "description": "Its numbers. None: all that no other use case names.",
                },
                "parts_per_second": _by_carrier(
                    "Message parts a second of the use case; a carrier that is missing has no such limit.",
                    {"type": "number", "minimum": 0.001, "maximum": 100000},
                ),
                "parts_per_day": _by_carrier(
                    "Message parts a US Pacific day of the brand; a carrier that is missing has no such limit.",
                    {"type": "integer", "minimum": 0, "maximum": 1000000000},
                ),
            },
        },
    },
    "carrier_shares": {
        **_by_carrier(
            "Share of each carrier among US numbers; they add up to 1.", {"type": "number", "minimum": 0, "maximum": 1}
        ),
        "required": _NAMES,
        "default": _SHARES,
    },
    "carrier_prefixes": {
        "type": "array",
        "maxItems": 100,
        "default": [],
        "description": "Numbers whose carrier is fixed, by how they begin; the longest that fits counts.",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["prefix", "carrier"],
            "properties": {
                "prefix": {"type": "string", "pattern": "^[+]1[0-9]{0,10}$"},
                "carrier": {"type": "string", "enum": _NAMES},
            },
        },
    },
    "carrier_burst": {
        "type": "number",
        "minimum": 0,
        "maximum": 3600,
        "default": 5,
        "description": "How far a use case may be ahead of its limit a second before parts are refused. Seconds.",
    },
}
"""The settings of the simulated carriers, as properties of a JSON schema."""


@dataclass(frozen=True)
class UseCase:
    """What carriers let one use case and its brand send, in message parts; no entry is no limit."""

    brand: str
    use_case: str
    parts_per_second: Mapping[Carrier, float] = field(default_factory=dict)
    parts_per_day: Mapping[Carrier, int] = field(default_factory=dict)


@dataclass
class Counts:
    """What carriers took so far: of each brand on its latest day, and up to when each use case's limit a second is used up.

    One entry for each limit at the most, however many messages there are.
    """

    days: dict[str, tuple[str, int]] = field(default_factory=dict)
    used_until: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class CarrierRules:
    """The carriers of the settings. `burst`: how far a use case may be ahead of its limit a second."""

    by_origination: Mapping[str, UseCase]
    others: UseCase | None
    shares: Mapping[Carrier, float]
    prefixes: Sequence[tuple[str, Carrier]]
    burst: timedelta

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> CarrierRules | None:
        """Build the rules from checked settings; None: carriers take everything."""
        caps = cast("Sequence[Mapping[str, Any]]", settings.get("carrier_caps", ()))
        if not caps:
            return None
        by_origination: dict[str, UseCase] = {}
        others = None
        for cap in caps:
            use_case = UseCase(
                cap["brand"],
                cap["use_case"],
                {Carrier(name): float(limit) for name, limit in cap.get("parts_per_second", {}).items()},
                {Carrier(name): limit for name, limit in cap.get("parts_per_day", {}).items()},
            )
            if not cap.get("originations"):
                others = use_case
            by_origination |= dict.fromkeys(cap.get("originations", ()), use_case)
        shares = cast("Mapping[str, float]", settings.get("carrier_shares", _SHARES))
        prefixes = cast("Sequence[Mapping[str, str]]", settings.get("carrier_prefixes", ()))
        fixed = [(one["prefix"], Carrier(one["carrier"])) for one in prefixes]
        fixed.sort(key=lambda one: -len(one[0]))
        burst = timedelta(seconds=cast(float, settings.get("carrier_burst", 5)))
        return cls(by_origination, others, {Carrier(name): shares[name] for name in _NAMES}, fixed, burst)

    def carrier_of(self, number: str, body: str) -> Carrier | None:
        """Return whose customer has a number (E.164); None: it is not a US one.

        The text `carrier:T_MOBILE` in a body decides, then the prefixes, then a hash of the number by the shares: a number is
        always of the same carrier.
        """
        if not number.startswith("+1"):
            return None
        if scripted := _SCRIPTED.search(body):
            return Carrier(scripted[1])
        for prefix, carrier in self.prefixes:
            if number.startswith(prefix):
                return carrier
        draw = int.from_bytes(hashlib.blake2b(f"carrier\0{number}".encode("utf-8", "replace"), digest_size=8).digest())
        draw_share = draw / 2**64
        for carrier, share in self.shares.items():
            draw_share -= share
            if draw_share < 0:
                return carrier
        return Carrier.OTHER

    def refusal(
        self, counts: Counts, *, origination: str, number: str, body: str, parts: int, now: datetime
    ) -> str | None:
        """Count a message that the provider took, or say why its carrier refuses it; a refused one does not count."""
        use_case = self.by_origination.get(origination, self.others)
        carrier = self.carrier_of(number, body) if use_case else None
        if use_case is None or carrier is None:
            return None
        day_key, day = f"{use_case.brand}\n{carrier}", pacific_day(now).isoformat()
        counted_day, taken = counts.days.get(day_key, (day, 0))
        # A clock that is a little behind another process's does not bring yesterday back.
        day, taken = (counted_day, taken) if counted_day >= day else (day, 0)
        per_day = use_case.parts_per_day.get(carrier)
        if per_day is not None and taken + parts > per_day:
            return f"{BLOCKED}: {carrier} takes {per_day:,} parts a day of the brand {use_case.brand}"
        per_second = use_case.parts_per_second.get(carrier)
        if per_second is not None:
            second_key = f"{use_case.use_case}\n{carrier}"
            used_until = max(counts.used_until.get(second_key, now), now)
            if used_until - now > self.burst:
                return f"{BLOCKED}: {carrier} takes {per_second:g} parts a second of the use case {use_case.use_case}"
            counts.used_until[second_key] = used_until + timedelta(seconds=parts / per_second)
        if per_day is not None:
            counts.days[day_key] = (day, taken + parts)
        return None


def carrier_problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what contradicts itself in settings that fit the schema."""
    shares = cast("Mapping[str, float]", settings.get("carrier_shares", _SHARES))
    if abs(sum(shares.values()) - 1) > 1e-6:
        yield Problem("carrier_shares", "must add up to 1")
    numbers: set[str] = set()
    use_cases: set[str] = set()
    days: dict[str, object] = {}
    for index, cap in enumerate(cast("Sequence[Mapping[str, Any]]", settings.get("carrier_caps", ()))):
        path = f"carrier_caps[{index}]"
        own = set(cap.get("originations", ())) or {""}
        if own & numbers:
            told = "must name numbers, as another use case names none" if "" in own else "must not be another's, too"
            yield Problem(f"{path}.originations", told)
        numbers |= own
        if cap["use_case"] in use_cases:
            yield Problem(f"{path}.use_case", "must not come twice")
        use_cases.add(cap["use_case"])
        if days.setdefault(cap["brand"], cap.get("parts_per_day", {})) != cap.get("parts_per_day", {}):
            yield Problem(f"{path}.parts_per_day", "must be the same for all use cases of a brand")
