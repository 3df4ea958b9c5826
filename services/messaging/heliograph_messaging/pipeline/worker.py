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
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_channels import OutgoingMessage
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Delivery, Retry
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import Outbox
from heliograph_kit.telemetry import counter
from heliograph_messaging.config import MessagingSettings
from heliograph_messaging.domain import outcomes
from heliograph_messaging.domain.outcomes import Outcome, Status
from heliograph_messaging.domain.recipients import Recipients
from heliograph_messaging.events import CLASSES, outcome_batch, outgoing
from heliograph_messaging.pipeline.leases import Hold, Leases
from heliograph_messaging.pipeline.page import BadPage
from heliograph_messaging.pipeline.plan import Plan, Problem, Setup, make_plan
from heliograph_messaging.pipeline.sending import CallFailed, call, outcome_of, provider_is_away
from heliograph_messaging.pipeline.setup import Away, BatchSetup, Found, parse_batch
from heliograph_messaging.providers import OpenChannel
from heliograph_messaging.store import erased
from heliograph_messaging.store.ledger import LeaseLost, Ledger
from heliograph_messaging.store.records import Finished, Held, OpenRow, Row, Settled

_log = logging.getLogger(__name__)


@dataclass
class _Run:
    """One batch under one lease."""

    delivery: Delivery
    consumer: str
    batch: dispatch_pb2.DispatchBatch
    recipients: Recipients
    hold: Hold
    erased: frozenset[int]
    """Ordinals of recipients whose users were erased."""
    version: int = 0
    finished: bool = False
    failed: dict[int, int] = field(default_factory=dict)
    """Failed attempts so far, by position; absent: none."""
    left_over: int = 0
    """The highest number of failed attempts among messages that are to be tried again; 0: there are none."""

    @property
    def transactional(self) -> bool:
        return self.batch.message_class == dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL


class Pipeline:
    """Handles deliveries of DISPATCH; any number of processes may run it side by side."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        leases: Leases,
        setup: BatchSetup,
        outbox: Outbox,
        inbox: Inbox,
        clock: Clock,
        settings: MessagingSettings,
    ) -> None:
        """Take everything it works with."""
        self._database = database
        self._ledger = ledger
        self._leases = leases
        self._setup = setup
        self._outbox = outbox
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
        try:
            batch, recipients, new = parse_batch(delivery, now=self._clock.now())
        except (DecodeError, BadPage, ValueError) as error:
            raise CannotEverWork(str(error)) from error
        asked_at = time.monotonic()
        async with self._database.transaction() as conn:
            lease = await self._ledger.acquire(conn, new)
            if isinstance(lease, Finished):
                await self._inbox.first_seen(conn, consumer, [delivery.id])
                return
            found = await self._setup.find(conn, batch, lease) if not isinstance(lease, Held) else None
            gone = await erased.among(conn, new.key.project, batch.recipients.ordinals)
        if isinstance(lease, Held) or found is None:
            seconds = lease.seconds if isinstance(lease, Held) else 1.0
            raise Retry("another worker holds the lease of this batch", timedelta(seconds=seconds + 0.2))
        run = _Run(delivery, consumer, batch, recipients, self._leases.hold(lease, asked_at=asked_at), gone)
        try:
            await self._work(run, found)
        except LeaseLost:
            raise Retry("the lease of this batch was lost", timedelta(seconds=1)) from None
        finally:
            self._leases.drop(run.hold)
            if not run.finished:
                await self._release(run)

    async def _work(self, run: _Run, found: Found) -> None:
        opened: OpenChannel | None = None
        setup: Setup | Problem
        try:
            opened, setup = await self._setup.open(found)
        except Away as away:
            if run.hold.lease.age_seconds < self._settings.give_up_minutes * 60:
                raise Retry(away.detail, timedelta(seconds=away.seconds)) from None
            setup = Problem("TRANSIENT_FAILURE", away.detail)
        run.version = found.version
        try:
            plan = make_plan(run.batch, run.recipients, setup, now=self._clock.now(), erased=run.erased)
        except BadPage as error:
            raise CannotEverWork(str(error)) from error
        if run.hold.lease.claimed:
            await self._resume(run, plan, opened)
        else:
            await self._begin(run, plan, opened, provider=found.provider_name)
        if run.left_over:
            delay = self._policy.delay(run.left_over, random.random())  # noqa: S311 (jitter)
            raise Retry("the provider asked to try again", delay or self._policy.longest)
        if not run.finished:
            async with self._database.transaction() as conn:
                await self._finish(conn, run)
            run.finished = True

    # -- a batch seen for the first time ----------------------------------------------------------------------------

    async def _begin(self, run: _Run, plan: Plan, opened: OpenChannel | None, *, provider: str) -> None:
        size = opened.capabilities.batch_size if opened else 1
        rows, chunk_of = [], 0
        for row in plan.rows:
            if row.status == Status.CLAIMED:
                rows.append(row._replace(chunk=chunk_of // size))
                chunk_of += 1
            else:
                rows.append(row)
        if opened is None or not chunk_of:
            await self._claim(run, rows, provider, intend=False)
            return
        # The slot comes first: an intent is only written when the call follows at once, so that a crash leaves no more
        # chunks in doubt than calls were allowed.
        await opened.slots.acquire()
        try:
            chunks = await self._claim(run, rows, provider, intend=True)
        except BaseException:
            opened.slots.release()
            raise
        if not chunks:
            opened.slots.release()
            return
        await self._send(run, plan, opened, chunks, begun=True)

    async def _claim(
        self, run: _Run, rows: Sequence[Row], provider: str, *, intend: bool
    ) -> list[tuple[int, list[Row]]]:
        """Write all rows and the intent of the first chunk; return the chunks."""
        now = self._clock.now()
        lease = run.hold.lease
        chunks: dict[int, list[Row]] = {}
        async with self._database.transaction() as conn:
            await self._ledger.claim(conn, lease, provider=provider, template_version=run.version, now=now)
            inserted = await self._ledger.insert(conn, lease.key, rows, now=now)
            closed = [row for row in rows if row.position in inserted and row.status != Status.CLAIMED]
            missing = [row for row in rows if row.position not in inserted]
            if missing:
                # Either the address is used up in this run, or the message itself is there already, from another
                # batch: then this insert leaves it out again.
                doubles = [_double(row) for row in missing]
                added = await self._ledger.insert(conn, lease.key, doubles, now=now)
                closed += [row for row in doubles if row.position in added]
            for row in rows:
                if row.chunk is not None and row.position in inserted:
                    chunks.setdefault(row.chunk, []).append(row)
            await self._tell(conn, run, [(row, _outcome(row)) for row in closed], derived_id("claim"), now)
            if chunks and intend:
                number, first = next(iter(chunks.items()))
                await self._ledger.intend(conn, lease, number, [r.message_id for r in first], now=now, move=False)
            elif not chunks:
                await self._finish(conn, run)
        run.finished = not chunks
        self._count(run, [_outcome(row) for row in closed])
        return list(chunks.items())

    # -- a batch that comes again -----------------------------------------------------------------------------------

    async def _resume(self, run: _Run, plan: Plan, opened: OpenChannel | None) -> None:
        """Settle what is in doubt or cannot be sent any more, and send the rest."""
        lease = run.hold.lease
        async with self._database.transaction() as conn:
            open_rows = await self._ledger.open_rows(conn, lease.key)
            number = await self._ledger.next_chunk(conn, lease.key)
        again: list[Row] = []
        settled: list[tuple[Row, Settled]] = []
        for one in open_rows:
            planned = plan.rows[one.position]._replace(chunk=one.chunk)
            outcome = self._doubt(run, one, planned, opened)
            if outcome is None:
                again.append(planned)
                run.failed[one.position] = one.failed_attempts
            else:
                settled.append((planned, Settled(one.message_id, outcome, one.failed_attempts)))
        lost = sorted({one.chunk for one in open_rows if one.in_flight and one.chunk is not None})
        if lost:
            _log.warning(
                "batch %s comes again with %d chunks in doubt: %d messages are sent again, %d are settled",
                lease.key.batch_id, len(lost), len(again), len(settled),
            )  # fmt: skip
        if settled or lost:
            cause = derived_id("resume", str(lease.token))
            await self._settle(run, settled, lost, "LOST", cause, provider="", finish=not again)
        if again and opened is not None:
            size = opened.capabilities.batch_size
            chunks = [
                (number + index, again[start : start + size]) for index, start in enumerate(range(0, len(again), size))
            ]
            await self._send(run, plan, opened, chunks, begun=False)

    def _doubt(self, run: _Run, one: OpenRow, planned: Row, opened: OpenChannel | None) -> Outcome | None:
        """Return the outcome of a row found open, None when it is to be sent (again)."""
        sendable = opened is not None and planned.status == Status.CLAIMED
        if not one.in_flight:
            return None if sendable else _outcome(planned)
        # Asked again only the provider that was asked the first time, and only when it knows our ids.
        same = opened is not None and opened.provider.name == run.hold.lease.provider
        idempotent = opened is not None and same and opened.capabilities.idempotency_key
        if sendable and (idempotent or run.transactional):
            return None
        return Outcome(
            Status.IN_DOUBT, "UNKNOWN", "the worker stopped between the call of the provider and its outcome"
        )

    # -- calls of the provider --------------------------------------------------------------------------------------

    async def _send(
        self, run: _Run, plan: Plan, opened: OpenChannel, chunks: Sequence[tuple[int, list[Row]]], *, begun: bool
    ) -> None:
        """Call the provider for each chunk, as many at a time as it takes.

        `begun`: the rows are in their chunks already, and the first chunk has its intent and a slot, given back here.
        """
        single = len(chunks) == 1

        async def first(number: int, rows: list[Row]) -> None:
            try:
                await self._call(run, plan, opened, number, rows, may_finish=single)
            finally:
                opened.slots.release()

        async def one(number: int, rows: list[Row]) -> None:
            async with opened.slots:
                now = self._clock.now()
                async with self._database.transaction() as conn:
                    ids = [row.message_id for row in rows]
                    await self._ledger.intend(conn, run.hold.lease, number, ids, now=now, move=not begun)
                await self._call(run, plan, opened, number, rows, may_finish=single)

        calls = [first(*chunks[0]) if begun else one(*chunks[0]), *(one(*chunk) for chunk in chunks[1:])]
        # All of them are waited for, also when one fails: a call under way must not outlive the lease's owner.
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _call(
        self, run: _Run, plan: Plan, opened: OpenChannel, number: int, rows: Sequence[Row], *, may_finish: bool
    ) -> None:
        messages: list[OutgoingMessage] = [plan.messages[row.position] for row in rows]
        answer = await call(
            opened,
            messages,
            run.hold,
            send_timeout=self._settings.send_timeout_seconds,
            lease_margin=self._settings.lease_margin_seconds,
            batch_id=run.hold.lease.key.batch_id,
            chunk=number,
        )
        if provider_is_away(answer):
            opened.breaker.failed(time.monotonic())
        else:
            opened.breaker.succeeded()
        name, able = opened.provider.name, opened.capabilities
        settled: list[tuple[Row, Settled]] = []
        for index, row in enumerate(rows):
            failed = run.failed.get(row.position, 0) + 1
            if isinstance(answer, CallFailed):
                outcome = outcomes.unknown(
                    answer.detail, idempotent=able.idempotency_key, transactional=run.transactional, failed=failed,
                    policy=self._policy,
                )  # fmt: skip
            else:
                outcome = outcome_of(
                    answer[index], provider=name, idempotent=able.idempotency_key, transactional=run.transactional,
                    failed=failed, policy=self._policy,
                )  # fmt: skip
            if outcome.status is Status.CLAIMED:
                run.left_over = max(run.left_over, failed)
            attempts = failed if outcome.status is not Status.ACCEPTED else failed - 1
            settled.append((row, Settled(row.message_id, outcome, attempts)))
        cause = derived_id("chunk", str(number))
        finish = may_finish and not run.left_over
        await self._settle(run, settled, [number], "DONE", cause, provider=name if able.receipts else "", finish=finish)

    async def _settle(
        self,
        run: _Run,
        settled: Sequence[tuple[Row, Settled]],
        chunks: Sequence[int],
        state: str,
        cause: str,
        *,
        provider: str,
        finish: bool,
    ) -> None:
        """Write outcomes and the events about them in one transaction."""
        now, lease = self._clock.now(), run.hold.lease
        only = [one for _, one in settled]
        async with self._database.transaction() as conn:
            await self._ledger.settle(conn, lease, only, chunks=chunks, state=state, now=now, finished=finish)
            if provider:
                await self._ledger.note_provider_ids(conn, lease.key.project, provider, only)
            await self._tell(conn, run, [(row, one.outcome) for row, one in settled], cause, now)
            if finish:
                await self._inbox.first_seen(conn, run.consumer, [run.delivery.id])
        run.finished = finish
        self._count(run, [one.outcome for one in only])

    async def _tell(
        self, conn: AsyncConnection, run: _Run, told: Sequence[tuple[Row, Outcome]], cause: str, now: datetime
    ) -> None:
        events = outcome_batch(run.batch, run.version, told, now=now)
        key = run.hold.lease.key
        await self._outbox.add(conn, *outgoing(events, key.project, derived_id(key.project, key.batch_id, cause)))

    async def _finish(self, conn: AsyncConnection, run: _Run) -> None:
        await self._ledger.guard(conn, run.hold.lease, now=self._clock.now(), finished=True)
        await self._inbox.first_seen(conn, run.consumer, [run.delivery.id])

    async def _release(self, run: _Run) -> None:
        try:
            async with self._database.transaction() as conn:
                await self._ledger.release(conn, run.hold.lease)
        except Exception:  # whatever is wrong with the database is told by what failed before; the lease runs out
            _log.warning("the lease of batch %s could not be given back", run.hold.lease.key.batch_id)

    def _count(self, run: _Run, done: Sequence[Outcome]) -> None:
        tally: dict[tuple[str, str], int] = {}
        for outcome in done:
            if outcome.status is not Status.CLAIMED:
                label = (str(outcome.status), outcome.reason)
                tally[label] = tally.get(label, 0) + 1
        for (status, reason), number in tally.items():
            counter("heliograph.messaging.messages").add(
                number,
                {
                    "heliograph.channel": run.batch.channel,
                    "heliograph.message_class": CLASSES[run.batch.message_class],
                    "heliograph.outcome": status,
                    "heliograph.reason": reason,
                },
            )


def _outcome(row: Row) -> Outcome:
    return Outcome(Status(row.status), row.reason, row.detail)


def _double(row: Row) -> Row:
    if row.status != Status.CLAIMED:
        return row
    return row._replace(
        status=Status.SKIPPED, reason="DUPLICATE_ADDRESS", address_key="", chunk=None, origination="", use_case="",
        part_count=0,
    )  # fmt: skip
