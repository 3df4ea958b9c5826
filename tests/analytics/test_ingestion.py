"""Events in through gRPC: what is accepted, what is refused, and that repeats count once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from heliograph.analytics.v1 import analytics_pb2, analytics_pb2_grpc, ingestion_pb2, ingestion_pb2_grpc
from heliograph_analytics.config import AnalyticsSettings
from heliograph_analytics.main import PACKAGE, build
from heliograph_kit.rpc import reason_of
from heliograph_kit.runtime import StartFailed, running
from tests.analytics.conftest import PROJECT, an_event, until_stored


@pytest.fixture
def events(analytics_channel: grpc.aio.Channel) -> ingestion_pb2_grpc.EventServiceAsyncStub:
    """The way in."""
    return ingestion_pb2_grpc.EventServiceStub(analytics_channel)


@pytest.fixture
def analytics(analytics_channel: grpc.aio.Channel) -> analytics_pb2_grpc.AnalyticsServiceAsyncStub:
    """The way out."""
    return analytics_pb2_grpc.AnalyticsServiceStub(analytics_channel)


async def test_good_events_are_stored_and_bad_ones_named(
    events: ingestion_pb2_grpc.EventServiceAsyncStub, analytics: analytics_pb2_grpc.AnalyticsServiceAsyncStub
) -> None:
    batch = [an_event(), an_event(kind=""), an_event("e2"), an_event("e" * 65)]
    answer = await events.PutEvents(ingestion_pb2.PutEventsRequest(parent=PROJECT, events=batch))
    assert answer.accepted_count == 2
    assert [(one.index, one.field, one.reason) for one in answer.rejected_events] == [
        (1, "event_type", "MISSING"),
        (3, "endpoint_id", "TOO_LONG"),
    ]
    status = await until_stored(analytics, 2)
    assert status.stored_count == 2
    assert status.HasField("last_applied_time")


async def test_no_events_are_no_mistake_and_too_many_are(events: ingestion_pb2_grpc.EventServiceAsyncStub) -> None:
    assert (await events.PutEvents(ingestion_pb2.PutEventsRequest(parent=PROJECT))).accepted_count == 0
    full = ingestion_pb2.PutEventsRequest(parent=PROJECT, events=[an_event() for _ in range(100)])
    assert (await events.PutEvents(full)).accepted_count == 100
    full.events.append(an_event())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await events.PutEvents(full)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "TOO_MANY_EVENTS"


async def test_a_repeated_request_and_a_repeated_event_count_once(
    events: ingestion_pb2_grpc.EventServiceAsyncStub, analytics: analytics_pb2_grpc.AnalyticsServiceAsyncStub
) -> None:
    first = ingestion_pb2.PutEventsRequest(parent=PROJECT, events=[an_event(id="a"), an_event(id="b")])
    for _ in range(3):
        await events.PutEvents(first)
    # The same ids in another request, once with another endpoint, which makes another event, and twice in one request.
    mixed = [an_event(id="a"), an_event("e2", id="a"), an_event(id="c"), an_event(id="c")]
    await events.PutEvents(ingestion_pb2.PutEventsRequest(parent=PROJECT, events=mixed))
    assert (await until_stored(analytics, 4)).stored_count == 4


async def test_the_stream_acknowledges_batches_in_order_with_counts(
    events: ingestion_pb2_grpc.EventServiceAsyncStub, analytics: analytics_pb2_grpc.AnalyticsServiceAsyncStub
) -> None:
    async def batches() -> AsyncIterator[ingestion_pb2.StreamEventsRequest]:
        for sequence in range(30):
            batch = [an_event(f"e{n}") for n in range(50)]
            batch[7].event_type = ""
            parent = PROJECT if sequence == 0 else ""
            yield ingestion_pb2.StreamEventsRequest(parent=parent, sequence=sequence, events=batch)

    answers = [answer async for answer in events.StreamEvents(batches())]
    assert [answer.sequence for answer in answers] == list(range(30))
    assert {(answer.accepted_count, answer.rejected_count) for answer in answers} == {(49, 1)}
    assert {answer.rejected_events[0].index for answer in answers} == {7}
    assert (await until_stored(analytics, 30 * 49)).stored_count == 30 * 49


async def test_a_batch_over_the_limit_ends_the_stream_with_its_reason(
    events: ingestion_pb2_grpc.EventServiceAsyncStub,
) -> None:
    async def batches() -> AsyncIterator[ingestion_pb2.StreamEventsRequest]:
        yield ingestion_pb2.StreamEventsRequest(parent=PROJECT, sequence=1, events=[an_event()])
        yield ingestion_pb2.StreamEventsRequest(sequence=2, events=[an_event() for _ in range(501)])

    answers = events.StreamEvents(batches())
    first = await anext(aiter(answers))
    assert first.sequence == 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(aiter(answers))
    assert reason_of(refused.value) == "TOO_MANY_EVENTS"


async def test_a_large_batch_travels_in_pieces(
    events: ingestion_pb2_grpc.EventServiceAsyncStub, analytics: analytics_pb2_grpc.AnalyticsServiceAsyncStub
) -> None:
    wide = {f"{n:050}": "v" * 200 for n in range(40)}
    request = ingestion_pb2.PutEventsRequest(parent=PROJECT, events=[an_event(attributes=wide) for _ in range(100)])
    assert (await events.PutEvents(request)).accepted_count == 100
    assert (await until_stored(analytics, 100)).stored_count == 100


async def test_events_outside_the_retention_are_accepted_and_not_stored(
    events: ingestion_pb2_grpc.EventServiceAsyncStub, analytics: analytics_pb2_grpc.AnalyticsServiceAsyncStub
) -> None:
    now = datetime.now(UTC)
    batch = [an_event(at=now - timedelta(days=91)), an_event(at=now + timedelta(hours=2)), an_event(at=now)]
    answer = await events.PutEvents(ingestion_pb2.PutEventsRequest(parent=PROJECT, events=batch))
    assert answer.accepted_count == 3
    assert (await until_stored(analytics, 1)).stored_count == 1


async def test_a_malformed_parent_is_refused(analytics: analytics_pb2_grpc.AnalyticsServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await analytics.GetIngestStatus(analytics_pb2.GetIngestStatusRequest(parent="shop"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_second_process_on_one_store_says_so_and_does_not_start(
    settings: AnalyticsSettings, service: object
) -> None:
    # DuckDB allows a second connection inside one process, so the other owner must be another process.
    code = f"import duckdb; c = duckdb.connect({str(settings.event_store) + '2'!r}); print('open', flush=True); input()"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"open\n"
    taken = settings.with_values(event_store=str(settings.event_store) + "2")
    try:
        with pytest.raises(StartFailed, match="one process at a time"):
            async with running(taken, build, package=PACKAGE, metadata=None):
                pass
    finally:
        other.kill()
        await other.communicate()
