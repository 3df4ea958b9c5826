"""A segment as one tree of clauses: what the index evaluates and whose parts it counts (pinpoint-1 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heliograph_segments.domain.segments import (
    AttributeDimension,
    Combination,
    DemographicField,
    Dimensions,
    GpsPoint,
    Group,
    Library,
    Listed,
    MetricDimension,
    Recency,
    Rules,
    SetDimension,
)


@dataclass(frozen=True)
class AttributeIs:
    """A condition on an attribute of the endpoint, or of its user."""

    of_user: bool
    name: str
    wanted: AttributeDimension


@dataclass(frozen=True)
class MetricIs:
    """A condition on a metric."""

    name: str
    wanted: MetricDimension


@dataclass(frozen=True)
class DemographicIs:
    """A condition on a fact about the device, or the channel."""

    field: DemographicField
    wanted: SetDimension


@dataclass(frozen=True)
class CountryIs:
    """A condition on the country."""

    wanted: SetDimension


# What the fields of an endpoint decide, and what a list decides that is kept elsewhere.
Held = AttributeIs | MetricIs | DemographicIs | CountryIs | GpsPoint | Recency
Condition = Held | Listed


@dataclass(frozen=True)
class Everyone:
    """Matches everybody."""

    path: str = field(default="", compare=False)


@dataclass(frozen=True)
class Leaf:
    """One condition."""

    condition: Condition
    path: str = field(default="", compare=False)


@dataclass(frozen=True)
class All:
    """Matches who matches every part."""

    parts: tuple[Node, ...]
    path: str = field(default="", compare=False)


@dataclass(frozen=True)
class Any:
    """Matches who matches some part; `negated`: none of them."""

    parts: tuple[Node, ...]
    negated: bool = False
    path: str = field(default="", compare=False)


Node = Everyone | Leaf | All | Any


def plan(rules: Rules, library: Library) -> Node:
    """Return the tree of a segment; the library holds every source, and they do not run in circles."""
    return _rules(rules, library, "")


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything inside of it, outer ones first."""
    yield node
    if isinstance(node, All | Any):
        for part in node.parts:
            yield from walk(part)


def _rules(rules: Rules, library: Library, path: str) -> Node:
    if rules.imported:
        return Leaf(rules.imported, path)
    inner = f"{path}." if path else ""
    parts = [_group(group, library, f"{inner}groups[{place}]") for place, group in enumerate(rules.groups)]
    return _combined(rules.include, parts, path)


def _group(group: Group, library: Library, path: str) -> Node:
    sources = [
        _rules(library[source], library, f"{path}.source_segments[{place}]")
        for place, source in enumerate(group.sources)
    ]
    criteria = [_dimensions(entry, f"{path}.dimensions[{place}]") for place, entry in enumerate(group.dimensions)]
    criteria += [_group(inner, library, f"{path}.groups[{place}]") for place, inner in enumerate(group.groups)]
    both = (_combined(group.source_type, sources, ""), _combined(group.type, criteria, ""))
    return All(tuple(part for part in both if not isinstance(part, Everyone)), path)


def _dimensions(entry: Dimensions, path: str) -> Node:
    leaves = [
        Leaf(AttributeIs(of_user, name, wanted), f"{path}.{member}[{name}]")
        for of_user, member, given in (
            (False, "attributes", entry.attributes),
            (True, "user_attributes", entry.user_attributes),
        )
        for name, wanted in given.items()
    ]
    leaves += [Leaf(MetricIs(name, wanted), f"{path}.metrics[{name}]") for name, wanted in entry.metrics.items()]
    leaves += [
        Leaf(DemographicIs(member, wanted), f"{path}.demographic.{member}")
        for member, wanted in entry.demographic.items()
    ]
    if entry.country is not None:
        leaves.append(Leaf(CountryIs(entry.country), f"{path}.location.country"))
    if entry.gps_point is not None:
        leaves.append(Leaf(entry.gps_point, f"{path}.location.gps_point"))
    if entry.recency is not None:
        leaves.append(Leaf(entry.recency, f"{path}.recency"))
    leaves += [Leaf(behavior, f"{path}.behaviors[{place}]") for place, behavior in enumerate(entry.behaviors)]
    return All(tuple(leaves), path)


def _combined(how: Combination, parts: Sequence[Node], path: str) -> Node:
    """Without any parts everybody is meant, whatever the combination."""
    if not parts:
        return Everyone(path)
    if how is Combination.ALL:
        return All(tuple(parts), path)
    return Any(tuple(parts), negated=how is Combination.NONE, path=path)
