"""Settings of the 10DLC registry."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from heliograph_kit.settings import ServiceSettings
from heliograph_registry10dlc.allowance import load_allowances
from heliograph_registry10dlc.prices import load_prices
from heliograph_registry10dlc.quotas import Quotas
from heliograph_registry10dlc.terms import Terms


class RegistrySettings(ServiceSettings):
    """Read from `HELIOGRAPH_REGISTRY10DLC_<FIELD>`, else `HELIOGRAPH_<FIELD>`."""

    service: ClassVar[str] = "registry10dlc"

    registrar: str = Field("simulator", description="Name of the registrar plugin that submissions go to.")
    registrar_settings: dict[str, object] = Field(
        default_factory=dict,
        description="Settings of the registrar plugin, a JSON object.",
    )
    poll_seconds: float = Field(
        60.0,
        ge=0.05,
        le=86_400,
        description="How often the registrar is asked for decisions, in real seconds.",
    )
    max_brands: int = Field(25, ge=1, le=10_000, description="The most brands a project may have.")
    max_use_cases_per_brand: int = Field(10, ge=1, le=1_000, description="The most use cases a brand may have.")
    max_numbers_per_region: int = Field(
        25, ge=1, le=100_000, description="The most numbers a project may have with the same region label."
    )
    allowances_file: Path | None = Field(
        None,
        description="JSON file with tables of what carriers let through; see data/README.md of the service.",
    )
    allowances_version: str = Field(
        "",
        max_length=63,
        description="Version of the table of allowances that holds; empty: the default of the data.",
    )
    prices_file: Path | None = Field(
        None,
        description="JSON file that changes what registrations and numbers cost; see data/README.md of the service.",
    )

    def quotas(self) -> Quotas:
        """Return how much of everything there may be."""
        return Quotas(self.max_brands, self.max_use_cases_per_brand, self.max_numbers_per_region)

    def terms(self) -> Terms:
        """Return what carriers let through and what things cost.

        Raises:
            BadDataFile: a file of the operator's cannot be used.
        """
        return Terms(load_allowances(self.allowances_file, self.allowances_version), load_prices(self.prices_file))
