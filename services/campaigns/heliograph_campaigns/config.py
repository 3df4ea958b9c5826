"""Settings of the campaigns service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from heliograph_kit.settings import ServiceSettings


class CampaignsSettings(ServiceSettings):
    """Read from `HELIOGRAPH_CAMPAIGNS_<FIELD>`, else `HELIOGRAPH_<FIELD>`."""

    service: ClassVar[str] = "campaigns"

    page_size: int = Field(500, ge=1, le=1000, description="Members handed to messaging in one batch.")
    lease_seconds: float = Field(
        30.0,
        ge=0.2,
        le=600,
        description="How long a run stays with a silent worker before another takes it over.",
    )
    poll_seconds: float = Field(0.5, ge=0.05, le=60, description="How often the worker looks for due campaigns.")
    dispatch_window: int = Field(
        50_000,
        ge=1_000,
        le=10_000_000,
        description="Recipients of one run that may be with messaging without an outcome before paging waits.",
    )
