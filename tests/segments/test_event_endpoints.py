"""Endpoints that come beside events: through analytics and the bus into the record, by the rules of all writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import pytest_asyncio

from heliograph.analytics.v1 import ingestion_pb2, ingestion_pb2_grpc
from heliograph.segments.v1 import endpoints_pb2
from heliograph_analytics.config import AnalyticsSettings
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel, violations_of
from heliograph_kit.runtime import Runtime
from heliograph_kit.testing import eventually
from tests.analytics.conftest import an_event
from tests.segments.builders import PARENT, an_endpoint_message, lists
from tests.segments.conftest import SECRET, Api

Message = endpoints_pb2.Endpoint


@pytest_asyncio.fixture
async def events(analytics: Runtime[AnalyticsSettings]) -> AsyncIterator[ingestion_pb2_grpc.EventServiceAsyncStub]:
    """The way in."""
    opened = channel(analytics.address, tokens=InternalTokens(SECRET))
    yield ingestion_pb2_grpc.EventServiceStub(opened)
    await opened.close(grace=None)


async def put(events: ingestion_pb2_grpc.EventServiceAsyncStub, *endpoints: Message, of: tuple[str, ...] = ()) -> int:
    request = ingestion_pb2.PutEventsRequest(parent=PARENT, endpoints=endpoints, events=[an_event(one) for one in of])
    return (await events.PutEvents(request)).accepted_count


async def read(api: Api, endpoint_id: str) -> Message | None:
    try:
        return await api.endpoints.GetEndpoint(
            endpoints_pb2.GetEndpointRequest(name=f"{PARENT}/endpoints/{endpoint_id}")
        )
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise


async def known(api: Api, endpoint_id: str) -> Message:
    """Wait until an endpoint is there."""

    async def there() -> bool:
        return await read(api, endpoint_id) is not None

    await eventually(there, within=20)
    found = await read(api, endpoint_id)
    assert found is not None
    return found


async def test_an_endpoint_comes_with_its_first_event(
    api: Api, events: ingestion_pb2_grpc.EventServiceAsyncStub
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    user = endpoints_pb2.EndpointUser(user_id="u1", attributes=lists(first=["Ann"]))
    assert await put(events, an_endpoint_message("Phone", attributes=lists(a=["1"]), user=user), of=("phone",)) == 1
    found = await known(api, "phone")
    assert found.endpoint_id == "Phone"
    assert list(found.user.attributes["first"].values) == ["Ann"]
    assert before <= found.last_active_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert found.effective_time.ToDatetime(UTC) <= datetime.now(UTC)


async def test_endpoints_without_events_are_written_in_their_order(
    api: Api, events: ingestion_pb2_grpc.EventServiceAsyncStub
) -> None:
    for turn in range(20):
        await put(events, an_endpoint_message("e1", attributes=lists(turn=[str(turn)])))
        await put(events, an_endpoint_message(f"e{turn + 2}", address="same"))
    last = await known(api, "e21")
    assert last.status == Message.STATUS_ACTIVE
    found = await known(api, "e1")
    assert list(found.attributes["turn"].values) == ["19"]
    others = [await known(api, f"e{turn + 2}") for turn in range(19)]
    assert {other.status for other in others} == {Message.STATUS_INACTIVE}


async def test_what_is_refused_keeps_nothing_else_back(
    api: Api, events: ingestion_pb2_grpc.EventServiceAsyncStub
) -> None:
    nobodys = endpoints_pb2.EndpointUser(attributes=lists(first=["Ann"]))
    await put(
        events,
        an_endpoint_message("good"),
        an_endpoint_message("bad", channel_type="PIGEON"),
        an_endpoint_message("nobody", user=nobodys),
        an_endpoint_message("nobody"),
        an_endpoint_message("last"),
        of=("good",),
    )
    await known(api, "last")
    assert await read(api, "good") is not None
    assert await read(api, "bad") is None
    # Refused is the update, not the endpoint: another one of it is in order.
    found = await read(api, "nobody")
    assert found is not None
    assert not found.user.user_id


async def test_a_repeated_request_writes_once(api: Api, events: ingestion_pb2_grpc.EventServiceAsyncStub) -> None:
    first = an_endpoint_message("e1", attributes=lists(a=["old"]))
    await put(events, first)
    await known(api, "e1")
    newer = an_endpoint_message("e1", attributes=lists(a=["new"]))
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=[newer]))
    await put(events, first)
    await put(events, an_endpoint_message("behind"))
    await known(api, "behind")
    found = await known(api, "e1")
    assert list(found.attributes["a"].values) == ["new"]


async def test_a_stream_takes_a_hundred_large_endpoints(
    api: Api, events: ingestion_pb2_grpc.EventServiceAsyncStub
) -> None:
    """More than one message of the bus can hold."""
    large = lists(**{f"n{n}": ["v" * 96] * 25 for n in range(5)})
    endpoints = [an_endpoint_message(f"e{n}", attributes=large) for n in range(100)]
    request = ingestion_pb2.StreamEventsRequest(
        parent=PARENT, sequence=7, endpoints=endpoints, events=[an_event(f"e{n}") for n in range(3)]
    )
    assert request.ByteSize() > 1024 * 1024
    answers = [(one.sequence, one.accepted_count) async for one in events.StreamEvents(iter([request]))]
    assert answers == [(7, 3)]
    for n in (0, 50, 99):
        await known(api, f"e{n}")


@pytest.mark.parametrize(
    ("endpoints", "fields"),
    [
        ([an_endpoint_message(f"e{n}") for n in range(101)], ["endpoints"]),
        ([an_endpoint_message("e1"), an_endpoint_message("")], ["endpoints[1].endpoint_id"]),
        ([an_endpoint_message("e1", address="x" * 65_600)], ["endpoints[0]"]),
    ],
)
async def test_endpoints_that_cannot_be_handed_on_are_refused(
    api: Api, events: ingestion_pb2_grpc.EventServiceAsyncStub, endpoints: list[Message], fields: list[str]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(events, *endpoints, of=("e1",))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation[0] for violation in violations_of(refused.value)] == fields
