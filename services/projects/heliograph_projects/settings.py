"""What campaigns and journeys of a project inherit (pinpoint-1 1.2): the value, its limits, and the use cases."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Violations
from heliograph_projects.domain import Report
from heliograph_projects.errors import ProjectNotFound
from heliograph_projects.store import Actor, AuditLog, ProjectStore
from heliograph_projects.tables import settings as settings_table

MAX_LIMIT = 100
MAX_TIMEFRAME_DAYS = 30
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True)
class CampaignLimits:
    """Messages one endpoint may be the target of; 0 is no limit."""

    daily: int = 0
    total: int = 0


@dataclass(frozen=True)
class JourneyLimits:
    """Messages of journeys one endpoint may be the target of; 0 is no limit."""

    daily: int = 0
    total: int = 0
    timeframe: int = 0
    timeframe_days: int = 0


@dataclass(frozen=True)
class QuietTime:
    """From `start` to `end`, both `HH:MM` and inside."""

    start: str
    end: str


@dataclass(frozen=True)
class ProjectSettings:
    """The settings of one project."""

    campaign_limits: CampaignLimits = CampaignLimits()
    journey_limits: JourneyLimits = JourneyLimits()
    quiet_time: QuietTime | None = None
    update_time: datetime | None = None

    def check(self, report: Report) -> None:
        """Report every figure that is out of range."""
        for group in ("campaign_limits", "journey_limits"):
            for name, value in asdict(getattr(self, group)).items():
                most = MAX_TIMEFRAME_DAYS if name == "timeframe_days" else MAX_LIMIT
                if not 0 <= value <= most:
                    report(f"settings.{group}.{name}", f"must be 0 to {most}", "OUT_OF_RANGE")
        journeys = self.journey_limits
        if bool(journeys.timeframe) != bool(journeys.timeframe_days):
            words = "must be set together with timeframe, or both be 0"
            report("settings.journey_limits.timeframe_days", words, "TIMEFRAME_INCOMPLETE")
        for name in ("start", "end") if self.quiet_time else ():
            if not _CLOCK.fullmatch(getattr(self.quiet_time, name)):
                words = "must be a time of day of the form HH:MM, from 00:00 to 23:59"
                report(f"settings.quiet_time.{name}", words, "NOT_A_CLOCK_TIME")


class Settings:
    """Use cases over the settings of projects."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take where they are kept and the clock."""
        self._database = database
        self._clock = clock
        self._projects = ProjectStore()
        self._audit = AuditLog()

    async def get(self, project: str) -> ProjectSettings:
        """Return the settings; those of a project that never changed them are the defaults.

        Raises:
            ProjectNotFound: there is no such project.
        """
        async with self._database.transaction() as conn:
            await self._exists(conn, project)
            return await _read(conn, project)

    async def update(
        self, project: str, change: Callable[[ProjectSettings], ProjectSettings], actor: Actor
    ) -> ProjectSettings:
        """Change the settings.

        Raises:
            InvalidArgument: with every figure that is out of range.
            ProjectNotFound: there is no such project.
        """
        async with self._database.transaction() as conn:
            await self._exists(conn, project)
            now = self._clock.now()
            changed = replace(change(await _read(conn, project, lock=True)), update_time=now)
            violations = Violations()
            changed.check(violations.add)
            violations.check()
            values = _write(changed)
            statement = insert(settings_table).values(project=project, values=values, update_time=now)
            await conn.execute(
                statement.on_conflict_do_update(
                    index_elements=["project"],
                    set_={"values": statement.excluded["values"], "update_time": statement.excluded.update_time},
                )
            )
            await self._audit.add(conn, now, actor, "update_settings", f"projects/{project}/settings", values)
        return changed

    async def _exists(self, conn: AsyncConnection, project: str) -> None:
        if await self._projects.get(conn, project) is None:
            raise ProjectNotFound(f"projects/{project}")


async def _read(conn: AsyncConnection, project: str, *, lock: bool = False) -> ProjectSettings:
    query = select(settings_table).where(settings_table.c.project == project)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        return ProjectSettings()
    values = row.values
    quiet = values["quiet_time"]
    return ProjectSettings(
        CampaignLimits(**values["campaign_limits"]),
        JourneyLimits(**values["journey_limits"]),
        QuietTime(**quiet) if quiet else None,
        row.update_time,
    )


def _write(settings: ProjectSettings) -> dict[str, Any]:
    values = asdict(settings)
    del values["update_time"]
    return values
