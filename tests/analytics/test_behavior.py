"""Who did something: the store is held to the definition, and the service to its limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.analytics.v1 import (
    analytics_pb2_grpc,
    behavior_pb2,
    behavior_pb2_grpc,
    events_pb2,
    ingestion_pb2,
    ingestion_pb2_grpc,
)
from heliograph.segments.v1 import segments_pb2
from heliograph_analytics.actors import Actors
from heliograph_analytics.behavior import AttributeCondition, Behavior, Happened, MetricCondition, actors, wrongs_of
from heliograph_analytics.columns import Rows
from heliograph_analytics.store import Arrived, EventStore
from heliograph_kit.clock import SystemClock
from heliograph_kit.rpc import violations_of
from tests.analytics.conftest import PROJECT, an_event, until_stored

CASES = int(os.environ.get("HELIOGRAPH_TEST_CASES", "150"))
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
# Among them what DuckDB and Python would lower differently, and what only differs in case.
ENDPOINTS = ["e1", "E1", "e2", "k", "\u212a", "ΑΣ", "ας", "ΑΣ ", "\u0130", "i\u0307", "\u0131", "ẞ", "ß"]
TEXTS = ["", "gold", "Gold", "old", "é", "e\u0301", "%", "a'b"]
NUMBERS = [-1.5, -0.0, 0.0, 20.0, 20.000000000000004, 1e300]
TIMES = [NOW + timedelta(microseconds=shift) for shift in (-3_600_000_001, -3_600_000_000, -60_000_000, 0, 1)]

EVENTS = st.lists(
    st.builds(
        Happened,
        st.sampled_from(ENDPOINTS),
        st.sampled_from(["purchase", "Purchase", "view"]),
        st.sampled_from(TIMES),
        st.dictionaries(st.sampled_from(["plan", "sku"]), st.sampled_from(TEXTS), max_size=2),
        st.dictionaries(st.sampled_from(["amount", "tax"]), st.sampled_from(NUMBERS), max_size=2),
    ),
    max_size=40,
)
METRICS: Any = st.builds(
    MetricCondition,
    st.sampled_from(["GREATER_THAN", "LESS_THAN", "GREATER_THAN_OR_EQUAL", "LESS_THAN_OR_EQUAL", "EQUAL"]),
    st.sampled_from(NUMBERS),
)
VALUES = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3).map(tuple)
ATTRIBUTES: Any = st.builds(AttributeCondition, st.sampled_from(["INCLUSIVE", "EXCLUSIVE"]), VALUES) | st.builds(
    AttributeCondition, st.just("CONTAINS"), st.lists(st.sampled_from(TEXTS[1:]), min_size=1, max_size=3).map(tuple)
)
WINDOWS: Any = st.one_of(
    st.just({}),
    st.builds(lambda length: {"within": length}, st.sampled_from([timedelta(minutes=1), timedelta(hours=1)])),
    st.builds(lambda since: {"since": since}, st.sampled_from(TIMES)),
)
BEHAVIORS = st.builds(
    lambda count, attributes, metrics, window: Behavior("purchase", count, attributes, metrics, **window),
    st.integers(1, 4),
    st.dictionaries(st.sampled_from(["plan", "sku"]), ATTRIBUTES, max_size=2),
    st.dictionaries(st.sampled_from(["amount", "tax"]), METRICS, max_size=2),
    WINDOWS,
)


async def nothing_waits() -> int:
    return 0


async def stored(store: EventStore, project: str, events: Sequence[Happened]) -> None:
    rows = Rows(NOW - timedelta(days=1), NOW + timedelta(days=1))
    batch = events_pb2.EventBatch(project=f"projects/{project}")
    for number, event in enumerate(events):
        batch.events.append(
            an_event(
                event.endpoint,
                event.type,
                id=f"{number}",
                at=event.time,
                attributes=dict(event.attributes),
                metrics=dict(event.metrics),
            )
        )
    rows.add_events(batch)
    await store.record("test", [Arrived(project, NOW)], lambda _: rows.table(), NOW)


async def asked(store: EventStore, project: str, behavior: Behavior) -> list[str]:
    pages = Actors(store, SystemClock(), nothing_waits).pages(project, behavior, NOW)
    return [endpoint async for page in pages for endpoint in page.endpoints]


def test_the_store_says_what_the_definition_says(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.duckdb")
    numbers = iter(range(10**9))
    met = []

    @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(EVENTS, st.lists(BEHAVIORS, min_size=1, max_size=4))
    def check(events: list[Happened], behaviors: list[Behavior]) -> None:
        async def run() -> None:
            project = f"p{next(numbers)}"
            await stored(store, project, events)
            for behavior in behaviors:
                answer = await asked(store, project, behavior)
                assert len(answer) == len(set(answer))
                # Events of the same endpoint and id are one; ids here are numbers, so all are counted.
                assert set(answer) == actors(behavior, events, NOW)
                met.append(bool(answer))

        asyncio.run(run())

    try:
        check()
    finally:
        asyncio.run(store.close())
    assert any(met), "no behaviour was met by anybody"
    assert not all(met)


async def test_a_large_answer_comes_in_pages_and_each_endpoint_once(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.duckdb")
    try:
        await stored(store, "shop", [Happened(f"E{n % 25_000}", "purchase", NOW, {}, {}) for n in range(30_000)])
        pages = [
            page async for page in Actors(store, SystemClock(), nothing_waits).pages("shop", Behavior("purchase"), NOW)
        ]
        assert max(len(page.endpoints) for page in pages) <= 10_000
        assert sorted(e for page in pages for e in page.endpoints) == sorted(f"e{n}" for n in range(25_000))
        assert [page.complete is not None for page in pages] == [True, *[False] * (len(pages) - 1)]
        twice = await asked(store, "shop", Behavior("purchase", 2))
        assert sorted(twice) == sorted(f"e{n}" for n in range(5_000))
    finally:
        await store.close()


async def test_a_caller_that_leaves_ends_its_query_and_the_store_answers_others(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.duckdb")
    try:
        endless = store.stream(
            "SELECT count(*) FROM range(200000) a, range(200000) b WHERE a.range * b.range = 7", {}, 1
        )
        asking = asyncio.ensure_future(anext(endless))
        await asyncio.sleep(0.2)  # the query runs in its thread
        asking.cancel()
        done, _ = await asyncio.wait([asking], timeout=10)
        assert done
        assert asking.cancelled()
        assert await store.read("SELECT 1") == [(1,)]
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("behavior", "fields"),
    [
        pytest.param(Behavior("t" * 64, 10_000), [], id="at its limits"),
        pytest.param(Behavior("t" * 65, 10_001), ["event_type", "min_count"], id="past them"),
        pytest.param(Behavior("", 0), ["event_type", "min_count"], id="below them"),
        pytest.param(Behavior("t", within=timedelta(minutes=1)), [], id="shortest window"),
        pytest.param(Behavior("t", within=timedelta(seconds=59)), ["within"], id="too short"),
        pytest.param(Behavior("t", within=timedelta(days=366)), [], id="longest window"),
        pytest.param(Behavior("t", within=timedelta(days=366, microseconds=1)), ["within"], id="too long"),
        pytest.param(Behavior("t", metrics={"m" * 50: MetricCondition("EQUAL", 1.0)}), [], id="longest name"),
        pytest.param(
            Behavior("t", metrics={"m" * 51: MetricCondition("EQUAL", float("nan"))}),
            [f"metrics[{'m' * 51}]", f"metrics[{'m' * 51}].value"],
            id="name too long and no number",
        ),
        pytest.param(
            Behavior("t", attributes={"a": AttributeCondition("CONTAINS", ("", "v" * 101))}),
            ["attributes[a].values[0]", "attributes[a].values[1]"],
            id="values",
        ),
        pytest.param(
            Behavior("t", attributes={"a": AttributeCondition("INCLUSIVE", ("v",) * 51)}),
            ["attributes[a].values"],
            id="too many values",
        ),
    ],
)
def test_questions_are_held_to_their_limits(behavior: Behavior, fields: list[str]) -> None:
    assert [wrong.field for wrong in wrongs_of(behavior)] == fields


@pytest_asyncio.fixture
async def stub(analytics_channel: grpc.aio.Channel) -> AsyncIterator[behavior_pb2_grpc.BehaviorServiceAsyncStub]:
    """Who did something."""
    yield behavior_pb2_grpc.BehaviorServiceStub(analytics_channel)


async def test_events_that_were_put_are_found_over_grpc(
    stub: behavior_pb2_grpc.BehaviorServiceAsyncStub, analytics_channel: grpc.aio.Channel
) -> None:
    put: ingestion_pb2_grpc.EventServiceAsyncStub = ingestion_pb2_grpc.EventServiceStub(analytics_channel)
    events = [an_event("Ada", metrics={"amount": 30}) for _ in range(2)]
    events += [an_event("Bob", metrics={"amount": 30}), an_event("Bob", metrics={"amount": 20})]
    await put.PutEvents(ingestion_pb2.PutEventsRequest(parent=PROJECT, events=events))
    await until_stored(analytics_pb2_grpc.AnalyticsServiceStub(analytics_channel), 4)
    behavior = segments_pb2.BehaviorDimension(event_type="purchase", min_count=2)
    behavior.metrics["amount"].operator = segments_pb2.MetricDimension.OPERATOR_GREATER_THAN
    behavior.metrics["amount"].value = 20
    behavior.within.FromTimedelta(timedelta(days=30))
    request = behavior_pb2.StreamActorsRequest(parent=PROJECT, behavior=behavior)
    pages = [page async for page in stub.StreamActors(request)]
    assert [list(page.endpoint_ids) for page in pages] == [["ada"]]
    assert pages[0].HasField("complete_time")


async def test_everything_wrong_with_a_question_is_told(stub: behavior_pb2_grpc.BehaviorServiceAsyncStub) -> None:
    behavior = segments_pb2.BehaviorDimension(min_count=-1)
    behavior.since.seconds = 10**12
    behavior.attributes["a"].operator = segments_pb2.AttributeDimension.OPERATOR_BEFORE
    behavior.metrics["m"].value = 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        _ = [
            page
            async for page in stub.StreamActors(behavior_pb2.StreamActorsRequest(parent=PROJECT, behavior=behavior))
        ]
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    fields = {field for field, _ in violations_of(refused.value)}
    assert fields == {"behavior.attributes[a].operator", "behavior.metrics[m].operator", "behavior.since"}
