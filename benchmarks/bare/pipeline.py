"""The least that sends a campaign durably: batch off the bus, check, render, (SMTP), rows, results, acknowledgement.

`python -m benchmarks.bare.pipeline <database> <nats> <batches> <smtp port, 0: none>`; fills a stream of its own, works it
off in this process and prints messages per second. Each batch holds 500 recipients.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from html import escape
from typing import Any

import nats
import orjson
import psycopg
import uvloop
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from benchmarks.letters import HTML, SIZE, VARIABLES, values_of

_CONNECTIONS = 16
_HEAD = (
    b"From: shop@example.com\r\nTo: %s\r\nSubject: News\r\nMessage-ID: <%s@bench>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)
_TABLES = (
    "CREATE SCHEMA IF NOT EXISTS bare",
    "DROP TABLE IF EXISTS bare.people, bare.caps, bare.sent",
    "CREATE TABLE bare.people (n bigint PRIMARY KEY, opted_out boolean)",
    "CREATE TABLE bare.caps (n bigint PRIMARY KEY, today int, total int) WITH (fillfactor = 70)",
    "CREATE TABLE bare.sent (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run int, n bigint, status smallint)",
    "ALTER TABLE bare.sent ADD COLUMN at timestamptz DEFAULT now()",
)
_CHECK = (
    "WITH fine AS (SELECT p.n FROM unnest(%s::bigint[]) AS x (n) JOIN bare.people p USING (n) WHERE NOT p.opted_out) "
    "UPDATE bare.caps AS c SET today = today + 1, total = total + 1 FROM fine WHERE c.n = fine.n AND c.today < 1000 "
    "RETURNING c.n"
)
_ROWS = "INSERT INTO bare.sent (run, n, status) SELECT 1, n, 2 FROM unnest(%s::bigint[]) AS x (n)"
_PIECES = [piece for part in HTML.split("{{") for piece in part.split("}}")]
_ORDER = [VARIABLES.index(piece) for piece in _PIECES[1::2]]


def render(values: list[str]) -> str:
    """Join the fixed pieces with escaped values."""
    parts = list(_PIECES)
    parts[1::2] = [escape(values[place]) for place in _ORDER]
    return "".join(parts)


class Connection:
    """One SMTP connection; the three commands before the content go out in one write."""

    async def open(self, port: int) -> Connection:
        """Greet."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        await self._reader.readline()
        self._writer.write(b"EHLO bench\r\n")
        while (await self._reader.readline())[3:4] == b"-":
            pass
        return self

    async def send(self, to: bytes, body: str) -> None:
        """Send one message in a frame made by hand."""
        self._writer.write(b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<" + to + b">\r\nDATA\r\n")
        for _ in range(3):
            await self._reader.readline()
        content = base64.encodebytes(body.encode()).replace(b"\n", b"\r\n")
        self._writer.write(_HEAD % (to, to) + content + b".\r\n")
        await self._reader.readline()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def _fill(stream: Any, people: int) -> None:
    await stream.add_stream(StreamConfig(name="BARE", subjects=["bare.>"]))
    await stream.add_stream(StreamConfig(name="BARERESULTS", subjects=["bareresults.>"]))
    for first in range(0, people, SIZE):
        batch = [{"n": n, "values": values_of(n)} for n in range(first, first + SIZE)]
        await stream.publish("bare.batch", orjson.dumps(batch))


async def _work(stream: Any, conn: psycopg.AsyncConnection[Any], batches: int, smtp: list[Connection]) -> float:
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=1000)
    pulled = await stream.pull_subscribe("bare.>", "bare", stream="BARE", config=config)
    began, sent = time.perf_counter(), 0
    for _ in range(batches):
        [message] = await pulled.fetch(1, timeout=5)
        people = {one["n"]: one["values"] for one in orjson.loads(message.data)}
        async with conn.transaction():
            fine = [row[0] for row in await (await conn.execute(_CHECK, (list(people),))).fetchall()]
            letters = [(people[n][0].encode(), render(people[n])) for n in fine]
            if smtp:
                waiting = iter(letters)

                async def carry(connection: Connection, waiting: Any = waiting) -> None:
                    for to, body in waiting:
                        await connection.send(to, body)

                await asyncio.gather(*(carry(connection) for connection in smtp))
            await conn.execute(_ROWS, (fine,))
        results = orjson.dumps([{"n": n, "status": "sent", "id": f"{n:032x}"} for n in fine])
        await stream.publish("bareresults.batch", results)
        await message.ack()
        sent += len(fine)
    return sent / (time.perf_counter() - began)


async def _main(database: str, bus: str, batches: int, port: int) -> None:
    people = batches * SIZE
    client = await nats.connect(bus, pending_size=64 * 1024 * 1024)
    smtp = [await Connection().open(port) for _ in range(_CONNECTIONS if port else 0)]
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        for statement in _TABLES:
            await conn.execute(statement)
        await conn.execute("INSERT INTO bare.people SELECT i, false FROM generate_series(0, %s) i", (people,))
        await conn.execute("INSERT INTO bare.caps SELECT i, 0, 0 FROM generate_series(0, %s) i", (people,))
        for table in ("people", "caps"):
            await conn.execute(f"VACUUM ANALYZE bare.{table}")
        stream = client.jetstream()
        await _fill(stream, people)
        print(await _work(stream, conn, batches, smtp), flush=True)
        for name in ("BARE", "BARERESULTS"):
            await stream.delete_stream(name)
    for connection in smtp:
        connection.close()
    await client.close()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
