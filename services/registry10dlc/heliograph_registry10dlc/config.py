"""Settings of the 10DLC registry."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from heliograph_kit.settings import ServiceSettings


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
