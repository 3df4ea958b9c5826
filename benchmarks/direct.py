"""Direct sends at a steady pace: how long the call takes, and how long until the provider has the message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import psycopg

from benchmarks.figures import Figure, figure, percentile
from benchmarks.letters import VARIABLES, values_of
from benchmarks.parts import bare, until
from heliograph.messaging.v1 import dispatch_pb2, messages_pb2, messages_pb2_grpc
from heliograph.segments.v1 import audience_pb2, audience_pb2_grpc
from heliograph_kit.ids import new_id

SENDS_PER_SECOND = 100
SEND_SECONDS = 6
_ACCEPTED = (
    "SELECT 1000 * extract(epoch FROM m.accept_time - b.create_time)::double precision FROM messaging.messages m "
    "JOIN messaging.batches b ON b.project = m.project AND b.batch_id = m.batch_id "
    "WHERE b.message_class = 'transactional' AND m.status = 'ACCEPTED' AND m.address LIKE %s"
)


@dataclass(frozen=True)
class Times:
    """Milliseconds of each call, and from the moment a worker took a message to the provider's yes."""

    calls: list[float]
    waits: list[float]

    def figures(self, circumstances: str, plain: list[float]) -> list[Figure]:
        """Return p50 and p99, held against empty unary calls at the same pace."""
        at = f"at {SENDS_PER_SECOND}/s{circumstances}"
        unary = "an empty unary call at the same pace"
        return [
            figure(
                f"direct send of one message {at}, {what}, {words}", percentile(times, share), "ms",
                bare=percentile(plain, share), against=unary, target=target,
            )
            for what, times, targets in (
                ("the call", self.calls, ("8 ms", "30 ms")),
                ("from the worker to the provider's yes", self.waits, ("", "")),
            )
            for (words, share), target in zip((("p50", 0.5), ("p99", 0.99)), targets, strict=True)
        ]  # fmt: skip


class DirectSends:
    """Sends one message a call, each with a request id, as callers who repeat do."""

    def __init__(
        self, channel: grpc.aio.Channel, conn: psycopg.AsyncConnection[Any], parent: str, template: str
    ) -> None:
        """Take the service, its database, the project and what is said."""
        self._messages: messages_pb2_grpc.MessageServiceAsyncStub = messages_pb2_grpc.MessageServiceStub(channel)
        self._conn = conn
        self._parent = parent
        self._template = template

    async def run(self) -> Times:
        """Send for some seconds and wait until the provider has all of it."""
        run = new_id()
        await self._send(run, -1)
        calls = await paced(lambda number: self._send(run, number))

        async def taken() -> list[float] | None:
            rows = await (await self._conn.execute(_ACCEPTED, (f"{run}-%",))).fetchall()
            return [float(row[0]) for row in rows] if len(rows) > len(calls) else None

        return Times(calls, await until("the direct sends", taken, within=60))

    async def _send(self, run: str, number: int) -> None:
        values = dict(zip(VARIABLES[2:], values_of(abs(number))[2:], strict=True)) | {"User.UserId": f"u{number}"}
        await self._messages.SendMessages(
            messages_pb2.SendMessagesRequest(
                parent=self._parent,
                channel="EMAIL",
                content=dispatch_pb2.MessageContent(template=self._template),
                recipients=[messages_pb2.Recipient(address=f"{run}-{number}@example.com")],
                substitutions=values,
                request_id=f"{run}{number}",
            ),
            timeout=60,
        )


async def empty_calls() -> list[float]:
    """Return how long empty unary calls take at the same pace, ms."""
    with bare("members", "0") as address:
        async with grpc.aio.insecure_channel(address) as plain:
            other: audience_pb2_grpc.AudienceServiceAsyncStub = audience_pb2_grpc.AudienceServiceStub(plain)

            async def ask(number: int) -> None:
                await other.GetSnapshot(audience_pb2.GetSnapshotRequest(name=str(number)))

            await ask(0)
            return await paced(ask)


async def paced(call: Callable[[int], Awaitable[None]]) -> list[float]:
    """Start calls at a steady pace, whether earlier ones have ended or not; returns how long each took, ms."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.05

    async def one(number: int) -> float:
        due = begin + number / SENDS_PER_SECOND
        await asyncio.sleep(max(0.0, due - loop.time()))
        began = time.perf_counter()
        await call(number)
        return 1000 * (time.perf_counter() - began)

    return list(await asyncio.gather(*(one(number) for number in range(SENDS_PER_SECOND * SEND_SECONDS))))
