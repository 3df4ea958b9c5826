"""Pings of our clients: none of our servers calls them too many, on connections that are still and on busy ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from pydantic import ValidationError

from heliograph_kit.keepalive import MOST_MINIMUM_SECONDS, PING_EVERY
from heliograph_kit.rpc import Limits
from heliograph_kit.settings import ServiceSettings
from tests.kit.rpc.conftest import Bench
from tests.kit.rpc.echo import SERVICE, Echo, EchoRequest, EchoStub, add_echo, call

SHOP = "projects/shop"
# gRPC sends no more than one ping a second; the server of the control tells of the fourth.
LONG_ENOUGH = 6.5
OFTEN = timedelta(seconds=0.5)
PING = bytes((0, 0, 8, 6, 0, 0, 0, 0, 0))


@dataclass
class Wire:
    """What goes to and fro between a client and a server."""

    address: str = ""
    connections: int = 0
    pings: int = 0
    punished: bool = False


@asynccontextmanager
async def tapped(server: str) -> AsyncIterator[Wire]:
    """Stand between a client and a server and count what is said."""
    wire = Wire()
    host, _, port = server.rpartition(":")
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]) -> None:
        try:
            while data := await reader.read(65536):
                note(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def sent(data: bytes) -> None:
        wire.pings += data.count(PING)

    def answered(data: bytes) -> None:
        wire.punished = wire.punished or b"too_many_pings" in data

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.connections += 1
        back, forth = await asyncio.open_connection(host, int(port))
        for task in (carry(reader, forth, sent), carry(back, writer, answered)):
            tasks.add(asyncio.create_task(task))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    wire.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def still(stub: EchoStub) -> None:
    """Say nothing after the first call."""
    await asyncio.sleep(LONG_ENOUGH)


async def waiting(stub: EchoStub) -> None:
    """Wait for an answer that takes long."""
    with pytest.raises(grpc.aio.AioRpcError):
        await call(stub, "One", EchoRequest(parent=SHOP, text="slow"), timeout=LONG_ENOUGH)


async def busy(stub: EchoStub) -> None:
    """Call one after the other, and take every third call back."""
    until, number = time.monotonic() + LONG_ENOUGH, 0
    while time.monotonic() < until:
        number += 1
        if number % 3:
            assert await call(stub, "One", EchoRequest(parent=SHOP, text="x")) == ["x"]
            await asyncio.sleep(0.01)
        else:
            taken_back = asyncio.create_task(call(stub, "One", EchoRequest(parent=SHOP, text="slow")))
            await asyncio.sleep(0.01)
            taken_back.cancel()


async def uploading(stub: EchoStub) -> None:
    """Send all the time and get nothing back."""

    async def words() -> AsyncIterator[Any]:
        until = time.monotonic() + LONG_ENOUGH
        while time.monotonic() < until:
            yield EchoRequest(parent=SHOP, text="x")
            await asyncio.sleep(0.02)

    await stub._channel.stream_unary(
        f"/{SERVICE}/Up", request_serializer=EchoRequest.SerializeToString, response_deserializer=bytes
    )(words(), timeout=30)


async def answering(request: Any, _context: Any) -> None:
    if request.text == "slow":
        await asyncio.sleep(60)


async def test_our_pings_are_not_punished_on_any_kind_of_connection(bench: Bench) -> None:
    address = await bench.serve(answering, limits=Limits(min_ping_interval_seconds=0.25))
    kinds: tuple[Callable[[EchoStub], Awaitable[None]], ...] = (still, waiting, busy, uploading)
    async with AsyncExitStack() as stack:
        wires = {kind.__name__: await stack.enter_async_context(tapped(address)) for kind in kinds}
        stubs = [EchoStub(bench.open(wire.address, ping_every=OFTEN)) for wire in wires.values()]
        for stub in stubs:
            assert await call(stub, "One", EchoRequest(parent=SHOP, text="x")) == ["x"]
        await asyncio.gather(*(kind(stub) for kind, stub in zip(kinds, stubs, strict=True)))
        for stub in stubs:
            assert await call(stub, "One", EchoRequest(parent=SHOP, text="still here")) == ["still here"]
    for name, wire in wires.items():
        assert (wire.punished, wire.connections) == (False, 1), name
        assert wire.pings >= 4, name


async def test_a_server_with_the_defaults_of_grpc_punishes_them() -> None:
    """Or the test above would see nothing."""
    server = grpc.aio.server()
    add_echo(Echo(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop, None)
        wire = await stack.enter_async_context(tapped(address))
        bench = Bench(stack)
        stub = EchoStub(bench.open(wire.address, ping_every=OFTEN))
        assert await call(stub, "One", EchoRequest(parent=SHOP, text="x")) == ["x"]
        await asyncio.sleep(LONG_ENOUGH)
    assert wire.punished


def test_the_minimum_cannot_be_set_so_that_our_own_services_pass_it() -> None:
    class Some(ServiceSettings):
        service = "some"

    given: dict[str, Any] = {
        "database_url": "postgresql+psycopg://x@localhost/x",
        "internal_secret": "s" * 32,
        "nats_url": "nats://localhost",
    }
    assert Some(**given, min_ping_interval_seconds=MOST_MINIMUM_SECONDS).min_ping_interval_seconds == 15
    with pytest.raises(ValidationError, match="min_ping_interval_seconds"):
        Some(**given, min_ping_interval_seconds=MOST_MINIMUM_SECONDS + 0.1)
    assert PING_EVERY.total_seconds() >= 2 * MOST_MINIMUM_SECONDS
