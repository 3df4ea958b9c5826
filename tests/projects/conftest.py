"""The projects service in the test's own event loop, on a real database and a real bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import grpc
import pytest
import pytest_asyncio

from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Runtime, running
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_projects.config import ProjectsSettings
from heliograph_projects.main import PACKAGE, build
from heliograph_projects.tables import metadata

SECRET = "tests-tests-tests-tests-tests-tests-1"
ADMIN_TOKEN = "hg_" + "a" * 32 + "_" + "5" * 64

OpenChannel = Callable[[str | None], grpc.aio.Channel]


@pytest.fixture
def settings(migrated_database: MigratedDatabase, nats_url: str) -> ProjectsSettings:
    """Settings of a service with a bootstrap key on a fresh database."""
    return ProjectsSettings.model_validate(
        {
            "database_url": migrated_database((PACKAGE, "projects")),
            "nats_url": nats_url,
            "listen": "127.0.0.1:0",
            "internal_secret": SECRET,
            "drain_seconds": 0,
            "bootstrap_key": ADMIN_TOKEN,
        }
    )


@pytest_asyncio.fixture
async def service(settings: ProjectsSettings) -> AsyncIterator[Runtime[ProjectsSettings]]:
    """The service, ready."""
    async with running(settings, build, package=PACKAGE, metadata=metadata) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def call_as(service: Runtime[ProjectsSettings]) -> AsyncIterator[OpenChannel]:
    """Open a channel with a key; None means as the internal service `tests`."""
    opened: list[grpc.aio.Channel] = []

    def open_channel(key: str | None) -> grpc.aio.Channel:
        tokens = InternalTokens(SECRET) if key is None else None
        opened.append(channel(service.address, tokens=tokens, key=key, caller="tests"))
        return opened[-1]

    yield open_channel
    for each in opened:
        await each.close(grace=None)
