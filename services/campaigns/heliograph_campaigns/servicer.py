"""gRPC face of the campaigns service: parse, call, translate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.campaigns.v1 import campaigns_pb2, campaigns_pb2_grpc
from heliograph.common.v1 import limits_pb2
from heliograph_campaigns.domain import Campaign, Draft, Limits, QuietTime, Treatment
from heliograph_campaigns.events import (
    campaign_name,
    content_from_proto,
    content_to_proto,
)
from heliograph_campaigns.preview_protos import preview_to_proto
from heliograph_campaigns.previews import Previews
from heliograph_campaigns.service import Campaigns, RunReport
from heliograph_campaigns.store import TARGETED, FunnelKey
from heliograph_kit.errors import InvalidArgument, Violation, Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import parse_name, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint

_MUTABLE = (
    "display_name",
    "description",
    "segment",
    "segment_version",
    "channel",
    "content",
    "additional_treatments",
    "holdout_percent",
    "schedule",
    "tags",
    "limits",
    "quiet_time",
)
_MAX_REQUEST_ID = 64
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CampaignServicer(campaigns_pb2_grpc.CampaignServiceServicer):
    """Answers `heliograph.campaigns.v1.CampaignService`."""

    def __init__(self, campaigns: Campaigns, previews: Previews) -> None:
        """Take the use cases."""
        self._campaigns = campaigns
        self._previews = previews

    async def CreateCampaign(
        self,
        request: campaigns_pb2.CreateCampaignRequest,
        context: Context,
    ) -> campaigns_pb2.Campaign:
        """Create a campaign."""
        project = project_of(request.parent, field="parent")
        if len(request.request_id) > _MAX_REQUEST_ID:
            words = f"must be at most {_MAX_REQUEST_ID} characters"
            raise InvalidArgument([Violation("request_id", words, "INVALID_LENGTH")])
        campaign = await self._campaigns.create(
            project,
            draft_from_proto(request.campaign),
            paused=request.campaign.paused,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return campaign_to_proto(campaign)

    async def GetCampaign(
        self,
        request: campaigns_pb2.GetCampaignRequest,
        context: Context,
    ) -> campaigns_pb2.Campaign:
        """Return a campaign."""
        name = parse_name(request.name, "campaigns")
        return campaign_to_proto(await self._campaigns.get(name.project, name.id))

    async def ListCampaigns(
        self,
        request: campaigns_pb2.ListCampaignsRequest,
        context: Context,
    ) -> campaigns_pb2.ListCampaignsResponse:
        """Return a page of campaigns."""
        project = project_of(request.parent, field="parent")
        call = f"ListCampaigns {project}"
        page = page_of(call, request.page_size, request.page_token)
        found = await self._campaigns.page(project, _behind(page.after), page.size + 1)
        shown = found[: page.size]
        return campaigns_pb2.ListCampaignsResponse(
            campaigns=map(campaign_to_proto, shown),
            next_page_token=_token(call, len(found) > page.size, [(c.create_time, c.id) for c in shown]),
        )

    async def UpdateCampaign(
        self,
        request: campaigns_pb2.UpdateCampaignRequest,
        context: Context,
    ) -> campaigns_pb2.Campaign:
        """Change a campaign that has not started."""
        name = parse_name(request.campaign.name, "campaigns", field="campaign.name")
        paths = _paths(request)
        wanted = draft_from_proto(request.campaign)

        def change(draft: Draft) -> Draft:
            fields = ("start_time" if path == "schedule" else path for path in paths)
            changed = replace(draft, **{field: getattr(wanted, field) for field in fields})
            if changed.segment != draft.segment and "segment_version" not in paths:
                # The version that is pinned is one of the old segment.
                return replace(changed, segment_version=0)
            return changed

        return campaign_to_proto(
            await self._campaigns.update(name.project, name.id, change, etag=request.campaign.etag)
        )

    async def DeleteCampaign(
        self,
        request: campaigns_pb2.DeleteCampaignRequest,
        context: Context,
    ) -> campaigns_pb2.Campaign:
        """Delete a campaign and stop its sending."""
        name = parse_name(request.name, "campaigns")
        return campaign_to_proto(await self._campaigns.delete(name.project, name.id))

    async def PauseCampaign(
        self,
        request: campaigns_pb2.PauseCampaignRequest,
        context: Context,
    ) -> campaigns_pb2.Campaign:
        """Pause a scheduled campaign."""
        name = parse_name(request.name, "campaigns")
        return campaign_to_proto(await self._campaigns.pause(name.project, name.id))

    async def ResumeCampaign(
        self,
        request: campaigns_pb2.ResumeCampaignRequest,
        context: Context,
    ) -> campaigns_pb2.Campaign:
        """Resume a paused campaign."""
        name = parse_name(request.name, "campaigns")
        return campaign_to_proto(await self._campaigns.resume(name.project, name.id))

    async def PreviewCampaign(
        self,
        request: campaigns_pb2.PreviewCampaignRequest,
        context: Context,
    ) -> campaigns_pb2.PreviewCampaignResponse:
        """Tell what is worth a look in a campaign."""
        project = project_of(request.parent, field="parent")
        if request.WhichOneof("source") is None:
            raise InvalidArgument([Violation("source", "a campaign or a draft is required", "REQUIRED")])
        if request.HasField("draft"):
            return preview_to_proto(await self._previews.of_draft(project, draft_from_proto(request.draft)))
        name = parse_name(request.campaign, "campaigns", field="campaign")
        if name.project != project:
            raise InvalidArgument([Violation("campaign", "must belong to the project of parent", "OTHER_PROJECT")])
        return preview_to_proto(await self._previews.of_stored(project, name.id))

    async def ListRuns(
        self, request: campaigns_pb2.ListRunsRequest, context: Context
    ) -> campaigns_pb2.ListRunsResponse:
        """Return a page of a campaign's runs."""
        name = parse_name(request.parent, "campaigns", field="parent")
        call = f"ListRuns {name}"
        page = page_of(call, request.page_size, request.page_token)
        found = await self._campaigns.runs(name.project, name.id, _behind(page.after), page.size + 1)
        shown = found[: page.size]
        places = [(report.run.scheduled_time, report.run.id) for report in shown]
        return campaigns_pb2.ListRunsResponse(
            runs=map(run_to_proto, shown),
            next_page_token=_token(call, len(found) > page.size, places),
        )


def draft_from_proto(campaign: campaigns_pb2.Campaign) -> Draft:
    """Read what a campaign's author decides."""
    start = campaign.schedule.start_time if campaign.schedule.HasField("start_time") else None
    return Draft(
        display_name=campaign.display_name,
        description=campaign.description,
        segment=campaign.segment,
        segment_version=campaign.segment_version,
        channel=campaign.channel,
        content=content_from_proto(campaign.content),
        additional_treatments=tuple(
            Treatment(t.size_percent, content_from_proto(t.content), t.display_name)
            for t in campaign.additional_treatments
        ),
        holdout_percent=campaign.holdout_percent,
        start_time=_instant(start),
        tags=dict(campaign.tags),
        limits=Limits(campaign.limits.daily, campaign.limits.total),
        quiet_time=QuietTime(campaign.quiet_time.start, campaign.quiet_time.end)
        if campaign.HasField("quiet_time")
        else None,
    )


def campaign_to_proto(campaign: Campaign) -> campaigns_pb2.Campaign:
    """Write a campaign."""
    draft = campaign.draft
    return campaigns_pb2.Campaign(
        name=campaign_name(campaign.project, campaign.id),
        display_name=draft.display_name,
        description=draft.description,
        segment=draft.segment,
        segment_version=draft.segment_version,
        channel=draft.channel,
        content=content_to_proto(draft.content),
        additional_treatments=[
            campaigns_pb2.Treatment(
                treatment_id=str(number),
                display_name=treatment.display_name,
                size_percent=treatment.size_percent,
                content=content_to_proto(treatment.content),
            )
            for number, treatment in enumerate(draft.additional_treatments, start=1)
        ],
        holdout_percent=draft.holdout_percent,
        schedule=campaigns_pb2.Schedule(start_time=timestamp(draft.start_time)),
        paused=campaign.state == "PAUSED",
        state=campaigns_pb2.Campaign.State.Value(f"STATE_{campaign.state}"),
        state_reason=campaign.state_reason,
        version=campaign.version,
        etag=campaign.etag,
        create_time=timestamp(campaign.create_time),
        update_time=timestamp(campaign.update_time),
        tags=draft.tags,
        limits=_limits(draft.limits),
        quiet_time=_quiet_time(draft.quiet_time),
        inherited_limits=_limits(draft.inherited.limits),
        inherited_quiet_time=_quiet_time(draft.inherited.quiet_time),
    )


def _limits(limits: Limits) -> limits_pb2.CampaignLimits:
    return limits_pb2.CampaignLimits(daily=limits.daily, total=limits.total)


def _quiet_time(quiet: QuietTime | None) -> limits_pb2.QuietTime | None:
    return limits_pb2.QuietTime(start=quiet.start, end=quiet.end) if quiet else None


def run_to_proto(report: RunReport) -> campaigns_pb2.Run:
    """Write a run with its funnel."""
    run = report.run
    parent = campaign_name(run.project, run.campaign_id)
    total = funnel_to_proto(report.counts.items())
    total.produced_count, total.holdout_count = run.produced, run.holdout
    return campaigns_pb2.Run(
        name=f"{parent}/runs/{run.id}",
        state=campaigns_pb2.Run.State.Value(f"STATE_{run.state}"),
        failure_reason=run.failure_reason,
        scheduled_time=timestamp(run.scheduled_time),
        start_time=timestamp(run.start_time),
        end_time=timestamp(run.end_time),
        campaign_version=run.campaign_version,
        snapshot=run.snapshot,
        total=total,
        treatments=[
            campaigns_pb2.TreatmentFunnel(
                treatment_id=str(number),
                display_name=name,
                funnel=funnel_to_proto((k, n) for k, n in report.counts.items() if k[1] == str(number)),
            )
            for number, name in enumerate(report.treatment_names)
        ],
        dispatched=run.dispatched,
    )


def funnel_to_proto(counts: Iterable[tuple[FunnelKey, int]]) -> campaigns_pb2.Funnel:
    """Add counted outcomes up."""
    funnel = campaigns_pb2.Funnel()
    for (_, _, outcome, reason), count in counts:
        if outcome == TARGETED:
            funnel.targeted_count += count
        elif outcome == "SKIPPED":
            funnel.skipped_counts[reason] += count
        else:
            field = f"{outcome.lower()}_count"
            setattr(funnel, field, getattr(funnel, field) + count)
            if outcome == "FAILED":
                funnel.failed_counts[reason] += count
    # A treatment produces exactly those it targets; the run as a whole adds the holdout.
    funnel.produced_count = funnel.targeted_count
    return funnel


def _paths(request: campaigns_pb2.UpdateCampaignRequest) -> list[str]:
    if not request.update_mask.paths:
        given = {descriptor.name for descriptor, _ in request.campaign.ListFields()}
        return [path for path in _MUTABLE if path in given]
    if list(request.update_mask.paths) == ["*"]:
        return list(_MUTABLE)
    violations = Violations()
    for path in request.update_mask.paths:
        if path not in _MUTABLE:
            violations.add("update_mask", f"{path} cannot be changed", "UNKNOWN_FIELD")
    violations.check()
    return list(request.update_mask.paths)


def _behind(after: tuple[str, ...] | None) -> tuple[datetime, str] | None:
    return (datetime.fromisoformat(after[0]), after[1]) if after else None


def _token(call: str, more: bool, places: list[tuple[datetime, str]]) -> str:
    return next_token(call, (places[-1][0].isoformat(), places[-1][1])) if more else ""


def _instant(value: Timestamp | None) -> datetime | None:
    if value is None:
        return None
    try:
        return value.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise InvalidArgument(
            [
                Violation(
                    "campaign.schedule.start_time",
                    "is not an instant of the years 1 to 9999",
                    "OUT_OF_RANGE",
                )
            ]
        ) from error
