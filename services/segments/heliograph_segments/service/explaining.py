"""Why one endpoint is in a segment, or is not: the reference evaluator, clause by clause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from heliograph_segments.domain.endpoints import Endpoint
from heliograph_segments.domain.evaluator import listed, matches, meets
from heliograph_segments.domain.segments import (
    DEMOGRAPHIC_MEMBERS,
    BehaviorDimension,
    DemographicField,
    Dimensions,
    GpsPoint,
    ImportedList,
    Library,
    Listed,
    Listings,
    Recency,
    Rules,
    SetDimension,
    asked_list,
)
from heliograph_segments.index.clauses import (
    All,
    Any,
    AttributeIs,
    CountryIs,
    DemographicIs,
    Everyone,
    Held,
    Leaf,
    MetricIs,
    Node,
    plan,
    walk,
)


@dataclass(frozen=True)
class ClauseResult:
    """What one clause says of the endpoint."""

    path: str
    matched: bool
    because: str


@dataclass(frozen=True)
class Explanation:
    """Whether the endpoint belongs to the segment, and what every clause says; outer clauses first."""

    member: bool
    clauses: tuple[ClauseResult, ...]
    as_of: datetime


def explain(rules: Rules, endpoint: Endpoint, now: datetime, library: Library, listings: Listings) -> Explanation:
    """Return why the endpoint is in the segment at the instant `now`, or is not."""
    tree = plan(rules, library)
    clauses = tuple(
        ClauseResult(node.path, holds(node, endpoint, now, listings), because(node, endpoint, now, listings))
        for node in walk(tree)
        if node.path
    )
    return Explanation(matches(rules, endpoint, now, library, listings), clauses, now)


def holds(node: Node, endpoint: Endpoint, now: datetime, listings: Listings) -> bool:
    """Tell whether a clause holds for the endpoint."""
    match node:
        case Everyone():
            return True
        case Leaf(condition):
            if isinstance(condition, ImportedList | BehaviorDimension):
                return listed(condition, endpoint, listings)
            return meets(_alone(condition), endpoint, now, listings)
        case All(parts):
            return all(holds(part, endpoint, now, listings) for part in parts)
        case Any(parts, negated):
            return any(holds(part, endpoint, now, listings) for part in parts) is not negated


def because(node: Node, endpoint: Endpoint, now: datetime, listings: Listings) -> str:
    """Say why a clause holds or does not."""
    match node:
        case Everyone() | All(parts=()):
            return "everybody is meant"
        case Leaf(condition):
            if isinstance(condition, ImportedList | BehaviorDimension):
                return _because_of_list(condition, endpoint, listings)
            return f"{_held(condition, endpoint)}; wanted {_wanted(condition, now)}"
        case All(parts) | Any(parts):
            met = sum(holds(part, endpoint, now, listings) for part in parts)
            how = "all" if isinstance(node, All) else "none" if node.negated else "any"
            return f"{met} of {len(parts)} parts hold; wanted {how}"


def _because_of_list(condition: Listed, endpoint: Endpoint, listings: Listings) -> str:
    found = listed(asked_list(condition), endpoint, listings)
    if isinstance(condition, ImportedList):
        return f"{'is' if found else 'is not'} on the imported list; wanted on it"
    times = f"{condition.min_count} times or more" if condition.min_count > 1 else "once or more"
    wanted = "not to have done it" if condition.negated else "to have done it"
    return f"{'did' if found else 'did not do'} {condition.event_type} {times}; wanted {wanted}"


def _alone(condition: Held) -> Dimensions:
    match condition:
        case AttributeIs(of_user, name, wanted):
            return Dimensions(user_attributes={name: wanted}) if of_user else Dimensions(attributes={name: wanted})
        case MetricIs(name, metric):
            return Dimensions(metrics={name: metric})
        case DemographicIs(field, one_of):
            return Dimensions(demographic={field: one_of})
        case CountryIs(one_of):
            return Dimensions(country=one_of)
        case GpsPoint():
            return Dimensions(gps_point=condition)
        case Recency():
            return Dimensions(recency=condition)


def _held(condition: Held, endpoint: Endpoint) -> str:
    match condition:
        case AttributeIs(of_user, name):
            values = (endpoint.user_attributes if of_user else endpoint.attributes).get(name)
            return f"{name} is {list(values)}" if values else f"{name} is absent"
        case MetricIs(name):
            return f"{name} is {endpoint.metrics[name]:g}" if name in endpoint.metrics else f"{name} is absent"
        case DemographicIs(DemographicField.CHANNEL):
            return f"channel is {endpoint.channel}" if endpoint.channel else "channel is absent"
        case DemographicIs(field):
            text = endpoint.demographic.get(DEMOGRAPHIC_MEMBERS[field])
            return f"{field} is absent" if text is None else f"{field} is {text}"
        case CountryIs():
            return f"country is {endpoint.location.get('Country', 'absent')}"
        case GpsPoint():
            latitude, longitude = endpoint.location.get("Latitude"), endpoint.location.get("Longitude")
            return "coordinates are absent" if latitude is None else f"the endpoint is at {latitude}, {longitude}"
        case Recency():
            return f"last active {endpoint.last_active_at.isoformat(timespec='seconds')}"


def _wanted(condition: Held, now: datetime) -> str:
    match condition:
        case AttributeIs(wanted=wanted):
            return f"{wanted.operator} {list(wanted.values)}"
        case MetricIs(wanted=metric):
            return f"{metric.operator} {metric.value:g}"
        case DemographicIs(wanted=one_of) | CountryIs(wanted=one_of):
            return _one_of(one_of)
        case GpsPoint(latitude, longitude, range_kilometers):
            return f"within {range_kilometers:g} km of {latitude:g}, {longitude:g}"
        case Recency(duration, active):
            since = (now - duration.length).isoformat(timespec="seconds")
            return f"{'active' if active else 'not active'} since {since}"


def _one_of(wanted: SetDimension) -> str:
    return f"{'none' if wanted.exclusive else 'one'} of {list(wanted.values)}"
