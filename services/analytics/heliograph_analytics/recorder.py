"""What the consumers do: bus messages in, rows in the store, both once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

import pyarrow as pa
from google.protobuf.message import DecodeError, Message

from heliograph.analytics.v1 import events_pb2
from heliograph.journeys.v1 import events_pb2 as journeys_pb2
from heliograph.messaging.v1 import events_pb2 as messaging_pb2
from heliograph_analytics.columns import Rows
from heliograph_analytics.domain import FUTURE
from heliograph_analytics.store import Arrived, EventStore
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Delivery
from heliograph_kit.names import project_of

M = TypeVar("M", bound=Message)


class Recorder:
    """Writes batches of thousands of events; one instance for each store."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        retention: timedelta,
        *,
        full: int = 1,
        pause: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Take the store and how long it keeps events: older ones that come late are not stored.

        After a transaction of fewer than `full` bus messages `pause` is awaited.
        """
        self._store = store
        self._clock = clock
        self._retention = retention
        self._full = full
        self._pause = pause
        self.left_out = 0
        """Events that were too old or too far ahead to be stored, since the start."""

    async def events(self, deliveries: Sequence[Delivery]) -> None:
        """Store events of applications."""
        await self._record(
            "analytics-events", deliveries, events_pb2.EventBatch, lambda rows, _, batch: rows.add_events(batch)
        )

    async def messages(self, deliveries: Sequence[Delivery]) -> None:
        """Store what happened to messages."""
        await self._record(
            "analytics-messages",
            deliveries,
            messaging_pb2.MessageEventBatch,
            lambda rows, _, batch: rows.add_messages(batch),
        )

    async def steps(self, deliveries: Sequence[Delivery]) -> None:
        """Store steps of journeys."""
        await self._record(
            "analytics-steps",
            deliveries,
            journeys_pb2.StepTaken,
            lambda rows, delivery, step: rows.add_steps(delivery.project or project_of(step.journey), step),
        )

    async def forget(self) -> int:
        """Delete what is older than the retention; return how many events."""
        return await self._store.forget(self._clock.now(), self._retention)

    async def _record(
        self,
        consumer: str,
        deliveries: Sequence[Delivery],
        kind: type[M],
        add: Callable[[Rows, Delivery, M], None],
    ) -> None:
        now = self._clock.now()
        # The same message may be in hand twice, when the broker gave up waiting for the first time.
        by_id: Mapping[str, Delivery] = {delivery.id: delivery for delivery in deliveries}

        def table(fresh: set[str]) -> pa.Table:
            rows = Rows(now - self._retention, now + FUTURE)
            for id_, delivery in by_id.items():
                if id_ in fresh:
                    try:
                        add(rows, delivery, kind.FromString(delivery.payload))
                    except DecodeError as error:
                        raise CannotEverWork(f"{kind.DESCRIPTOR.full_name} cannot be decoded") from error
            self.left_out += rows.left_out
            return rows.table()

        arrived = [Arrived(delivery.id, min(delivery.time, now)) for delivery in by_id.values()]
        await self._store.record(consumer, arrived, table, now)
        # A transaction costs as much for ten events as for thousands; while we rest, the bus gathers the next one.
        if self._pause is not None and len(deliveries) < self._full:
            await self._pause()
