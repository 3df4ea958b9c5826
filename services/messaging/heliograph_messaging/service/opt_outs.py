"""Use cases over opt-out lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels import phone_problem
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violation, Violations
from heliograph_kit.names import format_name
from heliograph_messaging.domain.pools import DEFAULT_LIST
from heliograph_messaging.errors import AddressInvalid
from heliograph_messaging.number_errors import (
    OptedOutNumberNotFound,
    OptOutListExists,
    OptOutListFixed,
    OptOutListInUse,
    OptOutListNotFound,
    OptOutRemovedRecently,
    TooManyOptOutLists,
)
from heliograph_messaging.service.drafts import MAX_REQUEST_ID
from heliograph_messaging.store import locks
from heliograph_messaging.store.channels import RequestStore
from heliograph_messaging.store.opt_outs import OptedOut, OptOutList, OptOutStore
from heliograph_messaging.store.originations import OriginationStore

MAX_LISTS = 25
MAX_NUMBERS = 1000
REMOVAL_PAUSE = timedelta(days=30)
_LIST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class OptOuts:
    """Use cases over opt-out lists."""

    def __init__(
        self,
        database: Database,
        store: OptOutStore,
        originations: OriginationStore,
        requests: RequestStore,
        clock: Clock,
    ) -> None:
        """Take the lists, who uses them, the answers of requests, and the clock."""
        self._database = database
        self._store = store
        self._originations = originations
        self._requests = requests
        self._clock = clock

    async def create(self, project: str, list_id: str, *, request_id: str, fingerprint: str) -> OptOutList:
        """Make a list; the same for the same request.

        Raises:
            InvalidArgument: a bad id.
            OptOutListExists: there is one of that id, as `Default` always is.
            TooManyOptOutLists: the project has 25, `Default` counted.
            RequestIdReused: the request id belongs to another request.
        """
        found = Violations()
        if not _LIST_ID.fullmatch(list_id):
            found.add("opt_out_list_id", f"must match {_LIST_ID.pattern}", "INVALID_ARGUMENT")
        if len(request_id) > MAX_REQUEST_ID:
            found.add("request_id", f"must have at most {MAX_REQUEST_ID} characters", "INVALID_ARGUMENT")
        found.check()
        now = self._clock.now()
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            lists = await self._lists(conn, project)
            if request_id:
                kept = await self._requests.keep(
                    conn, project, "CreateOptOutList", request_id, fingerprint, list_id.encode(), now
                )
                if kept is not None:
                    if kept[0] != fingerprint:
                        raise RequestIdReused(request_id)
                    return next((one for one in lists if one.id == list_id), OptOutList(list_id, None))
            if any(one.id == list_id for one in lists):
                raise OptOutListExists(_name(project, list_id))
            if len(lists) >= MAX_LISTS:
                raise TooManyOptOutLists(f"projects/{project}", MAX_LISTS)
            await self._store.add_list(conn, project, list_id, now=now)
        return OptOutList(list_id, now)

    async def lists(self, project: str) -> Sequence[OptOutList]:
        """Return the lists, `Default` among them, by id."""
        async with self._database.transaction() as conn:
            return await self._lists(conn, project)

    async def delete(self, project: str, list_id: str) -> OptOutList:
        """Delete a list with everybody on it.

        Raises:
            OptOutListNotFound: there is none.
            OptOutListFixed: it is `Default`.
            OptOutListInUse: a number or a pool has it.
        """
        if list_id == DEFAULT_LIST:
            raise OptOutListFixed(_name(project, list_id))
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            found = next((one for one in await self._lists(conn, project) if one.id == list_id), None)
            if found is None:
                raise OptOutListNotFound(_name(project, list_id))
            if await self._originations.uses_list(conn, project, list_id):
                raise OptOutListInUse(_name(project, list_id))
            await self._store.delete_list(conn, project, list_id)
        return found

    async def add(self, project: str, list_id: str, numbers: Sequence[str], *, by: str) -> int:
        """Put numbers on a list and return how many are new; when it returns, nothing more is handed over to them.

        Raises:
            InvalidArgument: too many or no numbers.
            AddressInvalid: a violation for each number that is none.
            OptOutListNotFound: there is no such list.
        """
        _check_numbers(numbers)
        times = dict.fromkeys(numbers, self._clock.now())
        async with self._database.transaction() as conn:
            await self._has(conn, project, list_id)
            added = await self._store.opt_out(conn, project, list_id, times, by=by, end_user=False, clock=self._clock)
            return len(added)

    async def get(self, project: str, list_id: str, number: str) -> OptedOut:
        """Return a number on a list.

        Raises:
            OptOutListNotFound, OptedOutNumberNotFound: there is no such list, or the number is not on it.
        """
        async with self._database.transaction() as conn:
            return await self._one(conn, project, list_id, number)

    async def page(self, project: str, list_id: str, *, after: str | None, size: int) -> Sequence[OptedOut]:
        """Return up to `size` numbers of a list above `after`, by number.

        Raises:
            OptOutListNotFound: there is no such list.
        """
        async with self._database.transaction() as conn:
            await self._has(conn, project, list_id)
            return await self._store.page(conn, project, list_id, after=after, size=size)

    async def remove(self, project: str, list_id: str, number: str) -> OptedOut:
        """Take a number off a list and return it as it was on it.

        Raises:
            OptOutListNotFound, OptedOutNumberNotFound: as for `get`.
            OptOutRemovedRecently: it was taken off once within 30 days.
        """
        now = self._clock.now()
        async with self._database.transaction() as conn:
            one = await self._one(conn, project, list_id, number)
            if one.removed_at is not None and now < one.removed_at + REMOVAL_PAUSE:
                raise OptOutRemovedRecently(_number_name(project, list_id, number), one.removed_at + REMOVAL_PAUSE)
            await self._store.remove(conn, project, list_id, number, now=now)
        return one

    async def _lists(self, conn: AsyncConnection, project: str) -> list[OptOutList]:
        lists = await self._store.lists(conn, project)
        if not any(one.id == DEFAULT_LIST for one in lists):
            lists = sorted([*lists, OptOutList(DEFAULT_LIST, None)], key=lambda one: one.id)
        return lists

    async def _has(self, conn: AsyncConnection, project: str, list_id: str) -> None:
        if not await self._store.has_list(conn, project, list_id):
            raise OptOutListNotFound(_name(project, list_id))

    async def _one(self, conn: AsyncConnection, project: str, list_id: str, number: str) -> OptedOut:
        await self._has(conn, project, list_id)
        one = await self._store.get(conn, project, list_id, number)
        if one is None:
            raise OptedOutNumberNotFound(_number_name(project, list_id, number))
        return one


def _check_numbers(numbers: Sequence[str]) -> None:
    found = Violations()
    if not 1 <= len(numbers) <= MAX_NUMBERS:
        found.add("numbers", f"must be 1 to {MAX_NUMBERS:,}, not {len(numbers)}", "INVALID_ARGUMENT")
    found.check()
    bad = [
        Violation(f"numbers[{index}]", problem, AddressInvalid.reason)
        for index, number in enumerate(numbers)
        if (problem := phone_problem(number))
    ]
    if bad:
        raise AddressInvalid(bad)


def _name(project: str, list_id: str) -> str:
    return format_name(project, "optOutLists", list_id)


def _number_name(project: str, list_id: str, number: str) -> str:
    return f"{_name(project, list_id)}/optedOutNumbers/{number}"
