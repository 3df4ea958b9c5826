"""The segments service in the test's own event loop, on a real database and a real bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from heliograph.segments.v1 import (
    audience_pb2_grpc,
    endpoints_pb2_grpc,
    erasures_pb2_grpc,
    jobs_pb2_grpc,
    segments_pb2_grpc,
)
from heliograph_analytics import main as analytics_main
from heliograph_analytics.config import AnalyticsSettings
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Runtime, running
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.main import PACKAGE, build
from heliograph_segments.tables import metadata
from tests.segments.far import buckets, web
from tests.segments.house import House

__all__ = ["buckets", "web"]  # fixtures

SECRET = "tests-tests-tests-tests-tests-tests-1"


class Api:
    """Stubs of all services over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub = endpoints_pb2_grpc.EndpointServiceStub(channel)
        self.segments: segments_pb2_grpc.SegmentServiceAsyncStub = segments_pb2_grpc.SegmentServiceStub(channel)
        self.erasures: erasures_pb2_grpc.ErasureServiceAsyncStub = erasures_pb2_grpc.ErasureServiceStub(channel)
        self.jobs: jobs_pb2_grpc.JobServiceAsyncStub = jobs_pb2_grpc.JobServiceStub(channel)
        self.audience: audience_pb2_grpc.AudienceServiceAsyncStub = audience_pb2_grpc.AudienceServiceStub(channel)


@pytest.fixture
def database_of_segments(migrated_database: MigratedDatabase) -> str:
    """URL of a fresh database with the schema `segments`."""
    return migrated_database((PACKAGE, "segments"))


@pytest.fixture
def settings(database_of_segments: str, nats_url: str, tmp_path: Path) -> SegmentsSettings:
    """Settings of a service that may import from the test's own folder."""
    return SegmentsSettings.model_validate(
        {
            "database_url": database_of_segments,
            "nats_url": nats_url,
            "listen": "127.0.0.1:0",
            "internal_secret": SECRET,
            "drain_seconds": 0,
            "import_root": tmp_path,
            "import_piece_bytes": 4096,
            "import_poll_seconds": 0.05,
        }
    )


@pytest_asyncio.fixture
async def analytics(tmp_path: Path, nats_url: str) -> AsyncIterator[Runtime[AnalyticsSettings]]:
    """The analytics service on the same bus, ready."""
    settings = AnalyticsSettings.model_validate(
        {
            "nats_url": nats_url,
            "listen": "127.0.0.1:0",
            "internal_secret": SECRET,
            "drain_seconds": 0,
            "event_store": tmp_path / "events.duckdb",
        }
    )
    async with running(settings, analytics_main.build, package=analytics_main.PACKAGE, metadata=None) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def service(settings: SegmentsSettings) -> AsyncIterator[Runtime[SegmentsSettings]]:
    """The service, ready."""
    async with running(settings, build, package=PACKAGE, metadata=metadata) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def api(service: Runtime[SegmentsSettings]) -> AsyncIterator[Api]:
    """The service as another service sees it."""
    opened = channel(service.address, tokens=InternalTokens(SECRET), caller="tests")
    yield Api(opened)
    await opened.close(grace=None)


@pytest_asyncio.fixture
async def house(database_of_segments: str) -> AsyncIterator[House]:
    house = House(database_of_segments)
    yield house
    await house.close()
