"""Lets the endpoints of erased users leave every journey, and forgets who they were."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.segments.v1 import events_pb2
from heliograph_journeys import events
from heliograph_journeys.crowd import Crowd
from heliograph_journeys.domain.moving import Leave, Move, Moved, Person
from heliograph_journeys.domain.table import Position
from heliograph_journeys.forgetting import forget, take_out_of_chunks
from heliograph_journeys.state import Run
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.working import Tables
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Delivery
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import Outbox
from heliograph_kit.working import Bell

ERASURES_CONSUMER = "journeys-erasures"


class Erasing:
    """Handles announcements of erased users; each is acted on once, and answered."""

    def __init__(
        self,
        *,
        database: Database,
        store: JourneyStore,
        crowd: Crowd,
        outbox: Outbox,
        inbox: Inbox,
        clock: Clock,
        tables: Tables,
        bell: Bell,
    ) -> None:
        """Take the parts."""
        self._database = database
        self._store = store
        self._crowd = crowd
        self._outbox = outbox
        self._inbox = inbox
        self._clock = clock
        self._tables = tables
        self._bell = bell

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Act on announcements.

        Raises:
            CannotEverWork: a payload is no UserErased.
        """
        for delivery in deliveries:
            asked = _parsed(delivery)

            async def work(
                conn: AsyncConnection, delivery: Delivery = delivery, asked: events_pb2.UserErased = asked
            ) -> None:
                if await self._inbox.first_seen(conn, ERASURES_CONSUMER, [delivery.id]):
                    for run in await self._store.runs_with(conn, delivery.project, asked.ordinals):
                        await self._erase(conn, run, asked)
                    await self._outbox.add(conn, events.erasure_done(delivery.project, asked.erasure, delivery.id))

            await self._database.run(work)
        # A run that waited only for them is over now.
        self._bell.ring()

    async def _erase(self, conn: AsyncConnection, run: Run, asked: events_pb2.UserErased) -> None:
        now = self._clock.now()
        # In the order in which senders lock: the run, its chunks, the participants.
        await self._crowd.running(conn, run)
        await take_out_of_chunks(conn, run, asked.ordinals)
        inside: dict[Position, list[Person]] = {}
        for ordinal, step in (await self._crowd.lock(conn, run, asked.ordinals)).items():
            # Without the id: what is told of the step would keep it alive elsewhere.
            inside.setdefault(step, []).append(Person("", ordinal, now))
        if inside:
            moved = Moved(
                leaves=[Leave(step, "ERASED", people) for step, people in inside.items()],
                moves=[Move(step, "ERASED", None, "ERASED", people) for step, people in inside.items()],
            )
            table, move_ids = self._tables.of(run), [new_id() for _ in moved.moves]
            await self._crowd.write(conn, run, table, moved, now=now, move_ids=move_ids)
            await self._outbox.add(conn, *events.steps_taken(run, table, moved, now, move_ids))
        await forget(conn, run, asked.ordinals)


def _parsed(delivery: Delivery) -> events_pb2.UserErased:
    try:
        return events_pb2.UserErased.FromString(delivery.payload)
    except DecodeError as error:
        raise CannotEverWork("the payload is no UserErased") from error
