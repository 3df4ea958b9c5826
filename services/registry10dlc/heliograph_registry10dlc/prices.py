"""What registrations and numbers cost, as data of the installation; no money moves in a self-hosted product (pinpoint-2 4.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from heliograph_registry10dlc import data_files
from heliograph_registry10dlc.domain.states import NumberType

_NAME = "prices"
_LOW_VOLUME = "LOW_VOLUME"


@dataclass(frozen=True)
class Price:
    """What one thing costs: `BRAND`, `VETTING`, `USE_CASE_MONTH`, `LOW_VOLUME_MONTH` or `NUMBER_MONTH_{type}`; US dollars."""

    item: str
    amount: Decimal
    description: str


@dataclass(frozen=True)
class Prices:
    """A version of the list."""

    version: str
    prices: Sequence[Price]

    def of(self, item: str) -> Decimal | None:
        """Return what an item costs, US dollars; None: the list does not say."""
        return next((price.amount for price in self.prices if price.item == item), None)

    def of_use_case(self, use_case: str) -> Decimal | None:
        """Return what a use case (`campaignUseCase.useCase`) costs a month; low volume has a price of its own."""
        return self.of("LOW_VOLUME_MONTH" if use_case == _LOW_VOLUME else "USE_CASE_MONTH")

    def of_number(self, number_type: NumberType) -> Decimal | None:
        """Return what a number of this type costs a month."""
        return self.of(f"NUMBER_MONTH_{number_type}")


def load_prices(path: Path | None = None) -> Prices:
    """Return the bundled list, with what an operator's file changes and adds.

    Raises:
        BadDataFile: the file cannot be read or is not of the form of `data/prices.schema.json`.
    """
    data = data_files.bundled(_NAME, _problems)
    over = data_files.of_operator(_NAME, path, _problems) if path is not None else {}
    entries = {entry["item"]: entry for entry in data["prices"]}
    for entry in over.get("prices", ()):
        entries[entry["item"]] = {**entries.get(entry["item"], {}), **entry}
    prices = tuple(
        Price(item, Decimal(entry["amount"]), entry.get("description", "")) for item, entry in entries.items()
    )
    return Prices(over.get("version", data["version"]), prices)


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    items = [entry["item"] for entry in data.get("prices", ())]
    for item in sorted({item for item in items if items.count(item) > 1}):
        yield f"{item} comes more than once"
