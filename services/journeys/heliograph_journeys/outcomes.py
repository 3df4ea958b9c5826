"""Notes what happened to messages of journeys, and wakes participants whose split is decided by it."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2, events_pb2
from heliograph_journeys.crowd import Crowd
from heliograph_journeys.domain.table import Position
from heliograph_journeys.events import happened_in
from heliograph_journeys.state import Run
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.working import Tables
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Delivery
from heliograph_kit.database import Database
from heliograph_kit.inbox import Inbox
from heliograph_kit.working import Bell

OUTCOMES_CONSUMER = "journeys-messages"

Bits = dict[tuple[str, Position], int]
"""What happened, bits by (endpoint, message step)."""


class Outcomes:
    """Handles deliveries of MESSAGES; each is applied once, however often it comes."""

    def __init__(
        self,
        *,
        database: Database,
        store: JourneyStore,
        crowd: Crowd,
        inbox: Inbox,
        clock: Clock,
        tables: Tables,
        bell: Bell,
    ) -> None:
        """Take the parts."""
        self._database = database
        self._store = store
        self._crowd = crowd
        self._inbox = inbox
        self._clock = clock
        self._tables = tables
        self._bell = bell

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Apply batches of message events.

        Raises:
            CannotEverWork: a payload is not what its subject says.
        """
        batches = [(delivery, _parsed(delivery)) for delivery in deliveries]
        if await self._database.run(lambda conn: self._apply(conn, batches)):
            self._bell.ring()

    async def _apply(
        self, conn: AsyncConnection, batches: Sequence[tuple[Delivery, events_pb2.MessageEventBatch]]
    ) -> int:
        new = await self._inbox.first_seen(conn, OUTCOMES_CONSUMER, [delivery.id for delivery, _ in batches])
        seen: dict[tuple[str, str], tuple[Run, Bits] | None] = {}
        for delivery, batch in batches:
            if delivery.id not in new or batch.message_class != dispatch_pb2.MESSAGE_CLASS_JOURNEY:
                continue
            key = (delivery.project, batch.source.run_id)
            if key not in seen:
                run = await self._store.get_run(conn, *key)
                # A journey that was deleted: its messages may still be on their way.
                seen[key] = None if run is None else (run, {})
            if (known := seen[key]) is not None:
                self._collect(*known, batch)
        woken = 0
        for known in seen.values():
            if known is not None and known[1]:
                woken += await self._note(conn, *known)
        return woken

    def _collect(self, run: Run, bits: Bits, batch: events_pb2.MessageEventBatch) -> None:
        table = self._tables.of(run)
        position = table.positions.get(batch.source.activity_id)
        watched = 0 if position is None else table.watched.get(position, 0)
        if position is None or not watched:
            return
        for endpoint_id, bit in happened_in(batch):
            if bit & watched:
                bits[endpoint_id, position] = bits.get((endpoint_id, position), 0) | bit

    async def _note(self, conn: AsyncConnection, run: Run, told: Bits) -> int:
        ordinals = await self._crowd.ordinals_of(conn, run, sorted({endpoint_id for endpoint_id, _ in told}))
        bits = {
            (ordinals[endpoint_id], position): bit
            for (endpoint_id, position), bit in told.items()
            if endpoint_id in ordinals
        }
        if not bits:
            return 0
        await self._crowd.note(conn, run, bits)
        # Noted first, then locked: a mover that does not see the note is waited for, one that comes later sees it.
        where = await self._crowd.lock(conn, run, {ordinal for ordinal, _ in bits})
        table = self._tables.of(run)
        splits = {(position, bit): set(table.splits_on(position, bit)) for (_, position), bit in bits.items()}
        decided = {ordinal for (ordinal, position), bit in bits.items() if where.get(ordinal) in splits[position, bit]}
        return await self._crowd.wake(conn, run, decided, self._clock.now()) if decided else 0


def _parsed(delivery: Delivery) -> events_pb2.MessageEventBatch:
    try:
        return events_pb2.MessageEventBatch.FromString(delivery.payload)
    except DecodeError as error:
        raise CannotEverWork("the payload is no MessageEventBatch") from error
