"""Builders for the tests of this folder."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text

from heliograph_kit.bus import Bus, Published
from heliograph_kit.consumer import Consumer, Delivery, Handler
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outgoing


def a_letter(id: str = "", *, body: str = "hello", subject: str = "dispatch.campaign.shop") -> Outgoing:
    """Return a message for the outbox."""
    return Outgoing(subject=subject, message=StringValue(value=body), id=id or new_id(), project="shop")


class Recorder:
    """A handler that keeps what it got and fails when told to."""

    def __init__(self, fail: Callable[[Delivery], Exception | None] = lambda _: None) -> None:
        self.batches: list[list[Delivery]] = []
        self.done: list[Delivery] = []
        self._fail = fail

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.batches.append(list(deliveries))
        for delivery in deliveries:
            if (error := self._fail(delivery)) is not None:
                raise error
        self.done.extend(deliveries)

    @property
    def ids(self) -> list[str]:
        return [delivery.id for delivery in self.done]


def a_consumer(bus: Bus, handler: Handler, **changes: Any) -> Consumer:
    """Return a consumer of campaign dispatches."""
    settings: dict[str, Any] = {
        "service": "messaging",
        "stream": "DISPATCH",
        "durable": "messaging-campaign",
        "subjects": ["dispatch.campaign.*"],
        "ack_wait": timedelta(seconds=5),
        **changes,
    }
    return Consumer(bus, handler=handler, **settings)


@asynccontextmanager
async def at_work(run: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker inside of the block; stop it in order at its end, which shows its failure too."""
    stopping = asyncio.Event()

    async def working() -> None:
        await run(stopping)

    task = asyncio.create_task(working())
    try:
        yield task
    finally:
        stopping.set()
        if not task.cancelled():
            await asyncio.wait_for(asyncio.gather(task, return_exceptions=task.cancelling() > 0), 15)


async def publish(bus: Bus, count: int = 1, *, subject: str = "dispatch.campaign.shop", prefix: str = "m") -> list[str]:
    """Publish messages `m0`, `m1`, ... and return their ids."""
    ids = [f"{prefix}{n}" for n in range(count)]
    for id in ids:
        stored = await bus.publish(subject, id.encode(), id=id, type="test.Letter")
        assert isinstance(stored, Published)
    return ids


async def rows(database: Database, query: str, **parameters: object) -> list[Any]:
    """Return what a query finds."""
    async with database.transaction() as conn:
        return list((await conn.execute(text(query), parameters)).all())


async def pending(bus: Bus, stream: str = "DISPATCH") -> int:
    """Return how many messages a stream holds."""
    return int((await bus.jetstream.stream_info(stream)).state.messages)
