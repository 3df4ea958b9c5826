"""Opt-out lists and who is on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_messaging.domain.pools import DEFAULT_LIST
from heliograph_messaging.store import locks
from heliograph_messaging.store.arrays import text_array


@dataclass(frozen=True)
class OptOutList:
    """A list; `create_time` None: `Default`, which nobody was ever on."""

    id: str
    create_time: datetime | None


@dataclass(frozen=True)
class OptedOut:
    """A number on a list. `removed_at`: when somebody last took it off through the API, if it ever was."""

    number: str
    end_user: bool
    opt_out_time: datetime
    added_by: str
    removed_at: datetime | None


_LISTS = text("SELECT id, create_time FROM messaging.opt_out_lists WHERE project = :project ORDER BY id")
_ADD_LIST = text(
    """INSERT INTO messaging.opt_out_lists (project, id, create_time) VALUES (:project, :list, :now)
    ON CONFLICT DO NOTHING"""
)
_DELETE_LIST = text("DELETE FROM messaging.opt_out_lists WHERE project = :project AND id = :list")
_DELETE_NUMBERS = text("DELETE FROM messaging.opted_out_numbers WHERE project = :project AND list = :list")
# A person's own word replaces what stands there, and of several the latest counts; anybody else's changes nothing.
_OPT_OUT = text(
    """INSERT INTO messaging.opted_out_numbers AS o (project, list, number, opted_out, end_user, opt_out_time, added_by,
        noted_at)
    SELECT :project, :list, number, true, :end_user, CAST(time AS timestamptz), :by, :now
    FROM unnest(CAST(:numbers AS text[]), CAST(:times AS text[])) AS x (number, time) ORDER BY number
    ON CONFLICT (project, list, number) DO UPDATE SET opted_out = true, end_user = excluded.end_user,
        opt_out_time = CASE WHEN o.end_user AND o.opted_out THEN greatest(o.opt_out_time, excluded.opt_out_time)
            ELSE excluded.opt_out_time END, added_by = excluded.added_by,
        noted_at = CASE WHEN o.opted_out THEN o.noted_at ELSE excluded.noted_at END
        WHERE :end_user OR NOT o.opted_out
    RETURNING number"""
)
# A word that was written before the person's last opt-out and comes in late does not undo it.
_OPT_IN = text(
    """UPDATE messaging.opted_out_numbers o SET opted_out = false
    FROM unnest(CAST(:numbers AS text[]), CAST(:times AS text[])) AS x (number, time)
    WHERE o.project = :project AND o.list = :list AND o.number = x.number AND o.opted_out
        AND NOT (o.end_user AND o.opt_out_time > CAST(x.time AS timestamptz))"""
)
_REMOVE = text(
    """UPDATE messaging.opted_out_numbers SET opted_out = false, removed_at = :now
    WHERE project = :project AND list = :list AND number = :number"""
)
# A shared lock: the list stays there until the transaction ends.
_HOLD = text("SELECT create_time FROM messaging.opt_out_lists WHERE project = :project AND id = :list FOR SHARE")
_GET = text(
    """SELECT number, end_user, opt_out_time, added_by, removed_at FROM messaging.opted_out_numbers
    WHERE project = :project AND list = :list AND number = :number AND opted_out FOR UPDATE"""
)
_PAGE = text(
    """SELECT number, end_user, opt_out_time, added_by, removed_at FROM messaging.opted_out_numbers
    WHERE project = :project AND list = :list AND number > :after AND opted_out ORDER BY number LIMIT :size"""
)
_AMONG = text(
    """SELECT x.place FROM unnest(CAST(:lists AS text[]), CAST(:numbers AS text[])) WITH ORDINALITY
        AS x (list, number, place)
    JOIN messaging.opted_out_numbers o ON o.list = x.list AND o.number = x.number
    WHERE o.project = :project AND o.opted_out"""
)


class OptOutStore:
    """Reads and writes opt-out lists."""

    async def lists(self, conn: AsyncConnection, project: str) -> list[OptOutList]:
        """Return the lists that have a row, by id."""
        return [OptOutList(row.id, row.create_time) for row in await conn.execute(_LISTS, {"project": project})]

    async def has_list(self, conn: AsyncConnection, project: str, list: str) -> bool:
        """Tell whether there is a list, and keep it until the transaction ends. `Default` is always there."""
        if list == DEFAULT_LIST:
            return True
        return (await conn.execute(_HOLD, {"project": project, "list": list})).one_or_none() is not None

    async def add_list(self, conn: AsyncConnection, project: str, list: str, *, now: datetime) -> bool:
        """Make a list; False when there is one of that id."""
        return bool((await conn.execute(_ADD_LIST, {"project": project, "list": list, "now": now})).rowcount)

    async def delete_list(self, conn: AsyncConnection, project: str, list: str) -> None:
        """Delete a list with everybody on it."""
        parameters = {"project": project, "list": list}
        await conn.execute(_DELETE_LIST, parameters)
        await conn.execute(_DELETE_NUMBERS, parameters)

    async def opt_out(
        self,
        conn: AsyncConnection,
        project: str,
        list: str,
        numbers: Mapping[str, datetime],
        *,
        by: str,
        end_user: bool,
        clock: Clock,
    ) -> set[str]:
        """Put numbers on a list, which is there, from the instants given; return those that were not on it.

        `end_user`: the persons themselves want it (those that were on it are returned as well).

        Waits for every transaction that has looked at the list and is about to send: when this one is committed, whoever
        looks sees it, and whoever did not has committed before (reliability O4).
        """
        await locks.exclusive(conn, [locks.opt_outs_of(project, list)])
        # Not before: whoever held the list may have handed messages over since this was asked for.
        now = clock.now()
        if list == DEFAULT_LIST:
            await self.add_list(conn, project, list, now=now)
        rows = await conn.execute(
            _OPT_OUT,
            {
                "project": project, "list": list, "numbers": text_array([*numbers]), "by": by,
                "times": text_array([time.isoformat() for time in numbers.values()]), "end_user": end_user,
                "now": now,
            },
        )  # fmt: skip
        return set(rows.scalars())

    async def opt_in(self, conn: AsyncConnection, project: str, list: str, numbers: Mapping[str, datetime]) -> int:
        """Take numbers off a list because their owners wanted it at these instants, and return how many came off."""
        times = text_array([time.isoformat() for time in numbers.values()])
        parameters = {"project": project, "list": list, "numbers": text_array([*numbers]), "times": times}
        return (await conn.execute(_OPT_IN, parameters)).rowcount

    async def get(self, conn: AsyncConnection, project: str, list: str, number: str) -> OptedOut | None:
        """Return a number on a list and keep others from changing it; None when it is not on it."""
        row = (await conn.execute(_GET, {"project": project, "list": list, "number": number})).one_or_none()
        return None if row is None else _opted_out(row)

    async def remove(self, conn: AsyncConnection, project: str, list: str, number: str, *, now: datetime) -> None:
        """Take a number off a list, and remember when."""
        await conn.execute(_REMOVE, {"project": project, "list": list, "number": number, "now": now})

    async def page(
        self, conn: AsyncConnection, project: str, list: str, *, after: str | None, size: int
    ) -> list[OptedOut]:
        """Return up to `size` numbers of a list above `after`, by number."""
        parameters = {"project": project, "list": list, "after": after or "", "size": size}
        return [_opted_out(row) for row in await conn.execute(_PAGE, parameters)]

    async def among(self, conn: AsyncConnection, project: str, numbers: Mapping[int, tuple[str, str]]) -> set[int]:
        """Return those of (list, number) that are opted out, by key; nobody enters these lists until the transaction ends."""
        if not numbers:
            return set()
        keys, pairs = [*numbers], [*numbers.values()]
        await locks.shared(conn, [locks.opt_outs_of(project, list) for list, _ in pairs])
        rows = await conn.execute(
            _AMONG,
            {
                "project": project,
                "lists": text_array([list for list, _ in pairs]),
                "numbers": text_array([number for _, number in pairs]),
            },
        )
        return {keys[place - 1] for place in rows.scalars()}


def _opted_out(row: Row[Any]) -> OptedOut:
    return OptedOut(row.number, row.end_user, row.opt_out_time, row.added_by, row.removed_at)
