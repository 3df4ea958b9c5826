"""What messaging learns of endpoints, told to segments, who owns them: kept in the database until segments has answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels import Accepted, Rejected, RejectReason, SendResult
from heliograph_kit.database import Database
from heliograph_kit.errors import HeliographError
from heliograph_kit.working import Bell, until_stopped
from heliograph_messaging.store.marks import MarkStore, NewMark
from heliograph_messaging.store.records import Row

PAGE = 500
_MAX_ADDRESS = 4096
_TAKEN_SECONDS = 15.0
_POLL_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Endpoints(Protocol):
    """The part of the segments service that is told."""

    async def mark_endpoints(self, project: str, marks: Sequence[NewMark]) -> None:
        """Tell what was learnt of endpoints; safe to repeat.

        Raises:
            Unavailable: segments does not answer.
        """
        ...


class EndpointMarks:
    """Notes what is learnt and tells it, in batches, until it is answered."""

    def __init__(self, database: Database, store: MarkStore, endpoints: Endpoints) -> None:
        """Take where marks are kept and who is told."""
        self._database = database
        self._store = store
        self._endpoints = endpoints
        self._bell = Bell()

    async def note(self, conn: AsyncConnection, project: str, marks: Sequence[NewMark]) -> None:
        """Keep marks in the open transaction; they are told after it commits."""
        if marks:
            await self._store.add(conn, project, marks)
            self._bell.ring()

    async def run(self, stopping: asyncio.Event) -> None:
        """Tell what is kept until told to stop."""
        await until_stopped(stopping, self._bell, _POLL_SECONDS, self.tell_page)

    async def tell_page(self) -> int:
        """Tell up to 500 marks and return how many were told; those of a project that cannot be told wait their time."""
        async with self._database.transaction() as conn:
            taken = await self._store.take(conn, size=PAGE, seconds=_TAKEN_SECONDS)
        by_project: dict[str, list[NewMark]] = {}
        for project, mark in taken:
            by_project.setdefault(project, []).append(mark)
        told = 0
        for project, marks in by_project.items():
            try:
                await self._endpoints.mark_endpoints(project, marks)
            except HeliographError as error:
                _log.warning("%d endpoints cannot be marked now: %s", len(marks), error.message)
                continue
            async with self._database.transaction() as conn:
                await self._store.done(conn, project, marks)
            told += len(marks)
        return told


def learnt_from(rows: Sequence[Row], results: Sequence[SendResult]) -> list[NewMark]:
    """Return what a provider's answers say of endpoints; addresses without an endpoint belong to nobody (pinpoint-2 2.5)."""
    marks: list[NewMark] = []
    for row, result in zip(rows, results, strict=True):
        if not row.endpoint_id:
            continue
        if isinstance(result, Rejected) and result.reason == RejectReason.ADDRESS_GONE and not result.retryable:
            marks.append(NewMark(row.message_id, "ADDRESS_GONE", row.endpoint_id, row.address))
        elif isinstance(result, Accepted) and result.new_address not in ("", row.address):
            new = str(result.new_address)
            if len(new) <= _MAX_ADDRESS:
                marks.append(NewMark(row.message_id, "ADDRESS_REPLACED", row.endpoint_id, row.address, new))
    return marks
