"""What a segment is: groups of sources and dimensions (pinpoint-1 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class Combination(StrEnum):
    """How several sets become one."""

    ALL = "ALL"
    ANY = "ANY"
    NONE = "NONE"


class AttributeOperator(StrEnum):
    """How the values of an attribute are compared."""

    INCLUSIVE = "INCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    CONTAINS = "CONTAINS"
    BEFORE = "BEFORE"
    AFTER = "AFTER"
    ON = "ON"
    BETWEEN = "BETWEEN"


INSTANT_OPERATORS = frozenset(
    {AttributeOperator.BEFORE, AttributeOperator.AFTER, AttributeOperator.ON, AttributeOperator.BETWEEN}
)


class MetricOperator(StrEnum):
    """How a metric, on the left, is compared."""

    GREATER_THAN = "GREATER_THAN"
    LESS_THAN = "LESS_THAN"
    GREATER_THAN_OR_EQUAL = "GREATER_THAN_OR_EQUAL"
    LESS_THAN_OR_EQUAL = "LESS_THAN_OR_EQUAL"
    EQUAL = "EQUAL"


class RecencyDuration(StrEnum):
    """How far back activity is looked for."""

    HR_24 = "HR_24"
    DAY_7 = "DAY_7"
    DAY_14 = "DAY_14"
    DAY_30 = "DAY_30"

    @property
    def length(self) -> timedelta:
        """The length of the window."""
        return _LENGTHS[self]


_LENGTHS = {
    RecencyDuration.HR_24: timedelta(hours=24),
    RecencyDuration.DAY_7: timedelta(days=7),
    RecencyDuration.DAY_14: timedelta(days=14),
    RecencyDuration.DAY_30: timedelta(days=30),
}


class DemographicField(StrEnum):
    """What `Demographic` conditions may look at; the values are the names of the proto fields."""

    APP_VERSION = "app_version"
    CHANNEL = "channel"
    DEVICE_TYPE = "device_type"
    MAKE = "make"
    MODEL = "model"
    PLATFORM = "platform"


# Device type has no field of its own and reads the platform (pinpoint-1 3.3). The channel is no member of Demographic.
DEMOGRAPHIC_MEMBERS = {
    DemographicField.APP_VERSION: "AppVersion",
    DemographicField.DEVICE_TYPE: "Platform",
    DemographicField.MAKE: "Make",
    DemographicField.MODEL: "Model",
    DemographicField.PLATFORM: "Platform",
}


@dataclass(frozen=True)
class AttributeDimension:
    """A condition on the values of one attribute."""

    operator: AttributeOperator
    values: tuple[str, ...]


@dataclass(frozen=True)
class MetricDimension:
    """A condition on one metric."""

    operator: MetricOperator
    value: float


@dataclass(frozen=True)
class SetDimension:
    """A condition on one single-valued field: equals one of the values, or (`exclusive`) none of them."""

    values: tuple[str, ...]
    exclusive: bool = False


@dataclass(frozen=True)
class GpsPoint:
    """Within a distance of a point; degrees and kilometres."""

    latitude: float
    longitude: float
    range_kilometers: float


@dataclass(frozen=True)
class Recency:
    """Active, or not active, within a window that ends now."""

    duration: RecencyDuration
    active: bool


@dataclass(frozen=True)
class BehaviorDimension:
    """A condition on the events of an endpoint: it did something at least `min_count` times, or (`negated`) did not.

    An event counts when it meets all conditions on its attributes and metrics. Events are looked at since an instant, or
    `within` a window that ends now; without either all that are kept.
    """

    event_type: str
    min_count: int = 1
    attributes: tuple[tuple[str, AttributeDimension], ...] = ()
    metrics: tuple[tuple[str, MetricDimension], ...] = ()
    within: timedelta | None = None
    since: datetime | None = None
    negated: bool = False


@dataclass(frozen=True)
class ImportedList:
    """The endpoints and the users that an import listed."""

    list_id: str


@dataclass(frozen=True)
class Dimensions:
    """Conditions that must all hold for one endpoint."""

    attributes: Mapping[str, AttributeDimension] = field(default_factory=dict)
    user_attributes: Mapping[str, AttributeDimension] = field(default_factory=dict)
    metrics: Mapping[str, MetricDimension] = field(default_factory=dict)
    demographic: Mapping[DemographicField, SetDimension] = field(default_factory=dict)
    country: SetDimension | None = None
    gps_point: GpsPoint | None = None
    recency: Recency | None = None
    behaviors: tuple[BehaviorDimension, ...] = ()

    def condition_count(self) -> int:
        """Return how many conditions there are: what the limit of 100 dimensions counts."""
        singles = sum(single is not None for single in (self.country, self.gps_point, self.recency))
        singles += len(self.behaviors)
        return singles + len(self.attributes) + len(self.user_attributes) + len(self.metrics) + len(self.demographic)

    def value_count(self) -> int:
        """Return how many values the conditions hold: what the limit of 100 values counts."""
        count = len(self.country.values) if self.country else 0
        for attributes in (self.attributes, self.user_attributes):
            count += sum(len(entry.values) for entry in attributes.values())
        return count + sum(len(entry.values) for entry in self.demographic.values())


@dataclass(frozen=True, order=True)
class SegmentReference:
    """A segment as the source of another; version 0 is the latest."""

    segment_id: str
    version: int = 0


@dataclass(frozen=True)
class Group:
    """The endpoints that are in the sources and match the criteria: dimensions and groups, combined by `type`."""

    sources: tuple[SegmentReference, ...] = ()
    source_type: Combination = Combination.ALL
    dimensions: tuple[Dimensions, ...] = ()
    type: Combination = Combination.ALL
    groups: tuple[Group, ...] = ()

    def all_groups(self) -> Iterator[Group]:
        """Yield the group and every group inside of it."""
        yield self
        for group in self.groups:
            yield from group.all_groups()


@dataclass(frozen=True)
class Rules:
    """Who belongs to a segment: who was imported, else who the groups mean; without groups everybody does."""

    include: Combination = Combination.ALL
    groups: tuple[Group, ...] = ()
    imported: ImportedList | None = None

    def references(self) -> Iterator[SegmentReference]:
        """Yield every source segment named."""
        for group in self.all_groups():
            yield from group.sources

    def condition_count(self) -> int:
        """Return the conditions of all groups, sources not counted."""
        return sum(entry.condition_count() for group in self.all_groups() for entry in group.dimensions)

    def all_groups(self) -> Iterator[Group]:
        """Yield every group, also those inside of others."""
        for group in self.groups:
            yield from group.all_groups()


# The rules of source segments by reference; version 0 maps to what was the latest when the library was read.
Library = Mapping[SegmentReference, Rules]

# Conditions that are answered by a list kept elsewhere and not by what an endpoint holds.
Listed = BehaviorDimension | ImportedList


class Ordinals(Protocol):
    """A set of ordinals."""

    def __contains__(self, ordinal: int, /) -> bool:
        """Tell whether an ordinal is in it."""
        ...


# Who meets each of them; behaviours are listed as if they were not negated.
Listings = Mapping[Listed, Ordinals]


def asked_list(condition: Listed) -> Listed:
    """Return the list that decides a condition: who did something also tells who did not."""
    return replace(condition, negated=False) if isinstance(condition, BehaviorDimension) else condition


def listed_conditions(rules: Rules, library: Library) -> frozenset[Listed]:
    """Return the lists that a segment and its sources need."""
    needed: set[Listed] = set()
    for each in (rules, *library.values()):
        needed |= {each.imported} if each.imported else set()
        for group in each.all_groups():
            needed |= {asked_list(behavior) for entry in group.dimensions for behavior in entry.behaviors}
    return frozenset(needed)
