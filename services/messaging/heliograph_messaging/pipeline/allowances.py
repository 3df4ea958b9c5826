"""Keeping to what brands and unregistered toll-free numbers may send in a day: looked at and counted with the turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.allowances import Allowance, Span, allowance_of, passing, window_of
from heliograph_messaging.domain.origination import Originations
from heliograph_messaging.pipeline.run import Run
from heliograph_messaging.store.allowances import AllowanceStore, Slot
from heliograph_messaging.store.records import Row


@dataclass(frozen=True)
class Admitted:
    """Rows that still fit into their days, when to ask again for the others (None: there are none), and where each counts."""

    rows: Sequence[Row]
    until: datetime | None
    slots: Mapping[int, Sequence[Slot]]


class Allowances:
    """Counts what is handed over, and lets campaigns and journeys wait for another day.

    Direct sends are counted and never held back: carriers refuse what is above as a failed delivery, not at the call (S126).
    """

    def __init__(self, store: AllowanceStore, *, share: float) -> None:
        """Take the counts, and the share of recipients that the carrier which counts days is taken to have."""
        self._store = store
        self._share = share

    async def admit(
        self, conn: AsyncConnection, run: Run, rows: Sequence[Row], originations: Originations, now: datetime
    ) -> Admitted:
        """Return the rows that fit, in their order; their windows are locked until the transaction ends."""
        project = run.hold.lease.key.project
        shared: dict[str, tuple[Allowance, list[Row]]] = {}
        of_number: dict[str, Allowance | None] = {}
        for row in rows:
            if row.origination not in of_number:
                number = originations.number(row.origination)
                of_number[row.origination] = None if number is None else allowance_of(number, self._share)
            allowance = of_number[row.origination]
            if allowance is not None:
                shared.setdefault(allowance.key, (allowance, []))[1].append(row)
        if not shared:
            return Admitted(rows, None, {})
        slots = {
            key: {span: _slot(allowance, span, project, now) for span in allowance.limits}
            for key, (allowance, _) in shared.items()
        }
        used = await self._store.lock(conn, [slot for spans in slots.values() for slot in spans.values()])
        left_out: set[int] = set()
        ends: list[datetime] = []
        counted: dict[int, Sequence[Slot]] = {}
        for key, (allowance, mine) in shared.items():
            spans = slots[key]
            counted.update((row.position, [*spans.values()]) for row in mine)
            if run.transactional:
                continue
            so_far = {span: used[slot] for span, slot in spans.items()}
            passed = passing([_parts(row) for row in mine], allowance.limits, so_far, now)
            left_out.update(row.position for row in mine[passed.count :])
            if passed.until is not None:
                ends.append(passed.until)
        admitted = [row for row in rows if row.position not in left_out]
        return Admitted(admitted, min(ends, default=None), counted)

    async def count(self, conn: AsyncConnection, run: Run, admitted: Admitted, granted: Sequence[Row]) -> None:
        """Count rows that are about to be handed over, in the transaction that admitted them."""
        parts: dict[Slot, int] = {}
        for row in granted:
            for slot in admitted.slots.get(row.position, ()):
                parts[slot] = parts.get(slot, 0) + _parts(row)
        if parts:
            await self._store.count(conn, parts)

    async def give_back(self, conn: AsyncConnection, rows: Sequence[tuple[Row, Sequence[Slot]]]) -> None:
        """Take back what was counted of rows that were not handed over after all."""
        parts: dict[Slot, int] = {}
        for row, slots in rows:
            for slot in slots:
                parts[slot] = parts.get(slot, 0) - _parts(row)
        if parts:
            await self._store.lock(conn, [*parts])
            await self._store.count(conn, parts)


def _slot(allowance: Allowance, span: Span, project: str, now: datetime) -> Slot:
    return Slot(allowance.project or project, allowance.key, span, window_of(span, now).start)


def _parts(row: Row) -> int:
    return max(1, row.part_count)
