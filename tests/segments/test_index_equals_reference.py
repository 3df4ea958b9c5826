"""The index is held to the reference evaluator: on random audiences, after random writes, and from disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from heliograph_segments.domain.endpoints import Endpoint, EndpointUpdate
from heliograph_segments.domain.evaluator import matches
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    Dimensions,
    Group,
    Listed,
    MetricDimension,
    MetricOperator,
    Rules,
    SegmentReference,
)
from heliograph_segments.index import files
from heliograph_segments.index.bitmaps import of_mask, positions_of
from heliograph_segments.index.clauses import All, Any, MetricIs, Node, plan, walk
from heliograph_segments.index.columns import microseconds
from heliograph_segments.index.comparing import difference, differing
from heliograph_segments.index.dictionary import Dictionary
from heliograph_segments.index.evaluation import Moment, clause_counts, evaluate
from heliograph_segments.index.partition import PARTITION_SIZE, Partition, Row
from tests.segments.builders import NOW
from tests.segments.test_sql_equals_reference import COMBINATIONS, EveryThird, dimensions, segments, updates

# 2,000 random cases in every run; more with HELIOGRAPH_TEST_CASES.
CASES = int(os.environ.get("HELIOGRAPH_TEST_CASES", "1500"))
FIRST = 3 << 20
T = TypeVar("T")


class Shifted(EveryThird):
    """The same lists as positions in the partition."""

    def __missing__(self, condition: Listed) -> BitMap:
        return BitMap(ordinal - FIRST for ordinal in super().__missing__(condition))


LISTS, POSITIONS = EveryThird(FIRST), Shifted(FIRST)


def finished(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def stored(update: EndpointUpdate, ordinal: int) -> Endpoint:
    """The endpoint that an update makes when it is the first."""
    at = update.effective_time or NOW
    return Endpoint(
        endpoint_id=update.endpoint_id,
        ordinal=ordinal,
        cohort=0,
        created_at=at,
        effective_at=at,
        last_active_at=at,
        channel=update.channel or "",
        attributes={name: held for name, held in update.attributes.items() if held},
        metrics=dict(update.metrics),
        demographic={name: held for name, held in update.demographic.items() if held},
        location={name: held for name, held in update.location.items() if held is not None},
        user_attributes={name: held for name, held in update.user_attributes.items() if held},
    )


def row(endpoint: Endpoint) -> Row:
    return Row(
        endpoint.ordinal,
        endpoint.channel,
        microseconds(endpoint.last_active_at),
        endpoint.attributes,
        endpoint.user_attributes,
        endpoint.metrics,
        endpoint.demographic,
        endpoint.location,
    )


def expected(
    audience: Mapping[int, Endpoint], rules: Rules, now: datetime, library: Mapping[SegmentReference, Rules]
) -> set[int]:
    return {ordinal - FIRST for ordinal, endpoint in audience.items() if matches(rules, endpoint, now, library, LISTS)}


def found(partition: Partition, rules: Rules, now: datetime, library: Mapping[SegmentReference, Rules]) -> set[int]:
    return set(finished(evaluate(partition, plan(rules, library), Moment(now, POSITIONS))))


@st.composite
def nested(draw: st.DrawFn, depth: int = 3) -> Group:
    inner = draw(st.lists(nested(depth - 1), max_size=2)) if depth else []
    entries = tuple(draw(st.lists(dimensions(), max_size=2)))
    return Group(dimensions=entries, type=draw(COMBINATIONS), groups=tuple(inner))


NESTED = st.builds(Rules, COMBINATIONS, st.lists(nested(), min_size=1, max_size=2).map(tuple))
SEEDS = st.integers(0, 2**32)


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(SEEDS, st.one_of(segments(), NESTED.map(lambda rules: (rules, {}))), st.integers(0, 40))
def test_the_index_means_what_the_evaluator_means_also_after_writes_deletes_and_restarts(
    seed: int, segment: tuple[Rules, dict[SegmentReference, Rules]], days: int
) -> None:
    rules, library = segment
    random, now = Random(seed), NOW + timedelta(days=days)
    partition = Partition(3)
    audience: dict[int, Endpoint] = {}
    for turn in range(3):
        written = {
            endpoint.ordinal: endpoint
            for endpoint in (stored(update, FIRST + random.randint(0, 30)) for update in updates(random))
        }
        partition.put([row(endpoint) for endpoint in written.values()])
        audience |= written
        gone = random.sample(sorted(audience), random.randint(0, len(audience) // 3))
        partition.remove([*gone, FIRST + 999])
        for ordinal in gone:
            del audience[ordinal]
        # Twice: the second time from kept results, which later turns must keep true.
        for _ in range(2):
            assert found(partition, rules, now, library) == expected(audience, rules, now, library)
        if turn == 1:
            partition = reread(partition)
    some = BitMap(random.sample(range(31), 9))
    narrowed = set(finished(evaluate(partition, plan(rules, library), Moment(now, POSITIONS), some)))
    assert narrowed == expected(audience, rules, now, library) & set(some)
    assert_counts(partition, plan(rules, library), now)


def assert_counts(partition: Partition, tree: Node, now: datetime) -> None:
    """Each clause's count is the size of what it matches alone; the last part of a parent leaves what the parent does."""
    counts = {count.path: count for count in finished(clause_counts(partition, tree, Moment(now, POSITIONS)))}
    for node in walk(tree):
        if node.path:
            assert counts[node.path].match_count == len(finished(evaluate(partition, node, Moment(now, POSITIONS))))
        if isinstance(node, All | Any) and node.parts and node.path and node.parts[-1].path:
            assert counts[node.parts[-1].path].remaining_count == counts[node.path].match_count


def reread(partition: Partition) -> Partition:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0.partition"
        files.write(partition, path, {"project": "p"})
        again, about = files.read(path)
    assert about == {"project": "p"}
    assert not finished(differing(partition, again))
    return again


@settings(max_examples=CASES // 3, deadline=None, suppress_health_check=list(HealthCheck))
@given(SEEDS, dimensions(), st.integers(600, 1200))
def test_the_index_means_the_same_for_many_endpoints(seed: int, entry: Dimensions, count: int) -> None:
    """Enough of them for passes over whole columns, wide codes and results that are kept."""
    random = Random(seed)
    pool = [update for _ in range(3) for update in updates(random)]
    audience = {FIRST + n: stored(random.choice(pool), FIRST + n) for n in range(count)}
    if random.random() < 0.3:  # a value of their own for everybody
        audience = {
            ordinal: replace(each, attributes={**each.attributes, "plan": [f"gold-{ordinal}", "2026-03-04"]})
            for ordinal, each in audience.items()
        }
    partition = Partition(3)
    partition.put([row(endpoint) for endpoint in audience.values()])
    rules = Rules(groups=(Group(dimensions=(entry,)),))
    truth = expected(audience, rules, NOW, {})
    assert found(partition, rules, NOW, {}) == truth
    assert found(partition, rules, NOW, {}) == truth


@pytest.mark.parametrize(
    ("texts", "longest"),
    [(2, 1), (20, 1), (20, 2), (250, 4), (20, 5), (300, 2)],
    ids=["two texts", "one each", "pairs", "as many as planes hold", "a list too long", "a text too many"],
)
@given(SEEDS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_equality_means_the_same_for_lists_of_any_length_after_writes_and_restarts(
    texts: int, longest: int, seed: int
) -> None:
    random = Random(seed)
    audience: dict[int, Endpoint] = {}
    partition = Partition(3)
    for most in (1, longest, longest, 1):
        changed = {FIRST + n for n in random.sample(range(5000), random.choice([1, 30, 1500]))}
        changed |= {FIRST + n for n in range(700)} - audience.keys()
        for ordinal in changed:
            held = [f"t{random.randrange(texts)}" for _ in range(random.randint(0, most))]
            audience[ordinal] = stored(EndpointUpdate(f"e{ordinal}", "EMAIL", attributes={"tags": held}), ordinal)
        partition.put([row(audience[ordinal]) for ordinal in changed])
        gone = random.sample(sorted(audience), 40)
        partition.remove(gone)
        for ordinal in gone:
            del audience[ordinal]
        if random.random() < 0.4:
            partition = reread(partition)
        for operator in (AttributeOperator.INCLUSIVE, AttributeOperator.EXCLUSIVE, AttributeOperator.INCLUSIVE):
            values = tuple({f"t{random.randrange(texts + 1)}" for _ in range(random.choice([1, 2, 3, 4, 12]))})
            asked = Dimensions(attributes={"tags": AttributeDimension(operator, values)})
            rules = Rules(groups=(Group(dimensions=(asked,)),))
            assert found(partition, rules, NOW, {}) == expected(audience, rules, NOW, {})


@given(SEEDS, st.integers(0, 200_000), st.sampled_from([0.0, 0.001, 0.05, 0.07, 0.9, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_mask_becomes_the_bitmap_of_its_positions(seed: int, size: int, share: float) -> None:
    mask = np.random.default_rng(seed).random(size) < share
    assert of_mask(mask) == BitMap(np.flatnonzero(mask).tolist())
    assert positions_of(of_mask(mask)).tolist() == np.flatnonzero(mask).tolist()


@pytest.mark.parametrize("count", [0, 1, 4_095, 4_096, 4_097, 65_535, 65_536])
@pytest.mark.parametrize("container", [0, 2])
def test_a_container_of_a_bitmap_is_right_up_to_its_edges(container: int, count: int) -> None:
    mask = np.zeros(3 * 65_536 - 5 * (container == 0), np.bool_)
    mask[container * 65_536 : container * 65_536 + count] = True
    assert of_mask(mask) == BitMap(range(container * 65_536, container * 65_536 + count))
    assert len(of_mask(mask)) == count


def test_a_dictionary_of_many_texts_finds_each_of_them_and_their_parts() -> None:
    texts = [f"order-{n:05}-ä" for n in range(20_000)] + [""]
    dictionary = Dictionary()
    codes = [code for start in range(0, len(texts), 777) for code in dictionary.codes(texts[start : start + 777])]
    assert codes == list(range(1, len(texts) + 1))
    for made in (dictionary, Dictionary.restored(**dictionary.dump())):
        assert [made.find(text) for text in texts[::997]] == codes[::997]
        assert [made.text(code) for code in codes[::997]] == texts[::997]
        assert made.find("order") == 0
        for part in ("77", "r-1999", "order-00001-ä", "ä", "order-1-", "-", "", "order-00001-ää"):
            holders = [code for code, text in zip(codes, texts, strict=True) if part in text]
            assert sorted(set(finished(made.containing(part)).tolist())) == holders
        assert made.portion(19_990, 50) == texts[19_990:]
        assert made.portion(0, 2) == texts[:2]
        assert made.portion(len(texts)) == []
        assert made.codes(["new", texts[5], "new", texts[-1], "newer"]) == [
            len(texts) + 1,
            6,
            len(texts) + 1,
            len(texts),
            len(texts) + 2,
        ]
        assert made.nbytes < 200 * len(texts)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_comparing_finds_every_endpoint_that_differs_and_no_other(seed: int) -> None:
    """One partition is written in one go, the other in another order with detours, so that their codes differ."""
    random = Random(seed)
    pool = [update for _ in range(4) for update in updates(random)]
    first = {FIRST + n: row(stored(random.choice(pool), FIRST + n)) for n in random.sample(range(3000), 40)}
    second = dict(first)
    for ordinal in random.sample(sorted(first), 8):
        second[ordinal] = row(stored(random.choice(pool), ordinal))
    for ordinal in random.sample(sorted(first), 3):
        del second[ordinal]
    second[FIRST + 3000] = row(stored(random.choice(pool), FIRST + 3000))
    one, other = Partition(3), Partition(3)
    one.put(list(first.values()))
    for each in random.sample(sorted(second), len(second)):
        other.put([row(stored(random.choice(pool), each))])
        other.put([second[each]])
    truth = {ordinal - FIRST for ordinal in {*first, *second} if first.get(ordinal) != second.get(ordinal)}
    assert set(finished(differing(one, other))) == truth == set(finished(differing(other, one)))
    assert all(str(FIRST + position) in difference(one, other, position) for position in truth)


def test_comparing_finds_nothing_where_thousands_of_texts_entered_in_portions_of_any_size() -> None:
    rows = [
        row(stored(EndpointUpdate(f"e{n}", "EMAIL", attributes={"order": [f"order-{n}"]}), FIRST + n))
        for n in range(5300)
    ]
    whole, portions = Partition(3), Partition(3)
    whole.put(rows)
    for start in range(0, len(rows), 777):
        portions.put(rows[start : start + 777])
    assert not finished(differing(whole, portions))
    assert not finished(differing(portions, whole))


def test_kept_results_are_bounded_by_their_bytes_and_outlive_small_writes() -> None:
    partition = Partition(3)
    partition.put([row(stored(EndpointUpdate(f"e{n}", "EMAIL"), FIRST + n)) for n in range(20_000)])
    conditions = [MetricIs(f"m{n}", MetricDimension(MetricOperator.EQUAL, 1.0)) for n in range(2000)]
    found = BitMap(range(0, 2 * PARTITION_SIZE, 2)) & BitMap(range(PARTITION_SIZE))
    for condition in conditions[:100]:
        partition.keep(condition, found)
    assert 2**21 < partition.results.nbytes <= 2**22
    assert partition.kept(conditions[99]) is not None
    assert partition.kept(conditions[0]) is None
    for condition in conditions:
        partition.keep(condition, BitMap([1]))
    assert len(partition.results) == 256
    partition.put([row(stored(EndpointUpdate("e1", "SMS"), FIRST + 1))])
    kept = partition.kept(conditions[-1])
    assert kept is not None
    assert kept.stale == BitMap([1])
    partition.remove(range(FIRST, FIRST + 10_000))
    assert (len(partition.results), partition.results.nbytes) == (0, 0)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    partition, path = Partition(3), tmp_path / "0.partition"
    partition.put([row(stored(update, FIRST + n)) for n, update in enumerate(updates(Random(1)))])
    files.write(partition, path, {})
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    path.write_bytes({"cut": whole[:-9], "bit": flipped, "empty": b"", "other": b"x" * 99}[damage])
    with pytest.raises(files.BadFile):
        files.read(path)
