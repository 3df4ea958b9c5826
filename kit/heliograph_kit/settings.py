"""Settings of a service: read once, from the environment only, frozen, with all mistakes told at once.

A field `send_timeout_seconds` of the service `messaging` is read from `HELIOGRAPH_MESSAGING_SEND_TIMEOUT_SECONDS`, else
from `HELIOGRAPH_SEND_TIMEOUT_SECONDS`. An empty variable counts as not set.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Collection
from datetime import datetime
from types import UnionType
from typing import Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import AwareDatetime, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from heliograph_kit.clock import Clock, HurriedClock, SystemClock
from heliograph_kit.keepalive import MOST_MINIMUM_SECONDS

PORTS: dict[str, int] = {
    "projects": 7101,
    "segments": 7102,
    "campaigns": 7103,
    "journeys": 7104,
    "messaging": 7105,
    "registry10dlc": 7106,
    "analytics": 7107,
    "gateway": 7180,
}

_SECRET_LENGTH = 32
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")
# Kubernetes puts such variables into every pod for a Service named heliograph-<service>.
_KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT.*|PORT|PORT_[0-9]+_(TCP|UDP).*")


class SettingsError(Exception):
    """Settings that cannot be used; the text has one line for each problem and never a value that may be secret."""

    def __init__(self, service: str, problems: Collection[str]) -> None:
        """Take one sentence for each problem."""
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"the settings of {service} cannot be used:{lines}")


def _peer(service: str) -> Any:
    return Field(
        default=f"dns:///127.0.0.1:{PORTS[service]}", min_length=1, description=f"gRPC target of the service {service}"
    )


class ServiceSettings(BaseSettings):
    """What every service can be told. A service adds its own fields in a subclass and sets `service`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_ignore_empty=True, enable_decoding=False,
        validate_default=True,
    )  # fmt: skip

    service: ClassVar[str]

    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL, as postgresql+psycopg://user:password@host:port/database"
    )
    nats_url: str = Field(
        default="nats://127.0.0.1:4222",
        min_length=1,
        repr=False,
        description="NATS server, several separated by commas",
    )
    nats_replicas: int = Field(
        default=1, ge=1, le=5, description="copies of each stream when it is created: 1 on a laptop, 3 in a cluster"
    )
    listen: str = Field(default="", description="host:port the service listens on; port 0 takes a free one")
    internal_secret: SecretStr = Field(
        description=f"secret of at least {_SECRET_LENGTH} characters, the same for all services of an installation"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="lowest level that is logged"
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for people")
    trace_ratio: float = Field(default=1.0, ge=0, le=1, description="share of new traces that is recorded, 0..1")
    clock_rate: float = Field(
        default=1.0, gt=0, le=100_000, description="how many times faster the product's clock runs than real time"
    )
    clock_origin: AwareDatetime | None = Field(
        default=None, description="instant with time zone at which the hurried clock agrees with real time"
    )
    migrate_on_start: bool = Field(default=True, description="whether the service brings its schema up to date itself")
    drain_seconds: float = Field(
        default=5, ge=0, le=300, description="time between readiness off and the end of new calls, seconds"
    )
    shutdown_grace_seconds: float = Field(
        default=20, ge=0, le=600, description="time running calls and workers have to finish, seconds"
    )
    max_message_bytes: int = Field(
        default=4 * 1024 * 1024, ge=64 * 1024, le=256 * 1024 * 1024, description="largest gRPC message, bytes"
    )
    max_connection_age_seconds: float = Field(
        default=300, ge=1, description="age at which a client connection is asked to reconnect, seconds"
    )
    min_ping_interval_seconds: float = Field(
        default=10,
        ge=1,
        le=MOST_MINIMUM_SECONDS,
        description="clients that send keepalive pings more often are disconnected, seconds; services send theirs every 30",
    )
    database_pool_size: int = Field(default=10, ge=1, le=200, description="database connections of one process")
    database_prepared_statements: bool = Field(
        default=True, description="`false` behind a pooler that hands a connection to others after each transaction"
    )
    startup_timeout_seconds: float = Field(
        default=30, ge=1, le=600, description="how long the start waits for database and bus, seconds"
    )
    peer_projects: str = _peer("projects")
    peer_segments: str = _peer("segments")
    peer_campaigns: str = _peer("campaigns")
    peer_journeys: str = _peer("journeys")
    peer_messaging: str = _peer("messaging")
    peer_registry10dlc: str = _peer("registry10dlc")
    peer_analytics: str = _peer("analytics")

    @model_validator(mode="before")
    @classmethod
    def _listen_on_own_port(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("listen"):
            return {**values, "listen": f"127.0.0.1:{PORTS.get(cls.service, 0)}"}
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _read_collections(cls, value: Any, info: Any) -> Any:
        """Read lists from `a,b,c` and anything nested from JSON."""
        field = cls.model_fields.get(info.field_name)
        if not isinstance(value, str) or field is None:
            return value
        origin = _collection_of(field.annotation)
        if origin is None:
            return value
        if value.lstrip().startswith(("[", "{")):
            try:
                return json.loads(value)
            except ValueError:
                raise ValueError("is not JSON") from None
        if origin is dict:
            raise ValueError("must be a JSON object")
        return [part.strip() for part in value.split(",") if part.strip()]

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("internal_secret")
    @classmethod
    def _long_secret(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < _SECRET_LENGTH:
            raise ValueError(f"must have at least {_SECRET_LENGTH} characters")
        return value

    @field_validator("database_url")
    @classmethod
    def _one_driver(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("postgresql+psycopg://"):
            raise ValueError("must begin with postgresql+psycopg://")
        return value

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        match = _HOST_PORT.fullmatch(value)
        if match is None or int(match[1]) > 65535:
            raise ValueError("must be host:port with a port of 0 to 65535")
        return value

    @field_validator("clock_origin")
    @classmethod
    def _shared_origin(cls, value: datetime | None, info: Any) -> datetime | None:
        # Without a common origin each process would hurry from its own start, and no two would agree on the time.
        if value is None and info.data.get("clock_rate", 1.0) != 1.0:
            raise ValueError("must be set when the clock rate is not 1")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the service's own variables, then those for all services; no files."""
        return (
            init_settings,
            EnvSettingsSource(settings_cls, env_prefix=_own_prefix(cls)),
            EnvSettingsSource(settings_cls, env_prefix="HELIOGRAPH_"),
        )

    def clock(self) -> Clock:
        """Return the product's clock: the machine's, or a hurried one."""
        if self.clock_origin is None:
            return SystemClock()
        return HurriedClock(self.clock_origin, self.clock_rate, SystemClock())

    def peer(self, service: str) -> str:
        """Return the gRPC target of another service.

        Raises:
            ValueError: there is no such service.
        """
        field = f"peer_{service}"
        if field not in type(self).model_fields:
            raise ValueError(f"there is no peer service {service!r}")
        return str(getattr(self, field))

    def with_values(self, **values: Any) -> Self:
        """Return a copy with other values, checked again."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | values)


S = TypeVar("S", bound=ServiceSettings)


def load_settings(cls: type[S]) -> S:
    """Read the settings of a service from the environment.

    Raises:
        SettingsError: one or more variables are missing, wrong or unknown; all of them are named.
    """
    problems = _unknown_variables(cls)
    try:
        given: dict[str, Any] = {}  # nothing: everything comes from the environment
        settings = cls(**given)
    except ValidationError as error:
        problems += [_sentence(cls, detail) for detail in error.errors(include_input=False, include_url=False)]
        raise SettingsError(cls.service, problems) from None
    if problems:
        raise SettingsError(cls.service, problems)
    return settings


def variables(cls: type[ServiceSettings]) -> dict[str, FieldInfo]:
    """Return every variable of a service with its field, for the settings reference."""
    return {f"{_own_prefix(cls)}{name.upper()}": field for name, field in cls.model_fields.items()}


def _collection_of(annotation: Any) -> type | None:
    """Return the collection a field holds, also as `list[str] | None`; None for single values."""
    origin = get_origin(annotation) or annotation
    if origin in (Union, UnionType):
        return next((found for part in get_args(annotation) if (found := _collection_of(part))), None)
    return origin if origin in (list, tuple, set, frozenset, dict) else None


def _own_prefix(cls: type[ServiceSettings]) -> str:
    return f"HELIOGRAPH_{cls.service.upper()}_"


def _unknown_variables(cls: type[ServiceSettings]) -> list[str]:
    """Tell apart a misspelt setting from none at all; only names with the service's own prefix can be judged."""
    prefix, known = _own_prefix(cls), [name.upper() for name in cls.model_fields]
    problems = []
    for variable in sorted(os.environ):
        name = variable.removeprefix(prefix)
        if not variable.startswith(prefix) or name in known or _KUBERNETES.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {prefix}{near[0]}?" if near else ""
        problems.append(f"{variable} is not a setting of {cls.service}{hint}")
    return problems


def _sentence(cls: type[ServiceSettings], detail: Any) -> str:
    location = [str(part) for part in detail["loc"]]
    if not location:
        return str(detail["msg"])
    name = location[0]
    own, shared = f"{_own_prefix(cls)}{name.upper()}", f"HELIOGRAPH_{name.upper()}"
    field = cls.model_fields.get(name)
    meaning = f" ({field.description})" if field is not None and field.description else ""
    if detail["type"] == "missing":
        return f"{shared} (or {own}) is not set{meaning}"
    variable = own if os.environ.get(own) else shared
    inner = f" at {'.'.join(location[1:])}" if location[1:] else ""
    # pydantic's own sentences never hold the value; those of validators begin with this prefix.
    said = str(detail["msg"]).removeprefix("Value error, ")
    return f"{variable}{inner}: {said[:1].lower()}{said[1:]}{meaning}"
