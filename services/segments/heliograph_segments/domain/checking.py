"""The limits of segments (pinpoint-1 3.2): everything wrong is said at once, by proto path."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta

from heliograph_segments.domain.endpoints import MAX_VALUE, MAX_VALUES, check_name, check_text
from heliograph_segments.domain.instants import instant_of
from heliograph_segments.domain.problems import Problem, under
from heliograph_segments.domain.segments import (
    INSTANT_OPERATORS,
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    Dimensions,
    GpsPoint,
    Group,
    Library,
    MetricDimension,
    Rules,
    SegmentReference,
)

MAX_GROUPS = 5
MAX_SOURCES = 20
MAX_CONDITIONS = 100
MAX_TOTAL_VALUES = 100
MAX_DISPLAY_NAME = 64
# Half the circumference of the earth is about 20,015 km: a longer range means everybody and is surely a mistake.
MAX_RANGE_KILOMETERS = 20_100
# With all sources written out. Far above any sensible segment, and still compiled in milliseconds.
MAX_EXPANDED_CONDITIONS = 2_000
MAX_DEPTH = 10
# Groups inside of groups, all counted. How deep they lie is bounded by what a message can nest, some hundred levels.
MAX_ALL_GROUPS = 100
# Each asks analytics to look through events.
MAX_BEHAVIORS = 20
MAX_EVENT_TYPE = 64
MAX_EVENTS = 10_000
# Of the attributes and metrics of one event (pinpoint-1 2.7).
MAX_EVENT_NAMES = 40
SHORTEST_WINDOW = timedelta(minutes=1)
LONGEST_WINDOW = timedelta(days=366)
_OF_EVENTS = frozenset({AttributeOperator.INCLUSIVE, AttributeOperator.EXCLUSIVE, AttributeOperator.CONTAINS})


def check_rules(rules: Rules) -> list[Problem]:
    """Say everything that is wrong with the rules by themselves; sources are looked at by `check_sources`."""
    found: list[Problem] = []
    if len(rules.groups) > MAX_GROUPS:
        found.append(Problem("groups", "TOO_MANY", f"must have at most {MAX_GROUPS} groups"))
    if rules.condition_count() > MAX_CONDITIONS:
        found.append(Problem("groups", "TOO_MANY", f"must have at most {MAX_CONDITIONS} dimensions in all"))
    groups = list(rules.all_groups())
    if len(groups) > MAX_ALL_GROUPS:
        found.append(Problem("groups", "TOO_MANY", f"must have at most {MAX_ALL_GROUPS} groups in all"))
    values = sum(entry.value_count() for group in groups for entry in group.dimensions)
    if values > MAX_TOTAL_VALUES:
        found.append(Problem("groups", "TOO_MANY", f"must have at most {MAX_TOTAL_VALUES} values in all"))
    if sum(len(entry.behaviors) for group in groups for entry in group.dimensions) > MAX_BEHAVIORS:
        found.append(Problem("groups", "TOO_MANY", f"must have at most {MAX_BEHAVIORS} behaviors in all"))
    for index, group in enumerate(rules.groups):
        found += under(f"groups[{index}]", _check_group(group))
    return found


def _check_group(group: Group) -> list[Problem]:
    found: list[Problem] = []
    if len(group.sources) > MAX_SOURCES:
        found.append(Problem("source_segments", "TOO_MANY", f"must have at most {MAX_SOURCES} sources"))
    for number, source in enumerate(group.sources):
        if source.version < 0:
            found.append(Problem(f"source_segments[{number}].version", "OUT_OF_RANGE", "must not be negative"))
    for number, dimensions in enumerate(group.dimensions):
        found += under(f"dimensions[{number}]", _check_dimensions(dimensions))
    for number, inner in enumerate(group.groups):
        found += under(f"groups[{number}]", _check_group(inner))
    return found


def _check_dimensions(dimensions: Dimensions) -> list[Problem]:
    found: list[Problem] = []
    if dimensions.condition_count() == 0:
        found.append(Problem("", "REQUIRED", "must hold at least one condition"))
    found += _check_attributes("attributes", dimensions.attributes.items())
    found += _check_attributes("user_attributes", dimensions.user_attributes.items())
    found += _check_metrics(dimensions.metrics.items())
    for field, wanted in dimensions.demographic.items():
        found += under(f"demographic.{field}", _check_values(wanted.values))
    if dimensions.country is not None:
        found += under("location.country", _check_values(dimensions.country.values))
    if dimensions.gps_point is not None:
        found += under("location.gps_point", _check_gps(dimensions.gps_point))
    for place, behavior in enumerate(dimensions.behaviors):
        found += under(f"behaviors[{place}]", _check_behavior(behavior))
    return found


def _check_attributes(member: str, entries: Iterable[tuple[str, AttributeDimension]]) -> list[Problem]:
    found: list[Problem] = []
    for name, entry in entries:
        path = f"{member}[{name}]"
        found += check_name(path, name)
        found += under(path, _check_values(entry.values))
        found += under(path, _check_operands(entry))
    return found


def _check_metrics(entries: Iterable[tuple[str, MetricDimension]]) -> list[Problem]:
    found: list[Problem] = []
    for name, metric in entries:
        found += check_name(f"metrics[{name}]", name)
        if not math.isfinite(metric.value):
            found.append(Problem(f"metrics[{name}].value", "OUT_OF_RANGE", "must be a finite number"))
    return found


def _check_behavior(behavior: BehaviorDimension) -> list[Problem]:
    found: list[Problem] = []
    if not behavior.event_type:
        found.append(Problem("event_type", "REQUIRED", "is required"))
    found += check_text("event_type", behavior.event_type, MAX_EVENT_TYPE)
    if not 1 <= behavior.min_count <= MAX_EVENTS:
        found.append(Problem("min_count", "OUT_OF_RANGE", f"must be 0, which means 1, to {MAX_EVENTS}"))
    if behavior.within is not None and not SHORTEST_WINDOW <= behavior.within <= LONGEST_WINDOW:
        found.append(Problem("within", "OUT_OF_RANGE", "must be a minute to 366 days"))
    if len(behavior.attributes) + len(behavior.metrics) > MAX_EVENT_NAMES:
        words = f"must have at most {MAX_EVENT_NAMES} attributes and metrics together"
        found.append(Problem("attributes", "TOO_MANY", words))
    found += _check_attributes("attributes", behavior.attributes)
    found += [
        Problem(f"attributes[{name}].operator", "UNKNOWN_VALUE", "must be INCLUSIVE, EXCLUSIVE or CONTAINS")
        for name, entry in behavior.attributes
        if entry.operator not in _OF_EVENTS
    ]
    return found + _check_metrics(behavior.metrics)


def _check_values(values: tuple[str, ...]) -> list[Problem]:
    found: list[Problem] = []
    if not values:
        found.append(Problem("values", "REQUIRED", "must hold at least one value"))
    if len(values) > MAX_VALUES:
        found.append(Problem("values", "TOO_MANY", f"must hold at most {MAX_VALUES} values"))
    for index, value in enumerate(values):
        found += check_text(f"values[{index}]", value, MAX_VALUE)
    return found


def _check_operands(entry: AttributeDimension) -> list[Problem]:
    found: list[Problem] = []
    if entry.operator is AttributeOperator.CONTAINS:
        found += [
            Problem(f"values[{index}]", "REQUIRED", "must not be empty: everything contains it")
            for index, value in enumerate(entry.values)
            if not value
        ]
    if entry.operator not in INSTANT_OPERATORS:
        return found
    instants = [instant_of(value) for value in entry.values]
    found += [
        Problem(f"values[{index}]", "MALFORMED", "must be an ISO 8601 date or date-time, years 1000 to 2999")
        for index, instant in enumerate(instants)
        if instant is None
    ]
    if entry.operator is AttributeOperator.BETWEEN:
        if len(instants) != 2:
            found.append(Problem("values", "OUT_OF_RANGE", "BETWEEN needs exactly two values"))
        elif instants[0] and instants[1] and instants[0] > instants[1]:
            found.append(Problem("values[1]", "OUT_OF_RANGE", "must not be before the first value"))
    return found


def _check_gps(point: GpsPoint) -> list[Problem]:
    found: list[Problem] = []
    if not -90 <= point.latitude <= 90:
        found.append(Problem("latitude", "OUT_OF_RANGE", "must be from -90 to 90"))
    if not -180 <= point.longitude <= 180:
        found.append(Problem("longitude", "OUT_OF_RANGE", "must be from -180 to 180"))
    if not 0 < point.range_kilometers <= MAX_RANGE_KILOMETERS:
        found.append(Problem("range_kilometers", "OUT_OF_RANGE", f"must be above 0 and at most {MAX_RANGE_KILOMETERS}"))
    return found


class SourceTrouble(Exception):
    """The sources of a segment cannot be used; `reason` is CYCLE, MISSING or TOO_LARGE."""

    def __init__(self, reason: str, path: tuple[SegmentReference, ...]) -> None:
        """Take the way through the sources on which the trouble was met."""
        super().__init__(f"{reason}: {' > '.join(step.segment_id for step in path)}")
        self.reason = reason
        self.path = path


def check_sources(rules: Rules, library: Library, *, own_id: str | None) -> None:
    """Let rules pass whose sources exist, never lead back, and stay within bounds when written out.

    `own_id` is the segment the rules are for, None for a draft. A segment leads back to itself when its id is met again
    on one path, whatever the version: a version pinned today would be unpinned tomorrow.

    Raises:
        SourceTrouble: with the reason and the path.
    """
    costs: dict[SegmentReference, int] = {}

    def cost(current: Rules, path: tuple[SegmentReference, ...]) -> int:
        total = current.condition_count() + 1
        for reference in current.references():
            way = (*path, reference)
            if reference.segment_id == own_id or any(reference.segment_id == step.segment_id for step in path):
                raise SourceTrouble("CYCLE", way)
            if len(way) > MAX_DEPTH:
                raise SourceTrouble("TOO_LARGE", way)
            if reference not in costs:
                if reference not in library:
                    raise SourceTrouble("MISSING", way)
                costs[reference] = cost(library[reference], way)
            total += costs[reference]
            if total > MAX_EXPANDED_CONDITIONS:
                raise SourceTrouble("TOO_LARGE", way)
        return total

    cost(rules, ())
