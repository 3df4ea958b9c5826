"""Endpoints, segments and messages with defaults, so that a test states only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from heliograph.segments.v1 import endpoints_pb2, segments_pb2
from heliograph_segments.domain.endpoints import Endpoint
from heliograph_segments.domain.segments import Combination, Dimensions, Group, Rules

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
PARENT = "projects/shop"


def an_endpoint(**given: Any) -> Endpoint:
    """Return a stored endpoint as the reference evaluator sees it."""
    defaults: dict[str, Any] = {
        "endpoint_id": "e1",
        "ordinal": 1,
        "cohort": 7,
        "created_at": NOW,
        "effective_at": NOW,
        "last_active_at": NOW,
    }
    return Endpoint(**defaults | given)


def rules_of(*dimensions: Dimensions, type: Combination = Combination.ALL) -> Rules:
    """Return rules with one group of those dimensions."""
    return Rules(groups=(Group(dimensions=dimensions, type=type),))


def lists(**attributes: list[str]) -> dict[str, endpoints_pb2.StringList]:
    """Return attributes as messages."""
    return {name: endpoints_pb2.StringList(values=values) for name, values in attributes.items()}


def an_endpoint_message(endpoint_id: str, **given: Any) -> endpoints_pb2.Endpoint:
    """Return an e-mail endpoint to write."""
    defaults = {"channel_type": "EMAIL", "address": f"{endpoint_id}@example.com"}
    return endpoints_pb2.Endpoint(endpoint_id=endpoint_id, **defaults | given)


def having(attribute: str, *values: str, operator: str = "INCLUSIVE") -> segments_pb2.SegmentDimensions:
    """Return a condition on one attribute."""
    entry = segments_pb2.AttributeDimension(
        operator=segments_pb2.AttributeDimension.Operator.Value(f"OPERATOR_{operator}"), values=values
    )
    return segments_pb2.SegmentDimensions(attributes={attribute: entry})


def rules_message(*dimensions: segments_pb2.SegmentDimensions) -> segments_pb2.SegmentRules:
    """Return rules with one group of those dimensions, all of which must match."""
    return segments_pb2.SegmentRules(groups=[segments_pb2.SegmentGroup(dimensions=dimensions)])


def a_segment(*dimensions: segments_pb2.SegmentDimensions, name: str = "People") -> segments_pb2.CreateSegmentRequest:
    """Return a request for a segment with one group of those dimensions."""
    segment = segments_pb2.Segment(display_name=name, rules=rules_message(*dimensions))
    return segments_pb2.CreateSegmentRequest(parent=PARENT, segment=segment)
