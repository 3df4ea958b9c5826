"""The SQL compiler is held to the reference evaluator on random audiences and random segments."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from sqlalchemy import text

from heliograph_kit.clock import ManualClock
from heliograph_kit.database import Database
from heliograph_segments.domain.endpoints import CHANNELS, EndpointUpdate, Place, fold, rounded
from heliograph_segments.domain.evaluator import matches
from heliograph_segments.domain.instants import instant_of
from heliograph_segments.domain.segments import (
    INSTANT_OPERATORS,
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    Combination,
    DemographicField,
    Dimensions,
    GpsPoint,
    Group,
    ImportedList,
    Listed,
    MetricDimension,
    MetricOperator,
    Recency,
    RecencyDuration,
    Rules,
    SegmentReference,
    SetDimension,
)
from heliograph_segments.service.writing import EndpointWriter, Limits
from heliograph_segments.store import audience, endpoint_reading
from heliograph_segments.store.compiler import compile_rules
from tests.segments.builders import NOW

# Few names and few values, so that conditions hit and miss; among them what the two languages might read differently.
NAMES = ["plan", "tier", "since", "näme"]
TEXTS = ["", "gold", "Gold", "old", "ß", "a'b\"c\\", "%", "_", "1", "2.5", "null", "true", "é", "e\u0301", "a\tb\nc\r"]
INSTANTS = [
    "2026-03-04",
    "2026-03-04T00:00:00Z",
    "2026-03-04T23:59:59.999Z",
    "2026-03-03T23:30:00-01:00",
    "2026-03-05T00:30+01:00",
    "2026-02-28T10:00",
    "2024-02-29",
    "1999-12-31T23:59:59.123456789Z",
]
ODD_INSTANTS = [
    "2026-02-30",
    "2026-13-01",
    "2026-03-04T24:00:00Z",
    "2026-03-04 10:00",
    "now",
    "infinity",
    "2026-03-04T10:00:60Z",
    "2026-03-04T10:00.5Z",
    "٢٠٢٦-03-04",
    "2026-03-04T10:00:00z",
    "2026-03-04\n",
    "0000-01-01",
    "epoch",
]
WORDS = [*TEXTS, *INSTANTS, *ODD_INSTANTS]
NUMBERS = [0.0, -0.0, 1.0, 2.5, -3.0, 0.1 + 0.2, 0.3, 1e-300, 1e308, 9007199254740993.0]
PLATFORMS = ["ios", "android", "Gold", ""]
ATTEMPTS = int(os.environ.get("HELIOGRAPH_TEST_CASES", "300"))


def updates(random: Random) -> list[EndpointUpdate]:
    """Up to 24 endpoints, some of them written twice.

    From a seed and not drawn one by one: an audience is so large a drawing that Hypothesis throws most of them away.
    """

    def some(choices: list[Any], most: int) -> list[Any]:
        return [random.choice(choices) for _ in range(random.randint(0, most))]

    def lists() -> dict[str, list[str]]:
        return {name: some(WORDS, 3) for name in some(NAMES, 3)}

    def place() -> dict[str, Place]:
        country: dict[str, Place] = {"Country": random.choice(["US", "DE", None])} if random.random() < 0.5 else {}
        if random.random() < 0.5:
            return country
        return country | {"Latitude": rounded(random.uniform(-90, 90)), "Longitude": rounded(random.uniform(-180, 180))}

    def update() -> EndpointUpdate:
        user_id = random.choice([None, "", "u1", "u2", "u3"])
        return EndpointUpdate(
            endpoint_id=f"e{random.randint(0, 15)}",
            channel=random.choice([None, *sorted(CHANNELS)]),
            attributes=lists(),
            metrics={name: random.choice(NUMBERS) for name in some(NAMES, 2)},
            demographic={
                member: random.choice(PLATFORMS) or None
                for member in some(["Platform", "Make", "Model", "AppVersion"], 3)
            },
            location=place(),
            user_id=user_id,
            user_attributes=lists() if user_id else {},
            opted_out=random.choice([None, True, False]),
            effective_time=random.choice(
                [None, NOW - timedelta(days=7), NOW - timedelta(days=7, seconds=1), NOW - timedelta(days=20)]
            ),
        )

    return [update() for _ in range(random.randint(1, 24))]


@st.composite
def attribute_dimensions(draw: st.DrawFn) -> AttributeDimension:
    """Any operator with operands that it accepts."""
    operator = draw(st.sampled_from(AttributeOperator))
    if operator is AttributeOperator.BETWEEN:
        pair = draw(st.lists(st.sampled_from(INSTANTS), min_size=2, max_size=2))
        return AttributeDimension(operator, tuple(sorted(pair, key=lambda value: instant_of(value) or NOW)))
    if operator in INSTANT_OPERATORS:
        return AttributeDimension(operator, tuple(draw(st.lists(st.sampled_from(INSTANTS), min_size=1, max_size=2))))
    words = [word for word in WORDS if word] if operator is AttributeOperator.CONTAINS else WORDS
    return AttributeDimension(operator, tuple(draw(st.lists(st.sampled_from(words), min_size=1, max_size=3))))


DEGREES = st.integers(-900, 900).map(lambda tenths: rounded(tenths / 10))
SETS = st.builds(SetDimension, st.sampled_from(PLATFORMS).map(lambda value: (value, "Gold")), st.booleans())
CHANNEL_SETS = st.builds(SetDimension, st.sampled_from([("EMAIL",), ("PUSH",), ("GCM", "SMS")]), st.booleans())
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), attribute_dimensions(), min_size=1, max_size=2)
METRIC = st.builds(MetricDimension, st.sampled_from(MetricOperator), st.sampled_from(NUMBERS))
# One to two kinds of conditions at a time: with all of them at once hardly anybody would ever match.
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "attributes": ATTRIBUTES,
    "user_attributes": ATTRIBUTES,
    "metrics": st.dictionaries(st.sampled_from(NAMES), METRIC, min_size=1, max_size=1),
    "demographic": st.one_of(
        st.dictionaries(st.sampled_from([f for f in DemographicField if f != "channel"]), SETS, min_size=1, max_size=1),
        st.fixed_dictionaries({DemographicField.CHANNEL: CHANNEL_SETS}),
    ),
    "country": st.builds(SetDimension, st.just(("US",)), st.booleans()),
    "gps_point": st.builds(GpsPoint, DEGREES, DEGREES, st.integers(1, 20_000).map(lambda n: n + 0.37)),
    "recency": st.builds(Recency, st.sampled_from(RecencyDuration), st.booleans()),
    "behaviors": st.lists(
        st.builds(BehaviorDimension, st.sampled_from(["purchase", "visit"]), st.integers(1, 2), negated=st.booleans()),
        min_size=1,
        max_size=2,
    ).map(tuple),
}


@st.composite
def dimensions(draw: st.DrawFn) -> Dimensions:
    """One or two kinds of conditions."""
    kinds = draw(st.sets(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2))
    return Dimensions(**{kind: draw(KINDS[kind]) for kind in sorted(kinds)})


COMBINATIONS = st.sampled_from(Combination)


def rules_over(sources: list[SegmentReference], groups: int = 2) -> st.SearchStrategy[Rules]:
    """Rules that may name those sources."""
    chosen = st.lists(st.sampled_from(sources), max_size=2).map(tuple) if sources else st.just(())
    entries = st.lists(dimensions(), max_size=2).map(tuple)
    inner = st.builds(Group, chosen, COMBINATIONS, entries, COMBINATIONS)
    group = st.builds(Group, chosen, COMBINATIONS, entries, COMBINATIONS, st.lists(inner, max_size=1).map(tuple))
    grouped = st.builds(Rules, COMBINATIONS, st.lists(group, max_size=groups).map(tuple))
    imported = st.sampled_from(["i1", "i2"]).map(lambda name: Rules(imported=ImportedList(name)))
    return st.one_of(grouped, grouped, grouped, imported)


class EveryThird(dict[Listed, BitMap]):
    """Lists for any condition: every third ordinal, and which third depends on the condition."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def __missing__(self, condition: Listed) -> BitMap:
        return BitMap(range(self.first + crc32(repr(condition).encode()) % 3, self.first + 1500, 3))


FIRST, SECOND = SegmentReference("first"), SegmentReference("second", 3)


@st.composite
def segments(draw: st.DrawFn) -> tuple[Rules, dict[SegmentReference, Rules]]:
    """A segment over two levels of sources."""
    library = {FIRST: draw(rules_over([], 1)), SECOND: draw(rules_over([FIRST], 1))}
    return draw(rules_over([FIRST, SECOND])), library


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all cases: connections of the pool live in it."""
    with asyncio.Runner() as runner:
        yield runner


class Undone(Exception):
    """Rolls a case back."""


async def members_by_sql(
    database: Database,
    writes: list[list[EndpointUpdate]],
    rules: Rules,
    library: dict[SegmentReference, Rules],
    now: datetime,
) -> tuple[set[int], set[int]]:
    """Write the audience and return who is in the segment: by SQL, and by the evaluator over what was stored."""
    answer: tuple[set[int], set[int]] | None = None
    try:
        async with database.transaction() as conn:
            writer = EndpointWriter(ManualClock(now), Limits(user_endpoints=1000))
            for number, write in enumerate(writes):
                # Both ways of writing, in turn: they must leave the same record.
                await writer.write(conn, "p", write, bulk=number % 2 == 0)
            keys = sorted({key for write in writes for key in fold(write)})
            stored = await endpoint_reading.read_by_key(conn, "p", keys)
            compiled = compile_rules(rules, now, library, EveryThird())
            by_sql = set(await audience.members(conn, "p", compiled))
            assert await audience.count(conn, "p", compiled) == len(by_sql)
            answer = by_sql, {e.ordinal for e in stored if matches(rules, e, now, library, EveryThird())}
            raise Undone
    except Undone:
        pass
    assert answer is not None
    return answer


def test_sql_finds_whom_the_reference_evaluator_finds(
    database_of_segments_for_module: Database, runner: asyncio.Runner
) -> None:
    """Random audiences, written twice over, and random segments with two levels of sources."""
    database = database_of_segments_for_module

    hits = 0

    @settings(max_examples=ATTEMPTS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.integers(0, 2**32), segments())
    def check(seed: int, segment: tuple[Rules, dict[SegmentReference, Rules]]) -> None:
        nonlocal hits
        random = Random(seed)
        rules, library = segment
        writes = [updates(random), updates(random)]
        by_sql, by_reference = runner.run(members_by_sql(database, writes, rules, library, NOW))
        assert by_sql == by_reference
        hits += bool(by_sql) and bool(rules.groups)

    check()
    assert hits > ATTEMPTS / 10  # the cases are about somebody


def test_sql_reads_instants_as_python_does(database_of_segments_for_module: Database, runner: asyncio.Runner) -> None:
    """Every spelling, right or wrong, gives the same instant or none on both sides."""
    database = database_of_segments_for_module
    spelled = st.text("0123456789-:T+Z. ", min_size=8, max_size=30)
    times = st.datetimes().map(datetime.isoformat)
    candidates = st.lists(st.one_of(st.sampled_from([*INSTANTS, *ODD_INSTANTS]), spelled, times), max_size=20)

    async def ask(values: list[str]) -> list[datetime | None]:
        async with database.transaction() as conn:
            statement = text(
                "SELECT segments.instant_of(v) FROM unnest(CAST(:given AS text[])) WITH ORDINALITY AS a (v, n) ORDER BY n"
            )
            return list((await conn.execute(statement, {"given": values})).scalars())

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(candidates)
    def check(values: list[str]) -> None:
        assert runner.run(ask(values)) == [instant_of(value) for value in values]

    check()


@pytest.fixture(scope="module")
def database_of_segments_for_module(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[Database]:
    """One database for the module; every case rolls back what it wrote."""
    from heliograph_kit import migrations
    from heliograph_kit.testing.fixtures import _fresh_database

    with _fresh_database(request.getfixturevalue("postgres"), "template1") as url:
        migrations.upgrade(url, package="heliograph_segments", schema="segments")
        database = Database(url, application_name="tests", pool_size=2)
        yield database
        runner.run(database.close())
