"""Lets the members of a segment into a run, page by page, under a lease.

A page's participants and the run's cursor are written in one transaction, and only under the run's current lease token:
whatever dies, the next worker goes on behind the last page, and nobody enters twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_journeys import events
from heliograph_journeys.crowd import Crowd
from heliograph_journeys.domain.moving import Person, advance
from heliograph_journeys.peers import Frozen, SegmentGone
from heliograph_journeys.state import JourneyState, Run, RunState
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.working import Tables, in_trace_of
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id, new_id
from heliograph_kit.outbox import Outbox
from heliograph_kit.working import Bell, until_stopped

_log = logging.getLogger(__name__)
_PAUSE = timedelta(seconds=1)


class Audience(Protocol):
    """What the entrance needs of segments."""

    async def freeze(self, segment: str, version: int, snapshot_id: str) -> Frozen:
        """Freeze a segment; raises SegmentGone."""
        ...

    def members(self, snapshot: str, after_ordinal: int, page_size: int) -> AsyncIterator[tuple[list[int], list[str]]]:
        """Stream (ordinals, endpoint ids) page by page."""
        ...


class LeaseLost(Exception):
    """Another worker has the run, or it ended: write nothing more."""


class Entrance:
    """Works off the entry of runs; several may work side by side, each on its own run."""

    def __init__(
        self,
        *,
        database: Database,
        store: JourneyStore,
        crowd: Crowd,
        outbox: Outbox,
        audience: Audience,
        clock: Clock,
        tables: Tables,
        bell: Bell,
        page_size: int,
        lease: timedelta,
        poll_seconds: float,
    ) -> None:
        """Take the parts. The lease is real time; the database keeps it."""
        self._database = database
        self._store = store
        self._crowd = crowd
        self._outbox = outbox
        self._audience = audience
        self._clock = clock
        self._tables = tables
        self._bell = bell
        self._page_size = page_size
        self._lease = lease
        self._poll_seconds = poll_seconds

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop; a run in hand is given back after its current page."""

        async def work() -> bool:
            return await self.step(stopping)

        await until_stopped(stopping, self._bell, self._poll_seconds, work)

    async def step(self, stopping: asyncio.Event) -> bool:
        """Take one run that is due and let its participants in; False when there is none."""
        async with self._database.transaction() as conn:
            run = await self._store.lease_entry(conn, self._clock.now(), self._lease)
        if run is None:
            return False
        with in_trace_of(run, "journey entry"):
            heart = asyncio.create_task(self._heartbeat(run))
            try:
                await self._enter(run, stopping)
            except LeaseLost:
                _log.info("run %s was taken over or ended", run.id)
            except SegmentGone:
                await self._fail(run, "SEGMENT_NOT_FOUND")
            except Exception:
                _log.exception("entry of run %s stopped; it will be taken again", run.id)
                async with self._database.transaction() as conn:
                    await self._store.give_back_entry(conn, run, _PAUSE)
            finally:
                heart.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await heart
        return True

    async def _enter(self, run: Run, stopping: asyncio.Event) -> None:
        snapshot, members = run.snapshot, run.member_count
        if not snapshot:
            draft = run.draft
            frozen = await self._audience.freeze(
                draft.segment, draft.segment_version, derived_id("journey run", run.project, run.id)
            )
            snapshot, members = frozen.snapshot, frozen.member_count
            async with self._database.transaction() as conn:
                await self._hold(conn, run, snapshot=snapshot, member_count=members)
        entered = run.entered
        async for ordinals, endpoint_ids in self._audience.members(snapshot, run.cursor, self._page_size):
            entered += len(ordinals)
            await self._let_in(run, ordinals, endpoint_ids, entered)
            self._bell.ring()
            if stopping.is_set():
                async with self._database.transaction() as conn:
                    await self._store.give_back_entry(conn, run, timedelta())
                return
        await self._close(run)

    async def _let_in(self, run: Run, ordinals: list[int], endpoint_ids: list[str], entered: int) -> None:
        now = self._clock.now()
        people = [Person(id_, ordinal, now) for id_, ordinal in zip(endpoint_ids, ordinals, strict=True)]
        table = self._tables.of(run)
        # Nobody has been sent anything yet, so there is nothing to ask about.
        moved = advance(table, run.id, entering=people, happened={}, now=now)
        move_ids = [new_id() for _ in moved.moves]
        announced = events.steps_taken(run, table, moved, now, move_ids)
        async with self._database.transaction() as conn:
            await self._hold(conn, run, cursor=ordinals[-1], entered=entered)
            await self._crowd.write(conn, run, table, moved, now=now, move_ids=move_ids, entering=True)
            await self._outbox.add(conn, *announced)

    async def _close(self, run: Run) -> None:
        """Note that everybody entered: nobody comes any more, those inside go on (pinpoint-1 5.3)."""
        async with self._database.transaction() as conn:
            journey = await self._store.get(conn, run.project, run.journey_id, lock=True)
            await self._hold(conn, run, entry_done=True)
            if journey is not None and journey.state is JourneyState.ACTIVE:
                closed = replace(
                    journey, state=JourneyState.CLOSED, revision=journey.revision + 1, update_time=self._clock.now()
                )
                await self._store.change(conn, closed)
                await self._outbox.add(conn, events.journey_updated(closed))
        self._bell.ring()

    async def _fail(self, run: Run, reason: str) -> None:
        _log.warning("run %s cannot go on: %s", run.id, reason)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            journey = await self._store.get(conn, run.project, run.journey_id, lock=True)
            if journey is None or not await self._store.hold_entry(conn, run, self._lease):
                return
            await self._store.end_run(conn, run, RunState.CANCELLED, reason, now)
            cancelled = replace(
                journey,
                state=JourneyState.CANCELLED,
                state_reason=reason,
                revision=journey.revision + 1,
                update_time=now,
            )
            await self._store.change(conn, cancelled)
            await self._outbox.add(conn, events.journey_updated(cancelled))
        self._bell.ring()

    async def _hold(self, conn: AsyncConnection, run: Run, **changes: object) -> None:
        if not await self._store.hold_entry(conn, run, self._lease, **changes):
            raise LeaseLost

    async def _heartbeat(self, run: Run) -> None:
        """Prolong the lease while freezing or a page takes long; a lost lease is noticed by the next write."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                async with self._database.transaction() as conn:
                    if not await self._store.hold_entry(conn, run, self._lease):
                        return
            except Exception:
                _log.warning("could not prolong the lease of run %s", run.id, exc_info=True)
