"""The event store: DuckDB in this process, one writing connection, a cursor of its own for each query."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import duckdb
import pyarrow as pa

T = TypeVar("T")

SEEN_FOR = timedelta(hours=24)
"""How long the id of an event is known; the same event is counted once within it (pinpoint-2 5.1)."""
APPLIED_FOR = timedelta(days=8)
"""How long the id of a bus message is known: longer than any stream keeps it, and than any outbox row is re-driven."""
_SLACK = timedelta(hours=1)

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
  project VARCHAR NOT NULL, type VARCHAR NOT NULL, endpoint VARCHAR NOT NULL, user_id VARCHAR NOT NULL,
  session VARCHAR NOT NULL, source VARCHAR NOT NULL, campaign VARCHAR NOT NULL, journey VARCHAR NOT NULL,
  run VARCHAR NOT NULL, treatment VARCHAR NOT NULL, activity VARCHAR NOT NULL, message_id VARCHAR NOT NULL,
  channel VARCHAR NOT NULL, outcome VARCHAR NOT NULL, reason VARCHAR NOT NULL, event_id VARCHAR NOT NULL,
  time TIMESTAMP NOT NULL, attributes MAP(VARCHAR, VARCHAR) NOT NULL, metrics MAP(VARCHAR, DOUBLE) NOT NULL
);
CREATE TABLE IF NOT EXISTS applied (consumer VARCHAR NOT NULL, id VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL);
CREATE TABLE IF NOT EXISTS seen (key UHUGEINT NOT NULL, seen_at TIMESTAMP NOT NULL);
CREATE TABLE IF NOT EXISTS erased (project VARCHAR NOT NULL, key UHUGEINT NOT NULL, erased_at TIMESTAMP NOT NULL);
"""


class StoreInUse(Exception):
    """Another process has the event store open."""


@dataclass(frozen=True)
class Arrived:
    """A bus message: its id and when it was published, which tells how far back its id must be looked for."""

    id: str
    time: datetime


class EventStore:
    """Appends in one thread, one transaction at a time; reads in other threads, side by side with it."""

    LOWER: ClassVar[str] = "lower_as_python"
    """Function for queries: lower case by Python's tables. Slow, a call for each value."""

    def __init__(self, path: Path, *, memory_mb: int = 1024, threads: int = 2) -> None:
        """Open the file, or make it.

        Raises:
            StoreInUse: another process has it open.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Few large checkpoints, because one stalls the writer; insertion order costs memory and nobody relies on it.
            self._writer = duckdb.connect(
                str(path),
                config={
                    "memory_limit": f"{memory_mb}MB",
                    "threads": threads,
                    "checkpoint_threshold": "128MB",
                    "preserve_insertion_order": False,
                },
            )
        except duckdb.IOException as error:
            raise StoreInUse(
                f"the event store {path} cannot be opened; one process at a time may have it: {error}"
            ) from None
        self._writer.execute(_TABLES)
        self._writer.create_function(self.LOWER, str.lower, ["VARCHAR"], "VARCHAR")
        # Cursors of reads come from a connection that never executes anything, so they never meet the writer's.
        self._reader = self._writer.cursor()
        self._writing = threading.Lock()
        self._write_thread = ThreadPoolExecutor(1, "event-store-writer")
        self._read_threads = ThreadPoolExecutor(4, "event-store-reader")
        row = self._writer.execute("SELECT max(applied_at) FROM applied").fetchone()
        self.last_applied: datetime | None = _aware(row[0]) if row else None

    async def record(
        self, consumer: str, arrived: Sequence[Arrived], rows: Callable[[set[str]], pa.Table], now: datetime
    ) -> int:
        """Store rows and the ids of the bus messages they come from, together; return how many rows were new.

        `rows` is called in the writing thread with the ids not applied before. The exactly-once effect rests on this
        one transaction: after a crash either both are there or neither.
        """
        return await self._write(lambda: self._record(consumer, arrived, rows, now))

    async def read(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query on a cursor of its own in a reading thread."""

        def run() -> list[tuple[Any, ...]]:
            cursor = self._reader.cursor()
            try:
                return cursor.execute(query, parameters or None).fetchall()
            finally:
                cursor.close()

        return await asyncio.get_running_loop().run_in_executor(self._read_threads, run)

    async def stream(
        self, query: str, parameters: dict[str, Any], portion: int
    ) -> AsyncGenerator[list[tuple[Any, ...]]]:
        """Run a query on a cursor of its own and yield its rows in portions, read in a reading thread."""
        cursor = self._reader.cursor()

        async def in_thread(call: Callable[..., T], *arguments: object) -> T:
            future = asyncio.get_running_loop().run_in_executor(self._read_threads, call, *arguments)
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                # Nobody waits for the query any more; the cursor must not be closed while it still runs.
                cursor.interrupt()
                await asyncio.gather(future, return_exceptions=True)
                raise

        try:
            await in_thread(cursor.execute, query, parameters)
            while rows := await in_thread(cursor.fetchmany, portion):
                yield rows
        finally:
            cursor.close()

    async def applied(self, ids: Sequence[str]) -> set[str]:
        """Return which bus messages were applied, whatever consumer did it."""
        if not ids:
            return set()
        rows = await self.read("SELECT DISTINCT id FROM applied WHERE id IN (SELECT unnest(?))", [list(ids)])
        return {row[0] for row in rows}

    async def forget(self, now: datetime, retention: timedelta) -> int:
        """Delete events older than the retention, and ids that need not be known any more; return how many events."""

        def work() -> int:
            with self._transaction():
                self._writer.execute("DELETE FROM applied WHERE applied_at < ?", [_naive(now - APPLIED_FOR)])
                self._writer.execute("DELETE FROM erased WHERE erased_at < ?", [_naive(now - APPLIED_FOR)])
                self._writer.execute("DELETE FROM seen WHERE seen_at < ?", [_naive(now - SEEN_FOR - _SLACK)])
                found = self._writer.execute("DELETE FROM events WHERE time < ?", [_naive(now - retention)]).fetchone()
            return int(found[0]) if found else 0

        return await self._write(work)

    async def erase(
        self,
        consumer: str,
        arrived: Arrived,
        project: str,
        *,
        endpoint_ids: Sequence[str],
        user_id: str,
        erased_at: datetime,
        now: datetime,
    ) -> None:
        """Delete every event of endpoints and of a user, also those until `erased_at` that are still to come.

        Endpoint ids are compared without case. Safe to repeat.
        """
        endpoints = [endpoint_id.lower() for endpoint_id in endpoint_ids]

        def work() -> None:
            with self._transaction():
                self._writer.execute(
                    "DELETE FROM events WHERE project = ? AND (lower(endpoint) IN (SELECT unnest(?)) OR user_id = ?)",
                    [project, endpoints, user_id],
                )
                # Only hashes stay: they are enough to know the late ones by.
                self._writer.execute(
                    "INSERT INTO erased SELECT ?, md5_number(key), ? FROM (SELECT unnest(?) AS key)",
                    [project, _naive(erased_at), [*(f"endpoint {each}" for each in endpoints), f"user {user_id}"]],
                )
                self._writer.execute("INSERT INTO applied VALUES (?, ?, ?)", [consumer, arrived.id, _naive(now)])
            self.last_applied = now

        await self._write(work)

    async def drop_project(self, project: str) -> None:
        """Delete every event of a project. Safe to repeat."""

        def work() -> None:
            with self._transaction():
                self._writer.execute("DELETE FROM events WHERE project = ?", [project])

        await self._write(work)

    async def ping(self) -> None:
        """Fail when the store cannot answer."""
        await self.read("SELECT 1")

    async def close(self) -> None:
        """Finish what is being written and close the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self._reader.close()
        self._writer.close()

    def _record(
        self, consumer: str, arrived: Sequence[Arrived], rows: Callable[[set[str]], pa.Table], now: datetime
    ) -> int:
        times = {one.id: one.time for one in arrived}
        with self._transaction():
            # An id was applied after it was published, so older rows need not be looked at.
            known = self._writer.execute(
                "SELECT id FROM applied WHERE applied_at >= ? AND consumer = ? AND id IN (SELECT unnest(?))",
                [_naive(min(times.values()) - _SLACK), consumer, list(times)],
            ).fetchall()
            fresh = set(times) - {row[0] for row in known}
            if not fresh:
                return 0
            table = rows(fresh)
            stored = self._append(table, now) if table.num_rows else 0
            ids = pa.table({"id": pa.array(sorted(fresh), pa.string())})
            with self._registered(_ids=ids):
                self._writer.execute("INSERT INTO applied SELECT ?, id, ? FROM _ids", [consumer, _naive(now)])
        self.last_applied = now
        return stored

    def _append(self, table: pa.Table, now: datetime) -> int:
        with self._registered(_incoming=table):
            # Only events of applications have an id of their own; 128 bits of it stand for project, endpoint and id.
            self._writer.execute(
                "CREATE OR REPLACE TEMP TABLE fresh AS SELECT *, row_number() OVER () AS place, "
                "CASE WHEN event_id <> '' THEN md5_number(concat_ws(chr(31), project, endpoint, event_id)) END AS key "
                "FROM _incoming"
            )
        self._writer.execute(
            "DELETE FROM fresh WHERE key IS NOT NULL AND (key IN (SELECT key FROM seen WHERE seen_at >= ?) "
            "OR place NOT IN (SELECT min(place) FROM fresh WHERE key IS NOT NULL GROUP BY key))",
            [_naive(now - SEEN_FOR)],
        )
        for key in ("md5_number('endpoint ' || lower(endpoint))", "md5_number('user ' || user_id)"):
            self._writer.execute(
                "DELETE FROM fresh WHERE EXISTS (SELECT 1 FROM erased WHERE erased.project = fresh.project "  # noqa: S608
                f"AND erased.key = {key} AND erased.erased_at >= fresh.time)"
            )
        self._writer.execute("INSERT INTO seen SELECT key, ? FROM fresh WHERE key IS NOT NULL", [_naive(now)])
        found = self._writer.execute("INSERT INTO events BY NAME SELECT * EXCLUDE (place, key) FROM fresh").fetchone()
        return int(found[0]) if found else 0

    async def _write(self, work: Callable[[], T]) -> T:
        # Shielded: a commit that has begun ends whatever becomes of the task that waits for it.
        future = asyncio.get_running_loop().run_in_executor(self._write_thread, work)
        return await asyncio.shield(future)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing:
            self._writer.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def _registered(self, **tables: pa.Table) -> Iterator[None]:
        for name, table in tables.items():
            self._writer.register(name, table)
        try:
            yield
        finally:
            for name in tables:
                self._writer.unregister(name)


def _naive(instant: datetime) -> datetime:
    # The store keeps UTC without a zone: reading zoned times would need one more library.
    return instant.astimezone(UTC).replace(tzinfo=None)


def _aware(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.replace(tzinfo=UTC)
