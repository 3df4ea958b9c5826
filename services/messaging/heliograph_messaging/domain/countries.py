"""What holds for SMS to a country: sender ids, two-way, prices. The data comes from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_SENDER_ID = re.compile(r"(?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,11}")


class SenderIds(StrEnum):
    """Whether a country's carriers show a sender id: yes, no, or only one that is registered with them."""

    SUPPORTED = "SUPPORTED"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    REGISTRATION_REQUIRED = "REGISTRATION_REQUIRED"


@dataclass(frozen=True, slots=True)
class CountryRule:
    """What holds for one country. `price_micros` is the price of a message part, in millionths."""

    sender_ids: SenderIds = SenderIds.NOT_SUPPORTED
    two_way: bool = False
    price_micros: int = 0


@dataclass(frozen=True)
class CountryRules:
    """What holds for every country, by ISO 3166 code. `version` is the date of the data."""

    version: str = ""
    rules: Mapping[str, CountryRule] = field(default_factory=dict)
    otherwise: CountryRule = CountryRule()

    def of(self, country: str) -> CountryRule:
        """Return the rule of a country, that of all others when it has none."""
        return self.rules.get(country, self.otherwise)

    def sender_id_fits(self, sender_id: str, country: str, registered: frozenset[tuple[str, str]]) -> bool:
        """Tell whether a sender id can be used; `registered` holds pairs of sender id and country.

        A text without letters is no sender id but a number the provider knows: it is for the provider to judge.
        """
        if not any(character.isalpha() for character in sender_id):
            return True
        support = self.of(country).sender_ids
        if support is SenderIds.REGISTRATION_REQUIRED:
            return (sender_id, country) in registered
        return support is SenderIds.SUPPORTED


@dataclass(frozen=True)
class Prices:
    """What a message part costs, in millionths: the project's own prices before those of the country rules."""

    rules: CountryRules = CountryRules()
    own: Mapping[str, int] = field(default_factory=dict)

    def of(self, country: str, parts: int) -> int:
        """Return the price of a message of so many parts."""
        price = self.own.get(country)
        return parts * (self.rules.of(country).price_micros if price is None else price)


def sender_id_problem(text: str) -> str | None:
    """Say why a text is no sender id (pinpoint-2 2.4), or None when it is one."""
    if _SENDER_ID.fullmatch(text):
        return None
    return "must be 1 to 11 letters and digits, a letter among them"
