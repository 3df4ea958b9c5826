"""One servicer on loopback, as the service serves it: with access rules and translated errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from heliograph_kit.auth import Bearer, InternalTokens, KeyInvalid, Principal
from heliograph_kit.rpc import RpcServer, channel

TOKENS = InternalTokens("tests-tests-tests-tests-tests-tests-1")


class NoKeys:
    """Knows no API key."""

    async def authenticate(self, key: str) -> Principal:
        raise KeyInvalid


@asynccontextmanager
async def serving(
    add_to_server: Callable[[Any, grpc.aio.Server], None], servicer: object, full_name: str
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve it, and yield a channel with the internal token of `tests`."""
    server = RpcServer("127.0.0.1:0", Bearer(TOKENS, NoKeys()))
    server.add(add_to_server, servicer, full_name)
    address = await server.start()
    await server.set_ready(True)
    try:
        async with channel(address, tokens=TOKENS) as opened:
            yield opened
    finally:
        await server.stop(drain_seconds=0, grace_seconds=1)
