"""Keywords of numbers and pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.keywords import Action, Keyword, Source
from heliograph_messaging.store.arrays import text_array

NUMBER, POOL = "originations", "pools"


class Owner(NamedTuple):
    """Whose keywords: NUMBER with a number, or POOL with an id."""

    kind: str
    id: str


_OF = text(
    """SELECT k.owner_kind, k.owner, k.keyword, k.action, k.reply FROM messaging.keywords k
    JOIN unnest(CAST(:kinds AS text[]), CAST(:owners AS text[])) AS x (kind, owner)
        ON k.owner_kind = x.kind AND k.owner = x.owner
    WHERE k.project = :project"""
)
_PUT = text(
    """INSERT INTO messaging.keywords (project, owner_kind, owner, keyword, action, reply)
    VALUES (:project, :kind, :owner, :keyword, :action, :reply)
    ON CONFLICT (project, owner_kind, owner, keyword) DO UPDATE SET action = excluded.action, reply = excluded.reply"""
)
_DELETE = text(
    """DELETE FROM messaging.keywords
    WHERE project = :project AND owner_kind = :kind AND owner = :owner AND keyword = :keyword"""
)
_CLEAR = text("DELETE FROM messaging.keywords WHERE project = :project AND owner_kind = :kind AND owner = :owner")
_COPY = text(
    """INSERT INTO messaging.keywords (project, owner_kind, owner, keyword, action, reply)
    SELECT project, :kind, :owner, keyword, action, reply FROM messaging.keywords
    WHERE project = :project AND owner_kind = :from_kind AND owner = :from_owner"""
)


class KeywordStore:
    """Reads and writes keywords; HELP and STOP are there only when somebody wrote replies for them."""

    async def of(self, conn: AsyncConnection, project: str, owner: Owner) -> Mapping[str, Keyword]:
        """Return the keywords of one owner, by keyword."""
        return (await self.of_many(conn, project, [owner]))[owner]

    async def of_many(
        self, conn: AsyncConnection, project: str, owners: Sequence[Owner]
    ) -> Mapping[Owner, Mapping[str, Keyword]]:
        """Return the keywords of several owners."""
        found: dict[Owner, dict[str, Keyword]] = {owner: {} for owner in owners}
        rows = await conn.execute(
            _OF,
            {
                "project": project,
                "kinds": text_array([owner.kind for owner in found]),
                "owners": text_array([owner.id for owner in found]),
            },
        )
        for row in rows:
            source = Source.POOL if row.owner_kind == POOL else Source.NUMBER
            keyword = Keyword(row.keyword, Action(row.action), row.reply, source)
            found[Owner(row.owner_kind, row.owner)][row.keyword] = keyword
        return found

    async def put(self, conn: AsyncConnection, project: str, owner: Owner, keyword: Keyword) -> None:
        """Write a keyword."""
        values = {"keyword": keyword.keyword, "action": keyword.action.value, "reply": keyword.reply}
        await conn.execute(_PUT, {**_parameters(project, owner), **values})

    async def delete(self, conn: AsyncConnection, project: str, owner: Owner, keyword: str) -> bool:
        """Delete a keyword; False when there was none."""
        return bool((await conn.execute(_DELETE, {**_parameters(project, owner), "keyword": keyword})).rowcount)

    async def clear(self, conn: AsyncConnection, project: str, owner: Owner) -> None:
        """Delete all keywords of an owner."""
        await conn.execute(_CLEAR, _parameters(project, owner))

    async def copy(self, conn: AsyncConnection, project: str, source: Owner, to: Owner) -> None:
        """Give one owner the keywords of another in the place of its own."""
        await self.clear(conn, project, to)
        parameters = {**_parameters(project, to), "from_kind": source.kind, "from_owner": source.id}
        await conn.execute(_COPY, parameters)


def _parameters(project: str, owner: Owner) -> dict[str, object]:
    return {"project": project, "kind": owner.kind, "owner": owner.id}
