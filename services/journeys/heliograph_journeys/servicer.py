"""gRPC face of the journeys service: parse, call, translate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc

from heliograph.journeys.v1 import journeys_pb2, journeys_pb2_grpc
from heliograph_journeys.domain.journey import Draft
from heliograph_journeys.service import Journeys
from heliograph_journeys.translate import (
    draft_from_proto,
    finding_to_proto,
    journey_to_proto,
    metrics_to_proto,
    participant_to_proto,
    run_to_proto,
)
from heliograph_kit.errors import InvalidArgument, Violation, Violations
from heliograph_kit.names import parse_name, parse_pattern, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_kit.telemetry import traceparent

_Context = grpc.aio.ServicerContext[Any, Any]
_RUN = "projects/{project}/journeys/{journey}/runs/{run}"
_LONGEST_REQUEST_ID = 64
_FIELDS: dict[str, tuple[str, ...]] = {
    "display_name": ("display_name",),
    "description": ("description",),
    "activities": ("activities",),
    "start_activity": ("start_activity",),
    "start_condition": ("segment", "segment_version"),
    "schedule": ("start_time",),
    "limits": ("limits",),
    "quiet_time": ("quiet_time",),
}
"""What an update may change, and what of a draft belongs to it."""


class JourneyServicer(journeys_pb2_grpc.JourneyServiceServicer):
    """Answers `heliograph.journeys.v1.JourneyService`."""

    def __init__(self, journeys: Journeys) -> None:
        """Take the use cases."""
        self._journeys = journeys

    async def CreateJourney(
        self, request: journeys_pb2.CreateJourneyRequest, context: _Context
    ) -> journeys_pb2.Journey:
        """Create a draft."""
        project = project_of(request.parent, field="parent")
        if len(request.request_id) > _LONGEST_REQUEST_ID:
            words = f"must have at most {_LONGEST_REQUEST_ID} characters"
            raise InvalidArgument([Violation("request_id", words, "TOO_LONG")])
        journey = await self._journeys.create(
            project,
            draft_from_proto(request.journey),
            request_id=request.request_id,
            request_hash=fingerprint(request),
        )
        return journey_to_proto(journey)

    async def GetJourney(self, request: journeys_pb2.GetJourneyRequest, context: _Context) -> journeys_pb2.Journey:
        """Return a journey."""
        name = parse_name(request.name, "journeys")
        return journey_to_proto(await self._journeys.get(name.project, name.id))

    async def ListJourneys(
        self, request: journeys_pb2.ListJourneysRequest, context: _Context
    ) -> journeys_pb2.ListJourneysResponse:
        """Return a page of journeys."""
        project = project_of(request.parent, field="parent")
        call = f"ListJourneys {project}"
        page = page_of(call, request.page_size, request.page_token)
        found = await self._journeys.page(project, _behind(page.after), page.size + 1)
        shown = found[: page.size]
        return journeys_pb2.ListJourneysResponse(
            journeys=map(journey_to_proto, shown),
            next_page_token=_token(call, len(found) > page.size, [(j.create_time, j.id) for j in shown]),
        )

    async def UpdateJourney(
        self, request: journeys_pb2.UpdateJourneyRequest, context: _Context
    ) -> journeys_pb2.Journey:
        """Change a draft."""
        name = parse_name(request.journey.name, "journeys", field="journey.name")
        fields = [field for path in _paths(request) for field in _FIELDS[path]]
        wanted = draft_from_proto(request.journey)

        def change(draft: Draft) -> Draft:
            return replace(draft, **{field: getattr(wanted, field) for field in fields})

        etag = request.journey.etag
        return journey_to_proto(await self._journeys.update(name.project, name.id, change, etag=etag))

    async def DeleteJourney(
        self, request: journeys_pb2.DeleteJourneyRequest, context: _Context
    ) -> journeys_pb2.Journey:
        """Delete a journey that nobody is in."""
        name = parse_name(request.name, "journeys")
        return journey_to_proto(await self._journeys.delete(name.project, name.id))

    async def ReviewJourney(
        self, request: journeys_pb2.ReviewJourneyRequest, context: _Context
    ) -> journeys_pb2.ReviewJourneyResponse:
        """Return what a review finds."""
        name = parse_name(request.name, "journeys")
        found = await self._journeys.review(name.project, name.id)
        return journeys_pb2.ReviewJourneyResponse(
            findings=map(finding_to_proto, found), publishable=not any(finding.error for finding in found)
        )

    async def PublishJourney(
        self, request: journeys_pb2.PublishJourneyRequest, context: _Context
    ) -> journeys_pb2.Journey:
        """Start a draft."""
        name = parse_name(request.name, "journeys")
        return journey_to_proto(await self._journeys.publish(name.project, name.id, traceparent=traceparent()))

    async def CancelJourney(
        self, request: journeys_pb2.CancelJourneyRequest, context: _Context
    ) -> journeys_pb2.Journey:
        """Stop a journey for good."""
        name = parse_name(request.name, "journeys")
        return journey_to_proto(await self._journeys.cancel(name.project, name.id))

    async def ListRuns(self, request: journeys_pb2.ListRunsRequest, context: _Context) -> journeys_pb2.ListRunsResponse:
        """Return a page of runs."""
        name = parse_name(request.parent, "journeys", field="parent")
        call = f"ListRuns {name}"
        page = page_of(call, request.page_size, request.page_token)
        found = await self._journeys.runs(name.project, name.id, _behind(page.after), page.size + 1)
        shown = found[: page.size]
        return journeys_pb2.ListRunsResponse(
            runs=map(run_to_proto, shown),
            next_page_token=_token(call, len(found) > page.size, [(r.create_time, r.id) for r in shown]),
        )

    async def GetRunMetrics(
        self, request: journeys_pb2.GetRunMetricsRequest, context: _Context
    ) -> journeys_pb2.RunMetrics:
        """Count a run."""
        ids = parse_pattern(request.run, _RUN, field="run")
        return metrics_to_proto(await self._journeys.metrics(ids["project"], ids["journey"], ids["run"]))

    async def ListParticipants(
        self, request: journeys_pb2.ListParticipantsRequest, context: _Context
    ) -> journeys_pb2.ListParticipantsResponse:
        """Return a page of participants."""
        ids = parse_pattern(request.parent, _RUN, field="parent")
        call = f"ListParticipants {request.parent} {request.state} {request.activity_id}"
        page = page_of(call, request.page_size, request.page_token, default=100, largest=1_000)
        if request.state not in journeys_pb2.Participant.State.values():
            raise InvalidArgument([Violation("state", "is not a known state", "UNKNOWN_STATE")])
        state = journeys_pb2.Participant.State.Name(request.state).removeprefix("STATE_")
        table, found = await self._journeys.participants(
            ids["project"],
            ids["journey"],
            ids["run"],
            after=int(page.after[0]) if page.after else 0,
            state="" if state == "UNSPECIFIED" else state,
            activity_id=request.activity_id,
            limit=page.size + 1,
        )
        shown = found[: page.size]
        return journeys_pb2.ListParticipantsResponse(
            participants=(participant_to_proto(participant, table) for participant in shown),
            next_page_token=next_token(call, [str(shown[-1].ordinal)]) if len(found) > page.size else "",
        )


def _paths(request: journeys_pb2.UpdateJourneyRequest) -> list[str]:
    paths = list(request.update_mask.paths)
    if paths == ["*"]:
        return list(_FIELDS)
    if not paths:
        return [descriptor.name for descriptor, _ in request.journey.ListFields() if descriptor.name in _FIELDS]
    violations = Violations()
    for path in paths:
        if path not in _FIELDS:
            violations.add("update_mask", f"{path} cannot be changed; use {', '.join(_FIELDS)}", "UNKNOWN_FIELD")
    violations.check()
    return paths


def _behind(after: Sequence[str] | None) -> tuple[datetime, str] | None:
    if after is None:
        return None
    return datetime.fromtimestamp(int(after[0]) / 1_000_000, UTC), after[1]


def _token(call: str, more: bool, places: Sequence[tuple[datetime, str]]) -> str:
    if not more:
        return ""
    time, id_ = places[-1]
    return next_token(call, [str(round(time.timestamp() * 1_000_000)), id_])
