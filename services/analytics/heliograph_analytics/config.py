"""Settings of the analytics service, read from HELIOGRAPH_ANALYTICS_<FIELD> or HELIOGRAPH_<FIELD>."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from heliograph_kit.settings import ServiceSettings


class AnalyticsSettings(ServiceSettings):
    """Everything the analytics service is told from outside."""

    service: ClassVar[str] = "analytics"

    event_store: Path = Field(
        default=Path(".heliograph/analytics.duckdb"),
        description="file of the event store; only one process may have it open",
    )
    retention_days: int = Field(
        default=90, ge=1, le=3650, description="events older than this are deleted, and not stored when they come late"
    )
    store_memory_mb: int = Field(default=1024, ge=128, description="most memory the event store takes, megabytes")
    store_threads: int = Field(default=2, ge=1, le=64, description="threads of one query")
    recorder_batch: int = Field(
        default=200,
        ge=1,
        le=2000,
        description="most bus messages stored in one transaction; each holds up to 500 events",
    )
    recorder_pause_seconds: float = Field(
        default=0.2,
        ge=0,
        le=10,
        description="rest after a transaction that was not full, seconds: it makes the next one larger, answers older",
    )
