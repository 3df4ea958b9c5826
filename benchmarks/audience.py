"""Figures of the audience: the index by itself over 1,000,000 endpoints, and a service of 200,000 that uses one.

HELIOGRAPH_BENCH_ENDPOINTS sets how many endpoints the index has; ten million take about 3 GB of memory, as much on disk, and
some minutes. HELIOGRAPH_BENCH_RECORDED sets how many the service has, whose record has to be written first.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil
from pyroaring import BitMap

from benchmarks.audience_live import live
from benchmarks.audience_made import NOW, SEGMENTS, batches
from benchmarks.figures import Figure, figure
from heliograph_segments.domain.segments import AttributeDimension, AttributeOperator
from heliograph_segments.index import files
from heliograph_segments.index.clauses import All, Any, AttributeIs, Everyone, Leaf, Node, plan, walk
from heliograph_segments.index.evaluation import Moment, evaluate
from heliograph_segments.index.partition import PARTITION_BITS, Partition

ENDPOINTS = int(os.environ.get("HELIOGRAPH_BENCH_ENDPOINTS", "1000000"))
RECORDED = int(os.environ.get("HELIOGRAPH_BENCH_RECORDED", "200000"))
_TIMES = 5
_MOMENT = Moment(NOW + timedelta(seconds=1))


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    return [*_indexed(), *await live(RECORDED)]


def _indexed() -> list[Figure]:
    process = psutil.Process()
    before = process.memory_info().rss
    partitions, made_in, put_in = _built()
    gc.collect()
    grown = process.memory_info().rss - before
    figures = []
    for name, rules in SEGMENTS.items():
        node, longest = plan(rules, {}), [0.0]
        cold = _median(partial(_count, partitions, node, longest, forget=True))
        warm = _median(partial(_count, partitions, node, longest, forget=False))
        prepared = [_sets(partition, node) for partition in partitions]
        bare = _median(partial(_combine_all, partitions, node, prepared))
        members = sum(_count_each(partitions, node))
        if members != _combine_all(partitions, node, prepared):
            raise RuntimeError(f"{name}: the bare bitmaps have other members than the index")
        against = f"combining the bitmaps of each value and condition ({members:,} members)"
        target = "10 ms at 10 M" if name == "equality" else "150 ms at 10 M"
        figures += [
            figure(f"count, {name}", cold, "ms", bare=bare, against=against, target=target),
            figure(f"count again, {name}", warm, "ms", bare=bare, against="the same", target=target),
            figure(f"longest step, {name}", longest[0], "ms", bare=bare, against="the same", target="5 ms"),
        ]
    figures += [
        figure(
            "columns into the index", ENDPOINTS / put_in, "rows/s", bare=ENDPOINTS / made_in,
            against="drawing the same columns at random",
        ),
        figure("memory", grown / ENDPOINTS, "bytes/endpoint", bare=170, against="the design's estimate"),
        *_filed(partitions),
    ]  # fmt: skip
    return figures


def _built() -> tuple[list[Partition], float, float]:
    """Return the audience, and the seconds for making its columns and for putting them in."""
    partitions: list[Partition] = []
    began, put_in = time.perf_counter(), 0.0
    for batch in batches(ENDPOINTS):
        number = int(batch.ordinals[0]) >> PARTITION_BITS
        if number == len(partitions):
            partitions.append(Partition(number))
        entering = time.perf_counter()
        partitions[number].put_batch(batch)
        put_in += time.perf_counter() - entering
    return partitions, time.perf_counter() - began - put_in, put_in


def _count(partitions: Sequence[Partition], node: Node, longest: list[float], *, forget: bool) -> int:
    found = 0
    for partition in partitions:
        if forget:
            partition.results.clear()
        found += len(_timed(evaluate(partition, node, _MOMENT), longest))
    return found


def _count_each(partitions: Sequence[Partition], node: Node) -> list[int]:
    return [len(_timed(evaluate(partition, node, _MOMENT), [0.0])) for partition in partitions]


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


def _sets(partition: Partition, node: Node) -> dict[int, list[BitMap]]:
    """Return who meets each condition, value by value where it names several: what plain bitmaps would be kept of."""
    sets = {}
    for leaf in walk(node):
        if isinstance(leaf, Leaf):
            alternatives = [_timed(evaluate(partition, each, _MOMENT), [0.0]) for each in _by_value(leaf)]
            sets[id(leaf)] = alternatives
    return sets


def _by_value(leaf: Leaf) -> list[Leaf]:
    match leaf.condition:
        case AttributeIs(wanted=AttributeDimension(AttributeOperator.INCLUSIVE, values)) as condition:
            return [Leaf(replace(condition, wanted=replace(condition.wanted, values=(value,)))) for value in values]
    return [leaf]


def _combine_all(partitions: Sequence[Partition], node: Node, prepared: Sequence[Mapping[int, list[BitMap]]]) -> int:
    return sum(
        len(_combined(partition.alive, node, sets)) for partition, sets in zip(partitions, prepared, strict=True)
    )


def _combined(everybody: BitMap, node: Node, sets: Mapping[int, list[BitMap]]) -> BitMap:
    match node:
        case Everyone():
            return everybody
        case Leaf():
            return BitMap.union(*sets[id(node)])
        case All(parts):
            return BitMap.intersection(*(_combined(everybody, part, sets) for part in parts)) if parts else everybody
        case Any(parts, negated):
            found = BitMap.union(*(_combined(everybody, part, sets) for part in parts))
            return everybody - found if negated else found


def _filed(partitions: Sequence[Partition]) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{each.number}.partition" for each in partitions]
        began = time.perf_counter()
        for partition, path in zip(partitions, paths, strict=True):
            files.write(partition, path, {})
        written = time.perf_counter() - began
        loaded = _seconds(lambda: [files.read(path) for path in paths])
        size = sum(path.stat().st_size for path in paths)
        bare = _seconds(lambda: [path.read_bytes() for path in paths])
    against = f"reading the same {size / 2**20:,.0f} MiB"
    return [
        figure("snapshot to disk", written, "s", bare=bare, against=against),
        figure("load from snapshot", loaded, "s", bare=bare, against=against),
    ]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _median(call: Callable[[], object]) -> float:
    return statistics.median(_seconds(call) * 1000 for _ in range(_TIMES))
