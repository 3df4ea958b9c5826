"""What holds for all SMS of a project, and what a month's SMS cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import plain_array
from heliograph_messaging.tables import sms_settings


@dataclass(frozen=True)
class StoredSmsSettings:
    """The settings; those of a project that set nothing are the defaults. Money is in millionths."""

    default_message_type: str = ""
    default_sender_id: str = ""
    monthly_spend_limit: int | None = None
    prices: Mapping[str, int] = field(default_factory=dict)
    shared_routes_off: bool = False
    registered_sender_ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Countries by sender id."""
    honour_endpoint_opt_out: bool = False
    update_time: datetime | None = None
    updated_by: str = ""

    @property
    def registered(self) -> frozenset[tuple[str, str]]:
        """Pairs of sender id and country."""
        return frozenset(
            (one, country) for one, countries in self.registered_sender_ids.items() for country in countries
        )


_COLUMNS = tuple(column.name for column in sms_settings.columns if column.name != "project")


class SmsSettingsStore:
    """Reads and writes the settings."""

    async def get(self, conn: AsyncConnection, project: str) -> StoredSmsSettings:
        """Return the settings of a project."""
        row = (await conn.execute(select(sms_settings).where(sms_settings.c.project == project))).one_or_none()
        return StoredSmsSettings() if row is None else StoredSmsSettings(**{n: getattr(row, n) for n in _COLUMNS})

    async def put(self, conn: AsyncConnection, project: str, settings: StoredSmsSettings) -> None:
        """Write the settings of a project."""
        values = {name: getattr(settings, name) for name in _COLUMNS}
        values |= {name: dict(getattr(settings, name)) for name in ("prices", "registered_sender_ids")}
        statement = insert(sms_settings).values(project=project, **values)
        await conn.execute(
            statement.on_conflict_do_update(
                index_elements=["project"], set_={name: statement.excluded[name] for name in _COLUMNS}
            )
        )


_LIMIT = text("SELECT monthly_spend_limit FROM messaging.sms_settings WHERE project = :project")
_SPENT = text("SELECT spent FROM messaging.spending WHERE project = :project AND month = :month")
_OPEN = text(
    """INSERT INTO messaging.spending (project, month, spent) VALUES (:project, :month, 0) ON CONFLICT DO NOTHING"""
)
_LOCK = text("SELECT spent FROM messaging.spending WHERE project = :project AND month = :month FOR UPDATE")
# What was paid for once and is asked for again (`free`) is not paid for twice.
_CHARGE = text(
    """WITH due AS (SELECT m.message_id, x.cost FROM messaging.messages m
            JOIN unnest(CAST(:ids AS uuid[]), CAST(:costs AS bigint[])) AS x (message_id, cost)
                ON m.message_id = x.message_id
            WHERE m.project = :project AND x.cost > 0 AND NOT (:free AND m.cost IS NOT NULL)),
        charged AS (UPDATE messaging.messages m SET cost = coalesce(m.cost, 0) + due.cost FROM due
            WHERE m.project = :project AND m.message_id = due.message_id RETURNING due.cost)
    INSERT INTO messaging.spending AS s (project, month, spent)
    SELECT :project, :month, sum(cost) FROM charged HAVING count(*) > 0
    ON CONFLICT (project, month) DO UPDATE SET spent = s.spent + excluded.spent"""
)
_GIVE_BACK = text(
    """WITH back AS (UPDATE messaging.messages m SET cost = nullif(greatest(m.cost - x.cost, 0), 0)
            FROM unnest(CAST(:ids AS uuid[]), CAST(:costs AS bigint[])) AS x (message_id, cost)
            WHERE m.project = :project AND m.message_id = x.message_id AND m.cost IS NOT NULL RETURNING x.cost)
    UPDATE messaging.spending SET spent = spent - (SELECT coalesce(sum(cost), 0) FROM back)
    WHERE project = :project AND month = :month"""
)


class SpendingStore:
    """What the messages of a month cost: kept with the messages themselves, in the transactions that hand them over."""

    async def spent(self, conn: AsyncConnection, project: str, month: date) -> int:
        """Return what a month cost so far."""
        return (await conn.execute(_SPENT, {"project": project, "month": month})).scalar() or 0

    async def lock(self, conn: AsyncConnection, project: str, month: date) -> tuple[int, int] | None:
        """Return (spent, limit) of a month and let nobody else spend until the transaction ends; None: there is no limit."""
        limit = (await conn.execute(_LIMIT, {"project": project})).scalar()
        if limit is None:
            return None
        parameters = {"project": project, "month": month}
        await conn.execute(_OPEN, parameters)
        return (await conn.execute(_LOCK, parameters)).scalar_one(), limit

    async def charge(
        self, conn: AsyncConnection, project: str, month: date, costs: Mapping[str, int], *, free: bool
    ) -> None:
        """Write what messages cost into the ledger and add it to the month. `free`: those paid for before cost nothing more."""
        parameters = {"project": project, "month": month, "free": free}
        await conn.execute(_CHARGE, {**parameters, **_arrays(costs)})

    async def give_back(self, conn: AsyncConnection, project: str, month: date, costs: Mapping[str, int]) -> None:
        """Undo the charge of messages that were refused; each of them was charged just before."""
        await conn.execute(_GIVE_BACK, {"project": project, "month": month, **_arrays(costs)})


def _arrays(costs: Mapping[str, int]) -> dict[str, str]:
    return {"ids": plain_array([*costs]), "costs": plain_array([*costs.values()])}
