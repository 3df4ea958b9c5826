"""The SQL compiler is held to the reference evaluator on random audiences and random segments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from heliograph_kit.database import Database
from heliograph_segments.domain.endpoints import CHANNELS, EndpointUpdate, fold, fold_users, rounded
from heliograph_segments.domain.evaluator import matches
from heliograph_segments.domain.instants import instant_of
from heliograph_segments.domain.segments import (
    INSTANT_OPERATORS,
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
    SegmentReference,
    SetDimension,
)
from heliograph_segments.store import audience, endpoints
from heliograph_segments.store.compiler import compile_rules
from tests.segments.builders import NOW

# Few names and few values, so that conditions hit and miss; among them what the two languages might read differently.
NAMES = st.sampled_from(["plan", "tier", "since", "näme"])
TEXTS = st.sampled_from(["", "gold", "Gold", "old", "ß", "a'b\"c\\", "%", "_", "1", "2.5", "null", "true", "é", "e\u0301"])
INSTANTS = st.sampled_from(
    [
        "2026-03-04",
        "2026-03-04T00:00:00Z",
        "2026-03-04T23:59:59.999Z",
        "2026-03-03T23:30:00-01:00",
        "2026-03-05T00:30+01:00",
        "2026-02-28T10:00",
        "2024-02-29",
        "1999-12-31T23:59:59.123456789Z",
    ]
)
ODD_INSTANTS = st.sampled_from(
    ["2026-02-30", "2026-13-01", "2026-03-04T24:00:00Z", "2026-03-04 10:00", "now", "infinity", "2026-03-04T10:00:60Z"]
    + ["2026-03-04T10:00.5Z", "٢٠٢٦-03-04", "2026-03-04T10:00:00z", "2026-03-04\n", "0000-01-01", "epoch"]
)
WORDS = st.one_of(TEXTS, INSTANTS, ODD_INSTANTS)
LISTS = st.dictionaries(NAMES, st.lists(WORDS, max_size=3), max_size=3)
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.0, 0.1 + 0.2, 0.3, 1e-300, 1e308, 9007199254740993.0])
DEGREES = st.integers(-900, 900).map(lambda tenths: rounded(tenths / 10))
PLATFORMS = st.sampled_from(["ios", "android", "Gold", ""])


@st.composite
def updates(draw: st.DrawFn) -> list[EndpointUpdate]:
    """Up to a dozen endpoints, some of them written twice."""
    ids = st.sampled_from([f"e{number}" for number in range(8)])
    place = st.one_of(
        st.just({}),
        st.fixed_dictionaries({"Latitude": DEGREES, "Longitude": DEGREES}),
        st.fixed_dictionaries({"Country": st.sampled_from(["US", "DE"])}),
    )
    one = st.builds(
        EndpointUpdate,
        endpoint_id=ids,
        channel=st.one_of(st.none(), st.sampled_from(sorted(CHANNELS))),
        attributes=LISTS,
        metrics=st.dictionaries(NAMES, NUMBERS, max_size=2),
        demographic=st.dictionaries(
            st.sampled_from(["Platform", "Make", "Model", "AppVersion"]), PLATFORMS.map(lambda t: t or None), max_size=3
        ),
        location=place,
        user_id=st.one_of(st.none(), st.sampled_from(["", "u1", "u2"])),
        effective_time=st.sampled_from(
            [None, NOW - timedelta(days=7), NOW - timedelta(days=7, seconds=1), NOW - timedelta(days=20)]
        ),
    )
    drawn: list[EndpointUpdate] = draw(st.lists(one, min_size=1, max_size=12))
    with_users = draw(st.lists(LISTS, min_size=len(drawn), max_size=len(drawn)))
    return [
        update._replace(user_attributes=held) if update.user_id else update
        for update, held in zip(drawn, with_users, strict=True)
    ]


@st.composite
def attribute_dimensions(draw: st.DrawFn) -> AttributeDimension:
    """Any operator with operands that it accepts."""
    operator = draw(st.sampled_from(AttributeOperator))
    if operator is AttributeOperator.BETWEEN:
        pair = draw(st.lists(INSTANTS, min_size=2, max_size=2))
        return AttributeDimension(operator, tuple(sorted(pair, key=lambda value: instant_of(value) or NOW)))
    if operator in INSTANT_OPERATORS:
        return AttributeDimension(operator, tuple(draw(st.lists(INSTANTS, min_size=1, max_size=2))))
    words = WORDS.filter(bool) if operator is AttributeOperator.CONTAINS else WORDS
    return AttributeDimension(operator, tuple(draw(st.lists(words, min_size=1, max_size=3))))


SETS = st.builds(SetDimension, st.lists(PLATFORMS, min_size=1, max_size=2).map(tuple), st.booleans())
CHANNEL_SETS = st.builds(
    SetDimension, st.lists(st.sampled_from(["EMAIL", "PUSH", "GCM"]), min_size=1, max_size=2).map(tuple), st.booleans()
)
DIMENSIONS = st.builds(
    Dimensions,
    attributes=st.dictionaries(NAMES, attribute_dimensions(), max_size=2),
    user_attributes=st.dictionaries(NAMES, attribute_dimensions(), max_size=1),
    metrics=st.dictionaries(NAMES, st.builds(MetricDimension, st.sampled_from(MetricOperator), NUMBERS), max_size=1),
    demographic=st.one_of(
        st.just({}),
        st.dictionaries(st.sampled_from([f for f in DemographicField if f != "channel"]), SETS, max_size=1),
        st.fixed_dictionaries({DemographicField.CHANNEL: CHANNEL_SETS}),
    ),
    country=st.one_of(st.none(), st.builds(SetDimension, st.just(("US",)), st.booleans())),
    gps_point=st.one_of(st.none(), st.builds(GpsPoint, DEGREES, DEGREES, st.integers(1, 20_000).map(lambda n: n + 0.37))),
    recency=st.one_of(st.none(), st.builds(Recency, st.sampled_from(RecencyDuration), st.booleans())),
)
COMBINATIONS = st.sampled_from(Combination)


def rules_over(sources: list[SegmentReference]) -> st.SearchStrategy[Rules]:
    """Rules that may name those sources."""
    chosen = st.lists(st.sampled_from(sources), max_size=2).map(tuple) if sources else st.just(())
    group = st.builds(Group, chosen, COMBINATIONS, st.lists(DIMENSIONS, max_size=2).map(tuple), COMBINATIONS)
    return st.builds(Rules, COMBINATIONS, st.lists(group, max_size=3).map(tuple))


FIRST, SECOND = SegmentReference("first"), SegmentReference("second", 3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[EndpointUpdate], list[EndpointUpdate], Rules, dict[SegmentReference, Rules]]:
    """Two writes, and a segment over two levels of sources."""
    library = {FIRST: draw(rules_over([]))}
    library[SECOND] = draw(rules_over([FIRST]))
    return draw(updates()), draw(updates()), draw(rules_over([FIRST, SECOND])), library


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
            for number, write in enumerate(writes):
                folded = fold(write)
                existing = await endpoints.lock_existing(conn, "p", sorted(folded))
                # Both ways of writing, in turn: they must leave the same record.
                await endpoints.write(conn, "p", folded, existing, now, bulk=number % 2 == 0)
                await endpoints.write_users(conn, "p", fold_users(write))
            keys = sorted({key for write in writes for key in fold(write)})
            stored = await endpoints.read_by_key(conn, "p", keys)
            compiled = compile_rules(rules, now, library)
            by_sql = set(await audience.members(conn, "p", compiled))
            assert await audience.count(conn, "p", compiled) == len(by_sql)
            answer = by_sql, {e.ordinal for e in stored if matches(rules, e, now, library)}
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

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(cases())
    def check(
        case: tuple[list[EndpointUpdate], list[EndpointUpdate], Rules, dict[SegmentReference, Rules]],
    ) -> None:
        first, second, rules, library = case
        by_sql, by_reference = runner.run(members_by_sql(database, [first, second], rules, library, NOW))
        assert by_sql == by_reference

    check()


def test_sql_reads_instants_as_python_does(database_of_segments_for_module: Database, runner: asyncio.Runner) -> None:
    """Every spelling, right or wrong, gives the same instant or none on both sides."""
    database = database_of_segments_for_module
    alphabet = st.text("0123456789-:T+Z. ", min_size=8, max_size=30)

    async def ask(values: list[str]) -> list[datetime | None]:
        async with database.transaction() as conn:
            statement = text("SELECT segments.instant_of(v) FROM unnest(CAST(:given AS text[])) WITH ORDINALITY AS a (v, n) ORDER BY n")
            return list((await conn.execute(statement, {"given": values})).scalars())

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(st.one_of(INSTANTS, ODD_INSTANTS, alphabet, st.datetimes().map(datetime.isoformat)), min_size=20))
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
