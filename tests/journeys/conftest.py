"""The journeys service in the test's own event loop, on a clock that is moved by hand, beside a peer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from heliograph.journeys.v1 import journeys_pb2 as pb
from heliograph.journeys.v1 import journeys_pb2_grpc
from heliograph.messaging.v1 import dispatch_pb2, events_pb2
from heliograph_journeys.config import JourneysSettings
from heliograph_journeys.main import build
from heliograph_journeys.tables import metadata
from heliograph_kit.auth import InternalTokens
from heliograph_kit.bus import Bus
from heliograph_kit.clock import Clock, ManualClock
from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.ids import new_id
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Runtime, running
from heliograph_kit.streams import messages_subject
from heliograph_kit.testing import eventually
from heliograph_kit.testing.fixtures import INTERNAL_SECRET, MigratedDatabase
from tests.journeys.builders import SEGMENT, TEMPLATE
from tests.journeys.peer import Peer, serving

PACKAGE = "heliograph_journeys"


class OnHandClock(JourneysSettings):
    """Settings whose clock a test moves."""

    def clock(self) -> Clock:
        return _clocks[self.listen]


_clocks: dict[str, ManualClock] = {}


@dataclass
class Mailroom:
    """Stands at the other end of the bus: collects what is dispatched, and says what happened to it."""

    bus: Bus
    batches: list[dispatch_pb2.DispatchBatch] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self.batches.append(dispatch_pb2.DispatchBatch.FromString(delivery.payload))
            self.traces.append(delivery.headers.get("traceparent", ""))

    def sent(self, activity_id: str) -> list[str]:
        """Return who was sent the message of an activity, sorted."""
        ours = (batch for batch in self.batches if batch.source.activity_id == activity_id)
        return sorted(id_ for batch in ours for id_ in batch.recipients.endpoint_ids)

    async def tell(self, run: str, activity_id: str, event: str, ids: Sequence[str], *, id_: str | None = None) -> None:
        """Publish that something happened to messages."""
        journey, _, run_id = run.partition("/runs/")
        project = run.split("/")[1]
        batch = events_pb2.MessageEventBatch(
            project=f"projects/{project}",
            source=dispatch_pb2.MessageSource(name=journey, run_id=run_id, activity_id=activity_id),
            message_class=dispatch_pb2.MESSAGE_CLASS_JOURNEY,
            events=[
                events_pb2.MessageEvent(
                    message_id=new_id(),
                    type=events_pb2.MessageEventType.Value(f"MESSAGE_EVENT_TYPE_{event}"),
                    endpoint_id=endpoint_id,
                )
                for endpoint_id in ids
            ],
        )
        await self.bus.publish(
            messages_subject(project),
            batch.SerializeToString(),
            id=id_ or new_id(),
            type=batch.DESCRIPTOR.full_name,
            project=project,
        )


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[Peer]:
    """A project with one segment of 30 and two templates."""
    # The generated servicers are abstract to mypy only; methods that nobody calls here answer UNIMPLEMENTED.
    peer = Peer(  # type: ignore[abstract]
        segments={SEGMENT: [f"e{i:05d}" for i in range(30)]}
    )
    peer.add_template(TEMPLATE, variables=("Attributes.plan", "User.UserAttributes.first"))
    peer.add_template("projects/shop/templates/thanks", "SMS")
    peer.pools.add("projects/shop/pools/main")
    async with serving(peer):
        yield peer


@pytest.fixture
def delay() -> float:
    """The publishing delay, seconds; a test may parametrize it."""
    return 0


@pytest.fixture
def page_size() -> int:
    """How many enter at once; a test may parametrize it."""
    return 7


@pytest.fixture
def values(
    migrated_database: MigratedDatabase, nats_url: str, peer: Peer, delay: float, page_size: int
) -> dict[str, Any]:
    """Settings of the service, on a fresh database."""
    return {
        "database_url": migrated_database((PACKAGE, "journeys")),
        "nats_url": nats_url,
        "listen": "127.0.0.1:0",
        "internal_secret": INTERNAL_SECRET,
        "drain_seconds": 0,
        "publish_delay_seconds": delay,
        "poll_seconds": 0.05,
        "page_size": page_size,
        "template_cache_seconds": 0,
        "peer_segments": peer.target,
        "peer_messaging": peer.target,
        "peer_projects": peer.target,
        "migrate_on_start": False,
    }


@pytest_asyncio.fixture
async def service(values: dict[str, Any], clock: ManualClock) -> AsyncIterator[Runtime[JourneysSettings]]:
    """The service, ready, on the clock of the test."""
    settings: JourneysSettings = OnHandClock.model_validate(values)
    _clocks[settings.listen] = clock
    async with running(settings, build, package=PACKAGE, metadata=metadata) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def journeys(service: Runtime[JourneysSettings]) -> AsyncIterator[journeys_pb2_grpc.JourneyServiceAsyncStub]:
    """A client with the internal token of `tests`."""
    async with channel(service.address, tokens=InternalTokens(INTERNAL_SECRET)) as opened:
        yield journeys_pb2_grpc.JourneyServiceStub(opened)


@pytest_asyncio.fixture
async def mailroom(bus: Bus) -> AsyncIterator[Mailroom]:
    """Takes everything journeys dispatch."""
    import asyncio

    room, stopping = Mailroom(bus), asyncio.Event()
    consumer = Consumer(
        bus,
        service="messaging",
        stream="DISPATCH",
        durable="messaging-journey",
        subjects=["dispatch.journey.*"],
        handler=room.take,
    )
    task = asyncio.create_task(consumer.run(stopping))
    yield room
    stopping.set()
    await asyncio.wait_for(task, 10)


async def metrics_of(stub: journeys_pb2_grpc.JourneyServiceAsyncStub, run: str) -> pb.RunMetrics:
    """Count a run, and hold it to its laws."""
    metrics = await stub.GetRunMetrics(pb.GetRunMetricsRequest(run=run))
    left = metrics.completed_count + sum(metrics.exited_counts.values())
    assert metrics.entered_count == metrics.active_count + left
    for step in metrics.steps:
        assert step.arrived_count == step.waiting_count + sum(step.left_counts.values())
    assert metrics.active_count == sum(step.waiting_count for step in metrics.steps)
    return metrics


async def waiting_at(stub: journeys_pb2_grpc.JourneyServiceAsyncStub, run: str, **counts: int) -> pb.RunMetrics:
    """Wait until so many are at these activities, and nobody is elsewhere."""

    async def there() -> pb.RunMetrics | None:
        metrics = await metrics_of(stub, run)
        here = {step.activity_id: step.waiting_count for step in metrics.steps if step.waiting_count}
        assert here == counts
        return metrics

    found = await eventually(there, within=timedelta(seconds=15))
    assert found is not None
    return found
