"""The reference evaluator: one endpoint at a time, the definition of what a segment means (pinpoint-1 3.2 and 3.3).

Nothing here is fast. The SQL compiler and the index are held to it by property tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from heliograph_segments.domain.endpoints import PUSH_CHANNELS, Endpoint
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
    Listings,
    MetricDimension,
    MetricOperator,
    Recency,
    Rules,
    SetDimension,
    asked_list,
)

EARTH_RADIUS_KILOMETERS = 6371.0


def matches(
    rules: Rules,
    endpoint: Endpoint,
    now: datetime,
    library: Library | None = None,
    listings: Listings | None = None,
) -> bool:
    """Tell whether the endpoint belongs to the segment at the instant `now`.

    The library holds the rules of every source segment; `check_sources` has seen that they do not run in circles. The
    listings hold every list that the segment and its sources need.
    """
    sources, lists = library or {}, {} if listings is None else listings
    if rules.imported:
        return listed(rules.imported, endpoint, lists)
    return combine(rules.include, [_in_group(group, endpoint, now, sources, lists) for group in rules.groups])


def combine(how: Combination, parts: Iterable[bool]) -> bool:
    """Combine memberships; without any parts everybody is meant, whatever the combination."""
    listed = list(parts)
    if not listed or how is Combination.ALL:
        return all(listed)
    return any(listed) if how is Combination.ANY else not any(listed)


def _in_group(group: Group, endpoint: Endpoint, now: datetime, library: Library, listings: Listings) -> bool:
    sources = [matches(library[source], endpoint, now, library, listings) for source in group.sources]
    criteria = [meets(entry, endpoint, now, listings) for entry in group.dimensions]
    criteria += [_in_group(inner, endpoint, now, library, listings) for inner in group.groups]
    return combine(group.source_type, sources) and combine(group.type, criteria)


def meets(dimensions: Dimensions, endpoint: Endpoint, now: datetime, listings: Listings) -> bool:
    """Tell whether every condition present holds for the endpoint."""
    attributes, users = endpoint.attributes, endpoint.user_attributes
    return (
        all(holds(entry, attributes.get(name, ())) for name, entry in dimensions.attributes.items())
        and all(holds(entry, users.get(name, ())) for name, entry in dimensions.user_attributes.items())
        and all(_metric(entry, endpoint.metrics.get(name)) for name, entry in dimensions.metrics.items())
        and all(_demographic(field, entry, endpoint) for field, entry in dimensions.demographic.items())
        and (dimensions.country is None or _set(dimensions.country, endpoint.location.get("Country")))
        and (dimensions.gps_point is None or _near(dimensions.gps_point, endpoint.location))
        and (dimensions.recency is None or _recent(dimensions.recency, endpoint.last_active_at, now))
        and all(listed(behavior, endpoint, listings) for behavior in dimensions.behaviors)
    )


def listed(condition: Listed, endpoint: Endpoint, listings: Listings) -> bool:
    """Tell whether a condition holds that a list decides."""
    negated = isinstance(condition, BehaviorDimension) and condition.negated
    return (endpoint.ordinal in listings[asked_list(condition)]) is not negated


def holds(entry: AttributeDimension, held: Sequence[str]) -> bool:
    """Tell whether the values of an attribute meet a condition."""
    wanted = entry.values
    match entry.operator:
        case AttributeOperator.INCLUSIVE:
            return any(value in wanted for value in held)
        case AttributeOperator.EXCLUSIVE:
            return not any(value in wanted for value in held)
        case AttributeOperator.CONTAINS:
            return any(part in value for value in held for part in wanted)
    bounds = [bound for bound in map(instant_of, wanted) if bound is not None]
    instants = [instant for instant in map(instant_of, held) if instant is not None]
    match entry.operator:
        case AttributeOperator.BEFORE:
            return any(instant < bound for instant in instants for bound in bounds)
        case AttributeOperator.AFTER:
            return any(instant > bound for instant in instants for bound in bounds)
        case AttributeOperator.ON:
            return any(instant.date() == bound.date() for instant in instants for bound in bounds)
        case _:  # BETWEEN
            return any(bounds[0] <= instant <= bounds[1] for instant in instants)


def _metric(entry: MetricDimension, held: float | None) -> bool:
    if held is None:
        return False
    match entry.operator:
        case MetricOperator.GREATER_THAN:
            return held > entry.value
        case MetricOperator.LESS_THAN:
            return held < entry.value
        case MetricOperator.GREATER_THAN_OR_EQUAL:
            return held >= entry.value
        case MetricOperator.LESS_THAN_OR_EQUAL:
            return held <= entry.value
        case _:
            return held == entry.value


def _demographic(field: DemographicField, entry: SetDimension, endpoint: Endpoint) -> bool:
    if field is DemographicField.CHANNEL:
        return _set(SetDimension(channels(entry.values), entry.exclusive), endpoint.channel or None)
    return _set(entry, endpoint.demographic.get(DEMOGRAPHIC_MEMBERS[field]))


def channels(values: Iterable[str]) -> tuple[str, ...]:
    """Return the channel types meant: `PUSH` covers every push channel type (pinpoint-1 3.3)."""
    listed = list(values)
    return tuple(sorted({*listed, *PUSH_CHANNELS} if "PUSH" in listed else set(listed)))


def _set(entry: SetDimension, held: object) -> bool:
    return (held in entry.values) is not entry.exclusive


def _near(point: GpsPoint, location: Mapping[str, str | float]) -> bool:
    latitude, longitude = location.get("Latitude"), location.get("Longitude")
    if not isinstance(latitude, float) or not isinstance(longitude, float):
        return False
    return distance_kilometers(point.latitude, point.longitude, latitude, longitude) <= point.range_kilometers


def distance_kilometers(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return the great-circle distance of two points given in degrees, by the haversine formula on a sphere."""
    half_height = math.radians(to_latitude - latitude) / 2
    half_width = math.radians(to_longitude - longitude) / 2
    chord = (
        math.sin(half_height) ** 2
        + math.cos(math.radians(latitude)) * math.cos(math.radians(to_latitude)) * math.sin(half_width) ** 2
    )
    # Rounding can carry the chord of opposite points above one.
    return 2 * EARTH_RADIUS_KILOMETERS * math.asin(math.sqrt(min(1.0, chord)))


def _recent(entry: Recency, last_active_at: datetime, now: datetime) -> bool:
    return (last_active_at >= now - entry.duration.length) is entry.active
