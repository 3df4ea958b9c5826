"""The door: what is checked in the very transaction in which messages are about to be handed over.

A check sees a page at once and answers with those it refuses. What it reads is committed with the intent to send, so an
opt-out that was there before is always obeyed (reliability 5), and what it counts is counted exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_messaging.domain.recipients import Recipients
from heliograph_messaging.store.records import Row


class Refusal(NamedTuple):
    """Why a message is not sent: a reason of pinpoint-1 4.5 (or of our own) and words for people."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Passing:
    """Rows of one batch that are about to be sent.

    `first`: they are claimed just now. Otherwise they were let through before and come again (their chunk is only now due,
    or they are tried again): what counts people must count them once, what protects people must look again.
    """

    project: str
    batch: dispatch_pb2.DispatchBatch
    recipients: Recipients
    rows: Sequence[Row]
    now: datetime
    first: bool


class Check(Protocol):
    """One thing that is checked at the door."""

    async def refuse(self, conn: AsyncConnection, passing: Passing) -> Mapping[int, Refusal]:
        """Return who is refused, by position in the batch."""
        ...


class Door:
    """All checks, in the order of pinpoint-1 4.5: who is refused by one is not seen by those behind it."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        """Take the checks in their order."""
        self._checks = checks

    async def refuse(self, conn: AsyncConnection, passing: Passing) -> dict[int, Refusal]:
        """Return who is refused, by position in the batch."""
        refused: dict[int, Refusal] = {}
        for check in self._checks:
            if not passing.rows:
                break
            found = await check.refuse(conn, passing)
            if found:
                refused.update(found)
                left = [row for row in passing.rows if row.position not in found]
                passing = Passing(passing.project, passing.batch, passing.recipients, left, passing.now, passing.first)
        return refused
