"""The questions to the store: key figures, event counts, daily actives, freshness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from heliograph_analytics import figures, kpis
from heliograph_analytics.domain import clipped_range
from heliograph_analytics.errors import KpiNotFound
from heliograph_analytics.store import EventStore
from heliograph_kit.clock import Clock
from heliograph_kit.errors import Violations

LONGEST_KPI_RANGE = timedelta(days=31)
OLDEST_KPI_START = timedelta(days=90)
LONGEST_REPORT = timedelta(days=800)
DEFAULT_TOP = 100
LARGEST_TOP = 1000
TYPE_FILTERS = 50
ATTRIBUTE_FILTERS = 10


@dataclass(frozen=True)
class KpiRow:
    """One row of a key figure: (key, value) of each group, and the figure."""

    groups: tuple[tuple[str, str], ...]
    figure: float


@dataclass(frozen=True)
class KpiAnswer:
    """A key figure with its effective bounds."""

    kpi: figures.Kpi
    start: datetime
    end: datetime
    rows: list[KpiRow]


@dataclass(frozen=True)
class CountQuestion:
    """Which events to count, `start` included and `end` not, and by what; `attribute` names the group when that is it."""

    project: str
    types: Sequence[str]
    start: datetime | None
    end: datetime | None
    attributes: Mapping[str, str] = field(default_factory=dict)
    group_by: Literal["", "attribute", "day", "event_type"] = ""
    attribute: str = ""
    metric: str = ""
    top: int = 0


@dataclass(frozen=True)
class Counted:
    """One row: group, events, endpoints, users; then events with the metric, sum, mean, minimum and maximum."""

    group: str
    events: int
    endpoints: int
    users: int
    metric_events: int = 0
    sum: float = 0
    average: float = 0
    minimum: float = 0
    maximum: float = 0


@dataclass(frozen=True)
class Status:
    """How fresh the answers are."""

    last_applied: datetime | None
    last_event: datetime | None
    stored: int
    backlog: int


class Reports:
    """Answers from the store, never from anything else."""

    def __init__(self, store: EventStore, clock: Clock, backlog: Callable[[], Awaitable[int]]) -> None:
        """Take the store, the clock for default ranges, and what counts the bus messages that wait."""
        self._store = store
        self._clock = clock
        self._backlog = backlog

    async def kpi(
        self,
        project: str,
        scope: figures.Scope,
        parent: str,
        name: str,
        start: datetime | None,
        end: datetime | None,
        group_by: Sequence[str],
    ) -> KpiAnswer:
        """Return a key figure.

        Raises:
            KpiNotFound: there is none of that name for this scope, or not with these groupings.
            InvalidArgument: the range is longer than 31 days, begins 90 or more days ago, or ends before it begins.
        """
        now = self._clock.now()
        found = kpis.find(name, scope, group_by)
        if found is None:
            raise KpiNotFound(name, scope)
        kpi, groupings = found
        first, last = clipped_range(start, end, now, LONGEST_KPI_RANGE)
        violations = Violations()
        if last < first:
            violations.add("end_time", "must not be before start_time", "RANGE_INVERTED")
        elif last - first > LONGEST_KPI_RANGE:
            violations.add("end_time", "must be at most 31 days after start_time", "RANGE_TOO_LONG")
        if first <= now - OLDEST_KPI_START:
            violations.add("start_time", "must be fewer than 90 days ago", "RANGE_TOO_OLD")
        violations.check()
        parameters: dict[str, Any] = {"project": project, "start": _naive(first)}
        if kpi.source == "messages" or last >= first:
            parameters["end"] = _naive(last)
        if scope != "project":
            parameters["parent"] = parent
        raw = await self._store.read(kpi.query(scope, groupings), parameters)
        keys = [figures.GROUPINGS[grouping][0] for grouping in groupings]
        width = len(keys)
        rows = [
            KpiRow(tuple((key, str(value)) for key, value in zip(keys, row[:width], strict=True)), float(row[width]))
            for row in raw
        ]
        return KpiAnswer(kpi, first, last, rows)

    async def count(self, question: CountQuestion) -> list[Counted]:
        """Count events.

        Raises:
            InvalidArgument: with everything that is wrong.
        """
        start, end = self._checked(question)
        where = ["project = ?", "time >= ?", "time < ?"]
        parameters: list[Any] = [question.project, _naive(start), _naive(end)]
        if question.types:
            where.append(f"type IN ({', '.join('?' * len(question.types))})")
            parameters += question.types
        else:
            where.append("source = 'app'")
        for key, value in question.attributes.items():
            where.append("attributes[?] = ?")
            parameters += [key, value]
        group, order = "''", "1"
        before: list[Any] = []
        if question.group_by == "attribute":
            group, order = "coalesce(attributes[?], '')", "2 DESC, 1"
            before.append(question.attribute)
        elif question.group_by == "event_type":
            group, order = "type", "2 DESC, 1"
        elif question.group_by == "day":
            group = "strftime(time, '%Y-%m-%d')"
        figures = "0, 0, 0, 0, 0"
        if question.metric:
            figures = "count(x), coalesce(sum(x), 0), coalesce(avg(x), 0), coalesce(min(x), 0), coalesce(max(x), 0)"
            before.append(question.metric)
        metric = ", metrics[?] AS x" if question.metric else ""
        limit = min(question.top or DEFAULT_TOP, LARGEST_TOP)
        rows = await self._store.read(
            f"SELECT grp, count(*), count(DISTINCT endpoint), count(DISTINCT nullif(user_id, '')), {figures} "  # noqa: S608
            f"FROM (SELECT {group} AS grp, endpoint, user_id{metric} FROM events WHERE {' AND '.join(where)}) "
            f"GROUP BY grp ORDER BY {order} LIMIT {limit}",
            before + parameters,
        )
        return [Counted(*row) for row in rows]

    async def daily_actives(
        self, project: str, start: datetime | None, end: datetime | None
    ) -> list[tuple[str, int, int]]:
        """Return (day, endpoints, users) for each day with events, the days of both instants included.

        Raises:
            InvalidArgument: a bound is missing, or the range is inverted or longer than 800 days.
        """
        violations = Violations()
        first, last = _range(start, end, violations, closed=True)
        violations.check()
        day = timedelta(days=1)
        begin = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        stop = last.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + day
        rows = await self._store.read(
            "SELECT strftime(time, '%Y-%m-%d') AS day, count(DISTINCT endpoint), count(DISTINCT nullif(user_id, '')) "
            "FROM events WHERE project = ? AND source = 'app' AND time >= ? AND time < ? GROUP BY day ORDER BY day",
            [project, _naive(begin), _naive(stop)],
        )
        return [(str(row[0]), int(row[1]), int(row[2])) for row in rows]

    async def status(self, project: str) -> Status:
        """Tell how fresh the answers are."""
        rows = await self._store.read("SELECT max(time), count(*) FROM events WHERE project = ?", [project])
        latest, stored = rows[0]
        return Status(
            self._store.last_applied,
            None if latest is None else latest.replace(tzinfo=UTC),
            int(stored),
            await self._backlog(),
        )

    def _checked(self, question: CountQuestion) -> tuple[datetime, datetime]:
        violations = Violations()
        bounds = _range(question.start, question.end, violations, closed=False)
        if len(question.types) > TYPE_FILTERS:
            violations.add("event_types", f"use at most {TYPE_FILTERS} types", "TOO_MANY")
        if len(question.attributes) > ATTRIBUTE_FILTERS:
            violations.add("attributes", f"use at most {ATTRIBUTE_FILTERS} filters", "TOO_MANY")
        if question.group_by == "attribute" and not question.attribute:
            violations.add("attribute", "name the attribute", "MISSING")
        if question.top < 0:
            violations.add("top", "use 0 for the default or a positive number", "OUT_OF_RANGE")
        violations.check()
        return bounds


def _range(
    start: datetime | None, end: datetime | None, violations: Violations, *, closed: bool
) -> tuple[datetime, datetime]:
    for name, bound in (("start_time", start), ("end_time", end)):
        if bound is None:
            violations.add(name, "is required", "MISSING")
    if start is None or end is None:
        nothing = datetime(1970, 1, 1, tzinfo=UTC)
        return nothing, nothing
    if end < start or (end == start and not closed):
        violations.add("end_time", "must be after start_time", "RANGE_INVERTED")
    elif end - start > LONGEST_REPORT:
        violations.add("end_time", "must be at most 800 days after start_time", "RANGE_TOO_LONG")
    return start, end


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
