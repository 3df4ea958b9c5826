"""The services that journeys asks, as one small server that keeps their contract: segments and templates of `shop`.

Stands where the real ones stand in the acceptance tests; here it can be told what exists, and what it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from heliograph.messaging.v1 import origination_pb2, origination_pb2_grpc, templates_pb2, templates_pb2_grpc
from heliograph.projects.v1 import projects_pb2, projects_pb2_grpc
from heliograph.segments.v1 import audience_pb2, audience_pb2_grpc, segments_pb2, segments_pb2_grpc
from heliograph_kit.keepalive import server_options

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class Peer(
    segments_pb2_grpc.SegmentServiceServicer,
    audience_pb2_grpc.AudienceServiceServicer,
    templates_pb2_grpc.TemplateServiceServicer,
    origination_pb2_grpc.OriginationServiceServicer,
    projects_pb2_grpc.ProjectServiceServicer,
):
    """What exists: members by segment, templates by name, and the settings of the project."""

    settings: projects_pb2.ProjectSettings = field(default_factory=projects_pb2.ProjectSettings)

    segments: dict[str, list[str]] = field(default_factory=dict)
    templates: dict[str, templates_pb2.Template] = field(default_factory=dict)
    pools: set[str] = field(default_factory=set)
    snapshots: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    deleted_templates: set[str] = field(default_factory=set)
    freezes: list[str] = field(default_factory=list)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: reading endpoints waits until it is set."""
    read_fields: set[tuple[str, ...]] = field(default_factory=set)
    target: str = ""

    def __post_init__(self) -> None:
        """Let endpoints be read."""
        self.reading.set()

    def add_template(self, name: str, kind: str = "EMAIL", variables: tuple[str, ...] = ()) -> None:
        """Let a template exist, at version 3."""
        self.templates[name] = templates_pb2.Template(
            name=name,
            kind=templates_pb2.TemplateKind.Value(f"TEMPLATE_KIND_{kind}"),
            version=3,
            active_version=3,
            variables=variables,
        )

    async def GetSegment(self, request: segments_pb2.GetSegmentRequest, context: Context) -> segments_pb2.Segment:
        if request.name not in self.segments:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such segment")
        return segments_pb2.Segment(name=request.name, version=1)

    async def GetProjectSettings(
        self, request: projects_pb2.GetProjectSettingsRequest, context: Context
    ) -> projects_pb2.ProjectSettings:
        return self.settings

    async def GetTemplate(self, request: templates_pb2.GetTemplateRequest, context: Context) -> templates_pb2.Template:
        hidden = request.name in self.deleted_templates and not request.show_deleted
        if request.name not in self.templates or hidden or request.version > 3:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such template")
        return self.templates[request.name]

    async def GetPool(self, request: origination_pb2.GetPoolRequest, context: Context) -> origination_pb2.Pool:
        if request.name not in self.pools:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such pool")
        return origination_pb2.Pool(name=request.name)

    async def FreezeSegment(
        self, request: audience_pb2.FreezeSegmentRequest, context: Context
    ) -> audience_pb2.Snapshot:
        if request.segment not in self.segments:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such segment")
        self.freezes.append(request.snapshot_id)
        name = f"{request.segment.rpartition('/segments/')[0]}/snapshots/{request.snapshot_id}"
        _, members = self.snapshots.setdefault(name, (request.segment, list(self.segments[request.segment])))
        return audience_pb2.Snapshot(name=name, segment=request.segment, segment_version=1, member_count=len(members))

    async def StreamMembers(
        self, request: audience_pb2.StreamMembersRequest, context: Context
    ) -> AsyncIterator[audience_pb2.MemberPage]:
        _, members = self.snapshots[request.snapshot]
        for start in range(request.after_ordinal, len(members), request.page_size):
            ids = members[start : start + request.page_size]
            yield audience_pb2.MemberPage(ordinals=range(start + 1, start + 1 + len(ids)), endpoint_ids=ids)

    async def ReadEndpoints(
        self, request: audience_pb2.ReadEndpointsRequest, context: Context
    ) -> audience_pb2.MemberPage:
        assert len(request.endpoint_ids) <= 500
        await self.reading.wait()
        self.read_fields.add(tuple(request.fields))
        ids = [id_ for id_ in request.endpoint_ids if id_ not in self.deleted]
        return audience_pb2.MemberPage(
            ordinals=range(1, len(ids) + 1),
            endpoint_ids=ids,
            addresses=[f"{id_}@example.com" for id_ in ids],
            columns=[audience_pb2.MemberColumn(path=path, values=ids) for path in request.fields],
        )


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[Peer]:
    """Serve it on a free port inside of the block."""
    # Services ping on connections that are still, which gRPC's defaults punish.
    server = grpc.aio.server(options=server_options(10))
    segments_pb2_grpc.add_SegmentServiceServicer_to_server(peer, server)
    audience_pb2_grpc.add_AudienceServiceServicer_to_server(peer, server)
    templates_pb2_grpc.add_TemplateServiceServicer_to_server(peer, server)
    origination_pb2_grpc.add_OriginationServiceServicer_to_server(peer, server)
    projects_pb2_grpc.add_ProjectServiceServicer_to_server(peer, server)
    peer.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield peer
    finally:
        await server.stop(None)
