"""Writes that meet another writer who was first, and are run again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_kit.errors import Aborted

T = TypeVar("T")

_ATTEMPTS = 10
_PAUSE = 0.01
_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('segments.races:' || :project, 0))")


class Race(Exception):
    """What was found when the work began is no longer so; nothing of the work holds."""


async def run(database: Database, project: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run work in a transaction, and again when it meets a race.

    Raises:
        Aborted: others were first again and again.
    """

    async def in_turn(conn: AsyncConnection) -> T:
        # Of many who claim one address all but one would meet a race each time: whoever met one queues up.
        await conn.execute(_TURN, {"project": project})
        return await work(conn)

    for attempt in range(_ATTEMPTS):
        try:
            return await database.run(in_turn if attempt else work)
        except Race:
            await asyncio.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311
    raise Aborted("the same endpoints or addresses are being written elsewhere; repeat the request")
