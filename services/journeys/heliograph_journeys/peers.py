"""The other services as journeys needs them: segments for the audience, messaging for templates and pools."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import grpc

from heliograph.messaging.v1 import origination_pb2, origination_pb2_grpc, templates_pb2, templates_pb2_grpc
from heliograph.projects.v1 import projects_pb2, projects_pb2_grpc
from heliograph.segments.v1 import audience_pb2, audience_pb2_grpc, segments_pb2, segments_pb2_grpc
from heliograph_journeys.domain.journey import Inherited, Limits, QuietTime

_STREAM_SECONDS = 3_600.0
_FREEZE_SECONDS = 300.0
_MOST_REMEMBERED = 1_000


class SegmentGone(Exception):
    """The segment of a run does not exist any more."""


@dataclass(frozen=True)
class Template:
    """What is needed of a template: its channel, the version that answers, and the fields it reads."""

    channel: str
    version: int
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Frozen:
    """A frozen segment."""

    snapshot: str
    member_count: int


class Peers:
    """Asks segments, messaging and projects."""

    def __init__(
        self,
        segments: grpc.aio.Channel,
        messaging: grpc.aio.Channel,
        projects: grpc.aio.Channel,
        *,
        active_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the channels, which carry an internal token, and how long the active version of a template is believed."""
        self._segments = segments_pb2_grpc.SegmentServiceStub(segments)
        self._audience = audience_pb2_grpc.AudienceServiceStub(segments)
        self._templates = templates_pb2_grpc.TemplateServiceStub(messaging)
        self._originations = origination_pb2_grpc.OriginationServiceStub(messaging)
        self._projects = projects_pb2_grpc.ProjectServiceStub(projects)
        self._active_seconds = active_seconds
        self._monotonic = monotonic
        # Which version is active changes, and the latest version may be overwritten.
        self._known: dict[tuple[str, int, bool], tuple[float, Template]] = {}

    async def has_segment(self, segment: str, version: int) -> bool:
        """Tell whether a segment exists, in that version when one is given."""
        try:
            found = await self._segments.GetSegment(segments_pb2.GetSegmentRequest(name=segment))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return version <= found.version

    async def has_pool(self, pool: str) -> bool:
        """Tell whether a pool of numbers exists."""
        try:
            await self._originations.GetPool(origination_pb2.GetPoolRequest(name=pool))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def template(self, name: str, version: int) -> Template | None:
        """Return a template, None when there is none; version 0 asks for the active one."""
        return await self._template(name, version, deleted=False)

    async def template_in_use(self, name: str, version: int) -> Template | None:
        """Return a template that messages are sent with: also one that was deleted meanwhile (pinpoint-1 6.2)."""
        return await self._template(name, version, deleted=True)

    async def _template(self, name: str, version: int, *, deleted: bool) -> Template | None:
        until, known = self._known.get((name, version, deleted), (0.0, None))
        if known is not None and self._monotonic() < until:
            return known
        request = templates_pb2.GetTemplateRequest(name=name, version=version, show_deleted=deleted)
        try:
            found = await self._templates.GetTemplate(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        kind = templates_pb2.TemplateKind.Name(found.kind).removeprefix("TEMPLATE_KIND_")
        template = Template(kind, found.version, tuple(found.variables))
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[name, version, deleted] = (self._monotonic() + self._active_seconds, template)
        return template

    async def inherited(self, project: str) -> Inherited:
        """Return what a journey of the project inherits now; of a project that is unknown there, nothing."""
        request = projects_pb2.GetProjectSettingsRequest(name=f"projects/{project}/settings")
        try:
            settings = await self._projects.GetProjectSettings(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return Inherited()
            raise
        limits, quiet = settings.journey_limits, settings.quiet_time
        return Inherited(
            Limits(limits.daily, limits.total, limits.timeframe, limits.timeframe_days),
            settings.campaign_limits.daily,
            QuietTime(quiet.start, quiet.end) if settings.HasField("quiet_time") else None,
        )

    async def freeze(self, segment: str, version: int, snapshot_id: str) -> Frozen:
        """Freeze a segment; the same id gives the same snapshot.

        Raises:
            SegmentGone: there is no such segment.
        """
        request = audience_pb2.FreezeSegmentRequest(segment=segment, segment_version=version, snapshot_id=snapshot_id)
        try:
            snapshot = await self._audience.FreezeSegment(request, timeout=_FREEZE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise SegmentGone(segment) from error
            raise
        return Frozen(snapshot.name, snapshot.member_count)

    async def members(
        self, snapshot: str, after_ordinal: int, page_size: int
    ) -> AsyncIterator[tuple[list[int], list[str]]]:
        """Stream (ordinals, endpoint ids) of a snapshot behind an ordinal, page by page."""
        request = audience_pb2.StreamMembersRequest(snapshot=snapshot, after_ordinal=after_ordinal, page_size=page_size)
        async for page in self._audience.StreamMembers(request, timeout=_STREAM_SECONDS):
            if page.ordinals:
                yield list(page.ordinals), list(page.endpoint_ids)

    async def read(self, project: str, endpoint_ids: Sequence[str], fields: Sequence[str]) -> audience_pb2.MemberPage:
        """Read at most 500 endpoints with the fields a template needs; unknown ones are left out."""
        request = audience_pb2.ReadEndpointsRequest(
            project=f"projects/{project}", endpoint_ids=endpoint_ids, fields=fields
        )
        return await self._audience.ReadEndpoints(request)
