"""Events: accepted by the bus and stored, 100 a request and over the stream, beside the bare bus and the bare store."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import grpc

from benchmarks.figures import Figure, figure
from heliograph.analytics.v1 import (
    analytics_pb2,
    analytics_pb2_grpc,
    events_pb2,
    ingestion_pb2,
    ingestion_pb2_grpc,
)
from heliograph_analytics.columns import Rows
from heliograph_kit.auth import InternalTokens
from heliograph_kit.bus import Bus, BusMessage
from heliograph_kit.embedded import EmbeddedNats
from heliograph_kit.rpc import channel
from heliograph_kit.streams import events_subject
from heliograph_kit.testing import ServiceProcess, eventually

SECRET = "benchmark-benchmark-benchmark-benchmark"
EVENTS = 100_000
PER_REQUEST = 100
PER_BATCH = 500
IN_FLIGHT = 16


def events(project: str, count: int) -> list[events_pb2.Event]:
    """Return events as applications send them: two attributes, one metric, about 180 bytes each."""
    begin = int((datetime.now(UTC) - timedelta(days=1)).timestamp())
    made = []
    for number in range(count):
        event = events_pb2.Event(
            event_id=f"{project}-{number}",
            event_type="purchase" if number % 5 == 0 else "view",
            endpoint_id=f"endpoint-{number % 20_000}",
            user_id=f"user-{number % 15_000}",
            session_id=f"session-{number % 30_000}",
            attributes={"product": f"product-{number % 500}", "plan": "pro"},
            metrics={"price": number % 97 / 4},
        )
        event.event_time.seconds = begin + number % 86_400
        made.append(event)
    return made


async def measure() -> list[Figure]:
    """Start a bus and the service, measure, and stop both."""
    with tempfile.TemporaryDirectory(prefix="heliograph-bench-") as name:
        directory = Path(name)
        server = EmbeddedNats(directory / "nats", durable=True)
        url = server.start()
        try:
            return await _measure(url, directory)
        finally:
            server.stop()


async def _measure(url: str, directory: Path) -> list[Figure]:
    async with Bus.connect(url, name="benchmark") as bus:
        await bus.ensure_streams()
        bare_unary = await _bare_bus(bus, PER_REQUEST)
        bare_stream = await _bare_bus(bus, PER_BATCH)
        bare_store = await asyncio.to_thread(_bare_store, directory / "bare.duckdb")
        await bus.jetstream.purge_stream("EVENTS")
    process = ServiceProcess(
        "heliograph_analytics.main",
        service="analytics",
        directory=directory,
        environment={
            "HELIOGRAPH_NATS_URL": url,
            "HELIOGRAPH_INTERNAL_SECRET": SECRET,
            "HELIOGRAPH_ANALYTICS_EVENT_STORE": str(directory / "events.duckdb"),
        },
    )
    with process:
        opened = channel(process.address, tokens=InternalTokens(SECRET), caller="benchmark")
        try:
            accepted, stored = await _unary(opened)
            streamed, streamed_stored = await _streamed(opened)
        finally:
            await opened.close(grace=None)
    # A chain is as fast as its parts one after the other on the same cores.
    chain = 1 / (1 / bare_stream + 1 / bare_store)
    unit = "events/s"
    return [
        figure(
            f"events accepted, {PER_REQUEST} a request",
            accepted,
            unit,
            bare=bare_unary,
            against="bare bus, as large messages",
        ),
        figure(
            f"events stored, {PER_REQUEST} a request",
            stored,
            unit,
            bare=1 / (1 / bare_unary + 1 / bare_store),
            against="bare bus, then bare DuckDB insert",
            target="50,000",
        ),
        figure(
            f"events accepted, stream of {PER_BATCH}",
            streamed,
            unit,
            bare=bare_stream,
            against="bare bus, as large messages",
            target="150,000",
        ),
        figure(
            f"events stored, stream of {PER_BATCH}",
            streamed_stored,
            unit,
            bare=chain,
            against="bare bus, then bare DuckDB insert",
            target="50,000",
        ),
    ]


async def _bare_bus(bus: Bus, size: int) -> float:
    """Publish ready-made batches of that many events; return events a second."""
    payload = events_pb2.EventBatch(project="projects/bare", events=events("bare", size)).SerializeToString()
    messages = [
        BusMessage(events_subject("bare"), payload, f"bare-{size}-{number}", "bare", "bare")
        for number in range(EVENTS // size)
    ]
    began = time.perf_counter()
    await bus.publish_many(messages, in_flight=IN_FLIGHT)
    return EVENTS / (time.perf_counter() - began)


def _bare_store(path: Path) -> float:
    """Insert ready-made Arrow tables of 20,000 events, a transaction each; return events a second."""
    rows = Rows(datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    rows.add_events(events_pb2.EventBatch(project="projects/bare", events=events("bare", 20_000)))
    table = rows.table()
    connection = duckdb.connect(str(path), config={"threads": 2})
    try:
        connection.register("incoming", table)
        connection.execute("CREATE TABLE events AS SELECT * FROM incoming LIMIT 0")
        began = time.perf_counter()
        for _ in range(EVENTS // 20_000):
            connection.execute("INSERT INTO events SELECT * FROM incoming")
        return EVENTS / (time.perf_counter() - began)
    finally:
        connection.close()


async def _unary(opened: grpc.aio.Channel) -> tuple[float, float]:
    """Send 100 events a request; return events accepted and stored a second."""
    stub = ingestion_pb2_grpc.EventServiceStub(opened)
    batches = _batches("unary", PER_REQUEST)
    requests = [ingestion_pb2.PutEventsRequest(parent="projects/unary", events=batch) for batch in batches]
    waiting = iter(requests)

    async def send() -> None:
        for request in waiting:
            await stub.PutEvents(request)

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))
    accepted = time.perf_counter() - began
    await _stored(opened, "unary")
    return EVENTS / accepted, EVENTS / (time.perf_counter() - began)


async def _streamed(opened: grpc.aio.Channel) -> tuple[float, float]:
    """Send 500 events a batch over one stream; return events accepted and stored a second."""
    stub = ingestion_pb2_grpc.EventServiceStub(opened)
    requests = [
        ingestion_pb2.StreamEventsRequest(parent="projects/streamed", sequence=number, events=batch)
        for number, batch in enumerate(_batches("streamed", PER_BATCH))
    ]

    async def batches() -> AsyncIterator[ingestion_pb2.StreamEventsRequest]:
        for request in requests:
            yield request

    began = time.perf_counter()
    async for _ in stub.StreamEvents(batches()):
        pass
    accepted = time.perf_counter() - began
    await _stored(opened, "streamed")
    return EVENTS / accepted, EVENTS / (time.perf_counter() - began)


def _batches(project: str, size: int) -> list[Sequence[events_pb2.Event]]:
    made = events(project, EVENTS)
    return [made[start : start + size] for start in range(0, EVENTS, size)]


async def _stored(opened: grpc.aio.Channel, project: str) -> None:
    """Wait until all events of a project can be queried."""
    stub = analytics_pb2_grpc.AnalyticsServiceStub(opened)
    request = analytics_pb2.GetIngestStatusRequest(parent=f"projects/{project}")

    async def there() -> bool:
        return (await stub.GetIngestStatus(request)).stored_count >= EVENTS

    await eventually(there, within=120, every=0.05)
