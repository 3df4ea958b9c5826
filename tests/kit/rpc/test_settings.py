"""Settings come from the environment, all mistakes at once, and never show a secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from pydantic import SecretStr, ValidationError

from heliograph_kit.clock import SystemClock
from heliograph_kit.settings import ServiceSettings, SettingsError, load_settings, variables

SECRET = "s3cret-s3cret-s3cret-s3cret-s3cret"


class Settings(ServiceSettings):
    service: ClassVar[str] = "segments"
    page_size: int = 500
    plugins: list[str] | None = None
    limits: dict[str, int] = {}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    import os

    for name in list(os.environ):
        if name.startswith("HELIOGRAPH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HELIOGRAPH_INTERNAL_SECRET", SECRET)
    return monkeypatch  # type: ignore[return-value]


def test_the_own_variable_wins_over_the_one_for_all_services(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HELIOGRAPH_DRAIN_SECONDS", "1")
    environment.setenv("HELIOGRAPH_LOG_LEVEL", "debug")
    environment.setenv("HELIOGRAPH_SEGMENTS_DRAIN_SECONDS", "2")
    settings = load_settings(Settings)
    assert (settings.drain_seconds, settings.log_level) == (2, "DEBUG")


def test_defaults_let_a_laptop_start(environment: pytest.MonkeyPatch) -> None:
    settings = load_settings(Settings)
    assert settings.listen == "127.0.0.1:7102"
    assert settings.peer("projects") == "dns:///127.0.0.1:7101"
    assert isinstance(settings.clock(), SystemClock)
    with pytest.raises(ValueError, match="no peer service 'moon'"):
        settings.peer("moon")


def test_an_empty_variable_counts_as_not_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HELIOGRAPH_SEGMENTS_PAGE_SIZE", "")
    assert load_settings(Settings).page_size == 500


def test_all_mistakes_are_told_at_once_by_variable_and_without_values(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HELIOGRAPH_INTERNAL_SECRET", "hunter2-too-short")
    environment.setenv("HELIOGRAPH_SEGMENTS_PAGE_SIZE", "many")
    environment.setenv("HELIOGRAPH_DATABASE_URL", "postgres://me:hunter3@db/x")
    environment.setenv("HELIOGRAPH_LISTEN", "nowhere")
    environment.setenv("HELIOGRAPH_SEGMENTS_PAGE_SIZ", "5")
    environment.setenv("HELIOGRAPH_CLOCK_RATE", "60")
    environment.setenv("HELIOGRAPH_SEGMENTS_LIMITS", "{broken")
    with pytest.raises(SettingsError) as caught:
        load_settings(Settings)
    text = str(caught.value)
    for part in (
        "HELIOGRAPH_INTERNAL_SECRET: must have at least 32 characters",
        "HELIOGRAPH_SEGMENTS_PAGE_SIZE: input should be a valid integer",
        "HELIOGRAPH_DATABASE_URL: must begin with postgresql+psycopg://",
        "HELIOGRAPH_LISTEN: must be host:port",
        "HELIOGRAPH_SEGMENTS_PAGE_SIZ is not a setting of segments; did you mean HELIOGRAPH_SEGMENTS_PAGE_SIZE?",
        "HELIOGRAPH_CLOCK_ORIGIN: must be set when the clock rate is not 1",
        "HELIOGRAPH_SEGMENTS_LIMITS: is not JSON",
    ):
        assert part in text
    assert len(caught.value.problems) == 7
    assert "hunter" not in text
    assert caught.value.__cause__ is None


def test_a_missing_secret_names_both_variables(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("HELIOGRAPH_INTERNAL_SECRET")
    with pytest.raises(
        SettingsError, match=r"HELIOGRAPH_INTERNAL_SECRET \(or HELIOGRAPH_SEGMENTS_INTERNAL_SECRET\) is"
    ):
        load_settings(Settings)


def test_variables_kubernetes_adds_for_services_are_no_mistakes(environment: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_7102_TCP_ADDR"):
        environment.setenv(f"HELIOGRAPH_SEGMENTS_{name}", "tcp://10.0.0.1:7102")
    load_settings(Settings)


def test_lists_are_read_from_commas_or_json_and_mappings_from_json(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HELIOGRAPH_SEGMENTS_PLUGINS", "smtp, simulator")
    environment.setenv("HELIOGRAPH_SEGMENTS_LIMITS", '{"a": 1}')
    settings = load_settings(Settings)
    assert (settings.plugins, settings.limits) == (["smtp", "simulator"], {"a": 1})
    environment.setenv("HELIOGRAPH_SEGMENTS_PLUGINS", '["smtp"]')
    assert load_settings(Settings).plugins == ["smtp"]


def test_secrets_are_not_in_the_text_of_settings(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HELIOGRAPH_DATABASE_URL", "postgresql+psycopg://me:hunter2@db/x")
    settings = load_settings(Settings)
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings_are_frozen_and_refuse_unknown_names() -> None:
    settings = Settings(internal_secret=SecretStr(SECRET))
    with pytest.raises(ValidationError):
        settings.page_size = 3
    with pytest.raises(ValidationError):
        Settings(internal_secret=SecretStr(SECRET), page_sice=3)  # type: ignore[call-arg]
    assert settings.with_values(page_size=3).page_size == 3


def test_a_hurried_clock_needs_its_shared_origin(environment: pytest.MonkeyPatch) -> None:
    origin = datetime.now(UTC)
    environment.setenv("HELIOGRAPH_CLOCK_RATE", "3600")
    environment.setenv("HELIOGRAPH_CLOCK_ORIGIN", (origin - timedelta(seconds=1)).isoformat())
    assert load_settings(Settings).clock().now() - origin >= timedelta(minutes=59)


def test_every_setting_is_described() -> None:
    described = variables(ServiceSettings if hasattr(ServiceSettings, "service") else Settings)
    own = {"HELIOGRAPH_SEGMENTS_PAGE_SIZE", "HELIOGRAPH_SEGMENTS_PLUGINS", "HELIOGRAPH_SEGMENTS_LIMITS"}
    assert [name for name, field in described.items() if not field.description and name not in own] == []
