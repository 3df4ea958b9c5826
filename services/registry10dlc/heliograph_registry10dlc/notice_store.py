"""Where notices go, and those that wait, in PostgreSQL. Every function works inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_registry10dlc.domain import Entry
from heliograph_registry10dlc.notice_body import notice_id, status_change
from heliograph_registry10dlc.notice_tables import notice_settings, notices

_HANDED_IN = text("""
SELECT (
    SELECT count(*) FROM registry10dlc.moves
    WHERE project = :project AND registration_id = :registration_id AND move_id <= :move_id
    AND event IN ('SUBMIT', 'RENEW')
) FROM registry10dlc.notice_settings WHERE project = :project AND url <> ''
""")
_CLAIM = text("""
WITH due AS (
    SELECT s.project FROM registry10dlc.notice_settings s
    WHERE s.url <> '' AND s.next_attempt_time <= :now AND (s.leased_until IS NULL OR s.leased_until <= :now)
    AND EXISTS (SELECT 1 FROM registry10dlc.notices n WHERE n.project = s.project AND n.gave_up_time IS NULL)
    ORDER BY s.next_attempt_time LIMIT 1 FOR UPDATE OF s SKIP LOCKED
)
UPDATE registry10dlc.notice_settings s SET lease = :lease, leased_until = :until
FROM due WHERE s.project = due.project
RETURNING s.project, s.url, s.secret, s.failures
""")


@dataclass(frozen=True)
class Turn:
    """The right to deliver the notices of one project for a while. `failures` are those in a row before it."""

    project: str
    url: str
    secret: bytes
    failures: int
    lease: str


@dataclass(frozen=True)
class Notice:
    """One that waits."""

    move_id: int
    id: str
    body: bytes


@dataclass(frozen=True)
class Address:
    """Where a project's notices go; `secret` is sealed, empty without one."""

    url: str = ""
    secret: bytes = b""
    last_error: str = ""


async def enqueue(conn: AsyncConnection, entry: Entry) -> bool:
    """Queue the notice of a move in the move's own transaction; false when the project wants none.

    `entry` is as it is stored, with its `move_id`. Safe to repeat.
    """
    asked = {"project": entry.project, "registration_id": entry.registration_id, "move_id": entry.move_id}
    handed_in = (await conn.execute(_HANDED_IN, asked)).scalar_one_or_none()
    if handed_in is None:
        return False
    values = {
        "project": entry.project,
        "move_id": entry.move_id,
        "notice_id": notice_id(entry),
        "body": status_change(entry, max(1, handed_in)),
    }
    await conn.execute(insert(notices).values(values).on_conflict_do_nothing())
    return True


async def claim(conn: AsyncConnection, *, now: datetime, until: datetime, lease: str) -> Turn | None:
    """Take the turn of the project that is due longest and nobody else delivers for; None when none is due."""
    row = (await conn.execute(_CLAIM, {"now": now, "until": until, "lease": lease})).one_or_none()
    return Turn(row.project, row.url, row.secret, row.failures, lease) if row is not None else None


async def first_waiting(conn: AsyncConnection, project: str) -> Notice | None:
    """Return the oldest move's notice that waits."""
    c = notices.c
    query = select(c.move_id, c.notice_id, c.body).where(c.project == project, c.gave_up_time.is_(None))
    row = (await conn.execute(query.order_by(c.move_id).limit(1))).one_or_none()
    return Notice(row.move_id, row.notice_id, row.body) if row is not None else None


async def delivered(conn: AsyncConnection, turn: Turn, notice: Notice, *, now: datetime, until: datetime) -> bool:
    """Drop a delivered notice and go on until `until`; false, and nothing changed, when the turn is somebody else's."""
    changed = {"failures": 0, "last_error": "", "next_attempt_time": now, "leased_until": until}
    if not await _in_turn(conn, turn, changed):
        return False
    c = notices.c
    await conn.execute(delete(notices).where(c.project == turn.project, c.move_id == notice.move_id))
    return True


async def failed(
    conn: AsyncConnection,
    turn: Turn,
    notice: Notice,
    error: str,
    *,
    now: datetime,
    again: datetime,
    patience: timedelta,
) -> int:
    """End the turn, and try again at `again`; what waits longer than `patience` is given up. Returns how many were."""
    changed = {
        "failures": turn.failures + 1,
        "last_error": error,
        "next_attempt_time": again,
        "lease": "",
        "leased_until": None,
    }
    if not await _in_turn(conn, turn, changed):
        return 0
    c = notices.c
    waiting = update(notices).where(c.project == turn.project, c.gave_up_time.is_(None))
    await conn.execute(waiting.where(c.move_id == notice.move_id).values(attempts=c.attempts + 1, last_error=error))
    given_up = waiting.where(c.create_time <= now - patience).values(gave_up_time=now, last_error=error)
    return int((await conn.execute(given_up)).rowcount)


async def release(conn: AsyncConnection, turn: Turn, *, now: datetime) -> None:
    """End a turn in which nothing failed; the next one comes behind those of other projects."""
    await _in_turn(conn, turn, {"next_attempt_time": now, "lease": "", "leased_until": None})


async def forget_given_up(conn: AsyncConnection, before: datetime) -> int:
    """Delete what was given up before; returns how many."""
    return int((await conn.execute(delete(notices).where(notices.c.gave_up_time < before))).rowcount)


async def address_of(conn: AsyncConnection, project: str, *, lock: bool = False) -> Address:
    """Return where the notices of a project go."""
    c = notice_settings.c
    query = select(c.url, c.secret, c.last_error).where(c.project == project)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    return Address(row.url, row.secret, row.last_error) if row is not None else Address()


async def write_address(conn: AsyncConnection, project: str, address: Address, now: datetime) -> None:
    """Change where notices go, from the next attempt on, which is made at once."""
    values = {
        "url": address.url,
        "secret": address.secret,
        "update_time": now,
        "last_error": address.last_error,
        "failures": 0,
        "next_attempt_time": now,
        # Whoever delivers now stops behind its present call.
        "lease": "",
        "leased_until": None,
    }
    added = insert(notice_settings).values({"project": project, **values})
    await conn.execute(added.on_conflict_do_update(index_elements=[notice_settings.c.project], set_=values))


async def drop_waiting(conn: AsyncConnection, project: str) -> None:
    """Forget what waits: nobody wants to be told."""
    await conn.execute(delete(notices).where(notices.c.project == project, notices.c.gave_up_time.is_(None)))


async def waiting_count(conn: AsyncConnection, project: str) -> int:
    """Count what waits."""
    query = select(func.count()).where(notices.c.project == project, notices.c.gave_up_time.is_(None))
    return int((await conn.execute(query)).scalar_one())


async def drop_project(conn: AsyncConnection, project: str) -> None:
    """Forget everything of a project."""
    for table in (notices, notice_settings):
        await conn.execute(delete(table).where(table.c.project == project))


async def _in_turn(conn: AsyncConnection, turn: Turn, values: dict[str, object]) -> bool:
    c = notice_settings.c
    mine = update(notice_settings).where(c.project == turn.project, c.lease == turn.lease)
    return bool((await conn.execute(mine.values(values))).rowcount)
