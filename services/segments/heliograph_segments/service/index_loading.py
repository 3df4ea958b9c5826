"""Bringing the index of a project into memory: from its snapshot where one can be trusted, else from the record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_segments.index import files
from heliograph_segments.index.partition import PARTITION_BITS, Partition, Row
from heliograph_segments.store import audience_log, index_rows
from heliograph_segments.store.audience_log import Position

_log = logging.getLogger(__name__)

# Rows that are read and put at once: a thousand take some milliseconds, in which nothing else is answered.
PORTION = 1000
_SNAPSHOT_FILE = "{:05}.partition"


@dataclass
class ProjectIndex:
    """The partitions of one project, and how far they follow the record. Whoever reads or changes them holds `lock`."""

    project: str
    position: Position
    partitions: dict[int, Partition] = field(default_factory=dict)
    # Log entries behind the position that were applied: they are met again until the position has passed them.
    known: set[int] = field(default_factory=set)
    # Partitions that changed since they were written to disk.
    dirty: set[int] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Order of use, for eviction.
    used: int = 0

    @property
    def nbytes(self) -> int:
        """How much memory the partitions take."""
        return sum(partition.nbytes for partition in self.partitions.values())

    @property
    def total(self) -> int:
        """How many endpoints there are."""
        return sum(len(partition.alive) for partition in self.partitions.values())


async def load(database: Database, project: str, folder: Path | None, retention: timedelta) -> ProjectIndex:
    """Return the index of a project, at most some moments old: the caller catches up from its position.

    Partitions are read from snapshots not older than `retention`, for which the log is kept; missing, damaged and old
    ones are built from the record.
    """
    async with database.transaction() as conn:
        start = await audience_log.position(conn)
        last = await index_rows.last_ordinal(conn, project)
    index = ProjectIndex(project, start)
    for number in range((last >> PARTITION_BITS) + 1):
        saved = await asyncio.to_thread(_saved, folder, project, number, start, retention)
        if saved is None:
            index.partitions[number] = await build(database, project, number)
            index.dirty.add(number)
        else:
            index.partitions[number], position = saved
            index.position = min(index.position, position)
    return index


async def build(database: Database, project: str, number: int) -> Partition:
    """Return a partition made from the record."""
    async with database.transaction() as conn:
        return await build_within(conn, project, number)


async def build_within(conn: AsyncConnection, project: str, number: int) -> Partition:
    """Return a partition made from what a transaction sees of the record."""
    partition = Partition(number)
    end = min((number + 1) << PARTITION_BITS, await index_rows.last_ordinal(conn, project) + 1)
    rows: list[Row] = []
    for first in range(number << PARTITION_BITS, end, PORTION):
        # While the last portion enters, in a thread and so without holding up the event loop, the next one is read.
        reading = index_rows.read_range(conn, project, first, min(first + PORTION, end))
        rows, _ = await asyncio.gather(reading, asyncio.to_thread(partition.put, rows))
    await asyncio.to_thread(partition.put, rows)
    return partition


async def build_as_of(database: Database, project: str, number: int) -> tuple[Partition, Position]:
    """Return a partition made from one consistent view of the record, and the position of that view."""
    async with database.transaction() as conn:
        await conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        position = await audience_log.position(conn)
        return await build_within(conn, project, number), position


async def catch_up(database: Database, index: ProjectIndex) -> int:
    """Apply what the record has and the index has not; return how many endpoints were touched. The lock is held."""
    async with database.transaction() as conn:
        position = await audience_log.position(conn)
        changed, entries = await audience_log.changed_since(conn, index.project, index.position, index.known)
        for first in range(0, len(changed), PORTION):
            await _apply(conn, index, changed[first : first + PORTION])
    # Only now: a failure on the way leaves the position, and all is applied again.
    if position.transaction_id > index.position.transaction_id:
        # Entries behind the new position could be forgotten one by one; those met now may still be behind it.
        index.known = set()
    index.known.update(entries)
    index.position = position
    return len(changed)


async def _apply(conn: AsyncConnection, index: ProjectIndex, ordinals: BitMap) -> None:
    rows = await index_rows.read_given(conn, index.project, list(ordinals))
    gone = ordinals - BitMap(row.ordinal for row in rows)
    numbers = {ordinal >> PARTITION_BITS for ordinal in ordinals}
    for number in numbers:
        partition = index.partitions.setdefault(number, Partition(number))
        index.dirty.add(number)
        mine = rows if len(numbers) == 1 else [row for row in rows if row.ordinal >> PARTITION_BITS == number]
        if mine:
            # In a thread however few they are: now and then a column must sort the hashes of all its texts anew.
            await asyncio.to_thread(partition.put, mine)
        left = [ordinal for ordinal in gone if ordinal >> PARTITION_BITS == number]
        if left:
            partition.remove(left)


async def save(index: ProjectIndex, folder: Path) -> None:
    """Write the partitions that changed. Between two of them others may use the index."""
    place = folder / index.project
    await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True)
    for number in sorted(index.dirty):
        async with index.lock:
            about = _about(index.project, index.position)
            file = place / _SNAPSHOT_FILE.format(number)
            await asyncio.to_thread(files.write, index.partitions[number], file, about)
            index.dirty.discard(number)


def _about(project: str, position: Position) -> dict[str, object]:
    return {
        "project": project,
        "transaction_id": position.transaction_id,
        "read_at": position.read_at.astimezone(UTC).isoformat(),
    }


def _saved(
    folder: Path | None, project: str, number: int, now: Position, retention: timedelta
) -> tuple[Partition, Position] | None:
    """Read a partition from disk; None when there is none that can be trusted."""
    if folder is None:
        return None
    path = folder / project / _SNAPSHOT_FILE.format(number)
    if not path.exists():
        return None
    try:
        partition, about = files.read(path)
        position = _position(about)
    except (files.BadFile, KeyError, ValueError, OSError) as error:
        _log.warning("%s cannot be used and is built again: %s", path, error)
        return None
    # A position of the future belongs to a database that was set back; an old one to changes no longer in the log.
    if about["project"] != project or position.transaction_id > now.transaction_id:
        return None
    return (partition, position) if now.read_at - position.read_at < retention else None


def _position(about: Mapping[str, object]) -> Position:
    return Position(int(str(about["transaction_id"])), datetime.fromisoformat(str(about["read_at"])))
