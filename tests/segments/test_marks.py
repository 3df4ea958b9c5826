"""What messaging learns of endpoints, noted through gRPC: nothing is made, nothing is woken up, nothing is done twice."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from heliograph.segments.v1 import endpoints_pb2
from heliograph_kit.rpc import violations_of
from tests.segments.builders import PARENT, an_endpoint_message
from tests.segments.conftest import Api

Message = endpoints_pb2.Endpoint
Mark = endpoints_pb2.EndpointMark


async def write(api: Api, *endpoints: Message) -> None:
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))


async def read(api: Api, endpoint_id: str) -> Message:
    return await api.endpoints.GetEndpoint(endpoints_pb2.GetEndpointRequest(name=f"{PARENT}/endpoints/{endpoint_id}"))


async def mark(api: Api, *marks: Mark) -> int:
    request = endpoints_pb2.MarkEndpointsRequest(parent=PARENT, marks=marks)
    return (await api.endpoints.MarkEndpoints(request)).changed_count


def a_device(endpoint_id: str, address: str, **given: object) -> Message:
    return an_endpoint_message(endpoint_id, channel_type="GCM", address=address, **given)


async def test_an_opt_out_is_noted_once_and_changes_nothing_else(api: Api) -> None:
    await write(api, an_endpoint_message("E1", status=Message.STATUS_INACTIVE), an_endpoint_message("e2"))
    before = await read(api, "e1")

    assert await mark(api, Mark(endpoint_id="e1", kind=Mark.KIND_OPTED_OUT)) == 1
    assert await mark(api, Mark(endpoint_id="E1", kind=Mark.KIND_OPTED_OUT)) == 0
    after = await read(api, "e1")
    assert after.opt_out == Message.OPT_OUT_ALL
    assert (await read(api, "e2")).opt_out == Message.OPT_OUT_NONE
    after.opt_out = before.opt_out
    assert after == before  # neither active nor of today: it was no activity


@pytest.mark.parametrize("kind", [Mark.KIND_OPTED_OUT, Mark.KIND_ADDRESS_GONE, Mark.KIND_ADDRESS_REPLACED])
async def test_a_mark_makes_no_endpoint(api: Api, kind: Mark.Kind.ValueType) -> None:
    assert await mark(api, Mark(endpoint_id="nobody", kind=kind, new_address="token2")) == 0
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await read(api, "nobody")
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_endpoint_is_inactive_once_its_address_is_gone_unless_it_has_another_by_then(api: Api) -> None:
    await write(api, a_device("d1", "token1"), a_device("d2", "token2-new"))
    gone = [Mark(endpoint_id=f"d{n}", kind=Mark.KIND_ADDRESS_GONE, address=f"token{n}") for n in (1, 2)]

    assert await mark(api, *gone) == 1
    assert (await read(api, "d1")).status == Message.STATUS_INACTIVE
    assert (await read(api, "d2")).status == Message.STATUS_ACTIVE
    assert await mark(api, *gone) == 0


async def test_a_replaced_address_goes_to_its_endpoint_and_leaves_who_had_it(api: Api) -> None:
    await write(api, a_device("d1", "old"), a_device("d2", "new"))
    replaced = Mark(endpoint_id="d1", kind=Mark.KIND_ADDRESS_REPLACED, address="old", new_address="new")

    assert await mark(api, replaced, Mark(endpoint_id="d1", kind=Mark.KIND_ADDRESS_GONE, address="old")) == 1
    endpoint = await read(api, "d1")
    assert (endpoint.address, endpoint.status) == ("new", Message.STATUS_ACTIVE)
    assert (await read(api, "d2")).status == Message.STATUS_INACTIVE
    assert await mark(api, replaced) == 0


@pytest.mark.parametrize("new", ["", "x" * 4097, "a\x00b"], ids=["empty", "too long", "not storable"])
async def test_an_address_nobody_could_have_is_passed_over(api: Api, new: str) -> None:
    await write(api, a_device("d1", "old"))
    assert await mark(api, Mark(endpoint_id="d1", kind=Mark.KIND_ADDRESS_REPLACED, address="old", new_address=new)) == 0
    assert (await read(api, "d1")).address == "old"


async def test_many_marks_at_once_in_any_order_are_all_noted(api: Api) -> None:
    ids = [f"e{number:03d}" for number in range(100)]
    await write(api, *(an_endpoint_message(id) for id in ids))
    marks = [Mark(endpoint_id=id, kind=Mark.KIND_OPTED_OUT) for id in ids]

    changed = await asyncio.gather(*(mark(api, *marks[start:], *marks[:start]) for start in range(0, 100, 10)))
    assert sum(changed) == 100
    assert (await read(api, "e050")).opt_out == Message.OPT_OUT_ALL


async def test_a_request_holds_at_most_1000_marks(api: Api) -> None:
    marks = [Mark(endpoint_id=f"e{number}", kind=Mark.KIND_OPTED_OUT) for number in range(1001)]
    assert await mark(api, *marks[:1000]) == 0
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await mark(api, *marks)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation[0] for violation in violations_of(refused.value)] == ["marks"]
