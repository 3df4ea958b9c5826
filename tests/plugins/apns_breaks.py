"""Ways in which an Apple of ours breaks a call, and waiting for what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from h2.errors import ErrorCodes

from heliograph_channels import Rejected, RejectReason, SendResult
from tests.plugins.http2_peer import Act, Exchange


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def later(result: SendResult) -> bool:
    return isinstance(result, Rejected) and result.retryable and result.reason is RejectReason.UNAVAILABLE


async def dropping(exchange: Exchange) -> None:
    """Read the call, and break the connection."""
    exchange.conversation.abort()


async def losing(exchange: Exchange) -> None:
    """Do what the call asks for, and break the connection instead of answering."""
    exchange.peer.answer(exchange.call)
    exchange.conversation.abort()


async def silent(exchange: Exchange) -> None:
    """Do what the call asks for and never answer."""
    exchange.peer.answer(exchange.call)


async def garbling(exchange: Exchange) -> None:
    """Answer something that is not HTTP/2."""
    exchange.conversation.writer.write(b"HTTP/1.1 200 OK\r\n\r\n" * 10)


def resetting(code: ErrorCodes) -> Act:
    async def act(exchange: Exchange) -> None:
        exchange.reset(code)

    return act
