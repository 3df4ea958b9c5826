"""Erasing users: their endpoints at once, snapshots by a worker, the rest by asking the other services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.segments.v1 import events_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Consumer, Delivery
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.names import ResourceName, parse_name
from heliograph_kit.outbox import Outbox
from heliograph_kit.working import Bell, until_stopped
from heliograph_segments import events
from heliograph_segments.domain.endpoints import MAX_ID, check_text
from heliograph_segments.domain.erasures import ASKED, Erasure
from heliograph_segments.domain.problems import Problem
from heliograph_segments.errors import ErasureNotFound, refuse
from heliograph_segments.store import audience_log, imported, races, requests, users
from heliograph_segments.store import endpoints as endpoint_store
from heliograph_segments.store import erasures as store
from heliograph_segments.store.erasures import Leased, LeaseLost
from heliograph_segments.store.requests import Request

_log = logging.getLogger(__name__)

ERASURES = "segments-erasures"
ASK_AGAIN_AFTER = timedelta(hours=1)
_POLL_SECONDS = 1.0
_AT_ONCE = 100
_LEASE = timedelta(seconds=15)


class Erasures:
    """Use cases over erasures, and the answers of the others."""

    def __init__(self, database: Database, inbox: Inbox, clock: Clock, *, wake: Callable[[], None]) -> None:
        """Take the record, what remembers applied messages, the time, and what tells the worker of this process."""
        self._database = database
        self._inbox = inbox
        self._clock = clock
        self._wake = wake

    async def erase(self, project: str, user_id: str, request: Request, found: Sequence[Problem] = ()) -> Erasure:
        """Delete a user with his endpoints and begin to erase him elsewhere; a repeated request returns the first.

        Raises:
            InvalidArgument: the user id is malformed, or what was found before.
            RequestIdReused: the request id was used with other content.
        """
        problems = [*found, *check_text("user_id", user_id, MAX_ID)]
        if not user_id:
            problems.append(Problem("user_id", "REQUIRED", "is required"))
        refuse(problems)

        async def work(conn: AsyncConnection) -> Erasure:
            now, erasure_id = self._clock.now(), new_id()
            before = await requests.claim(conn, project, request, erasure_id, now)
            if before is not None:
                return await _existing(conn, project, before)
            theirs = await users.lock(conn, project, user_id)
            await endpoint_store.delete(conn, project, [each.key for each in theirs])
            await users.delete(conn, project, user_id)
            await imported.forget_user(conn, project, user_id)
            gone = [(each.endpoint_id, each.ordinal) for each in theirs]
            erasure = await store.insert(conn, project, erasure_id, user_id, gone, now)
            await audience_log.note(conn, project, erasure.ordinals)
            return erasure

        erasure = await races.run(self._database, project, work)
        self._wake()
        return erasure

    async def get(self, project: str, erasure_id: str) -> Erasure:
        """Return an erasure.

        Raises:
            ErasureNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            return await _existing(conn, project, erasure_id)

    async def page(self, project: str, count: int, after: tuple[datetime, str] | None) -> Sequence[Erasure]:
        """Return up to `count` erasures behind a position, newest first."""
        async with self._database.transaction() as conn:
            return await store.page(conn, project, count, after)

    def consumer(self, bus: Bus) -> Consumer:
        """Return the consumer of the answers."""
        return Consumer(
            bus,
            service="segments",
            stream="CHANGES",
            durable=ERASURES,
            subjects=[f"changes.{service}.*.erasure_done" for service in ASKED],
            handler=self.apply,
            on_dead=self._inbox.burial(self._database, ERASURES),
        )

    async def apply(self, deliveries: Sequence[Delivery]) -> None:
        """Note who has answered; the last answer completes an erasure. Safe to repeat.

        Raises:
            CannotEverWork: a payload is no answer.
        """
        for delivery in deliveries:
            name, service = _answer(delivery)
            async with self._database.transaction() as conn:
                await self._inbox.first_seen(conn, ERASURES, [delivery.id])
                erasure = await store.get(conn, name.project, name.id, lock=True)
                # An erasure of a deleted project is gone with it.
                if erasure is None or service not in erasure.waiting_for:
                    continue
                await store.answered(conn, erasure, service)
                if erasure.waiting_for == [service]:
                    await store.complete(conn, erasure, self._clock.now())


class ErasureWorker:
    """Takes erased endpoints out of stored snapshots, then asks the others."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        """Take the record and the announcements."""
        self._database = database
        self._outbox = outbox
        self._bell = Bell()

    def wake(self) -> None:
        """Look for erasures now instead of at the next poll."""
        self._bell.ring()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop; an erasure in hand goes on elsewhere when its lease is over."""

        async def work() -> bool:
            return await self.run_one() or await self.ask_again() > 0

        await until_stopped(stopping, self._bell, _POLL_SECONDS, work)

    async def ask_again(self, after: timedelta = ASK_AGAIN_AFTER) -> int:
        """Ask once more where some answer is missing for so long; return about how many erasures.

        The bus keeps what was asked, and what was answered, for a day only, and a service may be away for longer.
        """
        async with self._database.transaction() as conn:
            waiting = await store.ask_again(conn, after, _AT_ONCE)
            await self._outbox.add(conn, *map(events.user_erased, waiting))
        return len(waiting)

    async def run_one(self) -> bool:
        """Take one erasure through its snapshots; tell whether there was one."""
        async with self._database.transaction() as conn:
            leased = await store.lease(conn, _LEASE)
        if leased is None:
            return False
        try:
            done: str | None = leased.erasure.snapshot_done
            while done is not None:
                done = await self._step(leased, done)
        except LeaseLost:
            _log.warning("erasure %s goes on elsewhere", leased.erasure.erasure_id)
        return True

    async def _step(self, leased: Leased, done: str) -> str | None:
        """Clean one snapshot and return its id; behind the last one ask the others and return None."""
        erasure = leased.erasure
        async with self._database.transaction() as conn:
            cleaned = await store.clean_next_snapshot(conn, erasure, done) if erasure.ordinals else None
            if cleaned is not None:
                done, found = cleaned
                await store.progress(conn, leased, done=done, cleaned=int(found), length=_LEASE)
                return done
            await self._outbox.add(conn, events.user_erased(await store.ask(conn, leased)))
        return None


async def _existing(conn: AsyncConnection, project: str, erasure_id: str) -> Erasure:
    erasure = await store.get(conn, project, erasure_id)
    if erasure is None:
        raise ErasureNotFound(project, erasure_id)
    return erasure


def _answer(delivery: Delivery) -> tuple[ResourceName, str]:
    try:
        message = events_pb2.ErasureDone.FromString(delivery.payload)
        return parse_name(message.erasure, "erasures"), message.service
    except (DecodeError, ValueError) as error:
        raise CannotEverWork(f"no ErasureDone: {error}") from error
