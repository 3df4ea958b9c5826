"""What holds in an installation and is nobody's decision here: what carriers let through, and what things cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from heliograph_registry10dlc.allowance import BUNDLED, Allowance, Allowances
from heliograph_registry10dlc.domain import NumberType, Registration
from heliograph_registry10dlc.prices import Prices, load_prices


@dataclass(frozen=True)
class Terms:
    """The tables in force."""

    allowances: Allowances = BUNDLED
    prices: Prices = field(default_factory=load_prices)

    def allowance(self, use_case: Registration) -> Allowance:
        """Return what carriers let a use case send, by the score its brand had when it was created (pinpoint-2 4.3)."""
        purpose = use_case.fields.get("campaignUseCase.useCase", "")
        return self.allowances.table.allowance(purpose, max(0, use_case.vetting_score))

    def monthly_price(self, number_type: NumberType) -> str:
        """Return what a number costs a month as text, US dollars; empty: the list does not say."""
        price = self.prices.of_number(number_type)
        return "" if price is None else f"{price:.2f}"
