"""An erasure beside the real services that are asked, each a process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliograph.analytics.v1 import analytics_pb2, analytics_pb2_grpc, events_pb2, ingestion_pb2, ingestion_pb2_grpc
from heliograph.segments.v1 import endpoints_pb2, erasures_pb2
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_kit.testing.fixtures import MigratedDatabase
from tests.segments.builders import PARENT, an_endpoint_message
from tests.segments.conftest import SECRET, Api

pytestmark = pytest.mark.acceptance
PACKAGES = tuple((f"heliograph_{name}", name) for name in ("segments", "messaging", "journeys"))


@pytest.fixture
def database_of_segments(migrated_database: MigratedDatabase) -> str:
    """URL of a fresh database with the schemas of all of them."""
    return migrated_database(*PACKAGES)


@pytest.fixture
def others(database_of_segments: str, nats_url: str, tmp_path: Path) -> Iterator[dict[str, ServiceProcess]]:
    """The services that are asked, ready."""
    environment = {
        "HELIOGRAPH_DATABASE_URL": database_of_segments,
        "HELIOGRAPH_NATS_URL": nats_url,
        "HELIOGRAPH_INTERNAL_SECRET": SECRET,
        "HELIOGRAPH_MESSAGING_SECRET_KEY": "k" * 32,
        "HELIOGRAPH_MIGRATE_ON_START": "false",
        "HELIOGRAPH_ANALYTICS_EVENT_STORE": str(tmp_path / "events.duckdb"),
    }
    processes = {
        name: ServiceProcess(f"heliograph_{name}.main", service=name, directory=tmp_path, environment=environment)
        for name in ("messaging", "journeys", "analytics")
    }
    try:
        for process in processes.values():
            process.start()
        for process in processes.values():
            process.ready()
        yield processes
    finally:
        for process in processes.values():
            process.stop()


async def test_an_erasure_is_complete_in_all_services(others: dict[str, ServiceProcess], api: Api) -> None:
    endpoints = [an_endpoint_message("a1", user=endpoints_pb2.EndpointUser(user_id="anna")), an_endpoint_message("b1")]
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))
    async with channel(others["analytics"].address, tokens=InternalTokens(SECRET)) as to:
        events: ingestion_pb2_grpc.EventServiceAsyncStub = ingestion_pb2_grpc.EventServiceStub(to)
        reports: analytics_pb2_grpc.AnalyticsServiceAsyncStub = analytics_pb2_grpc.AnalyticsServiceStub(to)

        async def stored(count: int) -> bool:
            status = await reports.GetIngestStatus(analytics_pb2.GetIngestStatusRequest(parent=PARENT))
            return status.stored_count == count

        put = ingestion_pb2.PutEventsRequest(parent=PARENT)
        for endpoint_id in ("a1", "b1"):
            event = events_pb2.Event(event_id=f"of {endpoint_id}", event_type="view", endpoint_id=endpoint_id)
            event.event_time.FromDatetime(datetime.now(UTC))
            put.events.append(event)
        await events.PutEvents(put)
        await eventually(lambda: stored(2))
        begun = await api.erasures.EraseUser(erasures_pb2.EraseUserRequest(parent=PARENT, user_id="anna"))

        async def complete() -> bool:
            erasure = await api.erasures.GetErasure(erasures_pb2.GetErasureRequest(name=begun.name))
            return erasure.state == erasures_pb2.Erasure.STATE_COMPLETE

        await eventually(complete, within=20)
        assert await stored(1)
