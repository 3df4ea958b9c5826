"""What the segments service does when it hears of events and of deleted projects."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from heliograph.analytics.v1 import events_pb2 as analytics_events_pb2
from heliograph.projects.v1 import events_pb2 as projects_events_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.consumer import CannotEverWork, Consumer, Delivery
from heliograph_kit.database import Database
from heliograph_kit.inbox import Inbox
from heliograph_kit.names import project_of
from heliograph_segments.domain.endpoints import endpoint_key
from heliograph_segments.store import activity as store

_log = logging.getLogger(__name__)

ACTIVITY = "segments-activity"
PROJECTS = "segments-projects"


class ActivityRecorder:
    """Moves the last activity of endpoints with the events of their applications (pinpoint-1 3.3, recency)."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        """Take the record, and what remembers the messages that were applied."""
        self._database = database
        self._inbox = inbox

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
        batches = {delivery.id: (delivery.project, _last_seen(delivery)) for delivery in deliveries}
        async with self._database.transaction() as conn:
            fresh = await self._inbox.first_seen(conn, ACTIVITY, list(batches))
            latest: dict[str, dict[str, datetime]] = {}
            for id in sorted(fresh):
                project, seen = batches[id]
                known = latest.setdefault(project, {})
                for key, time in seen.items():
                    known[key] = max(time, known.get(key, time))
            # In one order, so that two workers cannot lock the same endpoints crosswise.
            for project in sorted(latest):
                await store.move(conn, project, latest[project])


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


def _last_seen(delivery: Delivery) -> Mapping[str, datetime]:
    try:
        batch = analytics_events_pb2.EventBatch.FromString(delivery.payload)
    except DecodeError as error:
        raise CannotEverWork(f"no EventBatch: {error}") from error
    # A device's clock may be ahead: nobody is active later than what he did was heard of.
    heard = _time(batch.receive_time.seconds, batch.receive_time.nanos) if batch.HasField("receive_time") else None
    bound = min(heard, delivery.time) if heard else delivery.time
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
