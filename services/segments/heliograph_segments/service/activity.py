"""What the segments service does when it hears of events, of endpoints beside them, and of deleted projects."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.analytics.v1 import events_pb2 as analytics_events_pb2
from heliograph.projects.v1 import events_pb2 as projects_events_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.consumer import CannotEverWork, Consumer, Delivery
from heliograph_kit.database import Database
from heliograph_kit.inbox import Inbox
from heliograph_kit.names import project_of
from heliograph_kit.telemetry import counter
from heliograph_segments.domain.endpoints import EndpointUpdate, check_update, endpoint_key
from heliograph_segments.domain.problems import Problem
from heliograph_segments.service.endpoint_reading import read_update
from heliograph_segments.service.writing import BULK, EndpointWriter
from heliograph_segments.store import activity as store
from heliograph_segments.store import races

_log = logging.getLogger(__name__)

ACTIVITY = "segments-activity"
PROJECTS = "segments-projects"


@dataclass(frozen=True)
class _Heard:
    """What one message tells of a project."""

    project: str
    updates: Sequence[EndpointUpdate]
    refused: Sequence[Problem]
    seen: Mapping[str, datetime]


class ActivityRecorder:
    """Writes endpoints that come beside events, and moves the last activity of endpoints with the events of their
    applications (pinpoint-1 2.7, and 3.3 on recency).
    """

    def __init__(self, database: Database, inbox: Inbox, writer: EndpointWriter) -> None:
        """Take the record, what remembers the messages that were applied, and what writes endpoints."""
        self._database = database
        self._inbox = inbox
        self._writer = writer

    def consumer(self, bus: Bus) -> Consumer:
        """Return the consumer to run; a hundred messages at once make one statement."""
        return Consumer(
            bus,
            service="segments",
            stream="EVENTS",
            durable=ACTIVITY,
            subjects=["events.*"],
            handler=self.apply,
            batch=100,
            on_dead=self._inbox.burial(self._database, ACTIVITY),
        )

    async def apply(self, deliveries: Sequence[Delivery]) -> None:
        """Apply what was not applied before; safe to repeat.

        Raises:
            CannotEverWork: a payload is no batch of events.
        """
        heard = {delivery.id: _heard(delivery) for delivery in deliveries}
        projects = sorted({one.project for one in heard.values()})

        async def work(conn: AsyncConnection) -> list[tuple[str, Problem]]:
            refused: list[tuple[str, Problem]] = []
            fresh = await self._inbox.first_seen(conn, ACTIVITY, list(heard))
            # In one order, so that two workers cannot lock the same endpoints crosswise.
            for project in projects:
                told = [one for id, one in heard.items() if id in fresh and one.project == project]
                problems = await self._write(conn, project, [update for one in told for update in one.updates])
                refused += [(project, problem) for one in told for problem in one.refused]
                refused += [(project, problem) for problem in problems]
                await store.move(conn, project, _latest(told))
            return refused

        # Racers are brought apart by the first project; who shares only another one meets less often.
        for project, problem in await races.run(self._database, projects[0], work):
            counter("heliograph.segments.endpoints.dropped").add(1, {"heliograph.reason": problem.reason})
            words = "an endpoint beside events is dropped: %s %s"
            _log.warning(words, problem.field, problem.reason, extra={"project": project})

    async def _write(self, conn: AsyncConnection, project: str, updates: Sequence[EndpointUpdate]) -> Sequence[Problem]:
        if not updates:
            return ()
        _, problems = await self._writer.write_some(conn, project, updates, bulk=len(updates) > BULK)
        return [found[0] for found in problems.values()]


class ProjectEraser:
    """Drops what belongs to a deleted project."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        """Take the record, and what remembers the messages that were applied."""
        self._database = database
        self._inbox = inbox

    def consumer(self, bus: Bus) -> Consumer:
        """Return the consumer to run."""
        return Consumer(
            bus,
            service="segments",
            stream="CHANGES",
            durable=PROJECTS,
            subjects=["changes.projects.*.project_deleted"],
            handler=self.apply,
            on_dead=self._inbox.burial(self._database, PROJECTS),
        )

    async def apply(self, deliveries: Sequence[Delivery]) -> None:
        """Erase each project, in portions so that no transaction is long; safe to repeat."""
        for delivery in deliveries:
            project = _deleted(delivery)
            while True:
                async with self._database.transaction() as conn:
                    if not await store.erase_endpoints(conn, project):
                        break
            async with self._database.transaction() as conn:
                # Last, and together with the end: a crash before it erases the rest the next time.
                await self._inbox.first_seen(conn, PROJECTS, [delivery.id])
                await store.erase_rest(conn, project)
            _log.info("project erased", extra={"project": project})


def _heard(delivery: Delivery) -> _Heard:
    try:
        batch = analytics_events_pb2.EventBatch.FromString(delivery.payload)
    except DecodeError as error:
        raise CannotEverWork(f"no EventBatch: {error}") from error
    # A device's clock may be ahead: nobody is active later than what he did was heard of.
    heard = _time(batch.receive_time.seconds, batch.receive_time.nanos) if batch.HasField("receive_time") else None
    bound = min(heard, delivery.time) if heard else delivery.time
    return _Heard(delivery.project, *_updates(batch, bound), _last_seen(batch, bound))


def _updates(
    batch: analytics_events_pb2.EventBatch, bound: datetime
) -> tuple[Sequence[EndpointUpdate], Sequence[Problem]]:
    """Return the endpoints that are in order, and the first problem of each other one: nobody waits for an answer."""
    good: list[EndpointUpdate] = []
    bad: list[Problem] = []
    for message in batch.endpoints:
        update, problems = read_update(message)
        problems += check_update(update)
        bad += problems[:1]
        if not problems:
            good.append(update._replace(effective_time=min(update.effective_time or bound, bound)))
    return good, bad


def _latest(told: Sequence[_Heard]) -> Mapping[str, datetime]:
    latest: dict[str, datetime] = {}
    for one in told:
        for key, time in one.seen.items():
            latest[key] = max(time, latest.get(key, time))
    return latest


def _last_seen(batch: analytics_events_pb2.EventBatch, bound: datetime) -> Mapping[str, datetime]:
    seen: dict[str, datetime] = {}
    for event in batch.events:
        if not event.endpoint_id:
            continue
        time = bound
        if event.HasField("event_time"):
            time = min(_time(event.event_time.seconds, event.event_time.nanos) or bound, bound)
        key = endpoint_key(event.endpoint_id)
        seen[key] = max(time, seen.get(key, time))
    return seen


def _time(seconds: int, nanos: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=min(nanos // 1000, 999_999))
    except (ValueError, OverflowError, OSError):  # a time no calendar holds
        return None


def _deleted(delivery: Delivery) -> str:
    try:
        return project_of(projects_events_pb2.ProjectDeleted.FromString(delivery.payload).project)
    except (DecodeError, ValueError) as error:
        raise CannotEverWork(f"no ProjectDeleted: {error}") from error
