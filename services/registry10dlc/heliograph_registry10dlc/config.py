"""Settings of the 10DLC registry."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from heliograph_kit.settings import ServiceSettings
from heliograph_registry10dlc.quotas import Quotas


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

    def quotas(self) -> Quotas:
        """Return how much of everything there may be."""
        return Quotas(self.max_brands, self.max_use_cases_per_brand, self.max_numbers_per_region)
