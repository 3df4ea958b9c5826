"""Calls of providers: the intent before each, the outcome after it, both under the lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels import Rejected, SendResult, Unsupported
from heliograph_kit.clock import Clock
from heliograph_kit.ids import derived_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_messaging.config import MessagingSettings
from heliograph_messaging.domain import outcomes
from heliograph_messaging.domain.outcomes import Outcome, Status
from heliograph_messaging.events import outcome_batch, outgoing
from heliograph_messaging.pipeline.door import Door
from heliograph_messaging.pipeline.marks import EndpointMarks, learnt_from
from heliograph_messaging.pipeline.plan import Plan
from heliograph_messaging.pipeline.run import Chunk, Run, messages_of, outcome_of_row, refused_row
from heliograph_messaging.pipeline.sending import CallFailed, call, outcome_of, provider_is_away
from heliograph_messaging.pipeline.spending import Spending
from heliograph_messaging.providers import OpenChannel
from heliograph_messaging.store.conversations import ConversationStore
from heliograph_messaging.store.ledger import Ledger
from heliograph_messaging.store.marks import NewMark
from heliograph_messaging.store.records import Row, Settled


class Calls:
    """Brings chunks to their providers and writes down what became of them."""

    def __init__(
        self,
        ledger: Ledger,
        door: Door,
        spending: Spending,
        conversations: ConversationStore,
        marks: EndpointMarks,
        outbox: Outbox,
        inbox: Inbox,
        clock: Clock,
        settings: MessagingSettings,
    ) -> None:
        """Take everything it works with."""
        self._ledger = ledger
        self._door = door
        self._spending = spending
        self._conversations = conversations
        self._marks = marks
        self._outbox = outbox
        self._inbox = inbox
        self._clock = clock
        self._settings = settings
        self._policy = settings.retry_policy()

    async def send(self, run: Run, plan: Plan, chunks: Sequence[Chunk], *, begun: bool) -> None:
        """Call the provider for each chunk, as many at a time as it takes.

        `begun`: the first chunk has its intent and a slot already; the slot is given back here.
        """
        single = len(chunks) == 1 and not run.waits_for

        async def first(chunk: Chunk) -> None:
            opened = _opened(chunk)
            try:
                await self._call(run, plan, chunk, may_finish=single)
            finally:
                opened.slots.release()

        async def one(chunk: Chunk) -> None:
            async with _opened(chunk).slots:
                async with run.database.transaction() as conn:
                    passed = await self._intend(conn, run, chunk)
                if passed is not None:
                    await self._call(run, plan, passed, may_finish=single)

        calls = [first(chunks[0]) if begun else one(chunks[0]), *(one(chunk) for chunk in chunks[1:])]
        # All of them are waited for, also when one fails: a call under way must not outlive the lease's owner.
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def intend(self, conn: AsyncConnection, run: Run, chunk: Chunk, now: datetime) -> None:
        """Write the intent of a chunk whose rows have passed the door in this transaction, and what they cost."""
        opened, project = _opened(chunk), run.hold.lease.key.project
        await self._ledger.intend(
            conn,
            run.hold.lease,
            chunk.number,
            chunk.rows,
            provider=opened.provider.name,
            route=chunk.lane.route,
            now=now,
            move=chunk.moved,
        )
        run.handed_at[chunk.number] = now
        run.handed.update(row.position for row in chunk.rows)
        await self._spending.charge(conn, project, chunk.rows, now, idempotent=opened.capabilities.idempotency_key)

    async def _intend(self, conn: AsyncConnection, run: Run, chunk: Chunk) -> Chunk | None:
        """Look at the door again and write the intent of those who pass; None when nobody does."""
        now = self._clock.now()
        if run.batch.channel == "SMS":
            # The batch before opt-out lists and the month, as everywhere, or two would wait for each other: an outcome of
            # another chunk holds the batch while it gives money back.
            await self._ledger.hold(conn, run.hold.lease)
        refused = await self._door.refuse(conn, run.passing(chunk.rows, now, first=False))
        if refused:
            closed = [refused_row(row, refused[row.position]) for row in chunk.rows if row.position in refused]
            await self._ledger.guard(conn, run.hold.lease, now=now, finished=False)
            await self._ledger.refuse(conn, run.hold.lease.key, closed, now=now)
            await self.tell_closed(conn, run, closed, derived_id("door", str(chunk.number)), now)
            left = [row for row in chunk.rows if row.position not in refused]
            chunk = Chunk(chunk.number, chunk.lane, left, chunk.moved)
        if not chunk.rows:
            return None
        await self.intend(conn, run, chunk, now)
        return chunk

    async def _call(self, run: Run, plan: Plan, chunk: Chunk, *, may_finish: bool) -> None:
        opened = _opened(chunk)
        await run.rest()
        answer = await call(
            opened,
            messages_of(chunk, plan.messages),
            run.hold,
            send_timeout=self._settings.send_timeout_seconds,
            lease_margin=self._settings.lease_margin_seconds,
            batch_id=run.hold.lease.key.batch_id,
            chunk=chunk.number,
        )
        if provider_is_away(answer):
            opened.breaker.failed(time.monotonic())
        else:
            opened.breaker.succeeded()
        await run.rest()
        able = opened.capabilities
        settled: list[tuple[Row, Settled]] = []
        for index, row in enumerate(chunk.rows):
            failed = run.failed.get(row.position, 0) + 1
            if isinstance(answer, CallFailed):
                outcome = outcomes.unknown(
                    answer.detail, idempotent=able.idempotency_key, transactional=run.transactional, failed=failed,
                    policy=self._policy,
                )  # fmt: skip
            else:
                outcome = outcome_of(
                    answer[index], provider=opened.provider.name, idempotent=able.idempotency_key,
                    transactional=run.transactional, failed=failed, policy=self._policy,
                )  # fmt: skip
            if outcome.status is Status.CLAIMED:
                run.left_over = max(run.left_over, failed)
            attempts = failed if outcome.status is not Status.ACCEPTED else failed - 1
            settled.append((row, Settled(row.message_id, outcome, attempts)))
        await self.settle(
            run,
            settled,
            [chunk.number],
            "DONE",
            derived_id("chunk", str(chunk.number)),
            provider=opened.provider.name if able.receipts else "",
            finish=may_finish and not run.left_over,
            refused=[] if isinstance(answer, CallFailed) else _refused(chunk.rows, answer),
            marks=() if isinstance(answer, CallFailed) else learnt_from(chunk.rows, answer),
        )

    async def settle(
        self,
        run: Run,
        settled: Sequence[tuple[Row, Settled]],
        chunks: Sequence[int],
        state: str,
        cause: str,
        *,
        provider: str,
        finish: bool,
        refused: Sequence[Row] = (),
        marks: Sequence[NewMark] = (),
    ) -> None:
        """Write outcomes, the events about them and what was learnt of endpoints in one transaction.

        `refused` are messages of these chunks that the provider certainly did not take: they cost nothing.
        """
        now, lease = self._clock.now(), run.hold.lease
        run.handed.difference_update(row.position for row in refused)
        only = [one for _, one in settled]
        await run.rest()
        told = self._events(run, [(row, one.outcome) for row, one in settled], cause, now)
        await run.rest()
        async with run.database.transaction() as conn:
            await self._ledger.settle(conn, lease, only, chunks=chunks, state=state, now=now, finished=finish)
            if provider:
                await self._ledger.note_provider_ids(conn, lease.key.project, provider, only)
            if refused:
                await self._spending.give_back(conn, lease.key.project, refused, run.handed_at[chunks[0]])
            if run.batch.channel == "SMS" and not run.batch.automatic_reply:
                await self._note_conversations(conn, run, settled, now)
            await self._outbox.add(conn, *told)
            await self._marks.note(conn, lease.key.project, marks)
            if finish:
                await self._inbox.first_seen(conn, run.consumer, [run.delivery.id])
        run.finished = finish
        run.count([one.outcome for one in only])

    async def finish(self, conn: AsyncConnection, run: Run) -> None:
        """End a batch whose messages all have an outcome."""
        await self._ledger.guard(conn, run.hold.lease, now=self._clock.now(), finished=True)
        await self._inbox.first_seen(conn, run.consumer, [run.delivery.id])

    async def tell_closed(
        self, conn: AsyncConnection, run: Run, closed: Sequence[Row], cause: str, now: datetime
    ) -> None:
        """Announce and count rows that are not sent."""
        ended = [(row, outcome_of_row(row)) for row in closed]
        await self._outbox.add(conn, *self._events(run, ended, cause, now))
        run.count([outcome for _, outcome in ended])

    async def _note_conversations(
        self, conn: AsyncConnection, run: Run, settled: Sequence[tuple[Row, Settled]], now: datetime
    ) -> None:
        """Remember what answers will be answers to; automatic replies start no conversation."""
        sent = [
            (row.origination, row.address, row.message_id)
            for row, one in settled
            if one.outcome.status is Status.ACCEPTED and row.origination
        ]
        if sent:
            await self._conversations.note(conn, run.hold.lease.key.project, sent, now=now)

    def _events(self, run: Run, told: Sequence[tuple[Row, Outcome]], cause: str, now: datetime) -> Sequence[Outgoing]:
        events, key = outcome_batch(run.batch, run.version, told, now=now), run.hold.lease.key
        return outgoing(events, key.project, derived_id(key.project, key.batch_id, cause))


def _refused(rows: Sequence[Row], results: Sequence[SendResult]) -> list[Row]:
    """Return the messages that the provider certainly did not take."""
    return [row for row, result in zip(rows, results, strict=True) if isinstance(result, Rejected | Unsupported)]


def _opened(chunk: Chunk) -> OpenChannel:
    opened = chunk.lane.opened
    assert opened is not None
    return opened
