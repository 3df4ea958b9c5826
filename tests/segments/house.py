"""What follows segments in use, without a server: the worker, the record and a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pyroaring import BitMap
from sqlalchemy import text

from heliograph.segments.v1 import events_pb2
from heliograph_kit.clock import ManualClock
from heliograph_kit.database import Database
from heliograph_kit.outbox import Outbox
from heliograph_segments.domain.endpoints import EndpointUpdate
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    Combination,
    Dimensions,
    Group,
    Recency,
    RecencyDuration,
    Rules,
    SegmentReference,
)
from heliograph_segments.domain.uses import Use, UseKind
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.index_keeper import IndexKeeper
from heliograph_segments.service.listings import Listings
from heliograph_segments.service.memberships import MembershipWorker, Rhythm
from heliograph_segments.service.reading import Reader
from heliograph_segments.service.segments import Draft, Segments
from heliograph_segments.service.writing import EndpointWriter, Limits
from heliograph_segments.store import uses
from heliograph_segments.store.requests import Request
from heliograph_segments.tables import mail

PROJECT = "p1"
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
GOLD = Dimensions(attributes={"plan": AttributeDimension(AttributeOperator.INCLUSIVE, ("gold",))})
NOT_GOLD = Dimensions(attributes={"plan": AttributeDimension(AttributeOperator.EXCLUSIVE, ("gold",))})
RECENT = Dimensions(recency=Recency(RecencyDuration.HR_24, active=True))
AWAY = Dimensions(recency=Recency(RecencyDuration.DAY_7, active=False))


def rules(*dimensions: Dimensions, type: Combination = Combination.ALL, sources: tuple[str, ...] = ()) -> Rules:
    return Rules(groups=(Group(tuple(map(SegmentReference, sources)), dimensions=dimensions, type=type),))


class House:
    """A worker with what it stands on, and a look at what it announced."""

    def __init__(self, url: str, clock: ManualClock | None = None, memory: int = 1 << 30, **given: timedelta) -> None:
        self.clock = clock or ManualClock(NOW)
        self.database = Database(url, application_name="tests")
        self.keeper = IndexKeeper(self.database, folder=None, memory_bytes=memory, retention=timedelta(hours=24))
        self.listed: set[int] = set()
        self.away: Callable[..., Awaitable[None]] | None = None
        self.reader = Reader(self.database, self.keeper, Listings(behaviors=self._behaviors))
        outbox = Outbox(mail, clock=self.clock)
        zero = timedelta(0)
        rhythm = Rhythm(**{"changes": zero, "time": zero, "lease": zero, "retention": timedelta(hours=24)} | given)
        self.worker = MembershipWorker(self.database, outbox, self.clock, self.reader, rhythm)
        self.endpoints = Endpoints(self.database, EndpointWriter(self.clock, Limits()))
        self.segments = Segments(self.database, outbox, self.clock, self.reader)
        self.revision = 0

    async def _behaviors(self, project: str, asked: Any, now: datetime) -> Any:
        if self.away:
            await self.away()
        return {each: BitMap(self.listed) for each in asked}

    async def segment(self, given: Rules) -> str:
        draft = Draft("People", given, {})
        return (await self.segments.create(PROJECT, draft, Request("CreateSegment", "", ""))).segment_id

    async def use(self, *segment_ids: str, state: str = "SCHEDULED") -> None:
        """Let one campaign name these segments and no others."""
        self.revision += 1
        async with self.database.transaction() as conn:
            await uses.put(conn, Use(PROJECT, UseKind.CAMPAIGN, "c1", self.revision, state, segment_ids))

    async def write(self, endpoint_id: str, plan: str = "gold", **given: Any) -> None:
        update = EndpointUpdate(endpoint_id, "EMAIL", f"{endpoint_id}@example.com", {"plan": [plan]}, **given)
        await self.endpoints.update(PROJECT, [update])

    async def look(self) -> None:
        await self.worker.look(PROJECT)

    async def announced(self, segment_id: str) -> list[events_pb2.MembershipChanged]:
        """Return everything announced of a segment, the earlier first."""
        statement = "SELECT payload FROM segments.outbox WHERE type LIKE '%MembershipChanged'"
        async with self.database.transaction() as conn:
            payloads = (await conn.execute(text(statement))).scalars().all()
        found = [events_pb2.MembershipChanged.FromString(bytes(payload)) for payload in payloads]
        mine = [each for each in found if each.segment.endswith(segment_id)]
        return sorted(mine, key=lambda each: each.sequence)

    async def changes(self, segment_id: str) -> list[tuple[list[str], list[str]]]:
        return [(list(m.entered_endpoint_ids), list(m.left_endpoint_ids)) for m in await self.announced(segment_id)]

    async def close(self) -> None:
        await self.keeper.close()
        await self.database.close()


def folded(told: list[events_pb2.MembershipChanged], members: set[str]) -> set[str]:
    """Apply announcements; each must tell something new: who enters was outside, who leaves was inside."""
    for each in told:
        entered, left = set(each.entered_endpoint_ids), set(each.left_endpoint_ids)
        assert len(entered) + len(left) == len(each.entered_endpoint_ids) + len(each.left_endpoint_ids) <= 1000
        assert not entered & members
        assert left <= members
        members = (members | entered) - left
    return members
