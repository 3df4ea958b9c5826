"""Compares what was published with what was applied, and drives again what a stream lost (reliability.md section 3)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import nats.errors
import nats.js.errors
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from heliograph_kit.bus import Bus, Responder
from heliograph_kit.consumer import CONSUMER_SERVICE
from heliograph_kit.database import MAIL_MARK, Database
from heliograph_kit.errors import Unavailable
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import MailTables
from heliograph_kit.streams import stream_of
from heliograph_kit.telemetry import counter

_log = logging.getLogger(__name__)

AGE = timedelta(minutes=10)
"""How long a published message may stay without a confirmed effect before it is looked at."""

PAGE = 500
_MOST_DOUBLINGS = 6

Applied = Callable[[str, Sequence[str]], Awaitable[set[str]]]
"""(consumer, ids) -> those whose effect is stored. The consumer is the service as `streams.STREAMS` declares it."""


def applied_subject(service: str) -> str:
    """Return the subject on which a service says what it has applied."""
    return f"applied.{service}"


def applied_by_inbox(database: Database, tables: MailTables, durables: Sequence[str] = ()) -> Applied:
    """Return the usual answer: an id is applied when the service's inbox has it.

    With several durables over the same subjects name them all: then each must have it. Without names one is enough,
    which is right for one durable and for durables whose filters do not overlap.
    """
    inbox = Inbox(tables)

    async def applied(_consumer: str, ids: Sequence[str]) -> set[str]:
        async with database.transaction() as conn:
            return await inbox.applied(conn, ids, durables)

    return applied


async def answer_applied(bus: Bus, service: str, applied: Applied) -> Responder:
    """Let the reconcilers of other services ask this one; every service in a `confirmed_by` needs it."""

    async def answer(payload: bytes) -> bytes:
        question = json.loads(payload)
        return json.dumps(sorted(await applied(str(question["consumer"]), list(question["ids"])))).encode()

    return await bus.respond(applied_subject(service), answer, queue=f"applied-{service}")


@dataclass(frozen=True)
class Reconciled:
    """What one pass found: rows `confirmed`, `redriven`, still `waiting` in the stream, `unknown` for want of answers."""

    confirmed: int = 0
    redriven: int = 0
    waiting: int = 0
    unknown: int = 0

    def __add__(self, other: Reconciled) -> Reconciled:
        """Add up two passes."""
        return Reconciled(
            self.confirmed + other.confirmed,
            self.redriven + other.redriven,
            self.waiting + other.waiting,
            self.unknown + other.unknown,
        )


class Reconciler:
    """Watches over the outbox of one service. Any number may run: each claims rows the others do not hold."""

    def __init__(
        self,
        database: Database,
        tables: MailTables,
        bus: Bus,
        *,
        age: timedelta = AGE,
        every: timedelta = timedelta(minutes=1),
        page: int = PAGE,
    ) -> None:
        """Take the service's database and the bus.
        `age` is how old an unconfirmed publication must be, doubled by each time it was driven again up to 64 times;
        `every` the pause between passes.
        """
        self._database = database
        self._bus = bus
        self._age = age
        self._every = every
        self._page = page
        self._schema = tables.schema
        name = tables.outbox_name
        # Rows looked at last come last, so that a page full of rows nothing can be done about hides none (river#1318).
        self._claim = text(
            f"SELECT id, subject, stream_seq, published_at FROM {name} "  # noqa: S608
            "WHERE published_at IS NOT NULL AND confirmed_at IS NULL AND COALESCE(checked_at, published_at) "
            "<= now() - make_interval(secs => :age * power(2, least(generation, :doublings))) "
            "ORDER BY COALESCE(checked_at, published_at) LIMIT :page FOR UPDATE SKIP LOCKED"
        )
        self._confirm = text(f"UPDATE {name} SET confirmed_at = now() WHERE id = ANY(CAST(:ids AS text[]))")  # noqa: S608
        self._check = text(f"UPDATE {name} SET checked_at = clock_timestamp() WHERE id = ANY(CAST(:ids AS text[]))")  # noqa: S608
        self._again = text(
            f"UPDATE {name} SET published_at = NULL, stream_seq = NULL, checked_at = NULL, "  # noqa: S608
            "generation = generation + 1 WHERE id = ANY(CAST(:ids AS text[]))"
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Reconcile until told to stop; survives the database and the bus being away."""
        while not stopping.is_set():
            try:
                await self.reconcile()
            except (DBAPIError, PoolTimeout, OSError, Unavailable, nats.errors.Error) as error:
                _log.warning("reconciliation has to wait: %s", error)
            try:
                await asyncio.wait_for(stopping.wait(), self._every.total_seconds())
            except TimeoutError:
                continue

    async def reconcile(self, *, most_pages: int = 200) -> Reconciled:
        """Look at every row that is due, page by page; return what was found."""
        total = Reconciled()
        for _ in range(most_pages):
            size, found = await self.reconcile_page()
            total += found
            # Only full pages of confirmed rows promise more: whatever else was found is not due again yet.
            if size < self._page:
                break
        return total

    async def reconcile_page(self) -> tuple[int, Reconciled]:
        """Look at one page; return its size and what was found."""
        async with self._database.transaction() as conn:
            parameters = {"age": self._age.total_seconds(), "doublings": _MOST_DOUBLINGS, "page": self._page}
            rows = (await conn.execute(self._claim, parameters)).all()
            if not rows:
                return 0, Reconciled()
            missing, unanswered = await self._missing(rows)
            confirmed = {row.id for row in rows} - missing.keys() - unanswered
            open_rows = [row for row in rows if row.id in missing and row.id not in unanswered]
            waiting = await self._still_in_stream(open_rows, missing)
            lost = [row.id for row in open_rows if row.id not in waiting]
            for statement, ids in (
                (self._confirm, confirmed),
                (self._check, unanswered | waiting),
                (self._again, lost),
            ):
                if ids:
                    await conn.execute(statement, {"ids": sorted(ids)})
            # Woken by the commit, the relay publishes these at once.
            if lost and conn.sync_connection is not None:
                conn.sync_connection.info[MAIL_MARK] = True
        if lost:
            _log.warning("%d messages were published and never applied, sending them again", len(lost))
            counter("heliograph.outbox.redriven").add(len(lost), {"heliograph.service": self._schema})
        return len(rows), Reconciled(len(confirmed), len(lost), len(waiting), len(unanswered))

    async def _missing(self, rows: Sequence[Row[Any]]) -> tuple[dict[str, set[str]], set[str]]:
        """Return which services have not applied which ids, and the ids some service could not be asked about."""
        asked: dict[str, list[str]] = {}
        for row in rows:
            stream = stream_of(row.subject)
            for service in stream.confirmed_by if stream else ():
                asked.setdefault(service, []).append(row.id)
        missing: dict[str, set[str]] = {}
        unanswered: set[str] = set()
        for service, ids in asked.items():
            question = json.dumps({"consumer": service, "ids": ids}).encode()
            try:
                reply = await self._bus.request(applied_subject(service), question)
            except Unavailable:
                # A service that is down has not lost anything: its messages wait in the stream.
                _log.info("%s cannot say what it applied", service)
                unanswered.update(ids)
                continue
            for id in set(ids) - set(json.loads(reply)):
                missing.setdefault(id, set()).add(service)
        return missing, unanswered

    async def _still_in_stream(self, rows: Sequence[Row[Any]], missing: dict[str, set[str]]) -> set[str]:
        """Return the ids whose message the stream still has for a service that has to apply it."""
        waiting: set[str] = set()
        floors: dict[str, dict[str, int] | None] = {}
        for row in rows:
            stream = stream_of(row.subject)
            if stream is None or row.stream_seq is None:
                continue
            if stream.name not in floors:
                floors[stream.name] = await self._floors(stream.name)
            of_service = floors[stream.name]
            if of_service is None:
                continue
            # Above the floor of some service that misses it, and really there: a stream that was deleted and made
            # again has another message under that number, or none.
            floor = min(of_service.get(service, 0) for service in missing[row.id])
            if row.stream_seq > floor and await self._has(stream.name, row):
                waiting.add(row.id)
        return waiting

    async def _floors(self, stream: str) -> dict[str, int] | None:
        """Return per service up to where all its consumers acknowledged everything; None without the stream."""
        floors: dict[str, int] = {}
        try:
            for info in await self._bus.jetstream.consumers_info(stream):
                service = (info.config.metadata or {}).get(CONSUMER_SERVICE)
                if service and info.ack_floor is not None:
                    floors[service] = min(info.ack_floor.stream_seq, floors.get(service, info.ack_floor.stream_seq))
        except nats.js.errors.NotFoundError:
            return None
        return floors

    async def _has(self, stream: str, row: Row[Any]) -> bool:
        try:
            message = await self._bus.jetstream.get_msg(stream, row.stream_seq)
        except nats.js.errors.NotFoundError:
            return False
        return bool((message.headers or {}).get("ce-id") == row.id)
