"""The campaigns service in the test's own event loop, on a real database and bus, beside a crowd and a post."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph.campaigns.v1 import campaigns_pb2_grpc
from heliograph_campaigns.config import CampaignsSettings
from heliograph_campaigns.main import build
from heliograph_campaigns.tables import metadata
from heliograph_kit.auth import InternalTokens
from heliograph_kit.bus import Bus
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Kind, Runtime, running
from heliograph_kit.testing import eventually
from heliograph_kit.testing.fixtures import INTERNAL_SECRET, MigratedDatabase
from tests.campaigns.builders import SEGMENT, TEMPLATE, a_request
from tests.campaigns.crowd import Crowd
from tests.campaigns.post import Post, collecting
from tests.journeys.peer import serving

PACKAGE = "heliograph_campaigns"
MEMBERS = 200
CANCELLED, COMPLETED = pb.Run.STATE_CANCELLED, pb.Run.STATE_COMPLETED


@dataclass
class Service:
    """A running campaigns service and a client with the internal token of `tests`."""

    runtime: Runtime[CampaignsSettings]
    stub: campaigns_pb2_grpc.CampaignServiceAsyncStub

    async def create(self, **changes: Any) -> pb.Campaign:
        """Create a campaign; by default an immediate one to everybody."""
        return await self.stub.CreateCampaign(a_request(**changes))

    async def get(self, name: str) -> pb.Campaign:
        """Read a campaign."""
        return await self.stub.GetCampaign(pb.GetCampaignRequest(name=name))

    async def runs(self, name: str) -> list[pb.Run]:
        """Read the runs of a campaign, and hold each to the two laws."""
        found = list((await self.stub.ListRuns(pb.ListRunsRequest(parent=name))).runs)
        for run in found:
            obeys_the_laws(run)
        return found

    async def run(self, name: str) -> pb.Run:
        """Read the only run of a campaign."""
        (run,) = await self.runs(name)
        return run

    async def run_that(
        self, name: str, condition: Callable[[pb.Run], bool], within: timedelta = timedelta(seconds=20)
    ) -> pb.Run:
        """Wait until the run of a campaign is as wanted."""

        async def there() -> pb.Run | None:
            runs = await self.runs(name)
            return runs[0] if runs and condition(runs[0]) else None

        found = await eventually(there, within=within)
        assert found is not None
        return found

    async def ended(self, name: str, within: timedelta = timedelta(seconds=20)) -> pb.Run:
        """Wait until the run of a campaign is over."""
        return await self.run_that(name, lambda run: run.state in (CANCELLED, COMPLETED), within)

    async def in_state(self, name: str, state: str) -> pb.Campaign:
        """Wait until a campaign is in a state."""

        async def there() -> pb.Campaign | None:
            found = await self.get(name)
            return found if found.state == pb.Campaign.State.Value(f"STATE_{state}") else None

        found = await eventually(there, within=15)
        assert found is not None
        return found

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the service's tables."""
        async with self.runtime.database.transaction() as conn:
            return [tuple(row) for row in await conn.execute(text(query))]


def obeys_the_laws(run: pb.Run) -> None:
    """Produced is targeted and held out; nobody has two outcomes; the treatments are the whole."""
    total = run.total
    assert total.produced_count == total.targeted_count + total.holdout_count
    ended = total.accepted_count + total.failed_count + total.in_doubt_count + sum(total.skipped_counts.values())
    assert ended <= total.targeted_count
    assert sum(total.failed_counts.values()) == total.failed_count
    assert sum(t.funnel.targeted_count for t in run.treatments) == total.targeted_count


@pytest_asyncio.fixture
async def crowd() -> AsyncIterator[Crowd]:
    """A project with one segment of 200 and two templates."""
    # The generated servicers are abstract to mypy only; methods that nobody calls here answer UNIMPLEMENTED.
    crowd = Crowd(segments={SEGMENT: people(MEMBERS)})  # type: ignore[abstract]
    crowd.add_template(TEMPLATE, variables=("Attributes.plan", "User.UserAttributes.first"))
    crowd.add_template("projects/shop/templates/text", "SMS")
    crowd.pools.add("projects/shop/pools/main")
    async with serving(crowd):
        yield crowd
        crowd.gate.set()


def people(count: int) -> list[str]:
    """Return endpoint ids."""
    return [f"e{number:05d}" for number in range(count)]


@pytest.fixture
def values(migrated_database: MigratedDatabase, nats_url: str, crowd: Crowd) -> dict[str, Any]:
    """Settings of the service, on a fresh database."""
    return {
        "database_url": migrated_database((PACKAGE, "campaigns")),
        "nats_url": nats_url,
        "listen": "127.0.0.1:0",
        "internal_secret": INTERNAL_SECRET,
        "drain_seconds": 0,
        "shutdown_grace_seconds": 5,
        "poll_seconds": 0.05,
        "page_size": 50,
        "peer_segments": crowd.target,
        "peer_messaging": crowd.target,
        "peer_projects": crowd.target,
        "migrate_on_start": False,
        "database_pool_size": 5,
    }


Start = Callable[..., Awaitable[Service]]


@pytest_asyncio.fixture
async def start(values: dict[str, Any]) -> AsyncIterator[Start]:
    """Start services on the same database: `start(role="worker", page_size=10)`."""
    async with AsyncExitStack() as stack:

        async def one(role: Kind = "all", **changes: Any) -> Service:
            settings = CampaignsSettings.model_validate(values | changes)
            opening = running(settings, build, package=PACKAGE, metadata=metadata, role=role)
            runtime = await stack.enter_async_context(opening)
            to = await stack.enter_async_context(channel(runtime.address, tokens=InternalTokens(INTERNAL_SECRET)))
            return Service(runtime, campaigns_pb2_grpc.CampaignServiceStub(to))

        yield one


@pytest_asyncio.fixture
async def service(start: Start) -> Service:
    """One service that answers and works."""
    return await start()


@pytest_asyncio.fixture
async def idle(start: Start) -> Service:
    """One service that answers and starts nothing, so that campaigns stay as they are put."""
    return await start(role="api")


@pytest_asyncio.fixture
async def post(bus: Bus) -> AsyncIterator[Post]:
    """Takes everything campaigns dispatch."""
    async with collecting(bus) as post:
        yield post
