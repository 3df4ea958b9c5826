"""The table of operators: the reference evaluator, the index, the SQL and the explanations give the same answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from pyroaring import BitMap
from sqlalchemy import text

from heliograph.segments.v1 import segments_pb2
from heliograph_kit.clock import SystemClock
from heliograph_kit.database import Database
from heliograph_segments.domain.endpoints import Endpoint, EndpointUpdate
from heliograph_segments.domain.evaluator import matches
from heliograph_segments.domain.segments import AttributeOperator, Combination, DemographicField, MetricOperator
from heliograph_segments.index.clauses import plan
from heliograph_segments.index.evaluation import Moment, evaluate
from heliograph_segments.index.partition import Partition
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.writing import EndpointWriter, Limits
from heliograph_segments.servicers.segment_messages import write_rules
from heliograph_segments.store import audience, endpoint_reading
from heliograph_segments.store.compiler import compile_rules
from tests.segments.builders import NOW, PARENT, an_endpoint, rules_of
from tests.segments.conftest import Api
from tests.segments.operator_table import Condition, table
from tests.segments.test_index_equals_reference import finished, row

PROJECT = "shop"
TABLE = table(NOW)


def condition_named(condition: Condition) -> str:
    return condition.words


def test_the_table_has_every_operator_and_both_answers_for_each_condition() -> None:
    one_sided = {c.words for c in TABLE if len({cell.matches for cell in c.cells}) == 1}
    assert one_sided == {f"channel {how} {asked}" for how in ("INCLUSIVE", "EXCLUSIVE") for asked in ("email", "")}
    words = " ".join(condition.words for condition in TABLE)
    for operator in (*AttributeOperator, *MetricOperator, *DemographicField, "HR_24", "DAY_7", "DAY_14", "DAY_30"):
        assert str(operator) in words


@pytest.mark.parametrize("condition", TABLE, ids=condition_named)
def test_the_reference_evaluator_answers_as_the_table_says(condition: Condition) -> None:
    for cell in condition.cells:
        endpoint = an_endpoint(**cell.endpoint)
        assert matches(rules_of(condition.dimensions), endpoint, NOW) is cell.matches, cell
        # None of them: every leaf is true or false, and nothing between.
        assert matches(rules_of(condition.dimensions, type=Combination.NONE), endpoint, NOW) is not cell.matches, cell


def everybody(conditions: Iterable[Condition]) -> list[Endpoint]:
    """The endpoints of all cells, numbered from 1 on in the order of the table."""
    cells = (cell for condition in conditions for cell in condition.cells)
    return [
        an_endpoint(endpoint_id=f"e{n}", ordinal=n, user_id=f"u{n}", **cell.endpoint) for n, cell in enumerate(cells, 1)
    ]


def test_the_index_finds_whom_the_reference_finds() -> None:
    """Every condition over the endpoints of the whole table, by columns, and over its own, value by value."""
    people = everybody(TABLE)
    partition = Partition(0)
    partition.put([row(endpoint) for endpoint in people])
    first = 1
    for condition in TABLE:
        own = BitMap(range(first, first + len(condition.cells)))
        first += len(condition.cells)
        for how in (Combination.ALL, Combination.NONE):
            rules = rules_of(condition.dimensions, type=how)
            truth = {each.ordinal for each in people if matches(rules, each, NOW)}
            partition.results.clear()
            assert set(finished(evaluate(partition, plan(rules, {}), Moment(NOW), own))) == truth & set(own), (
                condition.words
            )
            for _ in range(2):  # the second time from the kept result
                assert set(finished(evaluate(partition, plan(rules, {}), Moment(NOW)))) == truth, condition.words


async def recorded(database: Database, people: list[Endpoint]) -> list[Endpoint]:
    """Write endpoints to the record exactly as they are, empty lists included, and return them with their ordinals."""
    service = Endpoints(database, EndpointWriter(SystemClock(), Limits()))
    for start in range(0, len(people), 100):
        await service.update(
            PROJECT,
            [
                EndpointUpdate(each.endpoint_id, each.channel, user_id=each.user_id, effective_time=each.last_active_at)
                for each in people[start : start + 100]
            ],
        )
    async with database.transaction() as conn:
        columns = "attributes = d.a, metrics = d.m, demographic = d.d, location = d.l"
        await conn.execute(
            text(
                f"UPDATE segments.endpoints e SET {columns} FROM (SELECT * FROM "
                "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (k text, a jsonb, m jsonb, d jsonb, l jsonb)) d "
                "WHERE e.project = :project AND e.endpoint_key = d.k"
            ),
            {
                "project": PROJECT,
                "rows": json.dumps(
                    [
                        {"k": e.endpoint_id, "a": e.attributes, "m": e.metrics, "d": e.demographic, "l": e.location}
                        for e in people
                    ]
                ),
            },
        )
        await conn.execute(
            text(
                "UPDATE segments.users u SET attributes = d.a FROM (SELECT * FROM "
                "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (k text, a jsonb)) d "
                "WHERE u.project = :project AND u.user_id = d.k"
            ),
            {
                "project": PROJECT,
                "rows": json.dumps([{"k": each.user_id, "a": each.user_attributes} for each in people]),
            },
        )
        stored = await endpoint_reading.read_by_key(conn, PROJECT, [each.endpoint_id for each in people])
    assert len(stored) == len(people)
    return sorted(stored, key=lambda each: int(each.endpoint_id[1:]))


async def test_the_sql_finds_whom_the_reference_finds(database_of_segments: str) -> None:
    database = Database(database_of_segments, application_name="tests")
    people = await recorded(database, everybody(TABLE))
    async with database.transaction() as conn:
        for condition in TABLE:
            for how in (Combination.ALL, Combination.NONE):
                rules = rules_of(condition.dimensions, type=how)
                truth = {each.ordinal for each in people if matches(rules, each, NOW)}
                assert set(await audience.members(conn, PROJECT, compile_rules(rules, NOW, {}, {}))) == truth, (
                    condition.words
                )
    await database.close()


async def test_counts_and_explanations_of_the_service_are_those_of_the_reference(
    api: Api, database_of_segments: str
) -> None:
    """The clock is the service's own here, so windows are met and missed by an hour."""
    now = datetime.now(UTC)
    conditions = table(now, timedelta(hours=1))
    database = Database(database_of_segments, application_name="tests")
    people = await recorded(database, everybody(conditions))
    await database.close()
    await ready(api)
    cells = iter(people)
    for condition in conditions:
        rules = rules_of(condition.dimensions)
        message = write_rules(PROJECT, rules)
        counted = await api.segments.CountSegment(segments_pb2.CountSegmentRequest(parent=PARENT, rules=message))
        truth = sum(matches(rules, each, now) for each in people)
        assert (counted.member_count, counted.from_record) == (truth, False), condition.words
        requests = [
            segments_pb2.ExplainSegmentRequest(parent=PARENT, rules=message, endpoint_id=next(cells).endpoint_id)
            for _ in condition.cells
        ]
        explained = await asyncio.gather(*map(api.segments.ExplainSegment, requests))
        for cell, answer in zip(condition.cells, explained, strict=True):
            assert (answer.member, answer.clauses[-1].matched) == (cell.matches, cell.matches), (condition.words, cell)
            assert "; wanted " in answer.clauses[-1].because


async def ready(api: Api) -> None:
    """Wait until the index answers: counts of clauses are never taken from the record."""
    everyone = segments_pb2.CountSegmentRequest(parent=PARENT, rules=segments_pb2.SegmentRules(), with_clauses=True)
    await api.segments.CountSegment(everyone)
