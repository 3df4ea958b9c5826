"""Segment rules as plain documents, the form in which versions are stored."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    Combination,
    DemographicField,
    Dimensions,
    GpsPoint,
    Group,
    ImportedList,
    MetricDimension,
    MetricOperator,
    Recency,
    RecencyDuration,
    Rules,
    SegmentReference,
    SetDimension,
)

Document = dict[str, Any]


def to_document(rules: Rules) -> Document:
    """Return rules as lists, dictionaries, strings and numbers."""
    document: Document = {"include": rules.include.value, "groups": [_group(group) for group in rules.groups]}
    return document | {"imported": rules.imported.list_id} if rules.imported else document


def from_document(document: Document) -> Rules:
    """Return the rules that `to_document` took apart."""
    imported = ImportedList(document["imported"]) if "imported" in document else None
    return Rules(Combination(document["include"]), tuple(_read_group(entry) for entry in document["groups"]), imported)


def _group(group: Group) -> Document:
    return {
        "sources": [[source.segment_id, source.version] for source in group.sources],
        "source_type": group.source_type.value,
        "dimensions": [_dimensions(entry) for entry in group.dimensions],
        "groups": [_group(inner) for inner in group.groups],
        "type": group.type.value,
    }


def _read_group(document: Document) -> Group:
    return Group(
        sources=tuple(SegmentReference(segment_id, version) for segment_id, version in document["sources"]),
        source_type=Combination(document["source_type"]),
        dimensions=tuple(_read_dimensions(entry) for entry in document["dimensions"]),
        # Absent in what was stored before groups could hold groups.
        groups=tuple(_read_group(inner) for inner in document.get("groups", ())),
        type=Combination(document["type"]),
    )


def _dimensions(entry: Dimensions) -> Document:
    gps, recency = entry.gps_point, entry.recency
    document: Document = {
        "attributes": {name: [a.operator.value, list(a.values)] for name, a in entry.attributes.items()},
        "user_attributes": {name: [a.operator.value, list(a.values)] for name, a in entry.user_attributes.items()},
        "metrics": {name: [metric.operator.value, metric.value] for name, metric in entry.metrics.items()},
        "demographic": {field.value: _set(wanted) for field, wanted in entry.demographic.items()},
        "country": _set(entry.country) if entry.country else None,
        "gps_point": [gps.latitude, gps.longitude, gps.range_kilometers] if gps else None,
        "recency": [recency.duration.value, recency.active] if recency else None,
        "behaviors": [_behavior(behavior) for behavior in entry.behaviors],
    }
    return {member: value for member, value in document.items() if value}


def _read_dimensions(document: Document) -> Dimensions:
    country, gps, recency = (document.get(member) for member in ("country", "gps_point", "recency"))
    return Dimensions(
        attributes=_read_attributes(document.get("attributes", {})),
        user_attributes=_read_attributes(document.get("user_attributes", {})),
        metrics={
            name: MetricDimension(MetricOperator(operator), float(value))
            for name, (operator, value) in document.get("metrics", {}).items()
        },
        demographic={
            DemographicField(field): _read_set(wanted) for field, wanted in document.get("demographic", {}).items()
        },
        country=_read_set(country) if country else None,
        gps_point=GpsPoint(*map(float, gps)) if gps else None,
        recency=Recency(RecencyDuration(recency[0]), bool(recency[1])) if recency else None,
        behaviors=tuple(_read_behavior(behavior) for behavior in document.get("behaviors", ())),
    )


def _behavior(behavior: BehaviorDimension) -> Document:
    return {
        "event_type": behavior.event_type,
        "min_count": behavior.min_count,
        "attributes": [[name, a.operator.value, list(a.values)] for name, a in behavior.attributes],
        "metrics": [[name, metric.operator.value, metric.value] for name, metric in behavior.metrics],
        "within_seconds": behavior.within.total_seconds() if behavior.within else None,
        "since": behavior.since.isoformat() if behavior.since else None,
        "negated": behavior.negated,
    }


def _read_behavior(document: Document) -> BehaviorDimension:
    within, since = document["within_seconds"], document["since"]
    return BehaviorDimension(
        event_type=document["event_type"],
        min_count=int(document["min_count"]),
        attributes=tuple(
            (name, AttributeDimension(AttributeOperator(operator), tuple(values)))
            for name, operator, values in document["attributes"]
        ),
        metrics=tuple(
            (name, MetricDimension(MetricOperator(operator), float(value)))
            for name, operator, value in document["metrics"]
        ),
        within=timedelta(seconds=within) if within is not None else None,
        since=datetime.fromisoformat(since) if since else None,
        negated=bool(document["negated"]),
    )


def _read_attributes(document: Document) -> dict[str, AttributeDimension]:
    return {
        name: AttributeDimension(AttributeOperator(operator), tuple(values))
        for name, (operator, values) in document.items()
    }


def _set(entry: SetDimension) -> list[Any]:
    return [entry.exclusive, list(entry.values)]


def _read_set(document: list[Any]) -> SetDimension:
    return SetDimension(tuple(document[1]), bool(document[0]))
