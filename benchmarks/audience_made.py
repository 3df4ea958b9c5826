"""The audience of the index figures: twelve attributes of mixed cardinality, four metrics, and six reference segments.

Endpoints are made by columns, the same each time: ten million of them in about a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
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
    SetDimension,
)
from heliograph_segments.index.batches import Batch, Numbers, Texts
from heliograph_segments.index.partition import CHANNEL, COUNTRY, PARTITION_SIZE

NOW = datetime(2026, 11, 1, tzinfo=UTC)
_PORTION = PARTITION_SIZE // 4
# How many values each single-valued attribute has; `order` has one of its own for nearly everybody.
_ATTRIBUTES = {
    "plan": 4, "tier": 10, "source": 20, "team": 200, "tag": 500, "store": 2000, "referrer": 50_000, "order": 2**31,
}  # fmt: skip
_CHANNELS = ("EMAIL", "SMS", "APNS", "GCM", "CUSTOM")
_COUNTRIES = ("US",) * 12 + tuple(f"C{value:02}" for value in range(12, 40))
_LOYALTIES = ("gold", "silver", "bronze", "none", "new")


def batches(count: int) -> Iterator[Batch]:
    """Yield endpoints with the ordinals 1 to `count`, some 260,000 at once, never of two partitions."""
    first = 1
    while first <= count:
        end = min(count + 1, (first // _PORTION + 1) * _PORTION)
        yield made(first, end - first)
        first = end


def made(first: int, count: int) -> Batch:
    """Return endpoints `first` and following, the same each time."""
    random = np.random.default_rng(first)
    pairs = random.integers(0, 50 * 50 * 2, count)
    now = int(NOW.timestamp()) * 1_000_000
    metrics = {
        "ltv": random.gamma(2.0, 60.0, count).round(2),
        "sessions": random.integers(0, 200, count).astype(np.float64),
        "score": (random.random(count) * 100).round(2),
        "basket": (random.random(count) * 300).round(2),
    }
    return Batch(
        ordinals=np.arange(first, first + count),
        last_active_us=(now - random.random(count) ** 2 * 90 * 86_400e6).astype(np.int64),
        attributes={
            "interests": _texts(pairs, [_interests(number) for number in range(50 * 50 * 2)]),
            **{name: _numbered(random, name, values, count) for name, values in _ATTRIBUTES.items()},
        },
        user_attributes={
            "gender": _chosen(random, ("f", "m", "x"), count),
            "loyalty": _chosen(random, _LOYALTIES, count),
            "age": _numbered(random, "age", 8, count),
        },
        facts={
            CHANNEL: _chosen(random, _CHANNELS, count),
            COUNTRY: _chosen(random, _COUNTRIES, count),
            "Platform": _chosen(random, ("ios", "android", "web"), count),
        },
        metrics={name: Numbers(np.arange(count), numbers) for name, numbers in metrics.items()},
        latitudes=(random.random(count) * 120 - 60).round(1),
        longitudes=(random.random(count) * 360 - 180).round(1),
    )


def _interests(number: int) -> tuple[str, ...]:
    one, other, both = number // 100, number // 2 % 50, number % 2
    return (f"sport{one}", f"sport{other}")[: 1 + both]


def _numbered(random: Generator, name: str, values: int, count: int) -> Texts:
    numbers, choices = np.unique(random.integers(0, values, count), return_inverse=True)
    return _texts(choices, [(f"{name}{number}",) for number in numbers.tolist()])


def _chosen(random: Generator, texts: Sequence[str], count: int) -> Texts:
    return _texts(random.integers(0, len(texts), count), [(text,) for text in texts])


def _texts(choices: NDArray[np.int64], values: Sequence[Sequence[str]]) -> Texts:
    return Texts(np.arange(len(choices)), choices, values)


def csv_of(count: int) -> Iterator[str]:
    """Yield the lines of an import of endpoints 1 to `count`, users and e-mail addresses of their own included."""
    names: list[str] | None = None
    for batch in batches(count):
        columns: dict[str, list[str]] = {
            "Id": [f"e{ordinal}" for ordinal in batch.ordinals.tolist()],
            "Address": [f"person{ordinal}@example.com" for ordinal in batch.ordinals.tolist()],
            "User.UserId": [f"u{ordinal}" for ordinal in batch.ordinals.tolist()],
            "ChannelType": _cells(batch.facts[CHANNEL], 0),
            "Location.Country": _cells(batch.facts[COUNTRY], 0),
            "Demographic.Platform": _cells(batch.facts["Platform"], 0),
            "Location.Latitude": list(map(str, batch.latitudes.tolist())),
            "Location.Longitude": list(map(str, batch.longitudes.tolist())),
            **{f"Metrics.{name}": list(map(str, held.numbers.tolist())) for name, held in batch.metrics.items()},
            **{f"User.UserAttributes.{name}": _cells(held, 0) for name, held in batch.user_attributes.items()},
            **{f"Attributes.{name}": _cells(held, 0) for name, held in batch.attributes.items()},
        }
        if names is None:
            names = [*columns, "Attributes.interests"]
            yield ",".join(names) + "\n"
        for cells in zip(*columns.values(), _cells(batch.attributes["interests"], 1), strict=True):
            yield ",".join(cells) + "\n"


def _cells(texts: Texts, place: int) -> list[str]:
    values = [held[place] if place < len(held) else "" for held in texts.values]
    return [values[choice] for choice in texts.choices.tolist()]


def has(name: str, *values: str, how: AttributeOperator = AttributeOperator.INCLUSIVE) -> Dimensions:
    """Return a condition on an attribute."""
    return Dimensions(attributes={name: AttributeDimension(how, values)})


def _user(name: str, value: str, how: AttributeOperator) -> Dimensions:
    return Dimensions(user_attributes={name: AttributeDimension(how, (value,))})


def _platform(value: str) -> Dimensions:
    return Dimensions(demographic={DemographicField.PLATFORM: SetDimension((value,))})


def _metric(operator: MetricOperator, value: float) -> Dimensions:
    return Dimensions(metrics={"ltv": MetricDimension(operator, value)})


def all_of(*dimensions: Dimensions) -> Rules:
    """Return rules with one group of those dimensions, all of which must match."""
    return Rules(groups=(Group(dimensions=dimensions),))


SEGMENTS = {
    "equality": all_of(has("interests", "sport7", "sport13")),
    "country, platform, recency": all_of(
        Dimensions(country=SetDimension(("US",))),
        _platform("ios"),
        Dimensions(recency=Recency(RecencyDuration.DAY_7, active=True)),
    ),
    "metric range, substring": all_of(
        _metric(MetricOperator.GREATER_THAN_OR_EQUAL, 50),
        _metric(MetricOperator.LESS_THAN_OR_EQUAL, 200),
        has("referrer", "77", how=AttributeOperator.CONTAINS),
    ),
    "negated user attribute": all_of(
        _user("gender", "f", AttributeOperator.INCLUSIVE), _user("loyalty", "gold", AttributeOperator.EXCLUSIVE)
    ),
    "three groups": Rules(
        groups=(
            Group(dimensions=(has("plan", "plan3"), has("tier", "tier8", "tier9")), type=Combination.ANY),
            Group(dimensions=(Dimensions(country=SetDimension(("US", "C20", "C21"))), _platform("ios"))),
            Group(dimensions=(has("source", "source3"), has("team", "team5")), type=Combination.NONE),
        )
    ),
    "radius": all_of(Dimensions(gps_point=GpsPoint(40.0, -74.0, 500.0))),
    "substring of a value per endpoint": all_of(has("order", "777", how=AttributeOperator.CONTAINS)),
}
