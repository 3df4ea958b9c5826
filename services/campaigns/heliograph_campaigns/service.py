"""The use cases over campaigns: one method each, one transaction each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_campaigns import domain, events
from heliograph_campaigns.domain import Campaign, CampaignState, Draft, RunState
from heliograph_campaigns.errors import (
    CampaignNotEditable,
    CampaignNotFound,
    CampaignNotPausable,
    CampaignNotResumable,
    StaleEtag,
)
from heliograph_campaigns.rows import Run
from heliograph_campaigns.store import CampaignStore, FunnelKey
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violations
from heliograph_kit.names import InvalidName, parse_name
from heliograph_kit.outbox import Outbox
from heliograph_kit.telemetry import traceparent


class References(Protocol):
    """What the service asks others before it takes a campaign."""

    async def segment_version(self, segment: str, version: int) -> int:
        """Return the version a campaign pins; 0 asks for the latest. Raises SegmentUnusable."""
        ...

    async def inherited(self, project: str) -> domain.Inherited:
        """Return what a campaign of the project inherits now."""
        ...

    async def check_content(self, channel: str, content: domain.Content) -> None:
        """Look at a treatment's template and pool. Raises TemplateUnusable, PoolUnusable."""
        ...


@dataclass(frozen=True)
class RunReport:
    """A run with its counted outcomes and the names of its treatments."""

    run: Run
    counts: dict[FunnelKey, int]
    treatment_names: tuple[str, ...]


class Campaigns:
    """Use cases over campaigns."""

    def __init__(
        self,
        *,
        database: Database,
        store: CampaignStore,
        outbox: Outbox,
        references: References,
        clock: Clock,
        new_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        """Take the parts; `wake` is called after a commit that may have made work for the workers."""
        self._database = database
        self._store = store
        self._outbox = outbox
        self._references = references
        self._clock = clock
        self._new_id = new_id
        self._wake = wake

    async def create(
        self,
        project: str,
        draft: Draft,
        *,
        paused: bool,
        request_id: str = "",
        fingerprint: str = "",
    ) -> Campaign:
        """Store a new campaign; an immediate one is due at once.

        Raises:
            InvalidArgument: with everything that is wrong.
            SegmentUnusable, TemplateUnusable, PoolUnusable: what it refers to is missing.
            RequestIdReused: the request id belongs to another request.
        """
        if request_id and (done := await self._answered(project, request_id, fingerprint)):
            return done
        now = self._clock.now()
        _check(project, draft, now, under="campaign")
        draft = replace(await self._pinned(draft), inherited=await self._references.inherited(project))
        campaign = Campaign(
            project=project,
            id=self._new_id(),
            draft=draft,
            state=CampaignState.PAUSED if paused else CampaignState.SCHEDULED,
            state_reason="",
            version=1,
            create_time=now,
            update_time=now,
        )
        async with self._database.transaction() as conn:
            added = await self._store.add(
                conn,
                campaign,
                request_id=request_id,
                fingerprint=fingerprint,
                traceparent=traceparent(),
            )
            if added:
                await self._outbox.add(conn, events.campaign_updated(campaign))
        if not added:
            # A twin of this request was faster.
            return await self._answered(project, request_id, fingerprint) or campaign
        self._wake()
        return campaign

    async def examined(self, project: str, draft: Draft) -> Draft:
        """Check a draft as `create` does, without keeping anything, and pin its segment's version.

        Raises:
            InvalidArgument, SegmentUnusable, TemplateUnusable.
        """
        _check(project, draft, self._clock.now(), under="draft")
        return await self._pinned(draft)

    async def get(self, project: str, campaign_id: str) -> Campaign:
        """Return a campaign. Raises CampaignNotFound."""
        async with self._database.transaction() as conn:
            return await self._existing(conn, project, campaign_id)

    async def page(self, project: str, after: tuple[datetime, str] | None, limit: int) -> list[Campaign]:
        """Return campaigns, newest first."""
        async with self._database.transaction() as conn:
            return await self._store.page(conn, project, after, limit)

    async def update(
        self,
        project: str,
        campaign_id: str,
        change: Callable[[Draft], Draft],
        etag: str,
    ) -> Campaign:
        """Change what a campaign says while it has not started.

        Raises:
            CampaignNotFound, CampaignNotEditable, StaleEtag, InvalidArgument, SegmentUnusable, TemplateUnusable, PoolUnusable.
        """
        before = await self.get(project, campaign_id)
        _check_editable(before, etag)
        draft = change(before.draft)
        now = self._clock.now()
        # A paused campaign may keep a start that has passed; resuming decides what becomes of it.
        kept_start = draft.start_time == before.draft.start_time
        _check(
            project,
            replace(draft, start_time=None) if kept_start else draft,
            now,
            under="campaign",
        )
        draft = await self._pinned(draft)
        async with self._database.transaction() as conn:
            current = await self._existing(conn, project, campaign_id, lock=True)
            _check_editable(current, etag)
            if current.version != before.version:
                raise StaleEtag
            changed = replace(current, draft=draft, version=current.version + 1, update_time=current.changed_at(now))
            await self._store.change(conn, changed, new_version=True)
            await self._outbox.add(conn, events.campaign_updated(changed))
        self._wake()
        return changed

    async def delete(self, project: str, campaign_id: str) -> Campaign:
        """Delete a campaign; its run stops handing over recipients. Raises CampaignNotFound."""
        now = self._clock.now()
        async with self._database.transaction() as conn:
            await self._store.lock_runs_of(conn, project, campaign_id)
            campaign = await self._existing(conn, project, campaign_id, lock=True)
            return await self._end(conn, campaign, CampaignState.DELETED, "", now)

    async def pause(self, project: str, campaign_id: str) -> Campaign:
        """Pause a campaign that waits for its start. Raises CampaignNotFound, CampaignNotPausable."""
        async with self._database.transaction() as conn:
            campaign = await self._existing(conn, project, campaign_id, lock=True)
            if campaign.state is not CampaignState.SCHEDULED:
                raise CampaignNotPausable(events.campaign_name(project, campaign_id), campaign.state)
            return await self._moved(conn, campaign, CampaignState.PAUSED)

    async def resume(self, project: str, campaign_id: str) -> Campaign:
        """Resume a paused campaign; a start that has passed is not made up for (pinpoint-1 4.3).

        Raises:
            CampaignNotFound, CampaignNotResumable.
        """
        now = self._clock.now()
        async with self._database.transaction() as conn:
            campaign = await self._existing(conn, project, campaign_id, lock=True)
            if campaign.state is not CampaignState.PAUSED:
                raise CampaignNotResumable(events.campaign_name(project, campaign_id), campaign.state)
            state = domain.resumed_state(campaign.draft, now)
            if state is CampaignState.COMPLETED:
                run_id = events.run_id_of(project, campaign_id, 0)
                skipped = {
                    **new_run(campaign, now, ""),
                    "state": RunState.CANCELLED,
                    "failure_reason": "PAUSED",
                    "end_time": now,
                }
                await self._store.add_run(conn, skipped)
                await self._outbox.add(
                    conn,
                    events.run_updated(project, campaign_id, run_id, RunState.CANCELLED, "PAUSED"),
                )
            resumed = await self._moved(conn, campaign, state)
        self._wake()
        return resumed

    async def segment_deleted(self, conn: AsyncConnection, segment: str) -> None:
        """End the campaigns of a segment that is gone: they fail and become DELETED (pinpoint-1 3.1)."""
        now = self._clock.now()
        for campaign in await self._store.on_segment(conn, segment):
            await self._end(conn, campaign, CampaignState.DELETED, "SEGMENT_DELETED", now)

    async def runs(
        self,
        project: str,
        campaign_id: str,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[RunReport]:
        """Return the runs of a campaign, newest first. Raises CampaignNotFound."""
        async with self._database.transaction() as conn:
            await self._existing(conn, project, campaign_id)
            found = await self._store.runs_page(conn, project, campaign_id, after, limit)
            counts = await self._store.funnels(conn, project, [run.id for run in found])
            drafts = {
                version: await self._store.get_version(conn, project, campaign_id, version)
                for version in {run.campaign_version for run in found}
            }
        return [
            RunReport(
                run,
                counts[run.id],
                (
                    "",
                    *(t.display_name for t in drafts[run.campaign_version].additional_treatments),
                ),
            )
            for run in found
        ]

    async def _answered(self, project: str, request_id: str, fingerprint: str) -> Campaign | None:
        async with self._database.transaction() as conn:
            stored = await self._store.campaign_of_request(conn, project, request_id)
        if stored is not None and stored.fingerprint != fingerprint:
            raise RequestIdReused(request_id)
        return stored.campaign if stored else None

    async def _pinned(self, draft: Draft) -> Draft:
        for content in (
            draft.content,
            *(treatment.content for treatment in draft.additional_treatments),
        ):
            await self._references.check_content(draft.channel, content)
        version = await self._references.segment_version(draft.segment, draft.segment_version)
        return replace(draft, segment_version=version)

    async def _existing(
        self,
        conn: AsyncConnection,
        project: str,
        campaign_id: str,
        *,
        lock: bool = False,
    ) -> Campaign:
        campaign = await self._store.get(conn, project, campaign_id, lock=lock)
        if campaign is None or (campaign.state is CampaignState.DELETED and not campaign.state_reason):
            raise CampaignNotFound(events.campaign_name(project, campaign_id))
        return campaign

    async def _moved(
        self,
        conn: AsyncConnection,
        campaign: Campaign,
        state: CampaignState,
        reason: str = "",
    ) -> Campaign:
        moved = replace(campaign, state=state, state_reason=reason, update_time=campaign.changed_at(self._clock.now()))
        await self._store.change(conn, moved)
        await self._outbox.add(conn, events.campaign_updated(moved))
        return moved

    async def _end(
        self,
        conn: AsyncConnection,
        campaign: Campaign,
        state: CampaignState,
        reason: str,
        now: datetime,
    ) -> Campaign:
        stopped = await self._store.cancel_runs(conn, campaign.project, campaign.id, reason or state, now)
        for run_id in stopped:
            await self._outbox.add(
                conn,
                events.run_updated(
                    campaign.project,
                    campaign.id,
                    run_id,
                    RunState.CANCELLED,
                    reason or state,
                ),
            )
        return await self._moved(conn, campaign, state, reason)


def new_run(campaign: Campaign, now: datetime, trace: str) -> dict[str, object]:
    """Describe the run of a campaign that is due; its id is the same whoever starts it."""
    return {
        "project": campaign.project,
        "run_id": events.run_id_of(campaign.project, campaign.id, 0),
        "campaign_id": campaign.id,
        "campaign_version": campaign.version,
        "state": RunState.PENDING,
        "scheduled_time": campaign.draft.start_time or now,
        "traceparent": trace,
    }


def _check(project: str, draft: Draft, now: datetime, *, under: str) -> None:
    violations = Violations()
    draft.check(
        now,
        lambda field, words, reason: violations.add(f"{under}.{field}", words, reason),
    )
    for field, name, collection in _references(draft):
        try:
            known = parse_name(name, collection).project == project
        except InvalidName:
            known = False
        if not known:
            words = f"must have the form projects/{project}/{collection}/{{id}}"
            violations.add(f"{under}.{field}", words, "INVALID_NAME")
    violations.check()


def _references(draft: Draft) -> list[tuple[str, str, str]]:
    found = [("segment", draft.segment, "segments")]
    paths = ["content", *(f"additional_treatments[{n}].content" for n in range(len(draft.additional_treatments)))]
    contents = [draft.content, *(treatment.content for treatment in draft.additional_treatments)]
    for path, content in zip(paths, contents, strict=True):
        if content.template:
            found.append((f"{path}.template", content.template, "templates"))
        if draft.channel == "SMS" and content.origination_pool:
            found.append((f"{path}.origination_pool", content.origination_pool, "pools"))
    return found


def _check_editable(campaign: Campaign, etag: str) -> None:
    if campaign.state not in domain.EDITABLE:
        raise CampaignNotEditable(events.campaign_name(campaign.project, campaign.id), campaign.state)
    if etag and etag != campaign.etag:
        raise StaleEtag
