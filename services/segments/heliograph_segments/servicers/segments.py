"""gRPC face of segments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc

from heliograph.segments.v1 import segments_pb2, segments_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import InvalidName, parse_name, project_of
from heliograph_kit.paging import PageTokenInvalid, next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_segments.domain.problems import Problem
from heliograph_segments.domain.segments import Rules
from heliograph_segments.errors import refuse
from heliograph_segments.index.evaluation import ClauseCount
from heliograph_segments.service.segments import Draft, Segments
from heliograph_segments.service.uses import Uses
from heliograph_segments.servicers.endpoint_messages import write_endpoint
from heliograph_segments.servicers.paging import newest_first
from heliograph_segments.servicers.segment_messages import read_rules, write_segment, write_use
from heliograph_segments.store.requests import Request

Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_SAMPLE = 10
MAX_REQUEST_ID = 64
_MAX_VERSION = 2**31 - 1
_UPDATABLE = ("display_name", "rules")


class SegmentServicer(segments_pb2_grpc.SegmentServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, segments: Segments, uses: Uses) -> None:
        """Take the use cases."""
        self._segments = segments
        self._uses = uses

    async def CreateSegment(self, request: segments_pb2.CreateSegmentRequest, context: Context) -> segments_pb2.Segment:
        """Create a segment."""
        project = project_of(request.parent, field="parent")
        draft, problems = _draft(project, request.segment)
        problems += check_request_id(request.request_id)
        asked = Request("CreateSegment", request.request_id, fingerprint(request))
        return write_segment(await self._segments.create(project, draft, asked, problems))

    async def GetSegment(self, request: segments_pb2.GetSegmentRequest, context: Context) -> segments_pb2.Segment:
        """Return a segment."""
        name = parse_name(request.name, "segments")
        return write_segment(await self._segments.get(name.project, name.id, request.version))

    async def ListSegments(
        self, request: segments_pb2.ListSegmentsRequest, context: Context
    ) -> segments_pb2.ListSegmentsResponse:
        """List segments."""
        project = project_of(request.parent, field="parent")
        shown, token = await newest_first(
            f"ListSegments {project}",
            request,
            partial(self._segments.page, project),
            lambda segment: segment.segment_id,
        )
        return segments_pb2.ListSegmentsResponse(segments=map(write_segment, shown), next_page_token=token)

    async def UpdateSegment(self, request: segments_pb2.UpdateSegmentRequest, context: Context) -> segments_pb2.Segment:
        """Add a version to a segment."""
        name = parse_name(request.segment.name, "segments", field="segment.name")
        draft, problems = _draft(name.project, request.segment)
        fields, unknown = _masked(request)
        changed = await self._segments.update(
            name.project, name.id, draft, fields, request.segment.version, [*problems, *unknown]
        )
        return write_segment(changed)

    async def DeleteSegment(self, request: segments_pb2.DeleteSegmentRequest, context: Context) -> segments_pb2.Segment:
        """Delete a segment."""
        name = parse_name(request.name, "segments")
        return write_segment(await self._segments.delete(name.project, name.id))

    async def CountSegment(
        self, request: segments_pb2.CountSegmentRequest, context: Context
    ) -> segments_pb2.CountSegmentResponse:
        """Count members."""
        project = project_of(request.parent, field="parent")
        asked, problems = _audience(project, request)
        clauses: Sequence[ClauseCount] = ()
        if request.with_clauses:
            counted, clauses = await self._segments.clause_counts(project, asked, problems)
        else:
            counted = await self._segments.count(project, asked, problems)
        return segments_pb2.CountSegmentResponse(
            member_count=counted.members,
            total_count=counted.total,
            as_of_time=timestamp(counted.as_of),
            clauses=[
                segments_pb2.ClauseCount(
                    path=clause.path, match_count=clause.match_count, remaining_count=clause.remaining_count
                )
                for clause in clauses
            ],
            from_record=counted.from_record,
        )

    async def ListSegmentVersions(
        self, request: segments_pb2.ListSegmentVersionsRequest, context: Context
    ) -> segments_pb2.ListSegmentVersionsResponse:
        """List versions."""
        name = parse_name(request.parent, "segments", field="parent")
        call = f"ListSegmentVersions {request.parent}"
        page = page_of(call, request.page_size, request.page_token)
        before = 0 if page.after is None else _version_of(page.after)
        versions = await self._segments.versions(name.project, name.id, page.size + 1, before)
        shown = versions[: page.size]
        token = next_token(call, (str(shown[-1].version),)) if len(versions) > page.size else ""
        return segments_pb2.ListSegmentVersionsResponse(segments=map(write_segment, shown), next_page_token=token)

    async def ListSegmentUses(
        self, request: segments_pb2.ListSegmentUsesRequest, context: Context
    ) -> segments_pb2.ListSegmentUsesResponse:
        """List who uses a segment."""
        name = parse_name(request.parent, "segments", field="parent")
        call = f"ListSegmentUses {request.parent}"
        page = page_of(call, request.page_size, request.page_token)
        uses = await self._uses.page(name.project, name.id, page.size + 1, pair_of(page.after))
        shown = uses[: page.size]
        token = next_token(call, (shown[-1].kind, shown[-1].user_id)) if len(uses) > page.size else ""
        return segments_pb2.ListSegmentUsesResponse(uses=map(write_use, shown), next_page_token=token)

    async def ExplainSegment(
        self, request: segments_pb2.ExplainSegmentRequest, context: Context
    ) -> segments_pb2.ExplainSegmentResponse:
        """Tell why an endpoint is a member, or is not."""
        project = project_of(request.parent, field="parent")
        asked, problems = _audience(project, request)
        explanation = await self._segments.explain(project, asked, request.endpoint_id, problems)
        return segments_pb2.ExplainSegmentResponse(
            member=explanation.member,
            clauses=[
                segments_pb2.ClauseResult(path=clause.path, matched=clause.matched, because=clause.because)
                for clause in explanation.clauses
            ],
            as_of_time=timestamp(explanation.as_of),
        )

    async def SampleSegment(
        self, request: segments_pb2.SampleSegmentRequest, context: Context
    ) -> segments_pb2.SampleSegmentResponse:
        """Draw members."""
        project = project_of(request.parent, field="parent")
        asked, problems = _audience(project, request)
        size = request.sample_size or DEFAULT_SAMPLE
        endpoints = await self._segments.sample(project, asked, size, problems)
        return segments_pb2.SampleSegmentResponse(
            endpoints=[write_endpoint(project, endpoint) for endpoint in endpoints]
        )


def check_request_id(request_id: str) -> list[Problem]:
    """Say what is wrong with a request id: at most 64 characters."""
    if len(request_id) > MAX_REQUEST_ID or "\x00" in request_id:
        return [Problem("request_id", "TOO_LONG", f"must have at most {MAX_REQUEST_ID} characters")]
    return []


def pair_of(after: tuple[str, ...] | None) -> tuple[str, str] | None:
    """Return the position in a page token: two texts.

    Raises:
        PageTokenInvalid: it holds something else.
    """
    if after is None:
        return None
    try:
        first, second = after
    except ValueError as error:
        raise PageTokenInvalid from error
    return first, second


def _version_of(after: tuple[str, ...]) -> int:
    # Ten digits hold every version; a forged token must not reach the database with more than its integers hold.
    if len(after) != 1 or not re.fullmatch("[0-9]{1,10}", after[0]) or not 1 <= int(after[0]) <= _MAX_VERSION:
        raise PageTokenInvalid
    return int(after[0])


def _draft(project: str, message: segments_pb2.Segment) -> tuple[Draft, list[Problem]]:
    rules, problems = read_rules(project, message.rules, "segment.rules")
    return Draft(message.display_name, rules, dict(message.tags)), problems


def _masked(request: segments_pb2.UpdateSegmentRequest) -> tuple[set[str], list[Problem]]:
    if not request.HasField("update_mask"):
        fields = {"display_name"} if request.segment.display_name else set()
        return fields | ({"rules"} if request.segment.HasField("rules") else set()), []
    paths = list(request.update_mask.paths)
    if paths == ["*"]:
        return set(_UPDATABLE), []
    words = f"must be one of {', '.join(_UPDATABLE)}"
    unknown = [
        Problem(f"update_mask.paths[{index}]", "UNKNOWN_FIELD", words)
        for index, path in enumerate(paths)
        if path not in _UPDATABLE
    ]
    return set(paths), unknown


def _audience(
    project: str,
    request: segments_pb2.CountSegmentRequest | segments_pb2.SampleSegmentRequest | segments_pb2.ExplainSegmentRequest,
) -> tuple[str | Rules, list[Problem]]:
    which = request.WhichOneof("audience")
    if which == "rules":
        return read_rules(project, request.rules, "rules")
    if which is None:
        refuse([Problem("audience", "REQUIRED", "segment or rules is required")])
    try:
        name = parse_name(request.segment, "segments", field="segment")
    except InvalidName as error:
        return "", [Problem("segment", "MALFORMED", error.violations[0].description)]
    if name.project != project:
        return "", [Problem("segment", "OUT_OF_RANGE", "must be a segment of the project in parent")]
    return name.id, []
