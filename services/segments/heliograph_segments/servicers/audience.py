"""gRPC face of frozen audiences, for other services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from heliograph.segments.v1 import audience_pb2, audience_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, project_of
from heliograph_segments.service.audience import Audiences
from heliograph_segments.service.index_keeper import IndexKeeper, Verified
from heliograph_segments.store.audience import Snapshot
from heliograph_segments.store.members import Members

Context = grpc.aio.ServicerContext[Any, Any]


class AudienceServicer(audience_pb2_grpc.AudienceServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, audiences: Audiences, keeper: IndexKeeper) -> None:
        """Take the use cases, and the indexes."""
        self._audiences = audiences
        self._keeper = keeper

    async def FreezeSegment(
        self, request: audience_pb2.FreezeSegmentRequest, context: Context
    ) -> audience_pb2.Snapshot:
        """Freeze a segment."""
        name = parse_name(request.segment, "segments", field="segment")
        snapshot = await self._audiences.freeze(name.project, name.id, request.segment_version, request.snapshot_id)
        return _write_snapshot(snapshot)

    async def GetSnapshot(self, request: audience_pb2.GetSnapshotRequest, context: Context) -> audience_pb2.Snapshot:
        """Return a snapshot."""
        name = parse_name(request.name, "snapshots")
        return _write_snapshot(await self._audiences.get(name.project, name.id))

    async def StreamMembers(
        self, request: audience_pb2.StreamMembersRequest, context: Context
    ) -> AsyncIterator[audience_pb2.MemberPage]:
        """Stream members."""
        name = parse_name(request.snapshot, "snapshots", field="snapshot")
        pages = self._audiences.pages(name.project, name.id, request.after_ordinal, request.page_size, request.fields)
        async for members in pages:
            yield _write_page(members, request.fields)

    async def ReadEndpoints(
        self, request: audience_pb2.ReadEndpointsRequest, context: Context
    ) -> audience_pb2.MemberPage:
        """Read given endpoints."""
        project = project_of(request.project, field="project")
        members = await self._audiences.read(project, request.endpoint_ids, request.fields)
        return _write_page(members, request.fields)

    async def ReadUserEndpoints(
        self, request: audience_pb2.ReadUserEndpointsRequest, context: Context
    ) -> audience_pb2.MemberPage:
        """Read all endpoints of given users."""
        project = project_of(request.project, field="project")
        members = await self._audiences.of_users(project, request.user_ids, request.fields)
        return _write_page(members, request.fields)

    async def FilterMembers(
        self, request: audience_pb2.FilterMembersRequest, context: Context
    ) -> audience_pb2.FilterMembersResponse:
        """Tell who of the given endpoints is in a snapshot."""
        name = parse_name(request.snapshot, "snapshots", field="snapshot")
        members = await self._audiences.filter(name.project, name.id, request.endpoint_ids)
        return audience_pb2.FilterMembersResponse(member_ids=members)

    async def VerifyAudience(
        self, request: audience_pb2.VerifyAudienceRequest, context: Context
    ) -> AsyncIterator[audience_pb2.VerifiedPartition]:
        """Compare the index with the record."""
        project = project_of(request.project, field="project")
        if not await self._keeper.ready(project):
            yield audience_pb2.VerifiedPartition()
            return
        for number in self._keeper.numbers(project):
            verified = await self._keeper.verify(project, number, repair=request.repair)
            if verified is not None:
                yield _write_verified(verified)


def _write_verified(verified: Verified) -> audience_pb2.VerifiedPartition:
    return audience_pb2.VerifiedPartition(
        partition=verified.partition,
        endpoint_count=verified.endpoints,
        difference_count=verified.differences,
        differences=verified.examples,
        skipped_count=verified.skipped,
        repaired=verified.repaired,
        loaded=True,
    )


def _write_snapshot(snapshot: Snapshot) -> audience_pb2.Snapshot:
    return audience_pb2.Snapshot(
        name=format_name(snapshot.project, "snapshots", snapshot.snapshot_id),
        segment=format_name(snapshot.project, "segments", snapshot.segment_id),
        segment_version=snapshot.segment_version,
        member_count=snapshot.member_count,
        as_of_time=timestamp(snapshot.as_of),
    )


def _write_page(members: Members, paths: Sequence[str]) -> audience_pb2.MemberPage:
    return audience_pb2.MemberPage(
        ordinals=members.ordinals,
        endpoint_ids=members.endpoint_ids,
        user_ids=members.user_ids,
        channels=members.channels,
        addresses=members.addresses,
        opted_out=members.opted_out,
        inactive=members.inactive,
        cohorts=members.cohorts,
        time_zones=members.time_zones,
        columns=[
            audience_pb2.MemberColumn(path=path, values=column.values, counts=column.counts)
            for path, column in zip(paths, members.columns, strict=True)
        ],
    )
