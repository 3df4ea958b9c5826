"""The program heliograph-analytics: wires the service and runs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import nats.js.errors

from heliograph.analytics.v1 import analytics_pb2_grpc, behavior_pb2_grpc, ingestion_pb2_grpc
from heliograph_analytics.actors import Actors
from heliograph_analytics.behavior_servicer import BehaviorServicer
from heliograph_analytics.config import AnalyticsSettings
from heliograph_analytics.erasing import ERASURES, Eraser
from heliograph_analytics.ingestion import Ingestion
from heliograph_analytics.recorder import Recorder
from heliograph_analytics.reports import Reports
from heliograph_analytics.servicer import AnalyticsServicer, EventServicer
from heliograph_analytics.store import EventStore, StoreInUse
from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.reconciler import answer_applied
from heliograph_kit.runtime import Runtime, StartFailed, run_service

PACKAGE = "heliograph_analytics"
_DAY_SECONDS = 24 * 3600
_ACK_WAIT = timedelta(seconds=5)
"""After a crash the broker gives us what we had in hand after so long; while a batch is written it is renewed."""
_DURABLES = (("EVENTS", "analytics-events"), ("MESSAGES", "analytics-messages"), ("CHANGES", "analytics-steps"))

log = logging.getLogger(__name__)


async def build(runtime: Runtime[AnalyticsSettings]) -> None:
    """Wire the service, top to bottom."""
    settings = runtime.settings
    try:
        store = EventStore(settings.event_store, memory_mb=settings.store_memory_mb, threads=settings.store_threads)
    except StoreInUse as error:
        raise StartFailed(str(error)) from error
    runtime.on_close(store.close)
    runtime.add_ping("event store", store.ping)

    async def rest() -> None:
        # Real time on purpose, also when the product's clock is hurried; a stop need not wait for it.
        with suppress(TimeoutError):
            await asyncio.wait_for(runtime.stopping.wait(), settings.recorder_pause_seconds)

    recorder = Recorder(
        store,
        runtime.clock,
        timedelta(days=settings.retention_days),
        full=settings.recorder_batch,
        pause=rest,
    )

    async def applied(_: str, ids: Sequence[str]) -> set[str]:
        return await store.applied(ids)

    responder = await answer_applied(runtime.bus, settings.service, applied)
    runtime.on_close(responder.close)

    async def projects_deleted(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            await store.drop_project(delivery.project)

    eraser = Eraser(store, runtime.bus, runtime.clock)
    for stream, durable, subject, handler in (
        ("EVENTS", "analytics-events", "events.*", recorder.events),
        ("MESSAGES", "analytics-messages", "messages.*", recorder.messages),
        ("CHANGES", "analytics-steps", "changes.journeys.*.step_taken", recorder.steps),
        ("CHANGES", "analytics-projects", "changes.projects.*.project_deleted", projects_deleted),
        ("CHANGES", ERASURES, "changes.segments.*.user_erased", eraser.handle),
    ):
        runtime.add_consumer(
            Consumer(
                runtime.bus,
                service=settings.service,
                stream=stream,
                durable=durable,
                subjects=[subject],
                handler=handler,
                batch=settings.recorder_batch,
                ack_wait=_ACK_WAIT,
            )
        )

    async def backlog() -> int:
        waiting = 0
        for stream, durable in _DURABLES:
            try:
                info = await runtime.bus.jetstream.consumer_info(stream, durable)
            except nats.js.errors.NotFoundError:
                continue  # no recorder has run yet
            waiting += (info.num_pending or 0) + (info.num_ack_pending or 0)
        return waiting

    async def forget(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            if gone := await recorder.forget():
                log.info("deleted %d events older than %d days", gone, settings.retention_days)
            try:
                await asyncio.wait_for(stopping.wait(), _DAY_SECONDS / settings.clock_rate)
            except TimeoutError:
                continue

    runtime.add_worker("retention", forget)
    runtime.add_servicer(
        ingestion_pb2_grpc.add_EventServiceServicer_to_server,
        EventServicer(Ingestion(runtime.bus, runtime.clock)),
        "heliograph.analytics.v1.EventService",
    )
    runtime.add_servicer(
        analytics_pb2_grpc.add_AnalyticsServiceServicer_to_server,
        AnalyticsServicer(Reports(store, runtime.clock, backlog)),
        "heliograph.analytics.v1.AnalyticsService",
    )
    runtime.add_servicer(
        behavior_pb2_grpc.add_BehaviorServiceServicer_to_server,
        BehaviorServicer(Actors(store, runtime.clock, backlog)),
        "heliograph.analytics.v1.BehaviorService",
    )


def main() -> None:
    """Be the console command."""
    run_service(AnalyticsSettings, build, package=PACKAGE, metadata=None)


if __name__ == "__main__":
    main()
