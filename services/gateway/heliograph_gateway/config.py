"""Settings of the gateway (HELIOGRAPH_GATEWAY_...)."""

from __future__ import annotations

import ipaddress
from typing import ClassVar

from pydantic import Field, field_validator

from heliograph_kit.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """What operators can set; every figure has its unit in the name."""

    service: ClassVar[str] = "gateway"

    trusted_proxies: list[str] = Field(
        default=[], description="addresses and networks whose X-Forwarded-For is believed, as 10.0.0.0/8"
    )
    max_connections: int = Field(
        default=2000, ge=10, le=100_000, description="connections at once; more are answered 503"
    )
    header_seconds: float = Field(
        default=10, ge=0.1, le=120, description="how long a client may take for the head of a request, seconds"
    )
    body_seconds: float = Field(
        default=15, ge=0.1, le=120, description="how long a client may take for the body of a request, seconds"
    )
    idle_seconds: int = Field(
        default=30, ge=1, le=600, description="how long a connection stays open without a request, seconds"
    )
    call_seconds: float = Field(
        default=15, ge=0.1, le=60, description="how long messaging, or the registry, may take for one call, seconds"
    )
    flush_seconds: float = Field(
        default=0.5,
        ge=0.01,
        le=10,
        description="how long opens and clicks wait for others to be handed over with, seconds",
    )
    max_events: int = Field(
        default=50_000,
        ge=100,
        le=1_000_000,
        description="opens and clicks held while messaging is away; more are dropped",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for one in value:
            try:
                ipaddress.ip_network(one)
            except ValueError:
                raise ValueError("must hold addresses and networks, as 10.0.0.0/8") from None
        return value
