"""Questions that are refused, and the list of key figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.analytics.v1 import analytics_pb2, analytics_pb2_grpc
from heliograph_kit.rpc import reason_of, violations_of
from tests.analytics.conftest import PROJECT

Stub: TypeAlias = "analytics_pb2_grpc.AnalyticsServiceAsyncStub"
NOW = datetime.now(UTC)


@pytest.fixture
def stub(analytics_channel: grpc.aio.Channel) -> Stub:
    """The way out."""
    return analytics_pb2_grpc.AnalyticsServiceStub(analytics_channel)


def ago(days: float) -> Timestamp:
    """Return an instant so many days ago."""
    made = Timestamp()
    made.FromDatetime(NOW - timedelta(days=days))
    return made


@pytest.mark.parametrize(
    ("parent", "name"),
    [
        pytest.param(PROJECT, "nonsense", id="no such name"),
        pytest.param(PROJECT, "hard-bounce-rate", id="of campaigns only"),
        pytest.param(f"{PROJECT}/journeys/j", "txn-emails-sent", id="of projects only"),
        pytest.param(PROJECT, "email-open-rate-grouped-by-date", id="no such grouping"),
    ],
)
async def test_an_unknown_key_figure_is_not_found(stub: Stub, parent: str, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetKpi(analytics_pb2.GetKpiRequest(parent=parent, kpi=name))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(refused.value) == "KPI_NOT_FOUND"


@pytest.mark.parametrize(
    ("start", "end", "fields"),
    [
        pytest.param(31, 0, [], id="31 days are allowed"),
        pytest.param(32, 0, ["end_time"], id="32 are not"),
        pytest.param(0, 1, ["end_time"], id="inverted"),
        pytest.param(89, 88, [], id="89 days ago"),
        pytest.param(90, 88, ["start_time"], id="90 days ago"),
        pytest.param(100, 10, ["end_time", "start_time"], id="everything at once"),
    ],
)
async def test_ranges_of_key_figures_are_held_to_their_limits(
    stub: Stub, start: float, end: float, fields: list[str]
) -> None:
    request = analytics_pb2.GetKpiRequest(parent=PROJECT, kpi="messages-sent", start_time=ago(start), end_time=ago(end))
    if not fields:
        assert not (await stub.GetKpi(request)).rows
        return
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetKpi(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in violations_of(refused.value)] == fields


async def test_everything_wrong_with_a_count_is_told_at_once(stub: Stub) -> None:
    request = analytics_pb2.CountEventsRequest(parent=PROJECT, attribute="", top=-1, event_types=["t"] * 51)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.CountEvents(request)
    fields = [field for field, _ in violations_of(refused.value)]
    assert fields == ["start_time", "end_time", "event_types", "attribute", "top"]


async def test_every_listed_key_figure_answers_with_every_scope_and_grouping(stub: Stub) -> None:
    parents: dict[Any, str] = {
        analytics_pb2.KPI_SCOPE_PROJECT: PROJECT,
        analytics_pb2.KPI_SCOPE_CAMPAIGN: f"{PROJECT}/campaigns/c",
        analytics_pb2.KPI_SCOPE_JOURNEY: f"{PROJECT}/journeys/j",
    }
    listed = (await stub.ListKpis(analytics_pb2.ListKpisRequest())).kpis
    assert [kpi.name for kpi in listed] == sorted(kpi.name for kpi in listed)
    for kpi in listed:
        assert kpi.description
        for scope in kpi.scopes:
            names = [kpi.name, *(f"{kpi.name}-grouped-by-{grouping}" for grouping in kpi.groupings)]
            for name in names:
                answer = await stub.GetKpi(analytics_pb2.GetKpiRequest(parent=parents[scope], kpi=name))
                assert not answer.rows, f"{name} shows a row without data"
