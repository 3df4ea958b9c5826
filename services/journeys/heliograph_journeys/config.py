"""Settings of the journeys service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from heliograph_kit.settings import ServiceSettings


class JourneysSettings(ServiceSettings):
    """Read from `HELIOGRAPH_JOURNEYS_<FIELD>`, else `HELIOGRAPH_<FIELD>`. Times marked product time follow the clock."""

    service: ClassVar[str] = "journeys"

    publish_delay_seconds: float = Field(
        300.0, ge=0, le=86_400, description="time from publishing to the first entry, product time, seconds"
    )
    implicit_window_seconds: float = Field(
        3_600.0,
        ge=0,
        le=86_400 * 365,
        description="how long a split without evaluation time stays undecided, product time, seconds",
    )
    page_size: int = Field(1_000, ge=1, le=1_000, description="members that enter in one transaction")
    claim_size: int = Field(2_500, ge=1, le=20_000, description="due participants moved in one transaction")
    lease_seconds: float = Field(
        30.0, ge=0.2, le=600, description="how long work stays with a silent worker before another takes it over"
    )
    poll_seconds: float = Field(0.25, ge=0.02, le=60, description="how often the worker looks for work")
    template_cache_seconds: float = Field(
        5.0, ge=0, le=3_600, description="how long it is remembered which version of a template is active, seconds"
    )
