"""The analytics service in the test's own event loop, on a real bus and a store of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from heliograph.analytics.v1 import analytics_pb2, analytics_pb2_grpc, events_pb2
from heliograph_analytics.config import AnalyticsSettings
from heliograph_analytics.main import PACKAGE, build
from heliograph_kit.auth import InternalTokens
from heliograph_kit.ids import new_id
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Runtime, running
from heliograph_kit.testing import eventually

SECRET = "tests-tests-tests-tests-tests-tests-1"
PROJECT = "projects/shop"


@pytest.fixture
def settings(tmp_path: Path, nats_url: str) -> AnalyticsSettings:
    """Settings of a service with an empty store."""
    return AnalyticsSettings.model_validate(
        {
            "nats_url": nats_url,
            "listen": "127.0.0.1:0",
            "internal_secret": SECRET,
            "drain_seconds": 0,
            "event_store": tmp_path / "events.duckdb",
        }
    )


@pytest_asyncio.fixture
async def service(settings: AnalyticsSettings) -> AsyncIterator[Runtime[AnalyticsSettings]]:
    """The service, ready."""
    async with running(settings, build, package=PACKAGE, metadata=None) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def analytics_channel(service: Runtime[AnalyticsSettings]) -> AsyncIterator[grpc.aio.Channel]:
    """A channel as another service."""
    opened = channel(service.address, tokens=InternalTokens(SECRET), caller="tests")
    yield opened
    await opened.close(grace=None)


def an_event(
    endpoint: str = "e1",
    kind: str = "purchase",
    *,
    id: str = "",
    at: datetime | None = None,
    user: str = "",
    attributes: dict[str, str] | None = None,
    metrics: dict[str, float] | None = None,
) -> events_pb2.Event:
    """Build a good event."""
    event = events_pb2.Event(
        event_id=id or new_id(),
        event_type=kind,
        endpoint_id=endpoint,
        user_id=user,
        attributes=attributes or {},
        metrics=metrics or {},
    )
    event.event_time.FromDatetime(at or datetime.now(UTC))
    return event


async def until_stored(
    stub: analytics_pb2_grpc.AnalyticsServiceAsyncStub, count: int, project: str = PROJECT, within: float = 15
) -> analytics_pb2.IngestStatus:
    """Wait until the project has that many rows and nothing waits."""
    last: list[analytics_pb2.IngestStatus] = []

    async def there() -> bool:
        last[:] = [await stub.GetIngestStatus(analytics_pb2.GetIngestStatusRequest(parent=project))]
        return last[0].stored_count >= count and last[0].backlog_count == 0

    await eventually(there, within=within)
    return last[0]


Waiting = Callable[[int], object]
