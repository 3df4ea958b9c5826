"""PostgreSQL of one service: a pool with limits on every connection, transactions, and retry of lost races."""

from __future__ import annotations

import asyncio
import copy
import random
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any, Self, TypeVar

import psycopg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from heliograph_kit.redelivery import Backoff

T = TypeVar("T")

LOST_RACES = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction had no effect and may be run again."""

MAX_TRIES = 5
_RACE = Backoff(timedelta(milliseconds=10), timedelta(milliseconds=500))


class Database:
    """The connections of one process."""

    def __init__(
        self,
        url: str,
        *,
        application_name: str,
        pool_size: int = 10,
        statement_timeout: timedelta = timedelta(seconds=60),
        lock_timeout: timedelta = timedelta(seconds=20),
        idle_in_transaction_timeout: timedelta = timedelta(seconds=60),
        server_prepared: bool = True,
    ) -> None:
        """Prepare the pool; nothing is connected before the first use.

        At most `pool_size` connections exist, the next caller waits up to 30 s: a storm of cancelled calls, each of
        which costs its connection, can then not become a storm of connects. Set `server_prepared` to False behind
        pgbouncer in transaction mode. Long statements (a bulk load) raise their limit with
        `SET LOCAL statement_timeout`.
        """
        limits = {
            "statement_timeout": statement_timeout,
            "lock_timeout": lock_timeout,
            "idle_in_transaction_session_timeout": idle_in_transaction_timeout,
        }
        options = " ".join(f"-c {name}={round(limit.total_seconds() * 1000)}" for name, limit in limits.items())
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            connect_args={
                "application_name": application_name,
                "connect_timeout": 10,
                "options": f"{options} -c timezone=UTC -c jit=off",
                "prepare_threshold": 5 if server_prepared else None,
                "async_creator_fn": _connect,
            },
        )
        _look_before_use(self.engine)
        self._mail_listeners: list[Callable[[], None]] = []
        self._pool_size = pool_size
        self._share: AbstractAsyncContextManager[None] = nullcontext()

    def share(self, part: float) -> Self:
        """Return the same database for work that holds at most this part (0 to 1) of the connections, and at least one.

        What is done in bulk waits for itself then, and what is to be quick finds a connection.
        """
        shared = copy.copy(self)
        shared._share = asyncio.Semaphore(max(1, int(self._pool_size * part)))
        return shared

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction: committed when the block is left, rolled back when it raises or is cancelled."""
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._share, self.engine.connect() as conn:
            mail = False
            try:
                async with conn.begin():
                    yield conn
                    mail = MAIL_MARK in conn.sync_connection.info if conn.sync_connection else False
            finally:
                # The dictionary belongs to the pooled connection: a mark left behind would wake the relay for nothing.
                if not conn.closed and not conn.invalidated and conn.sync_connection is not None:
                    conn.sync_connection.info.pop(MAIL_MARK, None)
            if mail:
                for listener in self._mail_listeners:
                    listener()

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection on which every statement is a transaction of its own.

        For what is one statement anyway: it saves the round trips of BEGIN and COMMIT, half of such a call.
        """
        async with self._share, self.engine.connect() as pooled:
            conn = await pooled.execution_options(isolation_level="AUTOCOMMIT")
            mail = False
            try:
                yield conn
                mail = MAIL_MARK in conn.sync_connection.info if conn.sync_connection else False
            finally:
                if not conn.closed and not conn.invalidated and conn.sync_connection is not None:
                    conn.sync_connection.info.pop(MAIL_MARK, None)
        if mail:
            for listener in self._mail_listeners:
                listener()

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run work in a transaction, again when it lost a race (40001, 40P01): at most 5 times, with jitter.

        The work must have no effect outside of the transaction. Anything else it raises comes out at once; also a
        connection that broke, since a commit may then have happened or not.
        """
        attempt = 1
        while True:
            try:
                async with self.transaction() as conn:
                    return await work(conn)
            except DBAPIError as error:
                if attempt >= MAX_TRIES or sqlstate(error) not in LOST_RACES:
                    raise
            await asyncio.sleep(_RACE.delay(attempt, random.random()).total_seconds())  # noqa: S311
            attempt += 1

    async def ping(self) -> None:
        """Ask the server for one row; raises what the driver raises when it is away."""
        async with self.engine.connect() as conn:
            await conn.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections; safe to repeat."""
        await self.engine.dispose()
        here = asyncio.get_running_loop()
        if ours := {task for task in _closing if task.get_loop() is here}:
            await asyncio.wait(ours)

    def on_mail(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener after each commit that added outbox rows; return what takes it off again."""
        self._mail_listeners.append(listener)
        return lambda: self._mail_listeners.remove(listener)


def _look_before_use(engine: AsyncEngine) -> None:
    """Ask the server for a row before a connection is used that may be dead, and drop all of the pool when it is.

    It may be when its server has said something unasked (that it ends, or the end of the stream itself), or when it
    rested for a second, in which the network may have gone without a word. SQLAlchemy's own `pool_pre_ping` asks each time,
    which is a fifth of the round trips of a service with short transactions.
    """
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "checkin")
    def _rests(_connection: Any, record: Any) -> None:
        record.info[_RESTS] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def _wakes(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get(_RESTS)
        if since is None:
            return
        if time.monotonic() - since < _REST_SECONDS and not _has_word(connection.driver_connection):
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, connection, None):
                raise InvalidatePoolError from error
            raise


def _has_word(driver: psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether something waits to be read on a connection that nothing was asked on."""
    try:
        poll = select.poll()
        poll.register(driver.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError, psycopg.Error):
        return True  # closed on our side


async def _connect(**arguments: Any) -> psycopg.AsyncConnection[Any]:
    """Connect; a caller that is cancelled meanwhile leaves no half-open connection behind.

    Cut in the middle of the handshake, the driver's socket lives on until some garbage collection, and its server
    process until authentication times out after a minute; DROP DATABASE waits for that.
    """
    connecting = asyncio.ensure_future(psycopg.AsyncConnection.connect(**arguments))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        closing = asyncio.ensure_future(_close_unused(connecting))
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)
        raise


async def _close_unused(connecting: asyncio.Future[psycopg.AsyncConnection[Any]]) -> None:
    try:
        connection = await connecting
    except psycopg.Error:
        return
    await connection.close()


# The event loop itself keeps only weak references to tasks.
_closing: set[asyncio.Future[None]] = set()

_RESTS = "heliograph_rests"
_REST_SECONDS = 1.0
MAIL_MARK = "heliograph_mail"
"""Key in a connection's `info` while its open transaction holds new outbox rows."""


def sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's five-character code of an error, None when the server did not send one."""
    return getattr(error.orig, "sqlstate", None)


async def driver_connection(conn: AsyncConnection) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """Return psycopg's own connection inside the current transaction, for COPY and other driver features.

    Never commit or close it: SQLAlchemy owns it.
    """
    # Begins the transaction on the SQLAlchemy side too, else the driver would start one nobody ends.
    raw = await conn.get_raw_connection()
    driver = raw.driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError(f"the connection is {type(driver).__name__}, not psycopg's")
    return driver
