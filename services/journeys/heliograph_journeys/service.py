"""Use cases over journeys and their runs. Each method that writes is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_journeys import events
from heliograph_journeys.crowd import Crowd, Participant
from heliograph_journeys.domain.checking import Finding, check, field_of, review
from heliograph_journeys.domain.journey import Draft, Inherited, Message
from heliograph_journeys.domain.table import StepTable, type_of
from heliograph_journeys.errors import (
    JourneyNotCancellable,
    JourneyNotEditable,
    JourneyNotFound,
    JourneyNotPublishable,
    JourneyNotReady,
    JourneyRunning,
    PoolUnusable,
    RunNotFound,
    SegmentUnusable,
    StaleEtag,
    TemplateUnusable,
)
from heliograph_journeys.peers import Template
from heliograph_journeys.state import Journey, JourneyState, Run, RunState
from heliograph_journeys.store import JourneyStore
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import InvalidArgument, RequestIdReused, Violation
from heliograph_kit.names import format_name
from heliograph_kit.outbox import Outbox

_ENDED = (JourneyState.DRAFT, JourneyState.COMPLETED, JourneyState.CANCELLED)


class References(Protocol):
    """What a review asks of segments and messaging, and publishing of projects."""

    async def inherited(self, project: str) -> Inherited:
        """Return what a journey of the project inherits now."""
        ...

    async def has_segment(self, segment: str, version: int) -> bool:
        """Tell whether a segment exists."""
        ...

    async def has_pool(self, pool: str) -> bool:
        """Tell whether a pool of numbers exists."""
        ...

    async def template(self, name: str, version: int) -> Template | None:
        """Return a template, None when there is none."""
        ...


@dataclass
class StepCount:
    """One step counted: arrived = waiting + left."""

    activity_id: str
    type: str
    arrived: int = 0
    left: dict[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Here now."""
        return self.arrived - sum(self.left.values())


@dataclass(frozen=True)
class Metrics:
    """A run counted at one instant: entered = active + completed + exited."""

    run: Run
    as_of: datetime
    entered: int
    completed: int
    exited: dict[str, int]
    steps: Sequence[StepCount]

    @property
    def active(self) -> int:
        """Inside now."""
        return self.entered - self.completed - sum(self.exited.values())


class Journeys:
    """What can be done with journeys."""

    def __init__(
        self,
        *,
        database: Database,
        store: JourneyStore,
        crowd: Crowd,
        outbox: Outbox,
        references: References,
        clock: Clock,
        new_id: Callable[[], str],
        publish_delay: timedelta,
        implicit_window: timedelta,
        wake: Callable[[], None],
    ) -> None:
        """Take the parts; `wake` tells the workers of this process that there may be work."""
        self._database = database
        self._store = store
        self._crowd = crowd
        self._outbox = outbox
        self._references = references
        self._clock = clock
        self._new_id = new_id
        self._publish_delay = publish_delay
        self._implicit_window = implicit_window
        self._wake = wake

    async def create(self, project: str, draft: Draft, *, request_id: str, request_hash: str) -> Journey:
        """Store a new draft. Safe to repeat with the same request id.

        Raises:
            InvalidArgument: the draft is malformed; every violation.
            RequestIdReused: the id came with other content before.
        """
        _refuse(check(draft, project))
        now = self._clock.now()
        journey = Journey(project, self._new_id(), draft, 1, JourneyState.DRAFT, "", now, now)
        async with self._database.transaction() as conn:
            if await self._store.add(conn, journey, request_id, request_hash):
                await self._outbox.add(conn, events.journey_updated(journey))
                return journey
            found = await self._store.of_request(conn, project, request_id)
        if found is None or found[1] != request_hash:
            raise RequestIdReused(request_id)
        return found[0]

    async def get(self, project: str, id_: str) -> Journey:
        """Return a journey; raises JourneyNotFound."""
        async with self._database.transaction() as conn:
            return await self._get(conn, project, id_)

    async def page(self, project: str, after: tuple[datetime, str] | None, limit: int) -> list[Journey]:
        """Return journeys, newest first."""
        async with self._database.transaction() as conn:
            return await self._store.page(conn, project, after, limit)

    async def update(self, project: str, id_: str, change: Callable[[Draft], Draft], *, etag: str) -> Journey:
        """Change a draft.

        Raises:
            JourneyNotFound: there is none.
            StaleEtag: it changed since the caller read it.
            JourneyNotEditable: it is no draft any more.
            InvalidArgument: what comes out is malformed.
        """
        async with self._database.transaction() as conn:
            journey = await self._get(conn, project, id_, lock=True)
            if etag and etag != str(journey.revision):
                raise StaleEtag
            if journey.state is not JourneyState.DRAFT:
                raise JourneyNotEditable(journey.name, journey.state)
            draft = change(journey.draft)
            _refuse(check(draft, project))
            return await self._changed(conn, replace(journey, draft=draft))

    async def delete(self, project: str, id_: str) -> Journey:
        """Delete a journey that nobody is in; raises JourneyNotFound, JourneyRunning."""
        async with self._database.transaction() as conn:
            journey = await self._get(conn, project, id_, lock=True)
            if journey.state not in _ENDED:
                raise JourneyRunning(journey.name, journey.state)
            await self._store.delete(conn, project, id_)
            await self._outbox.add(conn, events.journey_updated(journey, deleted=True))
        return journey

    async def review(self, project: str, id_: str) -> list[Finding]:
        """Return what stands in the way of publishing, then what could be better."""
        return await self._review((await self.get(project, id_)).draft, project)

    async def publish(self, project: str, id_: str, *, traceparent: str) -> Journey:
        """Start a draft that passes the review; its run continues the trace given.

        Raises:
            JourneyNotFound: there is none.
            JourneyNotPublishable: it is no draft.
            JourneyNotReady: the review found errors; all of them.
            StaleEtag: it was changed while it was reviewed.
        """
        journey = await self.get(project, id_)
        if journey.state is not JourneyState.DRAFT:
            raise JourneyNotPublishable(journey.name, journey.state)
        _require_ready(journey.name, await self._review(journey.draft, project))
        inherited = await self._references.inherited(project)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            current = await self._get(conn, project, id_, lock=True)
            if current.state is not JourneyState.DRAFT:
                raise JourneyNotPublishable(current.name, current.state)
            if current.revision != journey.revision:
                raise StaleEtag
            start = max(now + self._publish_delay, journey.draft.start_time or now)
            published = replace(journey, draft=replace(journey.draft, inherited=inherited))
            await self._store.add_run(conn, self._new_run(published, start, now, traceparent))
            active = await self._changed(conn, replace(current, state=JourneyState.ACTIVE, publish_time=now))
        self._wake()
        return active

    async def cancel(self, project: str, id_: str) -> Journey:
        """Stop a journey for good; when this returns nobody takes another step.

        Raises:
            JourneyNotFound: there is none.
            JourneyNotCancellable: it does not run.
        """
        cancelled = await self._database.run(lambda conn: self._cancel(conn, project, id_))
        self._wake()
        return cancelled

    async def _cancel(self, conn: AsyncConnection, project: str, id_: str) -> Journey:
        journey = await self._get(conn, project, id_, lock=True)
        if journey.state not in (JourneyState.ACTIVE, JourneyState.CLOSED):
            raise JourneyNotCancellable(journey.name, journey.state)
        for run in await self._store.open_runs(conn, journey):
            await self._store.end_run(conn, run, RunState.CANCELLED, "USER", self._clock.now())
        return await self._changed(conn, replace(journey, state=JourneyState.CANCELLED, state_reason="USER"))

    async def runs(self, project: str, id_: str, after: tuple[datetime, str] | None, limit: int) -> list[Run]:
        """Return runs, newest first; raises JourneyNotFound."""
        async with self._database.transaction() as conn:
            await self._get(conn, project, id_)
            return await self._store.runs_of(conn, project, id_, after, limit)

    async def metrics(self, project: str, journey_id: str, run_id: str) -> Metrics:
        """Count a run; raises RunNotFound.

        Everything follows from one statement over the history, so it belongs to one instant.
        """
        async with self._database.transaction() as conn:
            run = await self._run(conn, project, journey_id, run_id)
            counts = await self._crowd.counts(conn, run)
        table = run.compiled()
        steps = [StepCount(step.activity_id, type_of(step)) for step in table.steps]
        entered, completed, exited = 0, 0, dict[str, int]()
        for count in counts:
            if count.from_step is None:
                entered += count.count
            else:
                left = steps[count.from_step].left
                left[count.branch] = left.get(count.branch, 0) + count.count
            if count.to_step is not None:
                steps[count.to_step].arrived += count.count
            elif count.exit_reason:
                exited[count.exit_reason] = exited.get(count.exit_reason, 0) + count.count
            else:
                completed += count.count
        return Metrics(run, self._clock.now(), entered, completed, exited, steps)

    async def participants(
        self, project: str, journey_id: str, run_id: str, *, after: int, state: str, activity_id: str, limit: int
    ) -> tuple[StepTable, list[Participant]]:
        """Return participants behind an ordinal, with the table their steps belong to; raises RunNotFound."""
        async with self._database.transaction() as conn:
            run = await self._run(conn, project, journey_id, run_id)
            table = run.compiled()
            step = table.positions.get(activity_id) if activity_id else None
            if activity_id and step is None:
                words = "the run has no such activity"
                raise InvalidArgument([Violation("activity_id", words, "UNKNOWN_ACTIVITY")])
            return table, await self._crowd.page(conn, run, after=after, state=state, step=step, limit=limit)

    async def _review(self, draft: Draft, project: str) -> list[Finding]:
        found = review(draft, project)
        malformed = {finding.field for finding in found if finding.error}
        field = "start_condition.segment.segment"
        if field not in malformed and not await self._references.has_segment(draft.segment, draft.segment_version):
            found.append(Finding(field, "SEGMENT_UNUSABLE", "there is no such segment, or no such version of it"))
        for id_, activity in draft.activities.items():
            if not isinstance(activity.does, Message):
                continue
            path = field_of(id_, activity.does)
            pool = activity.does.origination_pool if activity.does.channel == "SMS" else ""
            field = f"{path}.origination_pool"
            if pool and field not in malformed and not await self._references.has_pool(pool):
                found.append(Finding(field, "POOL_UNUSABLE", "there is no such pool"))
            if {f"{path}.template", f"{path}.channel", f"{path}.template_version"} & malformed:
                continue
            template = await self._references.template(activity.does.template, activity.does.template_version)
            if template is None:
                words = "there is no such template, or no such version of it"
                found.append(Finding(f"{path}.template", "TEMPLATE_UNUSABLE", words))
            elif template.channel != activity.does.channel:
                words = f"the template is for {template.channel}, the activity for {activity.does.channel}"
                found.append(Finding(f"{path}.template", "TEMPLATE_UNUSABLE", words))
        return sorted(found, key=lambda finding: not finding.error)

    def _new_run(self, journey: Journey, start: datetime, now: datetime, traceparent: str) -> Run:
        return Run(
            project=journey.project,
            id=self._new_id(),
            number=0,
            journey_id=journey.id,
            draft=journey.draft,
            implicit_window=self._implicit_window,
            state=RunState.SCHEDULED,
            failure_reason="",
            start_time=start,
            create_time=now,
            end_time=None,
            snapshot="",
            member_count=0,
            cursor=0,
            entered=0,
            entry_done=False,
            lease_token=0,
            traceparent=traceparent,
        )

    async def _get(self, conn: AsyncConnection, project: str, id_: str, *, lock: bool = False) -> Journey:
        journey = await self._store.get(conn, project, id_, lock=lock)
        if journey is None:
            raise JourneyNotFound(format_name(project, "journeys", id_))
        return journey

    async def _run(self, conn: AsyncConnection, project: str, journey_id: str, run_id: str) -> Run:
        run = await self._store.get_run(conn, project, run_id)
        if run is None or run.journey_id != journey_id:
            raise RunNotFound(f"{format_name(project, 'journeys', journey_id)}/runs/{run_id}")
        return run

    async def _changed(self, conn: AsyncConnection, journey: Journey) -> Journey:
        changed = replace(journey, revision=journey.revision + 1, update_time=self._clock.now())
        await self._store.change(conn, changed)
        await self._outbox.add(conn, events.journey_updated(changed))
        return changed


def _refuse(found: Sequence[Finding]) -> None:
    if found:
        raise InvalidArgument([Violation(f"journey.{f.field}", f.description, f.reason) for f in found])


def _require_ready(name: str, found: Sequence[Finding]) -> None:
    errors = [finding for finding in found if finding.error]
    violations = [Violation(f"journey.{f.field}", f.description, f.reason) for f in errors]
    reasons = {finding.reason for finding in errors}
    if reasons == {"SEGMENT_UNUSABLE"}:
        raise SegmentUnusable(name, violations)
    if reasons == {"TEMPLATE_UNUSABLE"}:
        raise TemplateUnusable(name, violations)
    if reasons == {"POOL_UNUSABLE"}:
        raise PoolUnusable(name, violations)
    if errors:
        raise JourneyNotReady(name, violations)
