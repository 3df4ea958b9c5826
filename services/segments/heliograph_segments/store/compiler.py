"""Segments as SQL over the record: one boolean expression over one endpoint `e` and its user `u`.

Every value travels as a parameter. Each leaf is true or false and never null, so that NOT means what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyroaring import BitMap

from heliograph_segments.domain.evaluator import EARTH_RADIUS_KILOMETERS, channels
from heliograph_segments.domain.instants import instant_of
from heliograph_segments.domain.segments import (
    DEMOGRAPHIC_MEMBERS,
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    Combination,
    DemographicField,
    Dimensions,
    GpsPoint,
    Group,
    Library,
    Listed,
    MetricOperator,
    Recency,
    Rules,
    SetDimension,
    asked_list,
)

_COMPARISONS = {
    MetricOperator.GREATER_THAN: ">",
    MetricOperator.LESS_THAN: "<",
    MetricOperator.GREATER_THAN_OR_EQUAL: ">=",
    MetricOperator.LESS_THAN_OR_EQUAL: "<=",
    MetricOperator.EQUAL: "=",
}


@dataclass(frozen=True)
class Compiled:
    """A WHERE clause for `source`, with its parameters. The caller binds `project` as well."""

    condition: str
    parameters: dict[str, Any]
    with_users: bool

    @property
    def source(self) -> str:
        """The FROM clause: users are joined only where a condition looks at them."""
        joined = " LEFT JOIN segments.users u ON u.project = e.project AND u.user_id = e.user_id"
        return "segments.endpoints e" + (joined if self.with_users else "")

    @property
    def where(self) -> str:
        """The WHERE clause, the project included."""
        return f"e.project = :project AND {self.condition}"


def compile_rules(rules: Rules, now: datetime, library: Library, listings: Mapping[Listed, BitMap]) -> Compiled:
    """Return the expression that is true for the members of the segment at the instant `now`.

    The library holds every source segment and `check_sources` has seen that the result stays small; the listings hold
    every list that is needed.
    """
    work = _Work(now, library, listings)
    condition = work.rules(rules)
    return Compiled(condition, work.parameters, work.with_users)


@dataclass
class _Work:
    now: datetime
    library: Library
    listings: Mapping[Listed, BitMap]
    parameters: dict[str, Any] = field(default_factory=dict)
    with_users: bool = False

    def bind(self, value: Any, kind: str) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"CAST(:{name} AS {kind})"

    def rules(self, rules: Rules) -> str:
        if rules.imported:
            return self.listed(rules.imported)
        return _combined(rules.include, [self.group(group) for group in rules.groups])

    def group(self, group: Group) -> str:
        base = _combined(group.source_type, [self.rules(self.library[source]) for source in group.sources])
        criteria = [self.dimensions(entry) for entry in group.dimensions]
        mine = _combined(group.type, criteria + [self.group(inner) for inner in group.groups])
        return _combined(Combination.ALL, [base, mine])

    def dimensions(self, entry: Dimensions) -> str:
        parts = [self.attribute("e.attributes", name, a) for name, a in entry.attributes.items()]
        if entry.user_attributes:
            self.with_users = True
            parts += [self.attribute("u.attributes", name, a) for name, a in entry.user_attributes.items()]
        for name, metric in entry.metrics.items():
            held = f"CAST(e.metrics -> {self.bind(name, 'text')} AS double precision)"
            bound = self.bind(metric.value, "double precision")
            parts.append(f"coalesce({held} {_COMPARISONS[metric.operator]} {bound}, false)")
        for member, wanted in entry.demographic.items():
            if member is DemographicField.CHANNEL:
                parts.append(self.one_of("nullif(e.channel, '')", channels(wanted.values), wanted.exclusive))
            else:
                parts.append(self.set_of(f"e.demographic ->> '{DEMOGRAPHIC_MEMBERS[member]}'", wanted))
        if entry.country is not None:
            parts.append(self.set_of("e.location ->> 'Country'", entry.country))
        if entry.gps_point is not None:
            parts.append(self.near(entry.gps_point))
        if entry.recency is not None:
            parts.append(self.recent(entry.recency))
        parts += [self.listed(behavior) for behavior in entry.behaviors]
        return _combined(Combination.ALL, parts)

    def attribute(self, column: str, name: str, entry: AttributeDimension) -> str:
        held = f"({column} -> {self.bind(name, 'text')})"
        if entry.operator in (AttributeOperator.INCLUSIVE, AttributeOperator.EXCLUSIVE):
            found = f"coalesce({held} ?| {self.bind(list(entry.values), 'text[]')}, false)"
            return f"(NOT {found})" if entry.operator is AttributeOperator.EXCLUSIVE else found
        values = f"jsonb_array_elements_text({held}) AS held (value)"
        if entry.operator is AttributeOperator.CONTAINS:
            parts = f"unnest({self.bind(list(entry.values), 'text[]')}) AS wanted (part)"
            return f"EXISTS (SELECT FROM {values}, {parts} WHERE strpos(held.value, wanted.part) > 0)"
        return f"EXISTS (SELECT FROM {values} WHERE {self.instants(entry)})"

    def instants(self, entry: AttributeDimension) -> str:
        bounds = [bound for bound in map(instant_of, entry.values) if bound is not None]
        held = "segments.instant_of(held.value)"
        match entry.operator:
            case AttributeOperator.BEFORE:
                return f"{held} < {self.bind(max(bounds), 'timestamptz')}"
            case AttributeOperator.AFTER:
                return f"{held} > {self.bind(min(bounds), 'timestamptz')}"
            case AttributeOperator.ON:
                dates = self.bind([bound.date() for bound in bounds], "date[]")
                return f"CAST({held} AT TIME ZONE 'UTC' AS date) = ANY ({dates})"
            case _:  # BETWEEN
                first, last = (self.bind(bound, "timestamptz") for bound in bounds)
                return f"{held} BETWEEN {first} AND {last}"

    def set_of(self, held: str, entry: SetDimension) -> str:
        return self.one_of(held, entry.values, entry.exclusive)

    def one_of(self, held: str, values: Iterable[str], exclusive: bool) -> str:
        found = f"coalesce({held} = ANY ({self.bind(list(values), 'text[]')}), false)"
        return f"(NOT {found})" if exclusive else found

    def near(self, point: GpsPoint) -> str:
        # The haversine formula of domain/evaluator.py, term by term.
        latitude, longitude = (self.bind(degrees, "double precision") for degrees in (point.latitude, point.longitude))
        held_latitude = "CAST(e.location -> 'Latitude' AS double precision)"
        held_longitude = "CAST(e.location -> 'Longitude' AS double precision)"
        chord = (
            f"sin(radians({held_latitude} - {latitude}) / 2) ^ 2"
            f" + cos(radians({latitude})) * cos(radians({held_latitude}))"
            f" * sin(radians({held_longitude} - {longitude}) / 2) ^ 2"
        )
        distance = f"{2 * EARTH_RADIUS_KILOMETERS} * asin(sqrt(least(1.0, {chord})))"
        # least() passes over nulls, so an absent coordinate must be looked for by itself.
        both = "e.location ? 'Latitude' AND e.location ? 'Longitude'"
        return f"({both} AND coalesce({distance} <= {self.bind(point.range_kilometers, 'double precision')}, false))"

    def listed(self, condition: Listed) -> str:
        found = f"e.ordinal = ANY ({self.bind(self.listings[asked_list(condition)].to_array().tolist(), 'bigint[]')})"
        negated = isinstance(condition, BehaviorDimension) and condition.negated
        return f"(NOT {found})" if negated else found

    def recent(self, entry: Recency) -> str:
        since = self.bind(self.now - entry.duration.length, "timestamptz")
        return f"e.last_active_at {'>=' if entry.active else '<'} {since}"


def _combined(how: Combination, parts: list[str]) -> str:
    if not parts:
        return "true"
    if how is Combination.ALL:
        return f"({' AND '.join(parts)})"
    joined = f"({' OR '.join(parts)})"
    return f"(NOT {joined})" if how is Combination.NONE else joined
