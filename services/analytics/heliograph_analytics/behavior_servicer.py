"""The gRPC face of behaviour conditions: parse, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import grpc

from heliograph.analytics.v1 import behavior_pb2, behavior_pb2_grpc
from heliograph.segments.v1 import segments_pb2
from heliograph_analytics.actors import Actors
from heliograph_analytics.behavior import (
    AttributeCondition,
    AttributeOperator,
    Behavior,
    MetricCondition,
    MetricOperator,
)
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import parse_pattern

_ATTRIBUTES: dict[int, str] = {0: "INCLUSIVE", 1: "INCLUSIVE", 2: "EXCLUSIVE", 3: "CONTAINS"}
_METRICS = {
    number: name.removeprefix("OPERATOR_") for name, number in segments_pb2.MetricDimension.Operator.items() if number
}


class BehaviorServicer(behavior_pb2_grpc.BehaviorServiceServicer):
    """Who did something, over gRPC."""

    def __init__(self, actors: Actors) -> None:
        """Take the use case."""
        self._actors = actors

    async def StreamActors(
        self, request: behavior_pb2.StreamActorsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[behavior_pb2.ActorPage]:
        """Stream who did it."""
        project = parse_pattern(request.parent, "projects/{project}", field="parent")["project"]
        violations = Violations()
        now = _instant(request, "as_of_time", "as_of_time", violations)
        behavior = _behavior(request.behavior, violations)
        violations.check()
        async for page in self._actors.pages(project, behavior, now):
            yield behavior_pb2.ActorPage(endpoint_ids=page.endpoints, complete_time=timestamp(page.complete))


def _behavior(message: segments_pb2.BehaviorDimension, violations: Violations) -> Behavior:
    attributes, metrics = {}, {}
    for name, attribute in message.attributes.items():
        if attribute.operator not in _ATTRIBUTES:
            path = f"behavior.attributes[{name}].operator"
            violations.add(path, "use INCLUSIVE, EXCLUSIVE or CONTAINS", "UNKNOWN_VALUE")
            continue
        operator = cast(AttributeOperator, _ATTRIBUTES[attribute.operator])
        attributes[name] = AttributeCondition(operator, tuple(attribute.values))
    for name, metric in message.metrics.items():
        if metric.operator not in _METRICS:
            violations.add(f"behavior.metrics[{name}].operator", "use one of the operators", "UNKNOWN_VALUE")
            continue
        metrics[name] = MetricCondition(cast(MetricOperator, _METRICS[metric.operator]), metric.value)
    within: timedelta | None = None
    if message.HasField("within"):
        within = timedelta(seconds=message.within.seconds, microseconds=message.within.nanos // 1000)
    return Behavior(
        message.event_type,
        message.min_count or 1,
        attributes,
        metrics,
        within,
        _instant(message, "since", "behavior.since", violations),
    )


def _instant(message: Any, field: str, path: str, violations: Violations) -> datetime | None:
    if not message.HasField(field):
        return None
    try:
        instant: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        violations.add(path, "use a time from 0001 to 9999", "OUT_OF_RANGE")
        return None
    return instant
