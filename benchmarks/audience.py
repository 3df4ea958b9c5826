"""Figures of the audience index: six reference segments over 1,000,000 endpoints, its memory, its files.

HELIOGRAPH_BENCH_ENDPOINTS sets how many endpoints there are; ten million take about 3 GB and some minutes to make.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pyroaring import BitMap

from benchmarks.figures import Figure, figure
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
from heliograph_segments.index import files
from heliograph_segments.index.bitmaps import of_mask
from heliograph_segments.index.clauses import Node, plan
from heliograph_segments.index.evaluation import Moment, evaluate
from heliograph_segments.index.partition import PARTITION_BITS, Partition, Row

ENDPOINTS = int(os.environ.get("HELIOGRAPH_BENCH_ENDPOINTS", "1000000"))
NOW = datetime(2026, 11, 1, tzinfo=UTC)
_PORTION = 20_000
_TIMES = 5
_CHANNELS = ("EMAIL", "SMS", "APNS", "GCM", "CUSTOM")
_LOYALTIES = ("gold", "silver", "bronze", "none", "new")
# How many values each single-valued attribute has; `order` has one of its own for nearly everybody.
_ATTRIBUTES = {
    "plan": 4, "tier": 10, "source": 20, "team": 200, "tag": 500, "store": 2000, "referrer": 50_000, "order": 2**31,
}  # fmt: skip


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    process = psutil.Process()
    before = process.memory_info().rss
    began = time.perf_counter()
    partitions = audience(ENDPOINTS)
    built = time.perf_counter() - began
    grown = process.memory_info().rss - before
    bare_pass = _median(lambda: [len(of_mask(each.last_active > 0)) for each in partitions])
    against = f"one comparison over a column of {ENDPOINTS:,} numbers, as bitmaps"
    figures = []
    for name, rules in SEGMENTS.items():
        node, longest = plan(rules, {}), [0.0]
        cold = _median(partial(_count, partitions, node, longest, forget=True))
        warm = _median(partial(_count, partitions, node, longest, forget=False))
        target = "10 ms at 10 M" if name == "equality" else "150 ms at 10 M"
        figures += [
            figure(f"count, {name}", cold, "ms", bare=bare_pass, against=against, target=target),
            figure(f"count again, {name}", warm, "ms", bare=bare_pass, against=against, target=target),
            figure(f"longest step, {name}", longest[0], "ms", bare=bare_pass, against=against, target="5 ms"),
        ]
    figures += [
        figure(
            "rows into the index", ENDPOINTS / built, "rows/s", bare=ENDPOINTS / _bare_dicts(),
            against="making the same rows without an index",
        ),
        figure("memory", grown / ENDPOINTS, "bytes/endpoint", bare=170, against="the design's estimate"),
        *_filed(partitions),
    ]  # fmt: skip
    return figures


def audience(count: int) -> list[Partition]:
    """Return so many endpoints: twelve attributes from 3 to nearly as many values as endpoints, four metrics."""
    partitions: list[Partition] = []
    for first in range(1, count + 1, _PORTION):
        rows = made(first, min(_PORTION, count + 1 - first))
        for number in sorted({rows[0].ordinal >> PARTITION_BITS, rows[-1].ordinal >> PARTITION_BITS}):
            if number == len(partitions):
                partitions.append(Partition(number))
            partitions[number].put([row for row in rows if row.ordinal >> PARTITION_BITS == number])
    return partitions


def made(first: int, count: int) -> list[Row]:
    """Return endpoints `first` and following, the same each time."""
    random = np.random.default_rng(first)

    def drawn(values: int) -> list[Any]:
        numbers: list[Any] = random.integers(0, values, count).tolist()
        return numbers

    singles = {name: [f"{name}{value}" for value in drawn(values)] for name, values in _ATTRIBUTES.items()}
    interests = zip(drawn(50), drawn(50), drawn(2), strict=True)
    lists = [[f"sport{one}", f"sport{other}"][: 1 + both] for one, other, both in interests]
    users = [("f", "m", "x")[value] for value in drawn(3)]
    loyalties, ages = [_LOYALTIES[value] for value in drawn(5)], [f"age{value}" for value in drawn(8)]
    metrics = {
        "ltv": random.gamma(2.0, 60.0, count).round(2).tolist(),
        "sessions": [float(value) for value in drawn(200)],
        "score": (random.random(count) * 100).round(2).tolist(),
        "basket": (random.random(count) * 300).round(2).tolist(),
    }
    countries = ["US" if value < 12 else f"C{value:02}" for value in drawn(40)]
    platforms, channels = [("ios", "android", "web")[value] for value in drawn(3)], drawn(5)
    latitudes, longitudes = (
        (random.random(count) * 120 - 60).round(1).tolist(),
        (random.random(count) * 360 - 180).round(1),
    )
    now = int(NOW.timestamp()) * 1_000_000
    active = (now - random.random(count) ** 2 * 90 * 86_400e6).astype(np.int64).tolist()
    places = longitudes.tolist()
    return [
        Row(
            ordinal=first + n,
            channel=_CHANNELS[channels[n]],
            last_active_us=active[n],
            attributes={"interests": lists[n], **{name: (values[n],) for name, values in singles.items()}},
            user_attributes={"gender": (users[n],), "loyalty": (loyalties[n],), "age": (ages[n],)},
            metrics={name: values[n] for name, values in metrics.items()},
            demographic={"Platform": platforms[n]},
            location={"Country": countries[n], "Latitude": latitudes[n], "Longitude": places[n]},
        )
        for n in range(count)
    ]


def _has(name: str, *values: str, how: AttributeOperator = AttributeOperator.INCLUSIVE) -> Dimensions:
    return Dimensions(attributes={name: AttributeDimension(how, values)})


def _user(name: str, value: str, how: AttributeOperator) -> Dimensions:
    return Dimensions(user_attributes={name: AttributeDimension(how, (value,))})


def _platform(value: str) -> Dimensions:
    return Dimensions(demographic={DemographicField.PLATFORM: SetDimension((value,))})


def _metric(operator: MetricOperator, value: float) -> Dimensions:
    return Dimensions(metrics={"ltv": MetricDimension(operator, value)})


def _all(*dimensions: Dimensions) -> Rules:
    return Rules(groups=(Group(dimensions=dimensions),))


SEGMENTS = {
    "equality": _all(_has("interests", "sport7", "sport13")),
    "country, platform, recency": _all(
        Dimensions(country=SetDimension(("US",))),
        _platform("ios"),
        Dimensions(recency=Recency(RecencyDuration.DAY_7, active=True)),
    ),
    "metric range, substring": _all(
        _metric(MetricOperator.GREATER_THAN_OR_EQUAL, 50),
        _metric(MetricOperator.LESS_THAN_OR_EQUAL, 200),
        _has("referrer", "77", how=AttributeOperator.CONTAINS),
    ),
    "negated user attribute": _all(
        _user("gender", "f", AttributeOperator.INCLUSIVE), _user("loyalty", "gold", AttributeOperator.EXCLUSIVE)
    ),
    "three groups": Rules(
        groups=(
            Group(dimensions=(_has("plan", "plan3"), _has("tier", "tier8", "tier9")), type=Combination.ANY),
            Group(dimensions=(Dimensions(country=SetDimension(("US", "C20", "C21"))), _platform("ios"))),
            Group(dimensions=(_has("source", "source3"), _has("team", "team5")), type=Combination.NONE),
        )
    ),
    "radius": _all(Dimensions(gps_point=GpsPoint(40.0, -74.0, 500.0))),
    "substring of a value per endpoint": _all(_has("order", "777", how=AttributeOperator.CONTAINS)),
}


def _count(partitions: Sequence[Partition], node: Node, longest: list[float], *, forget: bool) -> int:
    found = 0
    for partition in partitions:
        if forget:
            partition.results.clear()
        found += len(_timed(evaluate(partition, node, Moment(NOW + timedelta(seconds=1))), longest))
    return found


def _timed(steps: Generator[None, None, BitMap], longest: list[float]) -> BitMap:
    while True:
        began = time.perf_counter()
        try:
            next(steps)
        except StopIteration as end:
            found: BitMap = end.value
            return found
        finally:
            longest[0] = max(longest[0], (time.perf_counter() - began) * 1000)


def _filed(partitions: Sequence[Partition]) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{each.number}.partition" for each in partitions]
        began = time.perf_counter()
        for partition, path in zip(partitions, paths, strict=True):
            files.write(partition, path, {})
        written = time.perf_counter() - began
        began = time.perf_counter()
        for path in paths:
            files.read(path)
        loaded = time.perf_counter() - began
        began = time.perf_counter()
        for path in paths:
            path.read_bytes()
        bare = time.perf_counter() - began
    against = "reading the same bytes"
    return [
        figure("snapshot to disk", written, "s", bare=bare, against=against),
        figure("load from snapshot", loaded, "s", bare=bare, against=against),
    ]


def _bare_dicts() -> float:
    began = time.perf_counter()
    for first in range(1, ENDPOINTS + 1, _PORTION):
        made(first, min(_PORTION, ENDPOINTS + 1 - first))
    return time.perf_counter() - began


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
