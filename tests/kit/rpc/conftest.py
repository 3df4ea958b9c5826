from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import grpc
import pytest

from heliograph_kit.auth import Bearer, InternalTokens, KeyInvalid, KeyRevoked, Principal, Role
from heliograph_kit.rpc import Limits, RpcServer, channel
from tests.kit.rpc.echo import SERVICE, Echo, EchoStub, Handler, add_echo

SECRET = "a-secret-for-tests-that-is-long-enough"


class KeyBook:
    """Knows keys by their text: an authenticator without a service behind it."""

    def __init__(self) -> None:
        self.keys: dict[str, Principal] = {}
        self.revoked: set[str] = set()

    def issue(self, *roles: Role, projects: tuple[str, ...] | None = ("shop",)) -> str:
        key = f"hg_{len(self.keys)}_abcdefghijklmnop"
        scope = None if projects is None else frozenset(projects)
        self.keys[key] = Principal("key", str(len(self.keys)), frozenset(roles), scope)
        return key

    async def authenticate(self, key: str) -> Principal:
        if key in self.revoked:
            raise KeyRevoked()
        if key not in self.keys:
            raise KeyInvalid()
        return self.keys[key]


class Bench:
    """Starts servers and opens channels, and closes them when the test ends."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.tokens = InternalTokens(SECRET)
        self.book = KeyBook()
        self.server: RpcServer

    async def serve(self, does: Handler | None = None, *, servicer: Any = None, limits: Limits | None = None) -> str:
        server = RpcServer("127.0.0.1:0", Bearer(self.tokens, self.book), limits=limits)
        server.add(add_echo, servicer or Echo(does), SERVICE)
        address = await server.start()
        await server.health.set_ready(True)
        self._stack.push_async_callback(server.stop, drain_seconds=0, grace_seconds=0)
        self.server = server
        return address

    def open(self, address: str, **options: Any) -> grpc.aio.Channel:
        given: dict[str, Any] = {"tokens": self.tokens, "timeout": timedelta(seconds=5)}
        opened = channel(address, **(given | options))
        self._stack.push_async_callback(opened.close, None)
        return opened

    def bare(self, address: str) -> grpc.aio.Channel:
        """Open a channel as a foreign client would: nothing of ours in it."""
        opened = grpc.aio.insecure_channel(address)
        self._stack.push_async_callback(opened.close, None)
        return opened

    async def stub(self, does: Handler | None = None, **options: Any) -> EchoStub:
        return EchoStub(self.open(await self.serve(does), **options))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack)


@pytest.fixture
def refused() -> Callable[[pytest.ExceptionInfo[grpc.aio.AioRpcError]], tuple[str, str]]:
    """Return code and reason of a refusal."""
    from heliograph_kit.rpc import reason_of

    return lambda caught: (caught.value.code().name, reason_of(caught.value))
