"""Limits, health, draining, keepalive and deadlines: how grpc.aio behaves and what we made of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from heliograph_kit.auth import Bearer
from heliograph_kit.deadline import note_deadline, remaining_seconds
from heliograph_kit.rpc import AddressTaken, Limits, RpcServer, fingerprint, metadata_of, reason_of
from tests.kit.rpc.conftest import Bench
from tests.kit.rpc.echo import SERVICE, EchoRequest, EchoResponse, EchoStub, Inner, call

SHOP = "projects/shop"
SMALL = Limits(max_message_bytes=64 * 1024)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("method", ["One", "Down", "Up", "Both"])
async def test_a_request_over_the_limit_is_refused_with_its_limit(bench: Bench, method: str) -> None:
    stub = EchoStub(bench.open(await bench.serve(limits=SMALL)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, method, EchoRequest(parent=SHOP, blob=b"x" * 70_000))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(caught.value) == "REQUEST_TOO_LARGE"
    assert metadata_of(caught.value) == {"limit_bytes": "65536"}


async def test_a_request_far_over_the_limit_is_cut_by_grpc_itself(bench: Bench) -> None:
    stub = EchoStub(bench.open(await bench.serve(limits=SMALL)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "One", EchoRequest(parent=SHOP, blob=b"x" * 2_000_000))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(caught.value) == ""


async def test_an_answer_over_the_limit_says_to_ask_for_less(bench: Bench) -> None:
    async def does(_request: Any, _context: Any) -> Any:
        return EchoResponse(blob=b"x" * 70_000)

    stub = EchoStub(bench.open(await bench.serve(does, limits=SMALL)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "One", EchoRequest(parent=SHOP))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "smaller pages" in (caught.value.details() or "")


async def test_a_taken_port_is_an_error_and_not_shared(bench: Bench) -> None:
    """By default gRPC lets a second server share the port, and each gets some of the calls."""
    address = await bench.serve()
    second = RpcServer(address, Bearer(bench.tokens, bench.book))
    with pytest.raises(AddressTaken, match=f"cannot listen on {address}"):
        await second.start()


async def _states(address: str, bench: Bench) -> dict[str, int]:
    stub = health_pb2_grpc.HealthStub(bench.bare(address))
    states = {}
    for name in ("", "readiness", "liveness", SERVICE):
        states[name] = (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status
    return states


async def test_liveness_and_readiness_are_different_names_and_need_no_key(bench: Bench) -> None:
    address = await bench.serve()
    assert await _states(address, bench) == {"": SERVING, "readiness": SERVING, "liveness": SERVING, SERVICE: SERVING}
    await bench.server.health.set_ready(False)
    assert await _states(address, bench) == {
        "": NOT_SERVING, "readiness": NOT_SERVING, "liveness": SERVING, SERVICE: NOT_SERVING,
    }  # fmt: skip


async def test_reflection_lists_the_services_without_a_key(bench: Bench) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(bench.bare(await bench.serve()))
    answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = {service.name async for answer in answers for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_an_unknown_method_is_unimplemented(bench: Bench) -> None:
    channel = bench.open(await bench.serve())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"/{SERVICE}/Nothing", bytes, bytes)(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_stop_drains_first_lets_running_calls_end_and_then_refuses(bench: Bench) -> None:
    began = asyncio.Event()

    async def does(request: Any, _context: Any) -> None:
        if request.text == "slow":
            began.set()
            await asyncio.sleep(0.6)

    address = await bench.serve(does)
    stub = EchoStub(bench.open(address))
    slow = asyncio.create_task(call(stub, "One", EchoRequest(parent=SHOP, text="slow")))
    await began.wait()
    stop = asyncio.create_task(bench.server.stop(drain_seconds=0.3, grace_seconds=5))
    await asyncio.sleep(0.1)
    assert not bench.server.health.ready
    assert await call(stub, "One", EchoRequest(parent=SHOP, text="while draining")) == ["while draining"]
    assert await slow == ["slow"]
    await stop
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(EchoStub(bench.bare(address)), "One", EchoRequest(parent=SHOP))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_watches_health_does_not_hold_the_stop(bench: Bench) -> None:
    address = await bench.serve()
    watch = health_pb2_grpc.HealthStub(bench.bare(address)).Watch(health_pb2.HealthCheckRequest(service="readiness"))
    assert (await watch.read()).status == SERVING
    began = time.monotonic()
    await bench.server.stop(drain_seconds=0, grace_seconds=30)
    assert time.monotonic() - began < 10
    assert (await watch.read()).status == NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError, match="the server stops"):
        await watch.read()


async def test_a_call_that_outlasts_the_grace_is_cut(bench: Bench) -> None:
    began = asyncio.Event()

    async def does(_request: Any, _context: Any) -> None:
        began.set()
        await asyncio.sleep(30)

    stub = await bench.stub(does)
    call_ = asyncio.create_task(call(stub, "One", EchoRequest(parent=SHOP)))
    await began.wait()
    await bench.server.stop(drain_seconds=0, grace_seconds=0.2)
    with pytest.raises(grpc.aio.AioRpcError):
        await call_


async def test_connections_that_age_cause_no_errors(bench: Bench) -> None:
    stub = EchoStub(bench.open(await bench.serve(limits=Limits(max_connection_age_seconds=1))))
    give_up = time.monotonic() + 2.5
    while time.monotonic() < give_up:
        assert await call(stub, "One", EchoRequest(parent=SHOP, text="x")) == ["x"]
        await asyncio.sleep(0.02)


async def test_a_server_that_comes_back_on_its_port_is_found_again(bench: Bench) -> None:
    address = await bench.serve()
    stub = EchoStub(bench.open(address))
    assert await call(stub, "One", EchoRequest(parent=SHOP, text="a")) == ["a"]
    await bench.server.stop(drain_seconds=0, grace_seconds=0)

    async def later() -> None:
        await asyncio.sleep(0.3)
        server = RpcServer(address, Bearer(bench.tokens, bench.book))
        from tests.kit.rpc.echo import Echo, add_echo

        server.add(add_echo, Echo(), SERVICE)
        await server.start()
        bench.server = server
        bench._stack.push_async_callback(server.stop, drain_seconds=0, grace_seconds=0)

    back = asyncio.create_task(later())
    answer = await call(stub, "One", EchoRequest(parent=SHOP, text="b"), wait_for_ready=True)
    await back
    assert answer == ["b"]


async def test_every_call_has_a_deadline_even_when_nobody_set_one(bench: Bench) -> None:
    left: list[float] = []

    async def does(_request: Any, context: Any) -> None:
        left.append(context.time_remaining())

    stub = await bench.stub(does)
    for method in ("One", "Down", "Up", "Both"):
        await call(stub, method, EchoRequest(parent=SHOP))
    assert left[0] <= 5.1
    # gRPC sends long deadlines rounded up.
    assert [3500 < seconds < 3700 for seconds in left[1:]] == [True] * 3


async def test_a_call_on_the_callers_behalf_ends_before_the_caller_stops_waiting(bench: Bench) -> None:
    seen: list[float] = []
    inner: list[EchoStub] = []

    async def does(request: Any, context: Any) -> Any:
        if request.text == "inner":
            seen.append(context.time_remaining())
            return None
        return EchoResponse(text=(await call(inner[0], "One", EchoRequest(parent=SHOP, text="inner")))[0])

    stub = await bench.stub(does)
    inner.append(stub)
    await call(stub, "One", EchoRequest(parent=SHOP, text="outer"), timeout=1)
    assert 0.5 < seen[0] < 0.96


def test_work_without_a_caller_has_no_deadline() -> None:
    from contextvars import copy_context

    def inside() -> float | None:
        note_deadline(None)
        return remaining_seconds()

    assert copy_context().run(inside) is None


def test_a_fingerprint_ignores_the_request_id_and_nothing_else() -> None:
    request = EchoRequest(parent=SHOP, text="a", request_id="1")
    assert fingerprint(request) == fingerprint(EchoRequest(parent=SHOP, text="a", request_id="2"))
    assert fingerprint(request) != fingerprint(EchoRequest(parent=SHOP, text="b", request_id="1"))
    assert fingerprint(Inner(parent="a")) != fingerprint(EchoRequest(parent="a"))
    assert request.request_id == "1"
