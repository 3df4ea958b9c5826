"""The delivery pipeline: takes DispatchBatches off DISPATCH and brings every recipient to an outcome.

What is committed before what (reliability 5): lease; rows and the first intent; call of the provider; outcome with its
events; acknowledgement. Wherever a worker dies, the batch comes again, finds its rows, and continues: rows with an
outcome stay, rows whose chunk has an intent and no outcome are in doubt and their class decides, the rest is sent.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from google.protobuf.message import DecodeError

from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Delivery, Retry
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id
from heliograph_kit.inbox import Inbox
from heliograph_messaging.config import MessagingSettings
from heliograph_messaging.domain.outcomes import Outcome, Status
from heliograph_messaging.pipeline.calls import Calls
from heliograph_messaging.pipeline.door import Door
from heliograph_messaging.pipeline.lanes import Lane
from heliograph_messaging.pipeline.leases import Leases
from heliograph_messaging.pipeline.pacing import Pacing
from heliograph_messaging.pipeline.page import BadPage
from heliograph_messaging.pipeline.plan import Plan, Problem, Setup, make_plan
from heliograph_messaging.pipeline.right_of_way import RightOfWay, next_round
from heliograph_messaging.pipeline.run import Chunk, Run, chunks_of, doubled_row, outcome_of_row, refused_row
from heliograph_messaging.pipeline.setup import Away, BatchSetup, Found, parse_batch
from heliograph_messaging.store import erased
from heliograph_messaging.store.ledger import LeaseLost, Ledger
from heliograph_messaging.store.records import Finished, Held, OpenRow, Row, Settled

_log = logging.getLogger(__name__)
_MOST_CRASHES = 20
_DIRECT = "dispatch.transactional."
_BULK = 0.4
"""Of the connections, how many campaigns and journeys may hold: the rest is for direct sends and the API."""


class Pipeline:
    """Handles deliveries of DISPATCH; any number of processes may run it side by side."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        leases: Leases,
        setup: BatchSetup,
        door: Door,
        calls: Calls,
        pacing: Pacing,
        right_of_way: RightOfWay,
        inbox: Inbox,
        clock: Clock,
        settings: MessagingSettings,
    ) -> None:
        """Take everything it works with."""
        self._database = database
        self._bulk = database.share(_BULK)
        self._ledger = ledger
        self._leases = leases
        self._setup = setup
        self._door = door
        self._calls = calls
        self._pacing = pacing
        self._right_of_way = right_of_way
        self._inbox = inbox
        self._clock = clock
        self._settings = settings
        self._policy = settings.retry_policy()

    async def handle(self, deliveries: Sequence[Delivery], *, consumer: str) -> None:
        """Handle deliveries one after the other; safe to repeat. `consumer` is the durable name, for the inbox.

        Raises:
            CannotEverWork: the payload is no batch.
            Retry: another worker has it, its provider is away, or some of it is to be tried again.
        """
        for delivery in deliveries:
            await self._handle(delivery, consumer)

    async def _handle(self, delivery: Delivery, consumer: str) -> None:
        direct = delivery.subject.startswith(_DIRECT)
        database, rest = (self._database, next_round) if direct else (self._bulk, self._right_of_way.give)
        await rest()
        try:
            batch, recipients, new = parse_batch(delivery, now=self._clock.now())
        except (DecodeError, BadPage, ValueError) as error:
            raise CannotEverWork(str(error)) from error
        async with database.transaction() as conn:
            # Behind the wait for a connection, which takes nothing off the lease.
            asked_at = time.monotonic()
            lease = await self._ledger.acquire(conn, new)
            if isinstance(lease, Finished):
                await self._inbox.first_seen(conn, consumer, [delivery.id])
                return
            found = await self._setup.find(conn, batch, lease) if not isinstance(lease, Held) else None
            gone = await erased.among(conn, new.key.project, batch.recipients.ordinals)
        if isinstance(lease, Held) or found is None:
            seconds = lease.seconds if isinstance(lease, Held) else 1.0
            raise Retry("another worker holds the lease of this batch", timedelta(seconds=seconds + 0.2))
        run = Run(
            delivery, consumer, batch, recipients, self._leases.hold(lease, asked_at=asked_at), gone, database, rest
        )
        try:
            await self._work(run, found)
        except LeaseLost:
            raise Retry("the lease of this batch was lost", timedelta(seconds=1)) from None
        finally:
            self._leases.drop(run.hold)
            await self._release(run)

    async def _work(self, run: Run, found: Found) -> None:
        patient = run.hold.lease.age_seconds < self._settings.give_up_minutes * 60
        setup: Setup | Problem
        bad: Mapping[int, str] = {}
        now = self._clock.now()
        await run.rest()
        try:
            if run.hold.lease.crashes > _MOST_CRASHES:
                setup = Problem("FAILURE_PERMANENT", f"{run.hold.lease.crashes} workers died with this batch")
            else:
                setup = await self._setup.open(found)
            bad = await self._setup.bad_addresses(run.batch, run.recipients, setup, now=now, erased=run.erased)
        except Away as away:
            if patient:
                raise Retry(away.detail, timedelta(seconds=away.seconds)) from None
            setup = Problem("TRANSIENT_FAILURE", away.detail)
        run.version = found.version
        try:
            plan = await make_plan(
                run.batch, run.recipients, setup, now=now, rest=run.rest, erased=run.erased, patient=patient,
                bad_addresses=bad,
            )  # fmt: skip
        except BadPage as error:
            raise CannotEverWork(str(error)) from error
        await run.rest()
        if run.hold.lease.claimed:
            await self._resume(run, plan, setup)
        else:
            await self._begin(run, plan, setup, provider=found.provider_name)
        if await self._pacing.give_back(run) and run.waits_for:
            # There is room again for some of those who wait for another day.
            run.wait(run.waits_for, 0.01)
            run.paced_seconds = 0.0
        if run.left_over:
            delay = self._policy.delay(run.left_over, random.random())  # noqa: S311 (jitter)
            raise Retry("the provider asked to try again", delay or self._policy.longest)
        if run.waits_for:
            raise Retry(run.waits_for, timedelta(seconds=run.wait_seconds))
        if not run.finished:
            async with run.database.transaction() as conn:
                await self._calls.finish(conn, run)
            run.finished = True

    # -- a batch seen for the first time ----------------------------------------------------------------------------

    async def _begin(self, run: Run, plan: Plan, setup: Setup | Problem, *, provider: str) -> None:
        sendable = [row for row in plan.rows if row.status == Status.CLAIMED and self._can_go(run, plan, row)]
        if not isinstance(setup, Problem):
            sendable = await self._turn(run, sendable, setup)
        chunks = chunks_of(sendable, plan.lanes, first_number=0, moved=False)
        if not chunks:
            await self._claim(run, plan, [], provider)
            return
        # The slot comes first: an intent is only written when the call follows at once, so that a crash leaves no more
        # chunks in doubt than calls were allowed.
        slots = _slots(chunks[0])
        await slots.acquire()
        try:
            chunks = await self._claim(run, plan, chunks, provider)
        except BaseException:
            slots.release()
            raise
        if not chunks:
            slots.release()
            return
        await self._calls.send(run, plan, chunks, begun=True)

    async def _claim(self, run: Run, plan: Plan, chunks: Sequence[Chunk], provider: str) -> list[Chunk]:
        """Write all rows, ask the door, write the intent of the first chunk; return the chunks that are left."""
        now = self._clock.now()
        lease = run.hold.lease
        number_of = {row.position: chunk.number for chunk in chunks for row in chunk.rows}
        rows = [row._replace(chunk=number_of.get(row.position)) for row in plan.rows]
        async with run.database.transaction() as conn:
            await self._ledger.claim(conn, lease, provider=provider, template_version=run.version, now=now)
            inserted = await self._ledger.insert(conn, lease.key, rows, now=now, direct=run.transactional)
            closed = [row for row in rows if row.position in inserted and row.status != Status.CLAIMED]
            missing = [row for row in rows if row.position not in inserted]
            if missing:
                # Either the address is used up in this run, or the message itself is there already, from another
                # batch: then this insert leaves it out again.
                doubles = [doubled_row(row) for row in missing]
                added = await self._ledger.insert(conn, lease.key, doubles, now=now, direct=run.transactional)
                closed += [row for row in doubles if row.position in added]
            standing = [row for row in rows if row.position in inserted and row.status == Status.CLAIMED]
            refused = await self._door.refuse(conn, run.passing(standing, now, first=True))
            if refused:
                turned_away = [refused_row(row, refused[row.position]) for row in standing if row.position in refused]
                await self._ledger.refuse(conn, lease.key, turned_away, now=now)
                closed += turned_away
            left = {row.position for row in standing if row.position not in refused}
            chunks = _only(chunks, left)
            if chunks:
                await self._calls.intend(conn, run, chunks[0], now)
            elif not left:
                await self._calls.finish(conn, run)
            await self._calls.tell_closed(conn, run, closed, derived_id("claim"), now)
        run.finished = not left
        return list(chunks)

    # -- a batch that comes again -----------------------------------------------------------------------------------

    async def _resume(self, run: Run, plan: Plan, setup: Setup | Problem) -> None:
        """Settle what is in doubt or cannot be sent any more, and send the rest."""
        lease = run.hold.lease
        async with run.database.transaction() as conn:
            open_rows = await self._ledger.open_rows(conn, lease.key)
            number = await self._ledger.next_chunk(conn, lease.key)
        again: list[Row] = []
        lanes: dict[int, Lane] = {}
        waiting = False
        settled: list[tuple[Row, Settled]] = []
        for one in open_rows:
            planned = plan.rows[one.position]._replace(chunk=one.chunk)
            decided = self._decide(run, one, planned, plan, setup)
            if isinstance(decided, Outcome):
                if one.in_flight:
                    # Told as it was handed over, whatever its number and channel are by now.
                    planned = planned._replace(
                        origination=one.origination, use_case=one.use_case, part_count=one.part_count
                    )
                settled.append((planned, Settled(one.message_id, decided, one.failed_attempts)))
            elif decided.opened is None:
                waiting = True
            else:
                again.append(planned)
                lanes[one.position] = decided
                run.failed[one.position] = one.failed_attempts
        lost = sorted({one.chunk for one in open_rows if one.in_flight and one.chunk is not None})
        if lost:
            _log.warning(
                "batch %s comes again with %d chunks in doubt: %d messages are sent again, %d are settled",
                lease.key.batch_id, len(lost), len(again), len(settled),
            )  # fmt: skip
        if again and not isinstance(setup, Problem):
            again = await self._turn(run, again, setup)
            waiting = waiting or bool(run.waits_for)
        if settled or lost:
            cause = derived_id("resume", str(lease.token))
            finish = not again and not waiting
            await self._calls.settle(run, settled, lost, "LOST", cause, provider="", finish=finish)
        if again:
            chunks = chunks_of(again, lanes, first_number=number, moved=True)
            await self._calls.send(run, plan, chunks, begun=False)

    def _decide(self, run: Run, one: OpenRow, planned: Row, plan: Plan, setup: Setup | Problem) -> Outcome | Lane:
        """Return the outcome of a row found open, or the lane it is to be sent (again) through, which may be away."""
        if planned.status != Status.CLAIMED or isinstance(setup, Problem):
            return _doubtful() if one.in_flight else outcome_of_row(planned)
        lane = plan.lanes[one.position]
        if one.in_flight:
            # Asked again only the provider that was asked the first time, and only when it knows our ids.
            same = setup.lanes.of_route(one.route, one.provider)
            if same is not None and same.opened is not None and same.opened.capabilities.idempotency_key:
                return same
            if not run.transactional:
                return _doubtful()
        self._can_go(run, plan, planned)
        return lane

    def _can_go(self, run: Run, plan: Plan, row: Row) -> bool:
        """Tell whether a row's lane can be called now, and note what it waits for otherwise."""
        lane = plan.lanes[row.position]
        if lane.opened is None:
            run.wait(lane.away, lane.seconds)
        return lane.opened is not None

    async def _turn(self, run: Run, rows: Sequence[Row], setup: Setup) -> list[Row]:
        """Return the rows whose numbers let them go now; the batch waits for the turn of the others."""
        granted = await self._pacing.take(run, rows, setup.originations)
        if granted.wait_seconds is not None:
            run.wait(granted.why, granted.wait_seconds)
            run.paced_seconds = granted.wait_seconds
        return list(granted.rows)

    async def _release(self, run: Run) -> None:
        try:
            await self._pacing.give_back(run)
            if not run.finished:
                async with run.database.transaction() as conn:
                    await self._ledger.release(conn, run.hold.lease, paced_seconds=run.paced_seconds)
        except Exception:  # whatever is wrong with the database is told by what failed before; the lease runs out
            _log.warning("the lease of batch %s could not be given back", run.hold.lease.key.batch_id)


def _doubtful() -> Outcome:
    detail = "the worker stopped between the call of the provider and its outcome"
    return Outcome(Status.IN_DOUBT, "UNKNOWN", detail)


def _slots(chunk: Chunk) -> asyncio.Semaphore:
    assert chunk.lane.opened is not None
    return chunk.lane.opened.slots


def _only(chunks: Sequence[Chunk], positions: set[int]) -> list[Chunk]:
    """Return chunks with only the rows at these positions, without those that nobody is left in."""
    kept = []
    for chunk in chunks:
        rows = [row for row in chunk.rows if row.position in positions]
        if rows:
            kept.append(Chunk(chunk.number, chunk.lane, rows, chunk.moved))
    return kept
