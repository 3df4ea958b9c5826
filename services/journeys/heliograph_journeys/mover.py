"""Moves participants whose time has come, in sets; ends runs that nobody is in, and empties cancelled ones.

Everything a set does is one transaction: where its people go, the history, what is to be sent next and the announcements.
Whatever dies, a set moved or it did not.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_journeys import events
from heliograph_journeys.crowd import Crowd
from heliograph_journeys.domain.moving import Leave, Move, Moved, advance
from heliograph_journeys.domain.table import StepTable
from heliograph_journeys.state import JourneyState, Run
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.working import Tables, in_trace_of
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outbox
from heliograph_kit.working import Bell, until_stopped


class Mover:
    """Works off what is due; any number may work side by side, each on participants the others do not hold."""

    def __init__(
        self,
        *,
        database: Database,
        store: JourneyStore,
        crowd: Crowd,
        outbox: Outbox,
        clock: Clock,
        tables: Tables,
        bell: Bell,
        claim_size: int,
        poll_seconds: float,
    ) -> None:
        """Take the parts."""
        self._database = database
        self._store = store
        self._crowd = crowd
        self._outbox = outbox
        self._clock = clock
        self._tables = tables
        self._bell = bell
        self._claim_size = claim_size
        self._poll_seconds = poll_seconds

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop."""
        await until_stopped(stopping, self._bell, self._poll_seconds, self.step)

    async def step(self) -> bool:
        """Move one set of each run in which somebody is due; with nobody due, end what is over. False: nothing to do."""
        async with self._database.transaction() as conn:
            runs = await self._store.with_work(conn, self._clock.now())
        count = 0
        for run in runs:
            count += await self.move(run)
        if count:
            self._bell.ring()
            return True
        return await self.complete() + await self.sweep() > 0

    async def move(self, run: Run) -> int:
        """Move one set of due participants; returns how many."""
        table = self._tables.of(run)
        with in_trace_of(run, "journey move"):
            return await self._database.run(lambda conn: self._move(conn, run, table))

    async def _move(self, conn: AsyncConnection, run: Run, table: StepTable) -> int:
        if not await self._crowd.running(conn, run):
            return 0
        now = self._clock.now()
        due = await self._crowd.claim_due(conn, run, now, self._claim_size)
        if not due:
            return 0
        asking = [person.ordinal for step in due if step <= table.last_split() for person in due[step]]
        happened = await self._crowd.happened(conn, run, asking) if asking else {}
        moved = advance(table, run.id, leaving=due, happened=happened, now=now)
        await self._record(conn, run, table, moved)
        return sum(map(len, due.values()))

    async def complete(self) -> int:
        """Complete runs that everybody left, and their journeys; returns how many."""
        return await self._database.run(self._complete)

    async def _complete(self, conn: AsyncConnection) -> int:
        now = self._clock.now()
        done = await self._store.complete_runs(conn, now)
        for project, journey_id in done:
            journey = await self._store.get(conn, project, journey_id, lock=True)
            if journey is not None and journey.state in (JourneyState.ACTIVE, JourneyState.CLOSED):
                completed = replace(
                    journey, state=JourneyState.COMPLETED, revision=journey.revision + 1, update_time=now
                )
                await self._store.change(conn, completed)
                await self._outbox.add(conn, events.journey_updated(completed))
        return len(done)

    async def sweep(self) -> int:
        """Let everybody out of cancelled runs, from where they are; returns how many runs are empty now."""
        async with self._database.transaction() as conn:
            runs = await self._store.to_sweep(conn)
        for run in runs:
            with in_trace_of(run, "journey sweep"):
                await self._sweep(run)
        return len(runs)

    async def _sweep(self, run: Run) -> None:
        table = self._tables.of(run)
        last = 0
        while True:
            async with self._database.transaction() as conn:
                inside, last = await self._crowd.sweep(conn, run, last, self._claim_size)
                if not inside:
                    await self._crowd.drop_chunks(conn, run)
                    await self._store.swept(conn, run)
                    return
                moved = Moved(
                    leaves=[Leave(step, "CANCELLED", people) for step, people in inside.items()],
                    moves=[Move(step, "CANCELLED", None, "CANCELLED", people) for step, people in inside.items()],
                )
                await self._record(conn, run, table, moved)

    async def _record(self, conn: AsyncConnection, run: Run, table: StepTable, moved: Moved) -> None:
        now = self._clock.now()
        move_ids = [new_id() for _ in moved.moves]
        await self._crowd.write(conn, run, table, moved, now=now, move_ids=move_ids)
        await self._outbox.add(conn, *events.steps_taken(run, table, moved, now, move_ids))
