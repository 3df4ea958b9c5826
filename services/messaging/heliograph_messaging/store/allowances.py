"""What was handed over in days, weeks and months that are limited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.allowances import Span
from heliograph_messaging.store.arrays import plain_array, text_array

_KEPT = timedelta(days=100)


class Slot(NamedTuple):
    """A window of somebody's allowance: the project that owns a brand or number, its key, and the span from its start on."""

    project: str
    key: str
    span: Span
    start: datetime


_X = """unnest(CAST(:projects AS text[]), CAST(:keys AS text[]), CAST(:spans AS text[]), CAST(:starts AS timestamptz[]))
        AS x (project, key, span, start_time)"""
_ORDER = 'project COLLATE "C", x.key COLLATE "C", x.span COLLATE "C", x.start_time'
_ADD = text(
    f"""INSERT INTO messaging.allowances (project, key, span, start_time, used)
    SELECT x.project, x.key, x.span, x.start_time, 0 FROM {_X} ORDER BY x.{_ORDER} ON CONFLICT DO NOTHING"""  # noqa: S608
)
_LOCK = text(
    f"""SELECT a.project, a.key, a.span, a.start_time, a.used FROM {_X}
    JOIN messaging.allowances a USING (project, key, span, start_time) ORDER BY x.{_ORDER} FOR UPDATE OF a"""  # noqa: S608
)
_COUNT = text(
    """UPDATE messaging.allowances AS a SET used = greatest(0, a.used + x.parts)
    FROM unnest(CAST(:projects AS text[]), CAST(:keys AS text[]), CAST(:spans AS text[]),
        CAST(:starts AS timestamptz[]), CAST(:parts AS bigint[])) AS x (project, key, span, start_time, parts)
    WHERE a.project = x.project AND a.key = x.key AND a.span = x.span AND a.start_time = x.start_time"""
)
_USED = text(
    """SELECT used FROM messaging.allowances
    WHERE project = :project AND key = :key AND span = :span AND start_time = :start"""
)
_FORGET = text("DELETE FROM messaging.allowances WHERE start_time < :before")


class AllowanceStore:
    """Reads and writes the counts; what was locked stays so until the transaction ends."""

    async def lock(self, conn: AsyncConnection, slots: Sequence[Slot]) -> Mapping[Slot, int]:
        """Return the parts used of windows, locked in one order everywhere; nothing is used of new ones."""
        await conn.execute(_ADD, _arrays(slots))
        rows = await conn.execute(_LOCK, _arrays(slots))
        return {Slot(row.project, row.key, Span(row.span), row.start_time): row.used for row in rows}

    async def count(self, conn: AsyncConnection, parts: Mapping[Slot, int]) -> None:
        """Add parts (below 0: give some back) to windows that are locked."""
        await conn.execute(_COUNT, {**_arrays([*parts]), "parts": plain_array([*parts.values()])})

    async def used(self, conn: AsyncConnection, slot: Slot) -> int:
        """Return the parts used of one window, without locking it."""
        parameters = {"project": slot.project, "key": slot.key, "span": slot.span.value, "start": slot.start}
        return int((await conn.execute(_USED, parameters)).scalar_one_or_none() or 0)

    async def forget(self, conn: AsyncConnection, now: datetime) -> None:
        """Delete windows that are long over."""
        await conn.execute(_FORGET, {"before": now - _KEPT})


def _arrays(slots: Sequence[Slot]) -> dict[str, object]:
    return {
        "projects": text_array([slot.project for slot in slots]),
        "keys": text_array([slot.key for slot in slots]),
        "spans": text_array([slot.span.value for slot in slots]),
        "starts": plain_array([slot.start.isoformat() for slot in slots]),
    }
