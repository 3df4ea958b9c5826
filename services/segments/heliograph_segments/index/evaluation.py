"""Evaluating a segment over one partition, in steps of a few milliseconds.

Cheap conditions come first and the others look only at who is left. The result of a condition over the whole partition is
kept: a marketer who changes one clause pays for that clause. What depends on the time or on a list is never kept.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any as Anything

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from heliograph_segments.domain.evaluator import EARTH_RADIUS_KILOMETERS, channels, distance_kilometers, holds
from heliograph_segments.domain.instants import instant_of
from heliograph_segments.domain.segments import (
    DEMOGRAPHIC_MEMBERS,
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    DemographicField,
    GpsPoint,
    ImportedList,
    Listed,
    MetricDimension,
    MetricOperator,
    Recency,
    asked_list,
)
from heliograph_segments.index.bitmaps import of_mask, of_numbers, positions_of
from heliograph_segments.index.clauses import (
    All,
    Any,
    AttributeIs,
    Condition,
    CountryIs,
    DemographicIs,
    Everyone,
    Held,
    Leaf,
    MetricIs,
    Node,
    walk,
)
from heliograph_segments.index.columns import NO_INSTANT, NOWHERE, TextColumn, microseconds
from heliograph_segments.index.partition import CHANNEL, COUNTRY, Partition

Steps = Generator[None, None, BitMap]
Mask = NDArray[Anything]

# Looking at single positions beats a pass over the column up to this share of the partition.
_FEW = 8
_DAY = 86_400_000_000
# So few endpoints are tested by their values, without a look at all others that the column holds.
_BY_VALUE = 512
# How far numpy's distance may lie from the evaluator's, kilometres; who is closer to the edge is measured again.
_EDGE = 1e-6
# Distances measured in one step.
_MEASURED_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class ClauseCount:
    """How many endpoints a clause matches alone, and how many are left inside of its parent after it."""

    path: str
    match_count: int
    remaining_count: int


@dataclass(frozen=True)
class Moment:
    """When a question is asked, and the positions of those who are on the lists that it needs."""

    now: datetime
    listings: Mapping[Listed, BitMap] = field(default_factory=dict)


@dataclass(frozen=True)
class _Question:
    partition: Partition
    moment: Moment


def evaluate(partition: Partition, node: Node, moment: Moment, within: BitMap | None = None) -> Steps:
    """Return the positions that match, looking at `within` only when given.

    A generator: it yields between its steps and returns the result at its end. The partition must not change meanwhile.
    """
    looked_at = partition.alive if within is None else within & partition.alive
    return (yield from _evaluate(_Question(partition, moment), node, looked_at))


def clause_counts(partition: Partition, node: Node, moment: Moment) -> Generator[None, None, list[ClauseCount]]:
    """Return the counts of every clause that has a path, outer ones first; a generator like `evaluate`."""
    question = _Question(partition, moment)
    matched: dict[int, BitMap] = {}
    for each in walk(node):
        matched[id(each)] = yield from _evaluate(question, each, partition.alive)
    left = {id(node): len(matched[id(node)])}
    for each in walk(node):
        if isinstance(each, All | Any):
            sofar = partition.alive if isinstance(each, All) else BitMap()
            for part in each.parts:
                sofar = sofar & matched[id(part)] if isinstance(each, All) else sofar | matched[id(part)]
                negated = isinstance(each, Any) and each.negated
                left[id(part)] = len(partition.alive) - len(sofar) if negated else len(sofar)
            yield
    return [ClauseCount(each.path, len(matched[id(each)]), left[id(each)]) for each in walk(node) if each.path]


def _evaluate(question: _Question, node: Node, within: BitMap) -> Steps:
    match node:
        case Everyone():
            return within
        case Leaf(condition):
            return (yield from _leaf(question, condition, within))
        case All(parts):
            for part in sorted(parts, key=lambda part: _cost(question.partition, part)):
                if not within:
                    break
                within = yield from _evaluate(question, part, within)
            return within
        case Any(parts, negated):
            rest = within
            for part in sorted(parts, key=lambda part: _cost(question.partition, part)):
                if not rest:
                    break
                rest = rest - (yield from _evaluate(question, part, rest))
            return rest if negated else within - rest


def _cost(partition: Partition, node: Node) -> int:
    match node:
        case Everyone():
            return 0
        case Leaf(condition):
            if condition in partition.results:
                return 0
            match condition:
                case BehaviorDimension() | ImportedList():
                    return 0
                case AttributeIs(wanted=AttributeDimension(AttributeOperator.CONTAINS)):
                    return 4
                case AttributeIs(wanted=AttributeDimension(AttributeOperator.INCLUSIVE | AttributeOperator.EXCLUSIVE)):
                    return 1
                case DemographicIs() | CountryIs():
                    return 1
                case MetricIs() | Recency():
                    return 2
                case GpsPoint():
                    return 3
                case _:
                    return 5
        case All(parts) | Any(parts):
            return 1 + max((_cost(partition, part) for part in parts), default=0)


def _leaf(question: _Question, condition: Condition, within: BitMap) -> Steps:
    if isinstance(condition, BehaviorDimension | ImportedList):
        listed = question.moment.listings[asked_list(condition)]
        negated = isinstance(condition, BehaviorDimension) and condition.negated
        return within - listed if negated else within & listed
    partition = question.partition
    kept = partition.kept(condition)
    if kept is not None:
        if kept.stale:
            again = yield from _met_by(question, condition, kept.stale & partition.alive, whole=False)
            kept.found, kept.stale = (kept.found - kept.stale) | again, BitMap()
        return within & kept.found
    if len(within) * _FEW < len(partition.alive):
        return (yield from _met_by(question, condition, within, whole=False))
    found = yield from _met_by(question, condition, partition.alive, whole=True)
    if not isinstance(condition, Recency):
        partition.keep(condition, found)
    return within & found


def _met_by(question: _Question, condition: Held, positions: BitMap, *, whole: bool) -> Steps:
    """Return those of the positions that meet a condition; `whole` says that they are all there are."""
    where = None if whole else positions_of(positions)
    mask: Mask
    exclusive = False
    partition = question.partition
    match condition:
        case AttributeIs(of_user, name, wanted):
            column = (partition.user_attributes if of_user else partition.attributes).get(name)
            exclusive = _is_exclusive(wanted)
            mask = yield from _texts(column, wanted, where, partition.capacity)
        case DemographicIs(field, one_of):
            is_channel = field is DemographicField.CHANNEL
            column = partition.facts.get(CHANNEL if is_channel else DEMOGRAPHIC_MEMBERS[field])
            values = channels(one_of.values) if is_channel else one_of.values
            exclusive = one_of.exclusive
            equal = AttributeDimension(AttributeOperator.INCLUSIVE, tuple(values))
            mask = yield from _texts(column, equal, where, partition.capacity)
        case CountryIs(one_of):
            exclusive = one_of.exclusive
            equal = AttributeDimension(AttributeOperator.INCLUSIVE, one_of.values)
            mask = yield from _texts(partition.facts.get(COUNTRY), equal, where, partition.capacity)
        case MetricIs(name, metric):
            numbers = partition.metrics.get(name)
            if numbers is None:
                return BitMap()
            mask = _compared(metric, _at(numbers.numbers, where))
        case Recency(duration, active):
            since = microseconds(question.moment.now - duration.length)
            mask = _at(partition.last_active, where) >= since
            exclusive = not active
        case GpsPoint():
            mask = yield from _near(
                condition, _at(partition.places.latitudes, where), _at(partition.places.longitudes, where)
            )
    yield
    found = of_mask(mask) if where is None else of_numbers(where[mask])
    if exclusive:
        return positions - found
    return found & positions


def _texts(
    column: TextColumn | None, wanted: AttributeDimension, where: NDArray[np.int64] | None, capacity: int
) -> Generator[None, None, Mask]:
    """Return the mask of those with some value that is wanted; EXCLUSIVE is answered as INCLUSIVE."""
    size = capacity if where is None else len(where)
    if column is None:
        return np.zeros(size, np.bool_)
    codes = _at(column.codes, where)
    if size <= _BY_VALUE:
        held, inverse = np.unique(codes, return_inverse=True)
        test = replace(wanted, operator=AttributeOperator.INCLUSIVE) if _is_exclusive(wanted) else wanted
        return np.asarray([holds(test, column.values_of(int(code))) for code in held], np.bool_)[inverse]
    found: list[NDArray[np.int64]] = []
    match wanted.operator:
        case AttributeOperator.INCLUSIVE | AttributeOperator.EXCLUSIVE:
            known = {column.texts.find(value) for value in wanted.values} - {0}
            found.append(np.fromiter(known, np.int64))
        case AttributeOperator.CONTAINS:
            for part in wanted.values:
                holders = yield from column.texts.containing(part)
                found.append(holders)
        case _:
            instants = yield from column.instants()
            found.append(np.flatnonzero(_timely(wanted, instants)) + 1)
    chosen = np.concatenate(found)
    if not len(chosen):
        return np.zeros(size, np.bool_)
    return (yield from column.holding(chosen, codes))


def _is_exclusive(wanted: AttributeDimension) -> bool:
    return wanted.operator is AttributeOperator.EXCLUSIVE


def _timely(wanted: AttributeDimension, instants: NDArray[np.int64]) -> Mask:
    bounds = [microseconds(bound) for bound in map(instant_of, wanted.values) if bound is not None]
    mask: Mask
    valid = instants != NO_INSTANT
    match wanted.operator:
        case AttributeOperator.BEFORE:
            mask = valid & (instants < max(bounds))
        case AttributeOperator.AFTER:
            mask = valid & (instants > min(bounds))
        case AttributeOperator.ON:
            mask = valid & np.isin(instants // _DAY, [bound // _DAY for bound in bounds])
        case _:  # BETWEEN
            mask = valid & (instants >= bounds[0]) & (instants <= bounds[1])
    return mask


def _compared(metric: MetricDimension, held: NDArray[np.float64]) -> Mask:
    mask: Mask
    match metric.operator:
        case MetricOperator.GREATER_THAN:
            mask = held > metric.value
        case MetricOperator.LESS_THAN:
            mask = held < metric.value
        case MetricOperator.GREATER_THAN_OR_EQUAL:
            mask = held >= metric.value
        case MetricOperator.LESS_THAN_OR_EQUAL:
            mask = held <= metric.value
        case _:
            mask = held == metric.value
    return mask


def _near(point: GpsPoint, latitudes: NDArray[np.int16], longitudes: NDArray[np.int16]) -> Generator[None, None, Mask]:
    # A band of latitudes first: the great circle is never shorter than the way along the meridian.
    degrees = np.degrees(point.range_kilometers / EARTH_RADIUS_KILOMETERS) + 0.01
    low = np.int16(max(-901, np.floor((point.latitude - degrees) * 10)))
    high = np.int16(min(901, np.ceil((point.latitude + degrees) * 10)))
    candidates = np.flatnonzero((latitudes >= low) & (latitudes <= high) & (latitudes != NOWHERE))
    yield
    mask = np.zeros(len(latitudes), np.bool_)
    for start in range(0, len(candidates), _MEASURED_AT_ONCE):
        some = candidates[start : start + _MEASURED_AT_ONCE]
        latitude, longitude = latitudes[some] / 10, longitudes[some] / 10
        chord = (
            np.sin(np.radians(latitude - point.latitude) / 2) ** 2
            + np.cos(np.radians(point.latitude))
            * np.cos(np.radians(latitude))
            * np.sin(np.radians(longitude - point.longitude) / 2) ** 2
        )
        distance = 2 * EARTH_RADIUS_KILOMETERS * np.arcsin(np.sqrt(np.minimum(1.0, chord)))
        mask[some] = distance <= point.range_kilometers
        for place in np.flatnonzero(np.abs(distance - point.range_kilometers) < _EDGE):
            exact = distance_kilometers(
                point.latitude, point.longitude, float(latitude[place]), float(longitude[place])
            )
            mask[some[place]] = exact <= point.range_kilometers
        yield
    return mask


def _at(column: NDArray[Anything], where: NDArray[np.int64] | None) -> NDArray[Anything]:
    return column if where is None else column.take(where)
