"""Numbers with what messaging was told about them, and pools of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.keywords import Keyword, registered
from heliograph_messaging.domain.numbers import US, Number, Registration
from heliograph_messaging.domain.origination import Pool
from heliograph_messaging.domain.pools import DEFAULT_LIST, Setup
from heliograph_messaging.regions import country_of
from heliograph_messaging.store.arrays import text_array
from heliograph_messaging.tables import origination_settings, pools


@dataclass(frozen=True)
class NumberSettings:
    """What messaging was told about a number. `country` empty: it follows from the number, or is the US."""

    country: str = ""
    setup: Setup = field(default_factory=Setup)
    route: str | None = None
    pool: str = ""
    update_time: datetime | None = None
    updated_by: str = ""


@dataclass(frozen=True)
class StoredOrigination:
    """A number as the registry announced it, with its settings."""

    project: str
    number: str
    kind: str
    state: str
    sms_capable: bool
    use_case: str
    settings: NumberSettings
    voice_capable: bool = False
    registration: Registration = field(default_factory=Registration)

    @property
    def country(self) -> str:
        """Where it belongs (ISO 3166)."""
        return _country(self.number, self.settings.country)

    @property
    def registered_keywords(self) -> Mapping[str, Keyword]:
        """HELP and STOP with the replies that its use case has registered, where nobody wrote others."""
        return registered(self.registration.help_reply, self.registration.stop_reply)


@dataclass(frozen=True)
class StoredPool:
    """A pool with its members, sorted."""

    project: str
    id: str
    setup: Setup
    shared_routes: bool
    sender_ids: Sequence[str]
    create_time: datetime
    update_time: datetime
    updated_by: str
    numbers: Sequence[str] = ()

    def as_choice(self) -> Pool:
        """Return it as a number is chosen from it."""
        return Pool(self.id, self.setup.message_type, self.shared_routes, tuple(self.sender_ids))


_JOINED = """SELECT n.*, s.country, s.message_type, s.opt_out_list, s.two_way, s.self_managed_opt_outs, s.route, s.pool,
        s.update_time, s.updated_by
    FROM messaging.numbers n
    LEFT JOIN messaging.origination_settings s ON s.project = n.project AND s.number = n.number
    WHERE n.project = :project"""
_ALL = text(f"{_JOINED} ORDER BY n.number")
_ONE = text(f"{_JOINED} AND n.number = :number")
_SOME = text(f"{_JOINED} AND n.number = ANY(CAST(:numbers AS text[]))")
_PAGE = text(f"{_JOINED} AND n.number > :after ORDER BY n.number LIMIT :size")
_OURS = text("SELECT DISTINCT number FROM messaging.numbers WHERE number = ANY(CAST(:numbers AS text[]))")
_USES = text(
    """SELECT EXISTS (SELECT FROM messaging.origination_settings WHERE project = :project AND opt_out_list = :list)
        OR EXISTS (SELECT FROM messaging.pools WHERE project = :project AND opt_out_list = :list)"""
)


class OriginationStore:
    """Reads numbers, and reads and writes their settings."""

    async def of_project(self, conn: AsyncConnection, project: str) -> list[Number]:
        """Return all numbers of a project, as they are chosen from."""
        return [_number(row) for row in await conn.execute(_ALL, {"project": project})]

    async def get(self, conn: AsyncConnection, project: str, number: str) -> StoredOrigination | None:
        """Return a number, None when the project has none of that name."""
        row = (await conn.execute(_ONE, {"project": project, "number": number})).one_or_none()
        return None if row is None else _stored(row)

    async def some(self, conn: AsyncConnection, project: str, numbers: Sequence[str]) -> dict[str, StoredOrigination]:
        """Return those of the numbers that the project has."""
        rows = await conn.execute(_SOME, {"project": project, "numbers": text_array(numbers)})
        return {row.number: _stored(row) for row in rows}

    async def page(
        self, conn: AsyncConnection, project: str, *, after: str | None, size: int
    ) -> list[StoredOrigination]:
        """Return up to `size` numbers above `after`, by number."""
        rows = await conn.execute(_PAGE, {"project": project, "after": after or "", "size": size})
        return [_stored(row) for row in rows]

    async def put(self, conn: AsyncConnection, project: str, number: str, settings: NumberSettings) -> None:
        """Write the settings of a number."""
        values = {
            "country": settings.country,
            "route": settings.route,
            "pool": settings.pool,
            "update_time": settings.update_time,
            "updated_by": settings.updated_by,
            **_columns(settings.setup),
        }
        statement = insert(origination_settings).values(project=project, number=number, **values)
        await conn.execute(
            statement.on_conflict_do_update(
                index_elements=["project", "number"], set_={name: statement.excluded[name] for name in values}
            )
        )

    async def ours(self, conn: AsyncConnection, numbers: Sequence[str]) -> set[str]:
        """Return those of the numbers that belong to any project of this installation."""
        return set((await conn.execute(_OURS, {"numbers": text_array(numbers)})).scalars())

    async def uses_list(self, conn: AsyncConnection, project: str, list: str) -> bool:
        """Tell whether a number or a pool has this opt-out list."""
        return bool((await conn.execute(_USES, {"project": project, "list": list})).scalar_one())


_POOL_COLUMNS = tuple(column for column in pools.columns)


class PoolStore:
    """Reads and writes pools. Changes are made one after the other in a project; the caller holds the lock."""

    async def get(self, conn: AsyncConnection, project: str, id: str) -> StoredPool | None:
        """Return a pool, None when there is none."""
        found = await self._where(conn, pools.c.project == project, pools.c.id == id)
        return found[0] if found else None

    async def of_project(self, conn: AsyncConnection, project: str) -> list[StoredPool]:
        """Return the pools of a project, by id."""
        return await self._where(conn, pools.c.project == project)

    async def put(self, conn: AsyncConnection, pool: StoredPool) -> None:
        """Write a pool, and its settings into those of its numbers."""
        values = {
            "shared_routes": pool.shared_routes,
            "sender_ids": sorted(pool.sender_ids),
            "update_time": pool.update_time,
            "updated_by": pool.updated_by,
            **_columns(pool.setup),
        }
        statement = insert(pools).values(project=pool.project, id=pool.id, create_time=pool.create_time, **values)
        await conn.execute(
            statement.on_conflict_do_update(
                index_elements=["project", "id"], set_={name: statement.excluded[name] for name in values}
            )
        )
        setup, settings = _columns(pool.setup), origination_settings.c
        # When the settings of a number changed is told of numbers as of pools.
        others = self._members(pool.project, pool.id).where(or_(*(settings[name] != setup[name] for name in setup)))
        await conn.execute(others.values(**setup, update_time=pool.update_time, updated_by=pool.updated_by))

    async def delete(self, conn: AsyncConnection, project: str, id: str) -> None:
        """Delete a pool; its numbers are in none then."""
        await conn.execute(self._members(project, id).values(pool=""))
        await conn.execute(delete(pools).where(pools.c.project == project, pools.c.id == id))

    def _members(self, project: str, id: str) -> Any:
        settings = origination_settings.c
        return update(origination_settings).where(settings.project == project, settings.pool == id)

    async def _where(self, conn: AsyncConnection, *conditions: Any) -> list[StoredPool]:
        settings = origination_settings.c
        numbers = (
            select(func.coalesce(func.array_agg(settings.number), text("'{}'")))
            .where(settings.project == pools.c.project, settings.pool == pools.c.id)
            .scalar_subquery()
        )
        rows = await conn.execute(
            select(*_POOL_COLUMNS, numbers.label("numbers")).where(*conditions).order_by(pools.c.id)
        )
        return [_pool(row) for row in rows]


def _country(number: str, chosen: str) -> str:
    return country_of(number) if number.startswith("+") else chosen or US


def _columns(setup: Setup) -> dict[str, object]:
    return {
        "message_type": setup.message_type,
        "opt_out_list": setup.opt_out_list,
        "two_way": setup.two_way,
        "self_managed_opt_outs": setup.self_managed_opt_outs,
    }


def _number(row: Row[Any]) -> Number:
    return Number(
        row.number, row.kind, row.state, row.sms_capable, row.use_case, row.parts_per_second,
        country=_country(row.number, row.country or ""),
        # What the use case is for is settled with the carriers; a setting only says it where the registry does not.
        message_type=row.registered_message_type or row.message_type or "", route=row.route, pool=row.pool or "",
        voice_capable=row.voice_capable, registration=_registration(row),
    )  # fmt: skip


def _stored(row: Row[Any]) -> StoredOrigination:
    settings = NumberSettings()
    if row.update_time is not None:
        settings = NumberSettings(row.country, _setup(row), row.route, row.pool, row.update_time, row.updated_by)
    return StoredOrigination(
        row.project, row.number, row.kind, row.state, row.sms_capable, row.use_case, settings, row.voice_capable,
        _registration(row),
    )  # fmt: skip


def _registration(row: Row[Any]) -> Registration:
    return Registration(
        row.brand, row.parts_per_day, row.registered_message_type, row.help_reply, row.stop_reply, row.lent_by,
        row.toll_free_registered,
    )  # fmt: skip


def _setup(row: Row[Any]) -> Setup:
    return Setup(row.message_type, row.opt_out_list or DEFAULT_LIST, row.two_way, row.self_managed_opt_outs)


def _pool(row: Any) -> StoredPool:
    return StoredPool(
        row.project, row.id, _setup(row), row.shared_routes, row.sender_ids, row.create_time, row.update_time,
        row.updated_by, sorted(row.numbers),
    )  # fmt: skip
