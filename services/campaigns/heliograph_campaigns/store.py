"""Campaigns and their runs in PostgreSQL. Every method works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_campaigns.domain import (
    Campaign,
    CampaignState,
    Draft,
    RunState,
)
from heliograph_campaigns.rows import (
    Run,
    campaign_from_row,
    changing_columns,
    draft_from_json,
    draft_to_json,
    run_from_row,
)
from heliograph_campaigns.tables import campaign_versions, campaigns, funnel, runs

FINAL_OUTCOMES = ("ACCEPTED", "FAILED", "SKIPPED", "IN_DOUBT")
TARGETED = "TARGETED"

# (run, treatment, outcome, reason) -> how many more
FunnelKey = tuple[str, str, str, str]

_ADD_TO_FUNNEL = text(
    """
    INSERT INTO campaigns.funnel AS f (project, run_id, treatment_id, outcome, reason, count)
    SELECT :project, * FROM unnest(
        cast(:runs AS text[]), cast(:treatments AS text[]), cast(:outcomes AS text[]), cast(:reasons AS text[]),
        cast(:counts AS bigint[]))
    ON CONFLICT (project, run_id, treatment_id, outcome, reason) DO UPDATE SET count = f.count + excluded.count
    """
)
# Every outcome in, and nobody left to hand over. The caller holds the rows' locks, so no outcome can slip between.
_COMPLETE_RUNS = text(
    """
    UPDATE campaigns.runs r SET state = 'COMPLETED', end_time = :now, lease_until = NULL
    WHERE project = :project AND run_id = ANY(:runs) AND state = 'RUNNING' AND dispatched
      AND (SELECT coalesce(sum(count) FILTER (WHERE outcome = 'TARGETED'), 0)
                  <= coalesce(sum(count) FILTER (WHERE outcome = ANY(:final)), 0)
           FROM campaigns.funnel f WHERE f.project = r.project AND f.run_id = r.run_id)
    RETURNING campaign_id, run_id
    """
)
_LEASE_RUN = text(
    """
    UPDATE campaigns.runs SET lease_owner = :owner, lease_token = lease_token + 1, attempts = attempts + 1,
        lease_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE (project, run_id) = (
        SELECT project, run_id FROM campaigns.runs
        WHERE state IN ('PENDING', 'INITIALIZING', 'RUNNING') AND NOT dispatched
          AND (lease_until IS NULL OR lease_until < clock_timestamp())
        ORDER BY scheduled_time, run_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *
    """
)


@dataclass(frozen=True)
class StoredRequest:
    """The answer a request id was given before."""

    fingerprint: str
    campaign: Campaign


class CampaignStore:
    """The record of campaigns."""

    async def campaign_of_request(self, conn: AsyncConnection, project: str, request_id: str) -> StoredRequest | None:
        """Find what a request id created."""
        query = select(campaigns).where(campaigns.c.project == project, campaigns.c.request_id == request_id)
        row = (await conn.execute(query)).mappings().one_or_none()
        return StoredRequest(row["request_hash"], campaign_from_row(row)) if row else None

    async def add(
        self,
        conn: AsyncConnection,
        campaign: Campaign,
        *,
        request_id: str,
        fingerprint: str,
        traceparent: str,
    ) -> bool:
        """Store a new campaign and its first version; False when the request id was used meanwhile."""
        values = {
            "project": campaign.project,
            "campaign_id": campaign.id,
            **changing_columns(campaign),
            "create_time": campaign.create_time,
            "request_id": request_id or None,
            "request_hash": fingerprint,
            "traceparent": traceparent,
        }
        new = insert(campaigns).values(values).on_conflict_do_nothing().returning(campaigns.c.campaign_id)
        if (await conn.execute(new)).first() is None:
            return False
        await self._keep_version(conn, campaign)
        return True

    async def get(
        self,
        conn: AsyncConnection,
        project: str,
        campaign_id: str,
        *,
        lock: bool = False,
    ) -> Campaign | None:
        """Read a campaign that was not deleted by its users; `lock` keeps others from changing it."""
        query = select(campaigns).where(campaigns.c.project == project, campaigns.c.campaign_id == campaign_id)
        row = (await conn.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
        return campaign_from_row(row) if row else None

    async def get_version(self, conn: AsyncConnection, project: str, campaign_id: str, version: int) -> Draft:
        """Read what a version of a campaign said."""
        c = campaign_versions.c
        query = select(c.draft).where(c.project == project, c.campaign_id == campaign_id, c.version == version)
        return draft_from_json((await conn.execute(query)).scalar_one())

    async def page(
        self,
        conn: AsyncConnection,
        project: str,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Campaign]:
        """Read campaigns, newest first, from behind `after` (creation time and id)."""
        c = campaigns.c
        query = select(campaigns).where(c.project == project, c.state != CampaignState.DELETED)
        if after is not None:
            query = query.where(tuple_(c.create_time, c.campaign_id) < after)
        rows = await conn.execute(query.order_by(c.create_time.desc(), c.campaign_id.desc()).limit(limit))
        return [campaign_from_row(row) for row in rows.mappings()]

    async def change(self, conn: AsyncConnection, campaign: Campaign, *, new_version: bool = False) -> None:
        """Write what changed of a campaign that the caller has locked."""
        c = campaigns.c
        await conn.execute(
            update(campaigns)
            .where(c.project == campaign.project, c.campaign_id == campaign.id)
            .values(changing_columns(campaign))
        )
        if new_version:
            await self._keep_version(conn, campaign)

    async def _keep_version(self, conn: AsyncConnection, campaign: Campaign) -> None:
        await conn.execute(
            insert(campaign_versions).values(
                project=campaign.project,
                campaign_id=campaign.id,
                version=campaign.version,
                draft=draft_to_json(campaign.draft),
                create_time=campaign.update_time,
            )
        )

    async def due(self, conn: AsyncConnection, now: datetime, limit: int) -> list[tuple[Campaign, str]]:
        """Lock campaigns whose start has come, each with its trace; others working on them are passed over."""
        c = campaigns.c
        query = (
            select(campaigns)
            .where(
                c.state == CampaignState.SCHEDULED,
                func.coalesce(c.start_time, now) <= now,
            )
            .order_by(c.start_time.asc().nulls_first())
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [(campaign_from_row(row), row["traceparent"]) for row in (await conn.execute(query)).mappings()]

    async def on_segment(self, conn: AsyncConnection, segment: str) -> list[Campaign]:
        """Lock the campaigns of a segment that could still send, and their runs before them."""
        c = campaigns.c
        over = (CampaignState.COMPLETED, CampaignState.DELETED, CampaignState.INVALID)
        query = select(campaigns).where(c.segment == segment, c.state.not_in(over)).order_by(c.project, c.campaign_id)
        found = [campaign_from_row(row) for row in (await conn.execute(query)).mappings()]
        for campaign in found:
            await self.lock_runs_of(conn, campaign.project, campaign.id)
        return [campaign_from_row(row) for row in (await conn.execute(query.with_for_update())).mappings()]

    async def drop_project(self, conn: AsyncConnection, project: str) -> None:
        """Forget everything of a project."""
        # Runs first: whoever counts holds their locks, and what it counted is there to be deleted once it let go. Runs
        # again at the end: a campaign could be started until it was gone.
        for table in (runs, funnel, campaigns, campaign_versions, runs):
            await conn.execute(table.delete().where(table.c.project == project))

    async def add_run(self, conn: AsyncConnection, run: Mapping[str, Any]) -> None:
        """Store a run; one that exists stays as it is."""
        await conn.execute(insert(runs).values(dict(run)).on_conflict_do_nothing())

    async def lease_run(self, conn: AsyncConnection, owner: str, seconds: float) -> Run | None:
        """Take the run that has waited longest and that nobody holds; its token is greater than any before."""
        row = (await conn.execute(_LEASE_RUN, {"owner": owner, "seconds": seconds})).mappings().one_or_none()
        return run_from_row(row) if row else None

    async def hold_lease(self, conn: AsyncConnection, run: Run, seconds: float, **changes: object) -> bool:
        """Write changes to a run and prolong its lease; False when another worker took it or it was stopped."""
        c = runs.c
        held = await conn.execute(
            update(runs)
            .where(
                c.project == run.project,
                c.run_id == run.id,
                c.lease_token == run.lease_token,
                c.state.in_((RunState.PENDING, RunState.INITIALIZING, RunState.RUNNING)),
            )
            .values(
                lease_until=func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, bindparam("s", seconds)),
                **changes,
            )
        )
        return held.rowcount == 1

    async def release_lease(self, conn: AsyncConnection, run: Run, pause_seconds: float, **changes: object) -> None:
        """Give a run back, to be taken again after a pause; nothing happens when another worker took it."""
        c = runs.c
        await conn.execute(
            update(runs)
            .where(
                c.project == run.project,
                c.run_id == run.id,
                c.lease_token == run.lease_token,
            )
            .values(
                lease_until=func.clock_timestamp()
                + func.make_interval(0, 0, 0, 0, 0, 0, bindparam("s", pause_seconds)),
                # A heartbeat that is still under way must not prolong what was given back.
                lease_token=run.lease_token + 1,
                **changes,
            )
        )

    async def cancel_runs(
        self,
        conn: AsyncConnection,
        project: str,
        campaign_id: str,
        reason: str,
        now: datetime,
    ) -> list[str]:
        """Stop the open runs of a campaign; returns them."""
        c = runs.c
        stopped = await conn.execute(
            update(runs)
            .where(
                c.project == project,
                c.campaign_id == campaign_id,
                c.state.in_((RunState.PENDING, RunState.INITIALIZING, RunState.RUNNING)),
            )
            .values(
                state=RunState.CANCELLED,
                failure_reason=reason,
                end_time=now,
                lease_until=None,
            )
            .returning(c.run_id)
        )
        return list(stopped.scalars())

    async def lock_runs(self, conn: AsyncConnection, project: str, run_ids: Sequence[str]) -> set[str]:
        """Lock runs in one order everywhere, so that no two transactions wait for each other; returns those there are."""
        c = runs.c
        query = select(c.run_id).where(c.project == project, c.run_id.in_(run_ids)).order_by(c.run_id)
        return set((await conn.execute(query.with_for_update())).scalars())

    async def lock_runs_of(self, conn: AsyncConnection, project: str, campaign_id: str) -> None:
        """Lock the runs of a campaign. Runs are locked before their campaign everywhere: the last outcome does so too."""
        c = runs.c
        query = select(c.run_id).where(c.project == project, c.campaign_id == campaign_id).order_by(c.run_id)
        await conn.execute(query.with_for_update())

    async def add_to_funnel(self, conn: AsyncConnection, project: str, more: Mapping[FunnelKey, int]) -> None:
        """Count outcomes, all in one statement."""
        keys = sorted(more)
        await conn.execute(
            _ADD_TO_FUNNEL,
            {
                "project": project,
                "runs": [key[0] for key in keys],
                "treatments": [key[1] for key in keys],
                "outcomes": [key[2] for key in keys],
                "reasons": [key[3] for key in keys],
                "counts": [more[key] for key in keys],
            },
        )

    async def complete_runs(
        self, conn: AsyncConnection, project: str, run_ids: Sequence[str], now: datetime
    ) -> list[tuple[str, str]]:
        """Complete those of the locked runs that have every outcome; returns (campaign id, run id) of each."""
        values = {
            "project": project,
            "runs": list(run_ids),
            "now": now,
            "final": list(FINAL_OUTCOMES),
        }
        return [(row.campaign_id, row.run_id) for row in await conn.execute(_COMPLETE_RUNS, values)]

    async def pending(self, conn: AsyncConnection, project: str, run_id: str) -> int:
        """Count recipients of a run that are with messaging and have no outcome yet."""
        c = funnel.c
        targeted = func.coalesce(func.sum(c.count).filter(c.outcome == TARGETED), 0)
        ended = func.coalesce(func.sum(c.count).filter(c.outcome.in_(FINAL_OUTCOMES)), 0)
        query = select(targeted - ended).where(c.project == project, c.run_id == run_id)
        return int((await conn.execute(query)).scalar_one())

    async def runs_page(
        self,
        conn: AsyncConnection,
        project: str,
        campaign_id: str,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Run]:
        """Read the runs of a campaign, newest first."""
        c = runs.c
        query = select(runs).where(c.project == project, c.campaign_id == campaign_id)
        if after is not None:
            query = query.where(tuple_(c.scheduled_time, c.run_id) < after)
        rows = await conn.execute(query.order_by(c.scheduled_time.desc(), c.run_id.desc()).limit(limit))
        return [run_from_row(row) for row in rows.mappings()]

    async def funnels(
        self, conn: AsyncConnection, project: str, run_ids: Sequence[str]
    ) -> dict[str, dict[FunnelKey, int]]:
        """Read the counted outcomes of runs."""
        c = funnel.c
        found: dict[str, dict[FunnelKey, int]] = {run_id: {} for run_id in run_ids}
        query = select(funnel).where(c.project == project, c.run_id.in_(run_ids))
        for row in (await conn.execute(query)).mappings():
            key = (row["run_id"], row["treatment_id"], row["outcome"], row["reason"])
            found[row["run_id"]][key] = row["count"]
        return found
