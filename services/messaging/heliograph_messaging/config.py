"""Settings of the messaging service (HELIOGRAPH_MESSAGING_...)."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, model_validator

from heliograph_kit.settings import ServiceSettings
from heliograph_messaging.domain.outcomes import RetryPolicy
from heliograph_messaging.isolation.child import Limits

_LEASE_MARGIN_SECONDS = 1.0
_PUBLIC_URL = re.compile(r"https://[A-Za-z0-9.:\[\]-]{1,253}(/[A-Za-z0-9._~/-]{0,200})?")


class MessagingSettings(ServiceSettings):
    """What operators can set; every figure has its unit in the name."""

    service: ClassVar[str] = "messaging"

    plugins: list[str] | None = Field(
        default=None, description="channel plugins to load, by entry point name; unset loads all that are installed"
    )
    isolated_plugins: list[str] | None = Field(
        default=None,
        description="channel plugins that run in processes of their own, by entry point name, `*` for all, `none` for "
        "none; unset means every plugin that does not come with Heliograph",
    )
    isolated_memory_mb: int = Field(
        default=512, ge=128, le=65_536, description="address space of the process of an isolated plugin, MB"
    )
    isolated_open_files: int = Field(
        default=1024, ge=32, le=65_536, description="files and sockets that an isolated plugin may have open at once"
    )
    isolated_start_seconds: float = Field(
        default=15, ge=0.5, le=300, description="how long an isolated plugin may take to be imported, seconds"
    )
    isolated_stall_seconds: float = Field(
        default=10, ge=0.5, le=300, description="how long an isolated plugin may block its event loop, seconds"
    )
    isolated_environment: list[str] = Field(
        default=list(Limits().environment),
        description="variables of the environment that isolated plugins inherit; no others",
    )
    secret_key: SecretStr | None = Field(
        default=None, description="key under which the channels' secrets are stored, at least 32 characters"
    )
    public_url: str = Field(
        default="",
        description="https address under which the gateway is reached from outside; links in messages begin with it",
    )
    countries_file: Path | None = Field(
        default=None, description="JSON file that changes the country rules for SMS; see data/README.md of the service"
    )
    transactional_concurrency: int = Field(
        default=12, ge=1, le=64, description="batches of direct sends worked on at once in one process"
    )
    campaign_concurrency: int = Field(
        default=12, ge=1, le=64, description="campaign batches worked on at once in one process"
    )
    journey_concurrency: int = Field(
        default=12, ge=1, le=64, description="journey batches worked on at once in one process"
    )
    project_concurrency: int = Field(
        default=4,
        ge=1,
        le=64,
        description="batches of one project and class worked on at once in one process; a slow provider holds up no more",
    )
    lease_seconds: float = Field(
        default=10, ge=3, le=300, description="how long a batch belongs to a worker that stopped renewing, seconds"
    )
    send_timeout_seconds: float = Field(
        default=30, ge=0.1, le=600, description="how long a provider may take for one call, seconds"
    )
    open_timeout_seconds: float = Field(
        default=10, ge=0.1, le=120, description="how long a plugin may take to open a channel, seconds"
    )
    send_attempts: int = Field(
        default=5, ge=1, le=20, description="how often a message that may succeed later is handed to its provider"
    )
    retry_first_seconds: float = Field(
        default=1, ge=0.01, le=600, description="pause before the second attempt, seconds"
    )
    retry_longest_seconds: float = Field(
        default=60, ge=0.01, le=3600, description="longest pause between attempts, seconds"
    )
    give_up_minutes: float = Field(
        default=60, ge=0.1, le=10_080, description="age at which a batch whose provider stays away fails, minutes"
    )
    breaker_threshold: int = Field(
        default=5, ge=1, le=1000, description="failed calls in a row after which a provider is left alone"
    )
    breaker_pause_seconds: float = Field(
        default=2, ge=0.05, le=600, description="first pause of a provider that is left alone, seconds"
    )

    day_cap_share: float = Field(
        default=0.30,
        gt=0,
        le=1,
        description="share of the recipients in the US that the carrier with an allowance for each day is taken to have, as "
        "nobody knows whose customer a recipient is: a brand may send its allowance / share parts in a US Pacific day",
    )

    otp_pepper: SecretStr | None = Field(
        default=None,
        description="key of the hashes of one-time passwords, at least 32 characters; unset uses the secret key, and "
        "without that the installation's internal secret",
    )
    otp_per_destination: int = Field(
        default=10,
        ge=0,
        le=1000,
        description="one-time passwords sent to one number within an hour; 0 is without limit",
    )
    otp_per_block: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="one-time passwords sent within an hour to the 10,000 numbers that share all but their last four "
        "digits; 0 is without limit",
    )
    tracking_key: SecretStr | None = Field(
        default=None,
        description="signs tracked links, at least 32 characters; several separated by commas: the first signs, all are "
        "good; unset makes and stores one",
    )
    tracking_days: int = Field(default=730, ge=1, le=3650, description="how long tracked links lead on, days")
    inbound_retention_days: int = Field(
        default=90,
        ge=7,
        le=3650,
        description="how long messages of people are kept, days; one that its provider repeats later is taken for new",
    )
    receipt_retention_days: int = Field(
        default=180,
        ge=7,
        le=3650,
        description="how long receipts are kept, with address and program of who opened or clicked, days; one that its "
        "provider repeats later is applied again",
    )
    webhook_timeout_seconds: float = Field(
        default=10,
        ge=0.1,
        le=60,
        description="how long a plugin may take to understand a call of its provider, seconds",
    )

    @model_validator(mode="after")
    def _long_tracking_keys(self) -> MessagingSettings:
        if self.tracking_key is not None and any(len(one) < 32 for one in self.tracking_secrets()):
            raise ValueError("HELIOGRAPH_MESSAGING_TRACKING_KEY must have at least 32 characters for each key")
        return self

    @model_validator(mode="after")
    def _long_key(self) -> MessagingSettings:
        if self.secret_key is not None and len(self.secret_key.get_secret_value()) < 32:
            raise ValueError("HELIOGRAPH_MESSAGING_SECRET_KEY must have at least 32 characters")
        if self.otp_pepper is not None and len(self.otp_pepper.get_secret_value()) < 32:
            raise ValueError("HELIOGRAPH_MESSAGING_OTP_PEPPER must have at least 32 characters")
        return self

    @model_validator(mode="after")
    def _reachable(self) -> MessagingSettings:
        # Mail programs take no other address for unsubscribing with one click (RFC 8058 3.1).
        if self.public_url and not _PUBLIC_URL.fullmatch(self.public_url):
            raise ValueError("HELIOGRAPH_MESSAGING_PUBLIC_URL must have the form https://host or https://host/path")
        return self

    def tracking_secrets(self) -> list[str]:
        """Return the secrets of tracked links, the one that signs first; empty when none was given."""
        given = self.tracking_key.get_secret_value() if self.tracking_key is not None else ""
        return [one.strip() for one in given.split(",") if one.strip()]

    @property
    def pepper(self) -> bytes:
        """The key of the hashes of one-time passwords."""
        given = self.otp_pepper or self.secret_key or self.internal_secret
        return given.get_secret_value().encode()

    def retry_policy(self) -> RetryPolicy:
        """Return the policy for attempts that may succeed later."""
        return RetryPolicy(
            self.send_attempts,
            timedelta(seconds=self.retry_first_seconds),
            timedelta(seconds=self.retry_longest_seconds),
        )

    def plugin_limits(self) -> Limits:
        """Return what the processes of isolated plugins get."""
        return Limits(
            memory_mb=self.isolated_memory_mb,
            open_files=self.isolated_open_files,
            start_seconds=self.isolated_start_seconds,
            stall_seconds=self.isolated_stall_seconds,
            # The caller's own limit comes first; this one is for callers that have none.
            call_seconds=max(self.send_timeout_seconds, self.open_timeout_seconds) + 5,
            environment=tuple(self.isolated_environment),
            clock_rate=self.clock_rate,
        )

    @property
    def lease_margin_seconds(self) -> float:
        """How long before its lease ends a call to a provider is cut off."""
        return _LEASE_MARGIN_SECONDS
