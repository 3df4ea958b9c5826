"""Segment messages to rules, and rules to messages. What cannot be read becomes a problem with its path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from heliograph.segments.v1 import segments_pb2
from heliograph_kit.instants import timestamp
from heliograph_kit.names import InvalidName, format_name, parse_name
from heliograph_segments.domain.problems import Problem
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    Combination,
    DemographicField,
    Dimensions,
    GpsPoint,
    Group,
    MetricDimension,
    MetricOperator,
    Recency,
    RecencyDuration,
    Rules,
    SegmentReference,
    SetDimension,
)
from heliograph_segments.domain.uses import Use, UseKind
from heliograph_segments.service.behavior_messages import write_attributes, write_behavior, write_metrics
from heliograph_segments.store.segments import Segment

T = TypeVar("T")

_COMBINATIONS = {0: Combination.ALL} | {
    segments_pb2.Combination.Value(f"COMBINATION_{how}"): how for how in Combination
}
_ATTRIBUTE_OPERATORS = {0: AttributeOperator.INCLUSIVE} | {
    segments_pb2.AttributeDimension.Operator.Value(f"OPERATOR_{how}"): how for how in AttributeOperator
}
_METRIC_OPERATORS: Mapping[int, MetricOperator] = {
    segments_pb2.MetricDimension.Operator.Value(f"OPERATOR_{how}"): how for how in MetricOperator
}
_USERS = {
    UseKind.CAMPAIGN: ("campaigns", segments_pb2.SegmentUse.KIND_CAMPAIGN),
    UseKind.JOURNEY: ("journeys", segments_pb2.SegmentUse.KIND_JOURNEY),
}
_SET_OPERATORS = {0: False, 1: False, 2: True}
_DURATIONS: Mapping[int, RecencyDuration] = {
    segments_pb2.RecencyDimension.Duration.Value(f"DURATION_{how}"): how for how in RecencyDuration
}
_RECENCY_TYPES: Mapping[int, bool] = {
    segments_pb2.RecencyDimension.TYPE_ACTIVE: True,
    segments_pb2.RecencyDimension.TYPE_INACTIVE: False,
}


def _back(table: Mapping[int, T]) -> dict[T, int]:
    return {value: number for number, value in table.items() if number}


_COMBINATION_NUMBERS = _back(_COMBINATIONS)
_DURATION_NUMBERS = _back(_DURATIONS)


def read_rules(project: str, message: segments_pb2.SegmentRules, path: str) -> tuple[Rules, list[Problem]]:
    """Return the rules of a message, and what could not be read; `path` is where the message is in the request."""
    reader = _Reader(project)
    include = reader.known(_COMBINATIONS, message.include, f"{path}.include", Combination.ALL)
    groups = [reader.group(group, f"{path}.groups[{index}]") for index, group in enumerate(message.groups)]
    return Rules(include, tuple(groups)), reader.problems


class _Reader:
    def __init__(self, project: str) -> None:
        self.problems: list[Problem] = []
        self._project = project

    def known(self, table: Mapping[int, T], number: int, path: str, otherwise: T) -> T:
        if number not in table:
            words = "is required" if number == 0 else "is unknown"
            self.problems.append(Problem(path, "REQUIRED" if number == 0 else "UNKNOWN_VALUE", words))
        return table.get(number, otherwise)

    def group(self, message: segments_pb2.SegmentGroup, path: str) -> Group:
        return Group(
            sources=tuple(
                self.source(source, f"{path}.source_segments[{index}].segment")
                for index, source in enumerate(message.source_segments)
            ),
            source_type=self.known(_COMBINATIONS, message.source_type, f"{path}.source_type", Combination.ALL),
            dimensions=tuple(
                self.dimensions(entry, f"{path}.dimensions[{index}]") for index, entry in enumerate(message.dimensions)
            ),
            type=self.known(_COMBINATIONS, message.type, f"{path}.type", Combination.ALL),
            groups=tuple(self.group(inner, f"{path}.groups[{index}]") for index, inner in enumerate(message.groups)),
        )

    def source(self, message: segments_pb2.SegmentReference, path: str) -> SegmentReference:
        try:
            name = parse_name(message.segment, "segments", field=path)
        except InvalidName as error:
            self.problems.append(Problem(path, "MALFORMED", error.violations[0].description))
            return SegmentReference("")
        if name.project != self._project:
            self.problems.append(Problem(path, "OUT_OF_RANGE", "must be a segment of the same project"))
        return SegmentReference(name.id, message.version)

    def dimensions(self, message: segments_pb2.SegmentDimensions, path: str) -> Dimensions:
        location = message.location
        return Dimensions(
            attributes=self.attributes(message.attributes, f"{path}.attributes"),
            user_attributes=self.attributes(message.user_attributes, f"{path}.user_attributes"),
            metrics=self.metrics(message.metrics, f"{path}.metrics"),
            demographic={
                field: self.set_of(getattr(message.demographic, field.value), f"{path}.demographic.{field.value}")
                for field in DemographicField
                if message.demographic.HasField(field.value)
            },
            country=self.set_of(location.country, f"{path}.location.country") if location.HasField("country") else None,
            gps_point=GpsPoint(
                location.gps_point.latitude, location.gps_point.longitude, location.gps_point.range_kilometers
            )
            if location.HasField("gps_point")
            else None,
            recency=self.recency(message.recency, f"{path}.recency") if message.HasField("recency") else None,
            behaviors=tuple(
                self.behavior(behavior, f"{path}.behaviors[{place}]")
                for place, behavior in enumerate(message.behaviors)
            ),
        )

    def attributes(
        self, entries: Mapping[str, segments_pb2.AttributeDimension], path: str
    ) -> dict[str, AttributeDimension]:
        return {
            name: AttributeDimension(
                self.known(
                    _ATTRIBUTE_OPERATORS, entry.operator, f"{path}[{name}].operator", AttributeOperator.INCLUSIVE
                ),
                tuple(entry.values),
            )
            for name, entry in entries.items()
        }

    def metrics(self, entries: Mapping[str, segments_pb2.MetricDimension], path: str) -> dict[str, MetricDimension]:
        return {
            name: MetricDimension(
                self.known(_METRIC_OPERATORS, entry.operator, f"{path}[{name}].operator", MetricOperator.EQUAL),
                entry.value,
            )
            for name, entry in entries.items()
        }

    def behavior(self, entry: segments_pb2.BehaviorDimension, path: str) -> BehaviorDimension:
        # Sorted: a map has no order, and two spellings of one condition are one list.
        return BehaviorDimension(
            event_type=entry.event_type,
            min_count=entry.min_count or 1,
            attributes=tuple(sorted(self.attributes(entry.attributes, f"{path}.attributes").items())),
            metrics=tuple(sorted(self.metrics(entry.metrics, f"{path}.metrics").items())),
            within=self.length(entry, f"{path}.within") if entry.HasField("within") else None,
            since=self.instant(entry, f"{path}.since") if entry.HasField("since") else None,
            negated=entry.negated,
        )

    def length(self, entry: segments_pb2.BehaviorDimension, path: str) -> timedelta | None:
        try:
            return timedelta(seconds=entry.within.seconds, microseconds=entry.within.nanos // 1000)
        except OverflowError:
            self.problems.append(Problem(path, "OUT_OF_RANGE", "is no duration"))
            return None

    def instant(self, entry: segments_pb2.BehaviorDimension, path: str) -> datetime | None:
        try:
            return entry.since.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.problems.append(Problem(path, "OUT_OF_RANGE", "must be a time from year 1 to year 9999"))
            return None

    def set_of(self, entry: segments_pb2.SetDimension, path: str) -> SetDimension:
        exclusive = self.known(_SET_OPERATORS, entry.operator, f"{path}.operator", False)
        return SetDimension(tuple(entry.values), exclusive)

    def recency(self, entry: segments_pb2.RecencyDimension, path: str) -> Recency:
        duration = self.known(_DURATIONS, entry.duration, f"{path}.duration", RecencyDuration.DAY_30)
        return Recency(duration, self.known(_RECENCY_TYPES, entry.type, f"{path}.type", True))


def write_segment(segment: Segment) -> segments_pb2.Segment:
    """Return a segment as a message."""
    imported = segment.rules.imported
    return segments_pb2.Segment(
        name=format_name(segment.project, "segments", segment.segment_id),
        display_name=segment.display_name,
        rules=write_rules(segment.project, segment.rules),
        type=segments_pb2.Segment.TYPE_IMPORT if imported else segments_pb2.Segment.TYPE_DIMENSIONAL,
        import_job=format_name(segment.project, "importJobs", imported.list_id) if imported else "",
        version=segment.version,
        create_time=timestamp(segment.created_at),
        update_time=timestamp(segment.updated_at),
        tags=segment.tags,
    )


def write_use(use: Use) -> segments_pb2.SegmentUse:
    """Return who uses a segment as a message."""
    collection, kind = _USERS[use.kind]
    return segments_pb2.SegmentUse(
        name=format_name(use.project, collection, use.user_id),
        kind=kind,
        state=use.state,
        segments=[format_name(use.project, "segments", segment_id) for segment_id in use.segment_ids],
    )


def write_rules(project: str, rules: Rules) -> segments_pb2.SegmentRules:
    """Return rules as a message, every default written out."""
    return segments_pb2.SegmentRules(
        include=_enum(_COMBINATION_NUMBERS, rules.include),
        groups=[_write_group(project, group) for group in rules.groups],
    )


def _enum(numbers: Mapping[T, int], value: T) -> Any:
    # The generated enum types are numbers at run time, and one table serves all of them.
    return numbers[value]


def _write_group(project: str, group: Group) -> segments_pb2.SegmentGroup:
    return segments_pb2.SegmentGroup(
        source_segments=[
            segments_pb2.SegmentReference(
                segment=format_name(project, "segments", source.segment_id), version=source.version
            )
            for source in group.sources
        ],
        source_type=_enum(_COMBINATION_NUMBERS, group.source_type),
        dimensions=[_write_dimensions(entry) for entry in group.dimensions],
        type=_enum(_COMBINATION_NUMBERS, group.type),
        groups=[_write_group(project, inner) for inner in group.groups],
    )


def _write_dimensions(entry: Dimensions) -> segments_pb2.SegmentDimensions:
    message = segments_pb2.SegmentDimensions(
        attributes=write_attributes(entry.attributes),
        user_attributes=write_attributes(entry.user_attributes),
        metrics=write_metrics(entry.metrics),
        behaviors=[write_behavior(behavior) for behavior in entry.behaviors],
    )
    for field, wanted in entry.demographic.items():
        target: Callable[[segments_pb2.SetDimension], None] = getattr(message.demographic, field.value).CopyFrom
        target(_write_set(wanted))
    if entry.country is not None:
        message.location.country.CopyFrom(_write_set(entry.country))
    if entry.gps_point is not None:
        point = entry.gps_point
        message.location.gps_point.latitude = point.latitude
        message.location.gps_point.longitude = point.longitude
        message.location.gps_point.range_kilometers = point.range_kilometers
    if entry.recency is not None:
        message.recency.duration = _enum(_DURATION_NUMBERS, entry.recency.duration)
        message.recency.type = _enum(_back(_RECENCY_TYPES), entry.recency.active)
    return message


def _write_set(entry: SetDimension) -> segments_pb2.SetDimension:
    operator = (
        segments_pb2.SetDimension.OPERATOR_EXCLUSIVE
        if entry.exclusive
        else segments_pb2.SetDimension.OPERATOR_INCLUSIVE
    )
    return segments_pb2.SetDimension(operator=operator, values=entry.values)
