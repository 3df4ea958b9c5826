"""Settings of the 10DLC registry."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from heliograph_channels.destinations import network_problem
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
    secret_key: SecretStr | None = Field(
        default=None, description="key under which the secrets of notices are stored, at least 32 characters"
    )
    notice_timeout_seconds: float = Field(
        10.0, ge=0.1, le=60, description="how long a receiver of notices may take for one call, seconds"
    )
    notice_concurrency: int = Field(
        4, ge=1, le=64, description="projects whose notices one process delivers at once; within a project one by one"
    )
    notice_allow_networks: list[str] = Field(
        default_factory=list,
        description="private networks (like 10.1.0.0/16) that notices may go to; public addresses always may",
    )
    notice_allow_insecure_loopback: bool = Field(
        default=False, description="whether notices may go to this machine, also by http; for trials"
    )

    @field_validator("secret_key")
    @classmethod
    def _long_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return key

    @field_validator("notice_allow_networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            if problem := network_problem(network):
                raise ValueError(f"{network} {problem}")
        return networks
