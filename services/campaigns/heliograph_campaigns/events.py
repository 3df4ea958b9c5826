"""What the campaigns service sends: announcements on CHANGES and batches of recipients on DISPATCH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from heliograph.campaigns.v1 import events_pb2
from heliograph.messaging.v1 import dispatch_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_campaigns.domain import Campaign, Content, Draft, RunState
from heliograph_kit.ids import derived_id
from heliograph_kit.names import format_name
from heliograph_kit.outbox import Outgoing
from heliograph_kit.streams import changes_subject, dispatch_subject


def campaign_name(project: str, campaign_id: str) -> str:
    """Return `projects/{project}/campaigns/{campaign}`."""
    return format_name(project, "campaigns", campaign_id)


def run_id_of(project: str, campaign_id: str, occurrence: int) -> str:
    """Return the id of the k-th run of a campaign; the same whoever computes it."""
    return derived_id("campaign-run", project, campaign_id, str(occurrence))


def campaign_updated(campaign: Campaign) -> Outgoing:
    """Announce the state a campaign is in now."""
    name = campaign_name(campaign.project, campaign.id)
    return Outgoing(
        subject=changes_subject("campaigns", campaign.project, "campaign_updated"),
        message=events_pb2.CampaignUpdated(
            campaign=name,
            state=campaign.state,
            segments=[campaign.draft.segment],
            revision=campaign.revision,
        ),
        id=derived_id("campaign-updated", name, campaign.state, campaign.etag),
        project=campaign.project,
    )


def run_updated(
    project: str,
    campaign_id: str,
    run_id: str,
    state: RunState,
    failure_reason: str = "",
) -> Outgoing:
    """Announce the state a run is in now."""
    return Outgoing(
        subject=changes_subject("campaigns", project, "run_updated"),
        message=events_pb2.RunUpdated(
            campaign=campaign_name(project, campaign_id),
            run_id=run_id,
            state=state,
            failure_reason=failure_reason,
        ),
        id=derived_id("run-updated", run_id, state),
        project=project,
    )


def policy(draft: Draft) -> dispatch_pb2.DeliveryPolicy:
    """Return what messaging is to check: the campaign's own figures, else what it inherited (pinpoint-1 1.2).

    A campaign's own daily limit counts its own messages and takes the place of the project's, which counts all.
    """
    wanted = dispatch_pb2.DeliveryPolicy()
    daily = draft.limits.daily or draft.inherited.limits.daily
    if daily:
        own = bool(draft.limits.daily)
        scope = dispatch_pb2.CAP_SCOPE_SOURCE if own else dispatch_pb2.CAP_SCOPE_PROJECT
        wanted.caps.add(scope=scope, limit=daily, window=Duration(seconds=86_400))
    total = draft.limits.total or draft.inherited.limits.total
    if total:
        wanted.caps.add(scope=dispatch_pb2.CAP_SCOPE_SOURCE, limit=total)
    if quiet := draft.quiet_time or draft.inherited.quiet_time:
        wanted.quiet_time.start, wanted.quiet_time.end = quiet.start, quiet.end
    return wanted


def dispatch(
    *,
    project: str,
    campaign_id: str,
    run_id: str,
    treatment_id: str,
    draft: Draft,
    content: Content,
    recipients: audience_pb2.MemberPage,
    snapshot: str = "",
) -> Outgoing:
    """Build the batch that hands a page's members of one treatment to messaging.

    The id is derived from the run, the treatment and the first member, so that a page that is handed over twice is the
    same batch.
    """
    batch_id = derived_id("campaign-dispatch", run_id, treatment_id, str(recipients.ordinals[0]))
    return Outgoing(
        subject=dispatch_subject("campaign", project),
        message=dispatch_pb2.DispatchBatch(
            batch_id=batch_id,
            project=f"projects/{project}",
            message_class=dispatch_pb2.MESSAGE_CLASS_CAMPAIGN,
            source=dispatch_pb2.MessageSource(
                name=campaign_name(project, campaign_id),
                run_id=run_id,
                treatment_id=treatment_id,
            ),
            channel=draft.channel,
            content=content_to_proto(content),
            recipients=recipients,
            policy=policy(draft),
            snapshot=snapshot,
        ),
        id=batch_id,
        project=project,
    )


_NAMED = tuple(field.name for field in fields(Content) if field.name != "further")


def content_to_proto(content: Content) -> dispatch_pb2.MessageContent:
    """Write what a treatment says."""
    whole = dispatch_pb2.MessageContent(**{name: getattr(content, name) for name in _NAMED})
    if content.further:
        json_format.Parse(content.further, whole)
    return whole


def content_from_proto(content: dispatch_pb2.MessageContent) -> Content:
    """Read what a treatment says."""
    rest = dispatch_pb2.MessageContent()
    rest.CopyFrom(content)
    for name in _NAMED:
        rest.ClearField(name)  # type: ignore[arg-type]
    further = json_format.MessageToJson(rest, indent=None, sort_keys=True) if rest.ByteSize() else ""
    return Content(**{name: getattr(content, name) for name in _NAMED}, further=further)


def picked(page: audience_pb2.MemberPage, positions: Sequence[int]) -> audience_pb2.MemberPage:
    """Return the given members of a page as a page of their own; the whole page is returned as it is."""
    if len(positions) == len(page.ordinals):
        return page
    return audience_pb2.MemberPage(
        ordinals=[page.ordinals[n] for n in positions],
        endpoint_ids=[page.endpoint_ids[n] for n in positions],
        user_ids=[page.user_ids[n] for n in positions],
        channels=[page.channels[n] for n in positions],
        addresses=[page.addresses[n] for n in positions],
        opted_out=[page.opted_out[n] for n in positions],
        inactive=[page.inactive[n] for n in positions],
        cohorts=[page.cohorts[n] for n in positions],
        time_zones=[page.time_zones[n] for n in positions],
        columns=[_picked_column(column, positions) for column in page.columns],
    )


def _picked_column(column: audience_pb2.MemberColumn, positions: Sequence[int]) -> audience_pb2.MemberColumn:
    if not column.counts:
        return audience_pb2.MemberColumn(path=column.path, values=[column.values[n] for n in positions])
    ends: list[int] = []
    total = 0
    for count in column.counts:
        total += count
        ends.append(total)
    values = [value for n in positions for value in column.values[ends[n] - column.counts[n] : ends[n]]]
    return audience_pb2.MemberColumn(path=column.path, values=values, counts=[column.counts[n] for n in positions])
