"""The other services as campaigns needs them: segments for the audience, messaging for templates and pools, projects for limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc

from heliograph.messaging.v1 import origination_pb2, origination_pb2_grpc, templates_pb2, templates_pb2_grpc
from heliograph.projects.v1 import projects_pb2, projects_pb2_grpc
from heliograph.segments.v1 import (
    audience_pb2,
    audience_pb2_grpc,
    segments_pb2,
    segments_pb2_grpc,
)
from heliograph_campaigns.domain import Content, Inherited, Limits, QuietTime
from heliograph_campaigns.errors import PoolUnusable, SegmentUnusable, TemplateUnusable
from heliograph_campaigns.events import content_to_proto

# A page of a large audience may take a while when the machine is busy; without an end a lost peer would hold the run.
_STREAM_SECONDS = 3_600.0
_FREEZE_SECONDS = 300.0


class Peers:
    """Asks segments, messaging and projects; implements what `service` and `runner` need."""

    def __init__(self, segments: grpc.aio.Channel, messaging: grpc.aio.Channel, projects: grpc.aio.Channel) -> None:
        """Take the channels, which carry an internal token."""
        self._segments = segments_pb2_grpc.SegmentServiceStub(segments)
        self._audience = audience_pb2_grpc.AudienceServiceStub(segments)
        self._templates = templates_pb2_grpc.TemplateServiceStub(messaging)
        self._originations = origination_pb2_grpc.OriginationServiceStub(messaging)
        self._projects = projects_pb2_grpc.ProjectServiceStub(projects)

    async def inherited(self, project: str) -> Inherited:
        """Return what a campaign of the project inherits now; of a project that is unknown there, nothing."""
        request = projects_pb2.GetProjectSettingsRequest(name=f"projects/{project}/settings")
        try:
            settings = await self._projects.GetProjectSettings(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return Inherited()
            raise
        limits, quiet = settings.campaign_limits, settings.quiet_time
        return Inherited(
            Limits(limits.daily, limits.total),
            QuietTime(quiet.start, quiet.end) if settings.HasField("quiet_time") else None,
        )

    async def segment_version(self, segment: str, version: int) -> int:
        """Return the version a campaign pins; 0 asks for the latest. Raises SegmentUnusable."""
        try:
            found = await self._segments.GetSegment(segments_pb2.GetSegmentRequest(name=segment))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise SegmentUnusable(segment) from error
            raise
        if version > found.version:
            raise SegmentUnusable(segment)
        return version or found.version

    async def check_content(self, channel: str, content: Content) -> None:
        """Look at a treatment's template and pool. Raises TemplateUnusable, PoolUnusable."""
        if content.template:
            await self._template(content, channel)
        if channel == "SMS" and content.origination_pool:
            try:
                await self._originations.GetPool(origination_pb2.GetPoolRequest(name=content.origination_pool))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise PoolUnusable(content.origination_pool) from error
                raise

    async def freeze(self, segment: str, version: int, snapshot_id: str) -> str:
        """Freeze a segment; the same id gives the same snapshot. Raises SegmentUnusable."""
        request = audience_pb2.FreezeSegmentRequest(segment=segment, segment_version=version, snapshot_id=snapshot_id)
        try:
            return (await self._audience.FreezeSegment(request, timeout=_FREEZE_SECONDS)).name
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise SegmentUnusable(segment) from error
            raise

    async def members(
        self, snapshot: str, after_ordinal: int, page_size: int, fields: Sequence[str]
    ) -> AsyncIterator[audience_pb2.MemberPage]:
        """Stream the members of a snapshot."""
        request = audience_pb2.StreamMembersRequest(
            snapshot=snapshot,
            after_ordinal=after_ordinal,
            page_size=page_size,
            fields=fields,
        )
        async for page in self._audience.StreamMembers(request, timeout=_STREAM_SECONDS):
            if page.ordinals:
                yield page

    async def fields_of(self, content: Content) -> Sequence[str]:
        """Name the member fields that a treatment's content needs; a template that was deleted is still used.

        Raises:
            TemplateUnusable: there never was such a template.
        """
        if not content.template:
            return ()
        return list((await self._template(content, "", deleted=True)).variables)

    async def sms_text(self, content: Content) -> str:
        """Return the text of an SMS without variables filled, by the precedence of pinpoint-2 1.4. Raises TemplateUnusable."""
        whole = content_to_proto(content)
        if inline := whole.overrides.body or whole.sms_body:
            return inline
        stored = (await self._template(content, "", deleted=True)).sms.body if content.template else ""
        return stored or whole.default_body

    async def _template(self, content: Content, channel: str, *, deleted: bool = False) -> templates_pb2.Template:
        request = templates_pb2.GetTemplateRequest(
            name=content.template, version=content.template_version, show_deleted=deleted
        )
        try:
            template = await self._templates.GetTemplate(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise TemplateUnusable(content.template, "it does not exist") from error
            raise
        kind = templates_pb2.TemplateKind.Name(template.kind).removeprefix("TEMPLATE_KIND_")
        if channel and kind != channel:
            raise TemplateUnusable(content.template, f"it is for {kind}, the campaign for {channel}")
        return template
