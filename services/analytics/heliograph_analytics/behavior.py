"""What it means to have done something: the question, its limits, and a slow answer that defines it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from heliograph_analytics.domain import KEY_COUNT, KEY_LENGTH, TYPE_LENGTH

MAX_COUNT = 10_000
SHORTEST_WINDOW = timedelta(minutes=1)
LONGEST_WINDOW = timedelta(days=366)
VALUES = 50
"""Most values of one condition."""
VALUE_LENGTH = 100

AttributeOperator = Literal["INCLUSIVE", "EXCLUSIVE", "CONTAINS"]
MetricOperator = Literal["GREATER_THAN", "LESS_THAN", "GREATER_THAN_OR_EQUAL", "LESS_THAN_OR_EQUAL", "EQUAL"]


class AttributeCondition(NamedTuple):
    """A condition on the one value that an event has for an attribute; one of the values is enough."""

    operator: AttributeOperator
    values: tuple[str, ...]


class MetricCondition(NamedTuple):
    """A condition on a metric, which stands on the left; an absent one does not meet it."""

    operator: MetricOperator
    value: float


@dataclass(frozen=True)
class Behavior:
    """Events of a type, at least `min_count` of them, within a window that ends now or since an instant."""

    event_type: str
    min_count: int = 1
    attributes: Mapping[str, AttributeCondition] = field(default_factory=dict)
    metrics: Mapping[str, MetricCondition] = field(default_factory=dict)
    within: timedelta | None = None
    since: datetime | None = None

    def first(self, now: datetime) -> datetime | None:
        """Return the earliest instant that is looked at, itself included; None for all times."""
        return self.since if self.within is None else now - self.within

    def last(self, now: datetime) -> datetime | None:
        """Return the latest instant that is looked at, itself included; None for all times."""
        return None if self.within is None else now


class Happened(NamedTuple):
    """An event as far as it matters here."""

    endpoint: str
    type: str
    time: datetime
    attributes: Mapping[str, str]
    metrics: Mapping[str, float]


class Wrong(NamedTuple):
    """One thing wrong with a question: the field, the sentence for people, the reason for code."""

    field: str
    description: str
    reason: str


def wrongs_of(behavior: Behavior) -> list[Wrong]:
    """Return everything that is wrong with a question."""
    found: list[Wrong] = []
    if not behavior.event_type:
        found.append(Wrong("event_type", "is required", "MISSING"))
    if len(behavior.event_type) > TYPE_LENGTH:
        found.append(Wrong("event_type", f"use at most {TYPE_LENGTH} characters", "TOO_LONG"))
    if not 1 <= behavior.min_count <= MAX_COUNT:
        found.append(Wrong("min_count", f"use 0, which means 1, to {MAX_COUNT}", "OUT_OF_RANGE"))
    if behavior.within is not None and not SHORTEST_WINDOW <= behavior.within <= LONGEST_WINDOW:
        found.append(Wrong("within", "use a minute to 366 days", "OUT_OF_RANGE"))
    if len(behavior.attributes) + len(behavior.metrics) > KEY_COUNT:
        found.append(Wrong("attributes", f"use at most {KEY_COUNT} attributes and metrics together", "TOO_MANY"))
    names = [f"attributes[{name}]" for name in behavior.attributes if not 1 <= len(name) <= KEY_LENGTH]
    names += [f"metrics[{name}]" for name in behavior.metrics if not 1 <= len(name) <= KEY_LENGTH]
    found += [Wrong(path, f"use names of 1 to {KEY_LENGTH} characters", "TOO_LONG") for path in names]
    for name, condition in behavior.attributes.items():
        found += _wrong_values(f"attributes[{name}].values", condition)
    for name, metric in behavior.metrics.items():
        if not math.isfinite(metric.value):
            found.append(Wrong(f"metrics[{name}].value", "use a finite number", "NOT_FINITE"))
    return found


def _wrong_values(path: str, condition: AttributeCondition) -> list[Wrong]:
    found: list[Wrong] = []
    if not 1 <= len(condition.values) <= VALUES:
        found.append(Wrong(path, f"use 1 to {VALUES} values", "OUT_OF_RANGE"))
    for place, value in enumerate(condition.values):
        if len(value) > VALUE_LENGTH:
            found.append(Wrong(f"{path}[{place}]", f"use at most {VALUE_LENGTH} characters", "TOO_LONG"))
        if condition.operator == "CONTAINS" and not value:
            found.append(Wrong(f"{path}[{place}]", "must not be empty: everything contains it", "MISSING"))
    return found


def actors(behavior: Behavior, events: Iterable[Happened], now: datetime) -> set[str]:
    """Return the endpoints, in lower case, that did it: the definition that the store is held to."""
    counts = Counter(event.endpoint.lower() for event in events if event.endpoint and _counts(behavior, event, now))
    return {endpoint for endpoint, count in counts.items() if count >= behavior.min_count}


def _counts(behavior: Behavior, event: Happened, now: datetime) -> bool:
    first, last = behavior.first(now), behavior.last(now)
    return (
        event.type == behavior.event_type
        and (first is None or event.time >= first)
        and (last is None or event.time <= last)
        and all(_meets(condition, event.attributes.get(name)) for name, condition in behavior.attributes.items())
        and all(_compares(condition, event.metrics.get(name)) for name, condition in behavior.metrics.items())
    )


def _meets(condition: AttributeCondition, held: str | None) -> bool:
    match condition.operator:
        case "INCLUSIVE":
            return held in condition.values
        case "EXCLUSIVE":
            return held not in condition.values
        case _:
            return held is not None and any(part in held for part in condition.values)


def _compares(condition: MetricCondition, held: float | None) -> bool:
    if held is None:
        return False
    match condition.operator:
        case "GREATER_THAN":
            return held > condition.value
        case "LESS_THAN":
            return held < condition.value
        case "GREATER_THAN_OR_EQUAL":
            return held >= condition.value
        case "LESS_THAN_OR_EQUAL":
            return held <= condition.value
        case _:
            return held == condition.value
