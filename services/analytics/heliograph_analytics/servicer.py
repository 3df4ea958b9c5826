"""The gRPC face of the analytics service: parse, call, translate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc

from heliograph.analytics.v1 import analytics_pb2, analytics_pb2_grpc, ingestion_pb2, ingestion_pb2_grpc
from heliograph_analytics.domain import STREAM_EVENTS, UNARY_EVENTS
from heliograph_analytics.figures import Kpi, Scope
from heliograph_analytics.ingestion import Ingestion, Refused, Taken
from heliograph_analytics.kpis import KPIS
from heliograph_analytics.reports import Counted, CountQuestion, KpiAnswer, Reports
from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.instants import timestamp
from heliograph_kit.names import parse_name, parse_pattern

Context = grpc.aio.ServicerContext[Any, Any]

IN_FLIGHT = 8
"""Batches of one stream that wait for the bus before no more is read."""

_SCOPES: dict[Scope, analytics_pb2.KpiScope.ValueType] = {
    "project": analytics_pb2.KPI_SCOPE_PROJECT,
    "campaign": analytics_pb2.KPI_SCOPE_CAMPAIGN,
    "journey": analytics_pb2.KPI_SCOPE_JOURNEY,
}


class EventServicer(ingestion_pb2_grpc.EventServiceServicer):
    """Events in, over gRPC."""

    def __init__(self, ingestion: Ingestion) -> None:
        """Take the use case."""
        self._ingestion = ingestion

    async def PutEvents(
        self, request: ingestion_pb2.PutEventsRequest, context: Context
    ) -> ingestion_pb2.PutEventsResponse:
        """Take up to 100 events."""
        taken = await self._ingestion.put(_project_id(request.parent), request, UNARY_EVENTS)
        return ingestion_pb2.PutEventsResponse(
            accepted_count=taken.accepted, rejected_events=map(_rejected, taken.refused)
        )

    async def StreamEvents(
        self, request_iterator: AsyncIterator[ingestion_pb2.StreamEventsRequest], context: Context
    ) -> AsyncIterator[ingestion_pb2.StreamEventsResponse]:
        """Take batches of up to 500 events and acknowledge each, in order."""
        # A full queue stops the reader, and gRPC's own flow control stops the caller then.
        waiting: asyncio.Queue[tuple[int, asyncio.Task[Taken]] | None] = asyncio.Queue(IN_FLIGHT)

        async def read() -> None:
            project = ""
            try:
                async for request in request_iterator:
                    project = project or _project_id(request.parent)
                    task = asyncio.create_task(self._ingestion.put(project, request, STREAM_EVENTS))
                    await waiting.put((request.sequence, task))
            finally:
                await waiting.put(None)

        reading = asyncio.create_task(read())
        try:
            while (one := await waiting.get()) is not None:
                yield _acknowledgement(one[0], await one[1])
            await reading
        finally:
            reading.cancel()
            left = [reading]
            while not waiting.empty():
                if (one := waiting.get_nowait()) is not None:
                    one[1].cancel()
                    left.append(one[1])  # type: ignore[arg-type]
            await asyncio.gather(*left, return_exceptions=True)


class AnalyticsServicer(analytics_pb2_grpc.AnalyticsServiceServicer):
    """Answers out, over gRPC."""

    def __init__(self, reports: Reports) -> None:
        """Take the use cases."""
        self._reports = reports

    async def GetKpi(self, request: analytics_pb2.GetKpiRequest, context: Context) -> analytics_pb2.GetKpiResponse:
        """Return a key figure."""
        project, scope, parent = _parent(request.parent)
        answer = await self._reports.kpi(
            project,
            scope,
            parent,
            request.kpi,
            _instant(request, "start_time"),
            _instant(request, "end_time"),
            list(request.group_by),
        )
        return kpi_to_proto(answer)

    async def ListKpis(
        self, request: analytics_pb2.ListKpisRequest, context: Context
    ) -> analytics_pb2.ListKpisResponse:
        """List all key figures."""
        return analytics_pb2.ListKpisResponse(kpis=map(_listed, KPIS.values()))

    async def CountEvents(
        self, request: analytics_pb2.CountEventsRequest, context: Context
    ) -> analytics_pb2.CountEventsResponse:
        """Count events."""
        rows = await self._reports.count(
            CountQuestion(
                project=_project_id(request.parent),
                types=list(request.event_types),
                start=_instant(request, "start_time"),
                end=_instant(request, "end_time"),
                attributes=dict(request.attributes),
                group_by=_grouping(request),
                attribute=request.attribute,
                metric=request.metric,
                top=request.top,
            )
        )
        return analytics_pb2.CountEventsResponse(rows=map(_counted, rows))

    async def DailyActives(
        self, request: analytics_pb2.DailyActivesRequest, context: Context
    ) -> analytics_pb2.DailyActivesResponse:
        """Return daily actives."""
        days = await self._reports.daily_actives(
            _project_id(request.parent), _instant(request, "start_time"), _instant(request, "end_time")
        )
        return analytics_pb2.DailyActivesResponse(
            days=[
                analytics_pb2.DayActives(date=day, endpoint_count=endpoints, user_count=users)
                for day, endpoints, users in days
            ]
        )

    async def GetIngestStatus(
        self, request: analytics_pb2.GetIngestStatusRequest, context: Context
    ) -> analytics_pb2.IngestStatus:
        """Tell how fresh the answers are."""
        status = await self._reports.status(_project_id(request.parent))
        return analytics_pb2.IngestStatus(
            last_applied_time=timestamp(status.last_applied),
            last_event_time=timestamp(status.last_event),
            stored_count=status.stored,
            backlog_count=status.backlog,
        )


def kpi_to_proto(answer: KpiAnswer) -> analytics_pb2.GetKpiResponse:
    """Return a key figure as it travels."""
    key = answer.kpi.value_key
    return analytics_pb2.GetKpiResponse(
        kpi=answer.kpi.name,
        start_time=timestamp(answer.start),
        end_time=timestamp(answer.end),
        rows=[
            analytics_pb2.KpiRow(
                grouped_bys=[analytics_pb2.KpiGroup(key=name, value=value) for name, value in row.groups],
                values=[analytics_pb2.KpiValue(key=key, value=row.figure)],
            )
            for row in answer.rows
        ],
    )


def _acknowledgement(sequence: int, taken: Taken) -> ingestion_pb2.StreamEventsResponse:
    return ingestion_pb2.StreamEventsResponse(
        sequence=sequence,
        accepted_count=taken.accepted,
        rejected_count=len(taken.refused),
        rejected_events=map(_rejected, taken.refused),
    )


def _rejected(refused: Refused) -> ingestion_pb2.RejectedEvent:
    return ingestion_pb2.RejectedEvent(
        index=refused.index,
        event_id=refused.event.event_id,
        endpoint_id=refused.event.endpoint_id,
        field=refused.refusal.field,
        reason=refused.refusal.reason,
        message=refused.refusal.message,
    )


def _listed(kpi: Kpi) -> analytics_pb2.Kpi:
    return analytics_pb2.Kpi(
        name=kpi.name,
        description=kpi.description,
        scopes=[_SCOPES[scope] for scope in kpi.scopes],
        groupings=kpi.groupings,
    )


def _counted(row: Counted) -> analytics_pb2.EventCount:
    metric = None
    if row.metric_events:
        metric = analytics_pb2.MetricFigures(
            event_count=row.metric_events,
            sum=row.sum,
            average=row.average,
            minimum=row.minimum,
            maximum=row.maximum,
        )
    return analytics_pb2.EventCount(
        group=row.group, event_count=row.events, endpoint_count=row.endpoints, user_count=row.users, metric=metric
    )


def _grouping(request: analytics_pb2.CountEventsRequest) -> Any:
    chosen = request.WhichOneof("group_by")
    # `day: false` is a oneof that was set to nothing.
    return chosen if chosen == "attribute" or (chosen and getattr(request, chosen)) else ""


def _parent(name: str) -> tuple[str, Scope, str]:
    collection = name.split("/")[2] if name.count("/") >= 2 else ""
    if collection == "campaigns":
        found = parse_name(name, "campaigns", field="parent")
        return found.project, "campaign", found.id
    if collection == "journeys":
        found = parse_name(name, "journeys", field="parent")
        return found.project, "journey", found.id
    return _project_id(name), "project", ""


def _project_id(name: str) -> str:
    return parse_pattern(name, "projects/{project}", field="parent")["project"]


def _instant(request: Any, field: str) -> datetime | None:
    if not request.HasField(field):
        return None
    try:
        instant: datetime = getattr(request, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument([Violation(field, "use a time from 0001 to 9999", "OUT_OF_RANGE")]) from None
    return instant
