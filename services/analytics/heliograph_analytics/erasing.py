"""Deletes the events of erased users, and answers that it is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from google.protobuf.message import DecodeError

from heliograph.segments.v1 import events_pb2
from heliograph_analytics.store import Arrived, EventStore
from heliograph_kit.bus import Bus
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Delivery
from heliograph_kit.ids import derived_id
from heliograph_kit.streams import changes_subject

ERASURES = "analytics-erasures"


class Eraser:
    """Handles announcements of erased users."""

    def __init__(self, store: EventStore, bus: Bus, clock: Clock) -> None:
        """Take the events, where the answer goes, and the time."""
        self._store = store
        self._bus = bus
        self._clock = clock

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Delete, then answer. There is no outbox here: after a crash in between both are done again, harmlessly.

        Raises:
            CannotEverWork: a payload is no UserErased.
        """
        for delivery in deliveries:
            try:
                asked = events_pb2.UserErased.FromString(delivery.payload)
            except DecodeError as error:
                raise CannotEverWork("the payload is no UserErased") from error
            now = self._clock.now()
            await self._store.erase(
                ERASURES,
                Arrived(delivery.id, min(delivery.time, now)),
                delivery.project,
                endpoint_ids=asked.endpoint_ids,
                user_id=asked.user_id,
                erased_at=asked.erase_time.ToDatetime(UTC),
                now=now,
            )
            done = events_pb2.ErasureDone(erasure=asked.erasure, service="analytics")
            await self._bus.publish(
                changes_subject("analytics", delivery.project, "erasure_done"),
                done.SerializeToString(),
                id=derived_id("erasure done", "analytics", asked.erasure, delivery.id),
                type=done.DESCRIPTOR.full_name,
                project=delivery.project,
            )
