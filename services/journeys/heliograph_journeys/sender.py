"""Hands messages over to messaging: sets that arrived at a message step go into the outbox as one batch each.

A set is taken under a lease, its recipients are read from segments outside of any transaction, and then one
transaction moves the people on, stores the batch and removes the set, if it is still ours. A crash before that
changes nothing; the set is taken again when its lease is over, and gives the same batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.segments.v1 import audience_pb2
from heliograph_journeys import events
from heliograph_journeys.crowd import Chunk, Crowd
from heliograph_journeys.domain.moving import Person, advance
from heliograph_journeys.domain.table import MessageStep, Position
from heliograph_journeys.peers import Template
from heliograph_journeys.state import Run
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.working import Tables, in_trace_of
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.working import Bell, until_stopped

_log = logging.getLogger(__name__)
_AT_ONCE = 4
_PAUSE = timedelta(seconds=1)


class Recipients(Protocol):
    """What the sender needs of segments and templates."""

    async def template_in_use(self, name: str, version: int) -> Template | None:
        """Return a template, also one that was deleted; None when there is none."""
        ...

    async def read(self, project: str, endpoint_ids: Sequence[str], fields: Sequence[str]) -> audience_pb2.MemberPage:
        """Read endpoints with fields."""
        ...


class ChunkLost(Exception):
    """Somebody else has a set by now, or the run ended: write nothing."""


class Sender:
    """Works off message steps; any number may work side by side."""

    def __init__(
        self,
        *,
        database: Database,
        store: JourneyStore,
        crowd: Crowd,
        outbox: Outbox,
        recipients: Recipients,
        clock: Clock,
        tables: Tables,
        bell: Bell,
        lease: timedelta,
        poll_seconds: float,
    ) -> None:
        """Take the parts. The lease is real time; the database keeps it."""
        self._database = database
        self._store = store
        self._crowd = crowd
        self._outbox = outbox
        self._recipients = recipients
        self._clock = clock
        self._tables = tables
        self._bell = bell
        self._lease = lease
        self._poll_seconds = poll_seconds

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop."""
        await until_stopped(stopping, self._bell, self._poll_seconds, self.step)

    async def step(self) -> bool:
        """Hand over a few sets of each run that has any; False when there are none, or none could be read."""
        async with self._database.transaction() as conn:
            runs = await self._store.with_chunks(conn)
        count = 0
        for run in runs:
            try:
                count += await self.send(run)
            except ChunkLost:
                _log.info("a set of run %s was taken over, or the run ended", run.id)
            except Exception:
                _log.exception("could not hand over messages of run %s; trying again soon", run.id)
        if count:
            self._bell.ring()
        return count > 0

    async def send(self, run: Run) -> int:
        """Hand over up to four sets of a run; returns how many participants went on.

        Raises:
            ChunkLost: a set is somebody else's, or the run ended; nothing was written, and what is still ours is free.
        """
        with in_trace_of(run, "journey send"):
            async with self._database.transaction() as conn:
                chunks = await self._crowd.take_chunks(conn, run, _AT_ONCE, self._lease)
            if not chunks:
                return 0
            try:
                batches = await asyncio.gather(*(self._batch(run, chunk) for chunk in chunks))
                await self._database.run(lambda conn: self._hand_over(conn, run, chunks, [b for b in batches if b]))
            except Exception as error:
                # One lost set must not hold up those that were taken beside it until their lease is over.
                pause = timedelta() if isinstance(error, ChunkLost) else _PAUSE
                async with self._database.transaction() as conn:
                    await self._crowd.give_back_chunks(conn, run, chunks, pause)
                raise
        return sum(len(chunk.people) for chunk in chunks)

    async def _batch(self, run: Run, chunk: Chunk) -> Outgoing | None:
        step = self._tables.of(run).steps[chunk.step]
        if not isinstance(step, MessageStep):
            raise TypeError(f"step {chunk.step} of run {run.id} sends nothing")
        message = step.message
        template = await self._recipients.template_in_use(message.template, message.template_version)
        # Without its template the batch goes all the same: messaging fails it, so that everybody has an outcome.
        version, fields = (template.version, template.variables) if template else (message.template_version, ())
        page = await self._recipients.read(run.project, [person.endpoint_id for person in chunk.people], fields)
        # Who was deleted meanwhile is not in the page; with nobody left there is nothing to hand over.
        return events.dispatch(run, step, chunk.id, version, page) if page.endpoint_ids else None

    async def _hand_over(
        self, conn: AsyncConnection, run: Run, chunks: Sequence[Chunk], batches: Sequence[Outgoing]
    ) -> None:
        if not await self._crowd.running(conn, run) or not await self._crowd.finish_chunks(conn, run, chunks):
            raise ChunkLost
        now = self._clock.now()
        table = self._tables.of(run)
        sent: dict[Position, list[Person]] = {}
        for chunk in chunks:
            sent.setdefault(chunk.step, []).extend(chunk.people)
        asking = [person.ordinal for step in sent if step <= table.last_split() for person in sent[step]]
        # Receipts take these locks too before they look who waits: one of both sees what the other did.
        await self._crowd.lock(conn, run, asking)
        happened = await self._crowd.happened(conn, run, asking) if asking else {}
        moved = advance(table, run.id, leaving=sent, happened=happened, now=now)
        move_ids = [new_id() for _ in moved.moves]
        await self._crowd.write(conn, run, table, moved, now=now, move_ids=move_ids)
        await self._outbox.add(conn, *batches, *events.steps_taken(run, table, moved, now, move_ids))
