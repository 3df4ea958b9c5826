"""Settings of the 10DLC registry."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from heliograph_channels.destinations import network_problem
from heliograph_kit.settings import ServiceSettings
from heliograph_registry10dlc.allowance import load_allowances
from heliograph_registry10dlc.notice_settings import Reach
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
    public_url: str = Field(
        "",
        max_length=500,
        description="Address under which the gateway is reached from outside; some registrars sign it with their calls.",
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

    def quotas(self) -> Quotas:
        """Return how much of everything there may be."""
        return Quotas(self.max_brands, self.max_use_cases_per_brand, self.max_numbers_per_region)

    def reach(self) -> Reach:
        """Return where notices may go besides public addresses."""
        networks = tuple(ip_network(one) for one in self.notice_allow_networks)
        return Reach(networks, self.notice_allow_insecure_loopback)

    def terms(self) -> Terms:
        """Return what carriers let through and what things cost.

        Raises:
            BadDataFile: a file of the operator's cannot be used.
        """
        return Terms(load_allowances(self.allowances_file, self.allowances_version), load_prices(self.prices_file))
