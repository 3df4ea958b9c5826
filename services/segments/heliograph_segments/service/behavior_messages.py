"""Conditions on attributes, metrics and behaviour as messages, for our callers and for analytics alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.segments.v1 import segments_pb2
from heliograph_kit.instants import timestamp
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    MetricDimension,
    MetricOperator,
)

# The generated enum types are numbers at run time.
_ATTRIBUTES: Mapping[AttributeOperator, Any] = {
    how: segments_pb2.AttributeDimension.Operator.Value(f"OPERATOR_{how}") for how in AttributeOperator
}
_METRICS: Mapping[MetricOperator, Any] = {
    how: segments_pb2.MetricDimension.Operator.Value(f"OPERATOR_{how}") for how in MetricOperator
}


def write_behavior(behavior: BehaviorDimension) -> segments_pb2.BehaviorDimension:
    """Return a behaviour criterion as a message."""
    message = segments_pb2.BehaviorDimension(
        event_type=behavior.event_type,
        min_count=behavior.min_count,
        attributes=write_attributes(dict(behavior.attributes)),
        metrics=write_metrics(dict(behavior.metrics)),
        negated=behavior.negated,
    )
    if behavior.within is not None:
        message.within.FromTimedelta(behavior.within)
    if behavior.since is not None:
        message.since.CopyFrom(timestamp(behavior.since))
    return message


def write_attributes(entries: Mapping[str, AttributeDimension]) -> dict[str, segments_pb2.AttributeDimension]:
    """Return conditions on attributes as messages, by name."""
    return {
        name: segments_pb2.AttributeDimension(operator=_ATTRIBUTES[entry.operator], values=entry.values)
        for name, entry in entries.items()
    }


def write_metrics(entries: Mapping[str, MetricDimension]) -> dict[str, segments_pb2.MetricDimension]:
    """Return conditions on metrics as messages, by name."""
    return {
        name: segments_pb2.MetricDimension(operator=_METRICS[entry.operator], value=entry.value)
        for name, entry in entries.items()
    }
