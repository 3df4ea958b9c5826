"""Behaviour criteria beside a real analytics service: who did something, and who did not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from heliograph.analytics.v1 import analytics_pb2_grpc, ingestion_pb2, ingestion_pb2_grpc
from heliograph.segments.v1 import audience_pb2, endpoints_pb2, segments_pb2
from heliograph_analytics.behavior import wrongs_of
from heliograph_analytics.behavior_servicer import _behavior
from heliograph_analytics.config import AnalyticsSettings
from heliograph_kit.auth import InternalTokens
from heliograph_kit.database import Database
from heliograph_kit.errors import Unavailable, Violations
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Runtime
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.domain.checking import check_rules
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    BehaviorDimension,
    Dimensions,
    Group,
    MetricDimension,
    MetricOperator,
    Rules,
)
from heliograph_segments.service.behavior_messages import write_behavior
from heliograph_segments.service.behaviors import BELIEVED, Behaviors
from tests.analytics.conftest import an_event, until_stored
from tests.segments.builders import PARENT, a_segment, an_endpoint_message, having, lists, rules_message
from tests.segments.conftest import SECRET, Api

Behavior = segments_pb2.BehaviorDimension


@pytest.fixture
def settings(settings: SegmentsSettings, analytics: Runtime[AnalyticsSettings]) -> SegmentsSettings:
    """Settings of a segments service that knows where analytics is."""
    return settings.with_values(peer_analytics=analytics.address)


@pytest_asyncio.fixture
async def audience(api: Api, analytics: Runtime[AnalyticsSettings]) -> Api:
    """Four endpoints: a regular customer, an occasional one, one who looks, one who does nothing; all of them in Kiel."""
    people = [
        an_endpoint_message(name, attributes=lists(town=["Kiel"])) for name in ("Regular", "rare", "looks", "idle")
    ]
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=people))
    old = datetime.now(UTC) - timedelta(days=40)
    put = ingestion_pb2.PutEventsRequest(
        parent=PARENT,
        events=[
            an_event("regular", metrics={"amount": 30.0}, attributes={"shop": "north"}),
            an_event("REGULAR", metrics={"amount": 25.0}, attributes={"shop": "south"}),
            an_event("rare", metrics={"amount": 99.0}, attributes={"shop": "north"}),
            an_event("rare", metrics={"amount": 1.0}),
            an_event("rare", metrics={"amount": 50.0}, at=old),
            an_event("looks", "view"),
            an_event("a stranger", metrics={"amount": 30.0}),
        ],
    )
    async with channel(analytics.address, tokens=InternalTokens(SECRET)) as to:
        events: ingestion_pb2_grpc.EventServiceAsyncStub = ingestion_pb2_grpc.EventServiceStub(to)
        await events.PutEvents(put)
        reports: analytics_pb2_grpc.AnalyticsServiceAsyncStub = analytics_pb2_grpc.AnalyticsServiceStub(to)
        await until_stored(reports, len(put.events))
    return api


def above(amount: float) -> dict[str, segments_pb2.MetricDimension]:
    return {
        "amount": segments_pb2.MetricDimension(
            operator=segments_pb2.MetricDimension.OPERATOR_GREATER_THAN, value=amount
        )
    }


def bought(times: int = 1, days: int = 30, **given: Any) -> Behavior:
    behavior = Behavior(event_type="purchase", min_count=times, **given)
    behavior.within.FromTimedelta(timedelta(days=days))
    return behavior


def who(*behaviors: Behavior, town: str = "") -> segments_pb2.SegmentDimensions:
    dimensions = having("town", town) if town else segments_pb2.SegmentDimensions()
    dimensions.behaviors.extend(behaviors)
    return dimensions


async def members(api: Api, *dimensions: segments_pb2.SegmentDimensions) -> set[str]:
    made = await api.segments.CreateSegment(a_segment(*dimensions))
    count = await api.segments.CountSegment(segments_pb2.CountSegmentRequest(parent=PARENT, segment=made.name))
    frozen = await api.audience.FreezeSegment(audience_pb2.FreezeSegmentRequest(segment=made.name, snapshot_id="s1"))
    pages = api.audience.StreamMembers(audience_pb2.StreamMembersRequest(snapshot=frozen.name))
    found = {id async for page in pages for id in page.endpoint_ids}
    assert count.member_count == len(found)
    return found


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [
        (who(bought()), {"Regular", "rare"}),
        (who(bought(2, metrics=above(20))), {"Regular"}),
        (who(bought(2, metrics=above(20), days=60)), {"Regular", "rare"}),
        (who(bought(attributes=having("shop", "south").attributes)), {"Regular"}),
        (who(bought(negated=True)), {"looks", "idle"}),
        (who(bought(negated=True), Behavior(event_type="view")), {"looks"}),
        (who(bought(2, metrics=above(20), negated=True), town="Kiel"), {"rare", "looks", "idle"}),
        (who(Behavior(event_type="purchase"), town="Bonn"), set()),
        (who(Behavior(event_type="Purchase")), set()),
    ],
)
async def test_those_are_found_who_did_it(
    audience: Api, dimensions: segments_pb2.SegmentDimensions, expected: set[str]
) -> None:
    assert await members(audience, dimensions) == expected


async def test_a_behavior_comes_back_as_it_was_written(audience: Api) -> None:
    behavior = bought(3, metrics=above(20), attributes=having("shop", "south", operator="CONTAINS").attributes)
    since = Behavior(event_type="view", min_count=1, negated=True)
    since.since.FromDatetime(datetime(2026, 3, 4, 12, tzinfo=UTC))
    made = await audience.segments.CreateSegment(a_segment(who(behavior, since)))
    stored = await audience.segments.GetSegment(segments_pb2.GetSegmentRequest(name=made.name))
    assert list(stored.rules.groups[0].dimensions[0].behaviors) == [behavior, since]


async def test_an_explanation_tells_of_behaviors(audience: Api) -> None:
    request = segments_pb2.ExplainSegmentRequest(
        parent=PARENT, rules=rules_message(who(bought(), town="Kiel")), endpoint_id="looks"
    )
    explained = await audience.segments.ExplainSegment(request)
    assert not explained.member
    assert [clause.matched for clause in explained.clauses if clause.path.endswith("behaviors[0]")] == [False]


async def test_without_analytics_only_behaviors_have_no_answer(
    audience: Api, analytics: Runtime[AnalyticsSettings], database_of_segments: str
) -> None:
    async with AsyncExitStack() as stack:
        database = Database(database_of_segments, application_name="tests")
        stack.push_async_callback(database.close)
        to = await stack.enter_async_context(channel("127.0.0.1:1", tokens=InternalTokens(SECRET)))
        away = Behaviors(database, to)
        stack.push_async_callback(away.close)
        with pytest.raises(Unavailable):
            await away.find("shop", [BehaviorDimension("purchase")], datetime.now(UTC))
        # What failed is asked again.
        with pytest.raises(Unavailable):
            await away.find("shop", [BehaviorDimension("purchase")], datetime.now(UTC))
    assert await members(audience, having("town", "Kiel")) == {"Regular", "rare", "looks", "idle"}


async def test_an_answer_is_believed_for_a_moment(
    audience: Api, analytics: Runtime[AnalyticsSettings], database_of_segments: str
) -> None:
    clock, now = 0.0, datetime.now(UTC)
    async with AsyncExitStack() as stack:
        database = Database(database_of_segments, application_name="tests")
        stack.push_async_callback(database.close)
        to = channel(analytics.address, tokens=InternalTokens(SECRET))
        behaviors = Behaviors(database, to, monotonic=lambda: clock)
        stack.push_async_callback(behaviors.close)
        asked = [BehaviorDimension("purchase"), BehaviorDimension("view")]
        first = await behaviors.find("shop", asked, now)
        assert [len(first[behavior]) for behavior in asked] == [2, 1]
        await to.close(grace=None)
        # Nobody can be asked any more: what is told is what was told.
        clock = BELIEVED.total_seconds() - 0.1
        assert await behaviors.find("shop", asked, now + BELIEVED) == first
        with pytest.raises(Exception, match="closed"):
            await behaviors.find("shop", asked, now + BELIEVED + timedelta(seconds=1))
        clock = BELIEVED.total_seconds()
        with pytest.raises(Exception, match="closed"):
            await behaviors.find("shop", asked, now)


INCLUSIVE = AttributeOperator.INCLUSIVE


def names(count: int) -> tuple[tuple[str, MetricDimension], ...]:
    return tuple((f"m{n}", MetricDimension(MetricOperator.EQUAL, 1)) for n in range(count))


def values(count: int) -> tuple[tuple[str, AttributeDimension], ...]:
    return tuple((f"a{n}", AttributeDimension(INCLUSIVE, ("x",))) for n in range(count))


def problems(*behaviors: BehaviorDimension) -> list[str]:
    found = check_rules(Rules(groups=(Group(dimensions=(Dimensions(behaviors=behaviors),)),)))
    return [problem.field.removeprefix("groups[0].dimensions[0].") for problem in found]


@pytest.mark.parametrize(
    ("allowed", "refused", "field"),
    [
        (BehaviorDimension("t" * 64), BehaviorDimension("t" * 65), "event_type"),
        (BehaviorDimension("t"), BehaviorDimension(""), "event_type"),
        (BehaviorDimension("t", 10_000), BehaviorDimension("t", 10_001), "min_count"),
        (BehaviorDimension("t", 1), BehaviorDimension("t", -1), "min_count"),
        (
            BehaviorDimension("t", within=timedelta(minutes=1)),
            BehaviorDimension("t", within=timedelta(seconds=59)),
            "within",
        ),
        (
            BehaviorDimension("t", within=timedelta(days=366)),
            BehaviorDimension("t", within=timedelta(days=367)),
            "within",
        ),
        (
            BehaviorDimension("t", attributes=(("a" * 50, AttributeDimension(INCLUSIVE, ("x" * 100,))),)),
            BehaviorDimension("t", attributes=(("a" * 51, AttributeDimension(INCLUSIVE, ("x",))),)),
            f"attributes[{'a' * 51}]",
        ),
        (
            BehaviorDimension("t", attributes=(("a", AttributeDimension(INCLUSIVE, ("x",) * 50)),)),
            BehaviorDimension("t", attributes=(("a", AttributeDimension(INCLUSIVE, ("x",) * 51)),)),
            "attributes[a].values",
        ),
        (
            BehaviorDimension("t", attributes=(("a", AttributeDimension(AttributeOperator.CONTAINS, ("x",))),)),
            BehaviorDimension("t", attributes=(("a", AttributeDimension(AttributeOperator.ON, ("2026-01-01",))),)),
            "attributes[a].operator",
        ),
        (
            BehaviorDimension("t", metrics=names(20), attributes=values(20)),
            BehaviorDimension("t", metrics=names(20), attributes=values(21)),
            "attributes",
        ),
        (
            BehaviorDimension("t", metrics=(("m", MetricDimension(MetricOperator.EQUAL, 1e300)),)),
            BehaviorDimension("t", metrics=(("m", MetricDimension(MetricOperator.EQUAL, float("inf"))),)),
            "metrics[m].value",
        ),
    ],
)
def test_the_limits_of_a_behavior(allowed: BehaviorDimension, refused: BehaviorDimension, field: str) -> None:
    assert problems(allowed) == []
    assert problems(refused) == [f"behaviors[0].{field}"]
    # Analytics has limits of its own: a segment that is stored can be evaluated.
    assert wrongs_of(_behavior(write_behavior(allowed), Violations())) == []


def test_twenty_behaviors_and_not_twenty_one() -> None:
    many = [BehaviorDimension(f"t{n}") for n in range(21)]
    assert problems(*many[:20]) == []
    assert problems(*many) == ["groups"]
