"""Segments and templates for campaigns: the peer of journeys with whole member pages, and switches for its bad days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from heliograph.messaging.v1 import templates_pb2
from heliograph.segments.v1 import audience_pb2, segments_pb2
from tests.journeys.peer import Peer

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class Crowd(Peer):
    """What exists, and how it behaves when it is asked."""

    versions: dict[str, int] = field(default_factory=dict)
    """The latest version of a segment, where it is not 1."""
    away: bool = False
    """Every call is answered UNAVAILABLE; streams break off."""
    pause: float = 0.0
    """Seconds between two pages of a stream."""
    hold_after: int | None = None
    """The next stream waits for `gate` when it has sent so many members."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0
    ended: int = 0
    """How many streams were begun, and how many are over, whatever way."""
    asked_fields: set[tuple[str, ...]] = field(default_factory=set)

    async def GetSegment(self, request: segments_pb2.GetSegmentRequest, context: Context) -> segments_pb2.Segment:
        await self._be_there(context)
        found = await super().GetSegment(request, context)
        found.version = self.versions.get(request.name, 1)
        return found

    async def GetTemplate(self, request: templates_pb2.GetTemplateRequest, context: Context) -> templates_pb2.Template:
        await self._be_there(context)
        return await super().GetTemplate(request, context)

    async def FreezeSegment(
        self, request: audience_pb2.FreezeSegmentRequest, context: Context
    ) -> audience_pb2.Snapshot:
        await self._be_there(context)
        return await super().FreezeSegment(request, context)

    async def StreamMembers(
        self, request: audience_pb2.StreamMembersRequest, context: Context
    ) -> AsyncIterator[audience_pb2.MemberPage]:
        hold_after, self.hold_after = self.hold_after, None
        self.streams += 1
        self.asked_fields.add(tuple(request.fields))
        _, members = self.snapshots[request.snapshot]
        try:
            for start in range(request.after_ordinal, len(members), request.page_size):
                if hold_after is not None and start >= hold_after:
                    await self.gate.wait()
                await self._be_there(context)
                if self.pause:
                    await asyncio.sleep(self.pause)
                yield self._page(start, members[start : start + request.page_size], request.fields)
        finally:
            self.ended += 1

    def _page(self, start: int, ids: list[str], fields: Any) -> audience_pb2.MemberPage:
        ordinals = range(start + 1, start + 1 + len(ids))
        return audience_pb2.MemberPage(
            ordinals=ordinals,
            endpoint_ids=ids,
            user_ids=[f"u-{id_}" for id_ in ids],
            channels=["EMAIL"] * len(ids),
            addresses=[f"{id_}@example.com" for id_ in ids],
            opted_out=[False] * len(ids),
            inactive=[False] * len(ids),
            cohorts=[ordinal % 100 for ordinal in ordinals],
            time_zones=["UTC"] * len(ids),
            columns=[
                audience_pb2.MemberColumn(path=path, values=[f"{path} of {id_}" for id_ in ids]) for path in fields
            ],
        )

    async def _be_there(self, context: Context) -> None:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
