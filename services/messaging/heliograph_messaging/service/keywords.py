"""Use cases over keywords (pinpoint-2 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_kit.errors import Violations
from heliograph_kit.names import format_name
from heliograph_messaging.domain.keywords import (
    MAX_KEYWORDS,
    REQUIRED,
    Action,
    Keyword,
    Source,
    is_fixed,
    keyword_problem,
    reply_problem,
    with_required,
)
from heliograph_messaging.domain.stop_words import STOP
from heliograph_messaging.number_errors import (
    KeywordFixed,
    KeywordNotFound,
    OriginationNotFound,
    PooledNumber,
    PoolNotFound,
    TooManyKeywords,
)
from heliograph_messaging.store import locks
from heliograph_messaging.store.keywords import NUMBER, POOL, KeywordStore, Owner
from heliograph_messaging.store.originations import OriginationStore, PoolStore


class Keywords:
    """Use cases over the keywords of numbers and pools."""

    def __init__(
        self, database: Database, store: KeywordStore, originations: OriginationStore, pools: PoolStore
    ) -> None:
        """Take the stores."""
        self._database = database
        self._store = store
        self._originations = originations
        self._pools = pools

    async def list(self, project: str, owner: Owner) -> Sequence[Keyword]:
        """Return the keywords that hold for a number or a pool, HELP and STOP among them, by keyword.

        Raises:
            OriginationNotFound, PoolNotFound: there is no such number or pool.
        """
        async with self._database.transaction() as conn:
            if owner.kind == NUMBER:
                number = await self._originations.get(conn, project, owner.id)
                if number is None:
                    raise OriginationNotFound(format_name(project, NUMBER, owner.id))
                if number.kind == "TOLL_FREE":
                    # The carrier answers STOP, which nobody can change.
                    return with_required({STOP: replace(REQUIRED[STOP], source=Source.CARRIER)})
                pool = number.settings.pool
                own = await self._store.of(conn, project, Owner(POOL, pool) if pool else owner)
                return with_required({**number.registered_keywords, **own})
            if await self._pools.get(conn, project, owner.id) is None:
                raise PoolNotFound(format_name(project, POOL, owner.id))
            return with_required(await self._store.of(conn, project, owner))

    async def put(self, project: str, owner: Owner, keyword: str, action: Action | None, reply: str) -> Keyword:
        """Set a keyword; `action` None: the keyword's own, or an automatic response.

        Raises:
            InvalidArgument: a keyword or reply that is none.
            KeywordFixed: it cannot be changed so.
            OriginationNotFound, PoolNotFound, PooledNumber, TooManyKeywords: as things are.
        """
        _check(keyword, reply)
        required = REQUIRED.get(keyword)
        wanted = action or (required.action if required else Action.AUTOMATIC_RESPONSE)
        name = _name(project, owner, keyword)
        if required is not None and wanted is not required.action:
            raise KeywordFixed(name, f"always has the action {required.action}; only its reply can be set")
        if is_fixed(keyword):
            raise KeywordFixed(name, "opts out as STOP does, with the reply of STOP")
        async with self._database.transaction() as conn:
            await self._editable(conn, project, owner, name)
            present = await self._store.of(conn, project, owner)
            if len({*present, *REQUIRED, keyword}) > MAX_KEYWORDS:
                raise TooManyKeywords(format_name(project, owner.kind, owner.id), MAX_KEYWORDS)
            made = Keyword(keyword, wanted, reply, Source.POOL if owner.kind == POOL else Source.NUMBER)
            await self._store.put(conn, project, owner, made)
        return made

    async def delete(self, project: str, owner: Owner, keyword: str) -> Keyword:
        """Delete a keyword and return it as it was; HELP and STOP get the use case's replies back, or their own.

        Raises:
            KeywordNotFound: there is none.
            KeywordFixed, OriginationNotFound, PoolNotFound, PooledNumber: as things are.
        """
        name = _name(project, owner, keyword)
        async with self._database.transaction() as conn:
            await self._editable(conn, project, owner, name)
            found = (await self._store.of(conn, project, owner)).get(keyword)
            if found is None:
                raise KeywordNotFound(name)
            await self._store.delete(conn, project, owner, keyword)
        return found

    async def _editable(self, conn: AsyncConnection, project: str, owner: Owner, name: str) -> None:
        """Wait for other changes, and check that the owner is there and may have keywords of its own."""
        await locks.exclusive(conn, [locks.numbers_of(project)])
        if owner.kind == POOL:
            pool = await self._pools.get(conn, project, owner.id)
            if pool is None:
                raise PoolNotFound(format_name(project, POOL, owner.id))
            return
        number = await self._originations.get(conn, project, owner.id)
        if number is None:
            raise OriginationNotFound(format_name(project, NUMBER, owner.id))
        if number.kind == "TOLL_FREE":
            raise KeywordFixed(name, "is of a toll-free number, whose keywords and replies are the carrier's")
        if number.settings.pool:
            raise PooledNumber(number.number, format_name(project, POOL, number.settings.pool))


def _check(keyword: str, reply: str) -> None:
    found = Violations()
    if problem := keyword_problem(keyword):
        found.add("keyword.name", f"must end in a keyword, which {problem}", "INVALID_ARGUMENT")
    if problem := reply_problem(reply):
        found.add("keyword.reply", problem, "INVALID_ARGUMENT")
    found.check()


def _name(project: str, owner: Owner, keyword: str) -> str:
    return f"{format_name(project, owner.kind, owner.id)}/keywords/{keyword}"
