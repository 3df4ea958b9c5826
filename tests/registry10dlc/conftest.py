"""The registry in the test's own event loop, with the simulator as its registrar and a hurried clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from heliograph.registry10dlc.v1 import registry_pb2_grpc
from heliograph_kit.auth import InternalTokens
from heliograph_kit.database import Database
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Runtime, running
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_registry10dlc.config import RegistrySettings
from heliograph_registry10dlc.main import build
from heliograph_registry10dlc.tables import metadata

SECRET = "tests-tests-tests-tests-tests-tests-1"
PACKAGE = "heliograph_registry10dlc"
# Fourteen days in less than two seconds.
RATE = 100_000


@pytest.fixture
def registry_url(migrated_database: MigratedDatabase) -> str:
    """The URL of a fresh database with the tables of the registry."""
    return migrated_database((PACKAGE, "registry10dlc"))


@pytest.fixture
def settings(registry_url: str, nats_url: str) -> RegistrySettings:
    """Settings on a fresh database; the simulator decides by the hurried clock."""
    return RegistrySettings.model_validate(
        {
            "database_url": registry_url,
            "nats_url": nats_url,
            "listen": "127.0.0.1:0",
            "internal_secret": SECRET,
            "drain_seconds": 0,
            "clock_rate": RATE,
            "clock_origin": datetime.now(UTC),
            "poll_seconds": 0.05,
            "max_numbers_per_region": 60,
            "registrar_settings": {"vetting_score": 80, "number_delay": 86_400.0},
        }
    )


@pytest_asyncio.fixture
async def database(registry_url: str) -> AsyncIterator[Database]:
    """That database, opened."""
    opened = Database(registry_url, application_name="test")
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def service(settings: RegistrySettings) -> AsyncIterator[Runtime[RegistrySettings]]:
    """The service, ready."""
    async with running(settings, build, package=PACKAGE, metadata=metadata) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def registry(service: Runtime[RegistrySettings]) -> AsyncIterator[registry_pb2_grpc.RegistryServiceStub]:
    """A client with the internal token of `tests`."""
    async with channel(service.address, tokens=InternalTokens(SECRET)) as opened:
        yield registry_pb2_grpc.RegistryServiceStub(opened)
