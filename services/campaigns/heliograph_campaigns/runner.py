"""The worker: starts due campaigns, leases their runs and hands the audience to messaging page by page.

A page's batches and the run's cursor are written in one transaction, and only under the run's current lease: whatever
dies, the next worker goes on behind the last page that was handed over, and hands none over twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.segments.v1 import audience_pb2
from heliograph_campaigns import events
from heliograph_campaigns.domain import (
    HOLDOUT,
    Campaign,
    CampaignState,
    Content,
    RunState,
    assignment,
    split,
)
from heliograph_campaigns.errors import SegmentUnusable, TemplateUnusable
from heliograph_campaigns.rows import Run
from heliograph_campaigns.service import new_run
from heliograph_campaigns.store import TARGETED, CampaignStore, FunnelKey
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.outbox import Outbox
from heliograph_kit.telemetry import extract, tracer

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)
_DUE_AT_ONCE = 100


class Audience(Protocol):
    """What the worker needs of segments and templates."""

    async def freeze(self, segment: str, version: int, snapshot_id: str) -> str:
        """Freeze a segment; the same id gives the same snapshot. Raises SegmentUnusable."""
        ...

    def members(
        self, snapshot: str, after_ordinal: int, page_size: int, fields: Sequence[str]
    ) -> AsyncIterator[audience_pb2.MemberPage]:
        """Stream the members of a snapshot."""
        ...

    async def fields_of(self, content: Content) -> Sequence[str]:
        """Name the fields of a member that a treatment's content needs. Raises TemplateUnusable."""
        ...


class LeaseLost(Exception):
    """Another worker has the run, or it was stopped: write nothing more."""


class Runner:
    """Starts and works off campaign runs; several may work side by side."""

    def __init__(
        self,
        *,
        database: Database,
        store: CampaignStore,
        outbox: Outbox,
        audience: Audience,
        clock: Clock,
        owner: str,
        wake_relay: Callable[[], None],
        page_size: int,
        lease_seconds: float,
        poll_seconds: float,
        dispatch_window: int,
    ) -> None:
        """Take the parts; `owner` names this worker in leases, times are in seconds."""
        self._database = database
        self._store = store
        self._outbox = outbox
        self._audience = audience
        self._clock = clock
        self._owner = owner
        self._wake_relay = wake_relay
        self._page_size = page_size
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._dispatch_window = dispatch_window
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for work now instead of at the next poll."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; a run in hand is given back at its next page."""
        while not stopping.is_set():
            self._woken.clear()
            await self.start_due()
            run = await self._lease()
            if run is not None:
                await self._work(run, stopping)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._woken.wait()

    async def start_due(self) -> int:
        """Start the campaigns whose time has come; returns how many. Safe beside other workers."""
        now = self._clock.now()
        async with self._database.transaction() as conn:
            due = await self._store.due(conn, now, _DUE_AT_ONCE)
            for campaign, trace in due:
                await self._store.add_run(conn, new_run(campaign, now, trace))
                started = replace(campaign, state=CampaignState.EXECUTING, update_time=campaign.changed_at(now))
                await self._store.change(conn, started)
                await self._outbox.add(conn, events.campaign_updated(started))
        if due:
            self._wake_relay()
        return len(due)

    async def _lease(self) -> Run | None:
        async with self._database.transaction() as conn:
            return await self._store.lease_run(conn, self._owner, self._lease_seconds)

    async def _work(self, run: Run, stopping: asyncio.Event) -> None:
        context = extract({"traceparent": run.traceparent}) if run.traceparent else None
        with _tracer.start_as_current_span("campaign run", context=context) as span:
            span.set_attribute("heliograph.run.id", run.id)
            heart = asyncio.create_task(self._heartbeat(run))
            try:
                await self._dispatch(run, stopping)
            except LeaseLost:
                _log.info("run %s was taken over or stopped", run.id)
            except (SegmentUnusable, TemplateUnusable) as refusal:
                await self._fail(run, refusal.reason)
            except Exception:
                _log.exception(
                    "run %s stopped at ordinal %s; it will be taken again",
                    run.id,
                    run.cursor,
                )
                await self._give_back(run, min(30.0, 0.5 * 2 ** min(run.attempts, 6)))
            finally:
                heart.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await heart

    async def _heartbeat(self, run: Run) -> None:
        """Prolong the lease while a page takes long; a lost lease is noticed by the next write."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                async with self._database.transaction() as conn:
                    if not await self._store.hold_lease(conn, run, self._lease_seconds):
                        return
            except Exception:
                _log.warning("could not prolong the lease of run %s", run.id, exc_info=True)

    async def _dispatch(self, run: Run, stopping: asyncio.Event) -> None:
        if await self._window_is_full(run):
            return
        async with self._database.transaction() as conn:
            campaign = await self._store.get(conn, run.project, run.campaign_id)
            if campaign is None:
                raise LeaseLost
            draft = await self._store.get_version(conn, run.project, run.campaign_id, run.campaign_version)
            if run.start_time is None:
                await self._hold(conn, run, state=RunState.INITIALIZING, start_time=self._clock.now())
        campaign = replace(campaign, draft=draft)
        fields: list[str] = []
        for content in campaign.contents():
            fields.extend(await self._audience.fields_of(content))
        snapshot = run.snapshot or await self._audience.freeze(draft.segment, draft.segment_version, run.id)
        run = replace(run, snapshot=snapshot)
        if run.state is not RunState.RUNNING:
            async with self._database.transaction() as conn:
                await self._hold(conn, run, state=RunState.RUNNING, snapshot=snapshot)
                await self._outbox.add(
                    conn,
                    events.run_updated(run.project, run.campaign_id, run.id, RunState.RUNNING),
                )
        table = assignment(campaign.id, draft)
        produced, holdout = run.produced, run.holdout
        async for page in self._audience.members(snapshot, run.cursor, self._page_size, sorted(set(fields))):
            groups = split(page.cohorts, table)
            produced += len(page.ordinals)
            holdout += len(groups.get(HOLDOUT, ()))
            await self._hand_over(campaign, run, page, groups, produced, holdout)
            self._wake_relay()
            if stopping.is_set():
                await self._give_back(run, 0.0, attempts=0)
                return
            if await self._window_is_full(run):
                return
        await self._finish(run)

    async def _hand_over(
        self,
        campaign: Campaign,
        run: Run,
        page: audience_pb2.MemberPage,
        groups: dict[str, list[int]],
        produced: int,
        holdout: int,
    ) -> None:
        contents = campaign.contents()
        batches = {
            treatment: events.dispatch(
                project=run.project,
                campaign_id=run.campaign_id,
                run_id=run.id,
                treatment_id=treatment,
                draft=campaign.draft,
                content=contents[int(treatment)],
                recipients=events.picked(page, positions),
                snapshot=run.snapshot,
            )
            for treatment, positions in groups.items()
            if treatment != HOLDOUT
        }
        targeted: dict[FunnelKey, int] = {(run.id, key, TARGETED, ""): len(groups[key]) for key in batches}
        async with self._database.transaction() as conn:
            # Attempts are those since the last page: a run that gets on begins its pauses anew.
            await self._hold(conn, run, cursor=page.ordinals[-1], produced=produced, holdout=holdout, attempts=0)
            if batches:
                await self._store.add_to_funnel(conn, run.project, targeted)
                await self._outbox.add(conn, *batches.values())

    async def _window_is_full(self, run: Run) -> bool:
        """Give the run back when messaging has too many of its recipients in hand, so that nothing piles up on the bus.

        Waiting here instead would keep this worker from all other runs, and a slow channel would hold up the fast ones.
        """
        async with self._database.transaction() as conn:
            if await self._store.pending(conn, run.project, run.id) <= self._dispatch_window:
                return False
            await self._store.release_lease(conn, run, self._poll_seconds, attempts=0)
        return True

    async def _finish(self, run: Run) -> None:
        now = self._clock.now()
        async with self._database.transaction() as conn:
            await self._hold(conn, run, dispatched=True)
            await complete(conn, self._store, self._outbox, run.project, [run.id], now)
        self._wake_relay()

    async def _hold(self, conn: AsyncConnection, run: Run, **changes: object) -> None:
        if not await self._store.hold_lease(conn, run, self._lease_seconds, **changes):
            raise LeaseLost

    async def _give_back(self, run: Run, pause: float, **changes: object) -> None:
        async with self._database.transaction() as conn:
            await self._store.release_lease(conn, run, pause, **changes)

    async def _fail(self, run: Run, reason: str) -> None:
        """Stop a run that can never work: its segment or template is gone."""
        _log.warning("run %s cannot go on: %s", run.id, reason)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            if not await self._store.hold_lease(conn, run, self._lease_seconds):
                return
            await self._store.cancel_runs(conn, run.project, run.campaign_id, reason, now)
            campaign = await self._store.get(conn, run.project, run.campaign_id, lock=True)
            await self._outbox.add(
                conn,
                events.run_updated(run.project, run.campaign_id, run.id, RunState.CANCELLED, reason),
            )
            if campaign is not None and campaign.state is CampaignState.EXECUTING:
                invalid = replace(
                    campaign,
                    state=CampaignState.INVALID,
                    state_reason=reason,
                    update_time=campaign.changed_at(now),
                )
                await self._store.change(conn, invalid)
                await self._outbox.add(conn, events.campaign_updated(invalid))
        self._wake_relay()


async def complete(
    conn: AsyncConnection,
    store: CampaignStore,
    outbox: Outbox,
    project: str,
    run_ids: Sequence[str],
    now: datetime,
) -> None:
    """Complete those of the locked runs that have every outcome, and their campaigns with them."""
    for campaign_id, run_id in await store.complete_runs(conn, project, run_ids, now):
        await outbox.add(conn, events.run_updated(project, campaign_id, run_id, RunState.COMPLETED))
        campaign = await store.get(conn, project, campaign_id, lock=True)
        if campaign is not None and campaign.state is CampaignState.EXECUTING:
            done = replace(campaign, state=CampaignState.COMPLETED, update_time=campaign.changed_at(now))
            await store.change(conn, done)
            await outbox.add(conn, events.campaign_updated(done))
