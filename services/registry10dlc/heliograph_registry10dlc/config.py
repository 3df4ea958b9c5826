"""Settings of the 10DLC registry."""

from __future__ import annotations

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

    watch_poll_seconds: float = Field(
        1.0,
        ge=0.05,
        le=3600,
        description="How often moves of other processes are looked for while somebody watches, in real seconds.",
    )
    most_watchers: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Most calls of WatchMoves at once in one process; each holds a little memory and no connection.",
    )
