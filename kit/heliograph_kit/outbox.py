"""Messages that are published if and only if the transaction that wrote them commits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    TextClause,
    func,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.bus import Bus, BusMessage, Published, PublishRefused
from heliograph_kit.clock import Clock, SystemClock
from heliograph_kit.database import MAIL_MARK, Database
from heliograph_kit.inbox import Inbox
from heliograph_kit.redelivery import OUTAGE
from heliograph_kit.streams import MAX_PAYLOAD_BYTES
from heliograph_kit.telemetry import gauge, traceparent

_log = logging.getLogger(__name__)

KEPT = timedelta(hours=72)
"""How long published rows stay: as long as the reconciler may want to drive them again."""

BATCH = 256
_POLL = timedelta(milliseconds=200)
_PUBLISH_WITHIN = timedelta(seconds=5)
_SWEEP_EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class MailTables:
    """The outbox and inbox of one service."""

    outbox: Table
    inbox: Table
    schema: str

    @property
    def outbox_name(self) -> str:
        """Quoted name of the outbox with its schema."""
        return f'"{self.schema}".outbox'

    @property
    def inbox_name(self) -> str:
        """Quoted name of the inbox with its schema."""
        return f'"{self.schema}".inbox'


@dataclass(frozen=True)
class Outgoing:
    """One message to publish with the commit; `id` is at most 200 characters and best derived from its cause.

    The same id added again (a step that is repeated after a crash) is the same message and is not published twice.
    """

    subject: str
    message: Message
    id: str
    project: str


class MessageTooLarge(ValueError):
    """The serialised message is over `streams.MAX_PAYLOAD_BYTES`: send smaller batches."""


class Operations(Protocol):
    """The part of Alembic's `op` that is used here."""

    def execute(self, sqltext: str) -> None:
        """Run one statement."""
        ...


def outbox_tables(metadata: MetaData) -> MailTables:
    """Define `outbox` and `inbox` on the metadata of a service, in its schema.

    Raises:
        ValueError: the metadata names no schema.
    """
    if not metadata.schema:
        raise ValueError("the metadata of a service names its schema: MetaData(schema=...)")
    outbox = Table(
        "outbox",
        metadata,
        Column("id", Text, primary_key=True),
        Column("seq", BigInteger, Identity(always=True), nullable=False),
        Column("project", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("time", DateTime(timezone=True), nullable=False),
        Column("traceparent", Text, nullable=False),
        Column("generation", Integer, nullable=False, server_default=text("0")),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("published_at", DateTime(timezone=True)),
        Column("stream_seq", BigInteger),
        Column("checked_at", DateTime(timezone=True)),
        Column("confirmed_at", DateTime(timezone=True)),
        Column("refused", Text),
        Index("outbox_unpublished", "seq", postgresql_where=text("published_at IS NULL")),
        Index(
            "outbox_unconfirmed",
            "published_at",
            postgresql_where=text("published_at IS NOT NULL AND confirmed_at IS NULL"),
        ),
        Index("outbox_created", "created_at"),
    )
    inbox = Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("applied_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("dead", Boolean, nullable=False, server_default=text("false")),
        Index("inbox_id", "id"),
        Index("inbox_applied_at", "applied_at"),
    )
    return MailTables(outbox, inbox, metadata.schema)


def create_mail_tables(op: Operations, schema: str) -> None:
    """Create both tables in a migration (`0001` of each service). Frozen: later changes get functions of their own."""
    for statement in (
        f"""CREATE TABLE "{schema}".outbox (
            id text NOT NULL PRIMARY KEY,
            seq bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
            project text NOT NULL,
            subject text NOT NULL,
            type text NOT NULL,
            payload bytea NOT NULL,
            time timestamptz NOT NULL,
            traceparent text NOT NULL,
            generation integer NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            published_at timestamptz,
            stream_seq bigint,
            checked_at timestamptz,
            confirmed_at timestamptz,
            refused text
        ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)""",
        f'CREATE INDEX outbox_unpublished ON "{schema}".outbox (seq) WHERE published_at IS NULL',
        (
            f'CREATE INDEX outbox_unconfirmed ON "{schema}".outbox (published_at) '
            "WHERE published_at IS NOT NULL AND confirmed_at IS NULL"
        ),
        f'CREATE INDEX outbox_created ON "{schema}".outbox (created_at)',
        f"""CREATE TABLE "{schema}".inbox (
            consumer text NOT NULL,
            id text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now(),
            dead boolean NOT NULL DEFAULT false,
            PRIMARY KEY (consumer, id)
        )""",
        f'CREATE INDEX inbox_id ON "{schema}".inbox (id)',
        f'CREATE INDEX inbox_applied_at ON "{schema}".inbox (applied_at)',
    ):
        op.execute(statement)


class Outbox:
    """Where services put messages."""

    def __init__(self, tables: MailTables, *, clock: Clock | None = None) -> None:
        """Take the tables, and the clock for the time of the messages (ce-time)."""
        self._clock = clock or SystemClock()
        # The condition is empty, or the words of `add_with`: nothing of a caller's comes in here.
        self._words = (
            f"INSERT INTO {tables.outbox_name} (id, project, subject, type, payload, time, traceparent) "  # noqa: S608
            "SELECT id, project, subject, type, payload, :time, :traceparent FROM unnest("
            "CAST(:ids AS text[]), CAST(:projects AS text[]), CAST(:subjects AS text[]), CAST(:types AS text[]), "
            "CAST(:payloads AS bytea[])) AS new (id, project, subject, type, payload) "
            "{condition}ON CONFLICT (id) DO NOTHING"
        )
        self._insert = text(self._words.format(condition=""))
        self._with: dict[str, TextClause] = {}

    async def add(self, conn: AsyncConnection, *messages: Outgoing) -> None:
        """Store messages in the open transaction; they are published after it commits, in no promised order.

        Raises:
            MessageTooLarge: a message is over 4 MiB.
        """
        if messages:
            await conn.execute(self._insert, self._parameters(messages))
            _mark(conn)

    async def add_with(
        self, conn: AsyncConnection, insert: str, parameters: Mapping[str, Any], *messages: Outgoing
    ) -> bool:
        """Insert a row of the caller's and store messages in one statement; False, and no message, when it is there already.

        `insert` is a constant INSERT with ON CONFLICT DO NOTHING and without RETURNING. Its parameters must not have the
        names `ids`, `projects`, `subjects`, `types`, `payloads`, `time` and `traceparent`. One round trip on a connection
        of `Database.statement`.

        Raises:
            MessageTooLarge: a message is over 4 MiB.
        """
        statement = self._with.get(insert)
        if statement is None:
            mail = self._words.format(condition="WHERE EXISTS (SELECT FROM given) ")
            words = f"WITH given AS ({insert} RETURNING 1), mail AS ({mail}) SELECT EXISTS (SELECT FROM given)"  # noqa: S608
            statement = self._with[insert] = text(words)
        done = await conn.execute(statement, {**self._parameters(messages), **parameters})
        inserted = bool(done.scalar_one())
        if inserted and messages:
            _mark(conn)
        return inserted

    def _parameters(self, messages: Sequence[Outgoing]) -> dict[str, Any]:
        payloads = [outgoing.message.SerializeToString() for outgoing in messages]
        for outgoing, payload in zip(messages, payloads, strict=True):
            if len(payload) > MAX_PAYLOAD_BYTES:
                raise MessageTooLarge(f"{outgoing.message.DESCRIPTOR.full_name} has {len(payload)} bytes")
        return {
            "ids": [outgoing.id for outgoing in messages],
            "projects": [outgoing.project for outgoing in messages],
            "subjects": [outgoing.subject for outgoing in messages],
            "types": [outgoing.message.DESCRIPTOR.full_name for outgoing in messages],
            # As text made in C: the driver's own way goes over every byte with a regular expression.
            "payloads": "{" + ",".join(f'"\\\\x{payload.hex()}"' for payload in payloads) + "}",
            "time": self._clock.now(),
            "traceparent": traceparent(),
        }


def _mark(conn: AsyncConnection) -> None:
    if conn.sync_connection is not None:
        conn.sync_connection.info[MAIL_MARK] = True


class OutboxRelay:
    """Publishes what is in the outbox. Any number may run: each claims rows the others do not hold."""

    def __init__(self, database: Database, tables: MailTables, bus: Bus, *, batch: int = BATCH) -> None:
        """Take the service's database and the bus."""
        self._database = database
        self._bus = bus
        self._batch = batch
        self._schema = tables.schema
        self._inbox = Inbox(tables)
        self._woken = asyncio.Event()
        name = tables.outbox_name
        self._claim = text(
            f"SELECT id, seq, project, subject, type, payload, time, traceparent, generation FROM {name} "  # noqa: S608
            "WHERE published_at IS NULL ORDER BY seq LIMIT :batch FOR UPDATE SKIP LOCKED"
        )
        self._mark = text(
            f"UPDATE {name} AS mail SET published_at = clock_timestamp(), checked_at = NULL, stream_seq = done.stream_seq, "  # noqa: S608
            "refused = done.refused, confirmed_at = CASE WHEN done.refused IS NOT NULL THEN now() END "
            "FROM unnest(CAST(:ids AS text[]), CAST(:seqs AS bigint[]), CAST(:refusals AS text[])) "
            "AS done (id, stream_seq, refused) WHERE mail.id = done.id"
        )
        self._delete = text(
            f"DELETE FROM {name} WHERE id IN (SELECT id FROM {name} WHERE published_at IS NOT NULL "  # noqa: S608
            "AND created_at < now() - make_interval(secs => :seconds) ORDER BY created_at LIMIT 5000)"
        )
        self._count = text(f"SELECT count(*) FROM {name} WHERE published_at IS NULL")  # noqa: S608

    def wake(self) -> None:
        """Look for rows now instead of at the next poll; commits that added rows do this by themselves."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until told to stop. Survives the database and the bus being away, with growing pauses up to 30 s."""
        silence = self._database.on_mail(self.wake)
        stop = asyncio.create_task(stopping.wait())
        sweep = asyncio.create_task(self._sweep())
        troubles = 0
        try:
            while not stopping.is_set():
                self._woken.clear()
                try:
                    claimed, stored = await self.relay_once()
                except (DBAPIError, PoolTimeout, OSError) as error:
                    claimed, stored = 0, 0
                    troubles += 1
                    _log.warning("outbox cannot be read: %s", error)
                else:
                    troubles = troubles + 1 if claimed and not stored else 0
                if stored == self._batch:
                    continue
                pause = OUTAGE.delay(troubles, 1.0) if troubles else _POLL
                await _first_of(stop, None if troubles else self._woken, pause)
        finally:
            silence()
            for task in (stop, sweep):
                task.cancel()
            await asyncio.gather(stop, sweep, return_exceptions=True)

    async def relay_once(self) -> tuple[int, int]:
        """Publish one batch; return how many rows were claimed and how many of them are now in the bus.

        A process that dies between publishing and marking leaves the rows unmarked: they are published again with the
        same id, which the stream drops within its window and the inbox after it.
        """
        async with self._database.transaction() as conn:
            rows = (await conn.execute(self._claim, {"batch": self._batch})).all()
            if not rows:
                return 0, 0
            # Few at a time when rows are heavy, so that a batch of large messages is not all in the send buffer.
            size = sum(len(row.payload) for row in rows) // len(rows)
            in_flight = max(4, min(self._batch, 16 * 1024 * 1024 // max(size, 1)))
            outcomes = await self._bus.publish_many(
                [_bus_message(row) for row in rows], in_flight=in_flight, within=_PUBLISH_WITHIN
            )
            done = [(row.id, outcome) for row, outcome in zip(rows, outcomes, strict=True) if _settled(row.id, outcome)]
            if done:
                await conn.execute(
                    self._mark,
                    {
                        "ids": [id for id, _ in done],
                        "seqs": [o.sequence if isinstance(o, Published) else None for _, o in done],
                        "refusals": [str(o) if isinstance(o, PublishRefused) else None for _, o in done],
                    },
                )
        return len(rows), len(done)

    async def sweep_once(self, kept: timedelta = KEPT) -> int:
        """Delete published rows older than that and forget old inbox ids; return how many outbox rows went."""
        gone = 0
        while True:
            async with self._database.transaction() as conn:
                deleted = (await conn.execute(self._delete, {"seconds": kept.total_seconds()})).rowcount
            gone += deleted
            if deleted < 5000:
                break
        async with self._database.transaction() as conn:
            await self._inbox.prune(conn)
            pending = (await conn.execute(self._count)).scalar_one()
        gauge("heliograph.outbox.pending").set(pending, {"heliograph.service": self._schema})
        return gone

    async def _sweep(self) -> None:
        while True:
            try:
                await self.sweep_once()
            except (DBAPIError, PoolTimeout, OSError) as error:
                _log.warning("outbox cannot be swept: %s", error)
            await asyncio.sleep(_SWEEP_EVERY.total_seconds())


def _settled(id: str, outcome: Published | Exception) -> bool:
    if isinstance(outcome, PublishRefused):
        _log.error("outbox message %s was refused for good: %s", id, outcome)
        return True
    return isinstance(outcome, Published)


def _bus_message(row: Row[tuple[object, ...]]) -> BusMessage:
    message = BusMessage(
        subject=row.subject,
        payload=row.payload,
        id=row.id,
        type=row.type,
        project=row.project,
        time=row.time,
        headers={"traceparent": row.traceparent} if row.traceparent else {},
    )
    # The same id again would be dropped by the stream although the consumer never applied it (murmur#141).
    return replace(message, publish_id=f"{row.id}#{row.generation}") if row.generation else message


async def _first_of(stop: asyncio.Task[bool], woken: asyncio.Event | None, pause: timedelta) -> None:
    waits: list[asyncio.Task[bool]] = [stop]
    if woken is not None:
        waits.append(asyncio.create_task(woken.wait()))
    try:
        await asyncio.wait(waits, timeout=pause.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits[1:]:
            task.cancel()


__all__: Sequence[str] = (
    "BATCH",
    "KEPT",
    "MailTables",
    "MessageTooLarge",
    "Outbox",
    "OutboxRelay",
    "Outgoing",
    "create_mail_tables",
    "outbox_tables",
)
