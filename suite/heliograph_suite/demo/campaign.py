"""Chapter two: an A/B e-mail campaign with a holdout, through real SMTP into a mailbox."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from heliograph.campaigns.v1 import campaigns_pb2
from heliograph.messaging.v1 import channels_pb2, dispatch_pb2, templates_pb2
from heliograph_suite.demo.mailbox import received
from heliograph_suite.demo.stage import PROJECT, Stage, Stuck, until

SENDER = "shop@records.example.com"
HOLDOUT_PERCENT = 10
SECOND_TREATMENT_PERCENT = 45
_STYLE = "p{margin:0 0 12px 0;font:14px sans-serif;color:#333}"


async def send(stage: Stage) -> None:
    """Set the channel up, write two templates, start the campaign and wait for its last message."""
    await use_channel(
        stage,
        "EMAIL",
        "smtp",
        {"host": "127.0.0.1", "port": stage.mailbox_port, "security": "none", "from_address": SENDER},
    )
    plain = await _template(stage, "news-plain", "New arrivals, {{User.UserAttributes.FirstName}}")
    personal = await _template(
        stage,
        "news-personal",
        "{{User.UserAttributes.FirstName}}, {{Attributes.Reason}} for our {{User.UserAttributes.Tier}} customers",
    )
    campaign = await stage.clients.campaigns.CreateCampaign(
        campaigns_pb2.CreateCampaignRequest(
            parent=PROJECT,
            campaign=campaigns_pb2.Campaign(
                display_name="November news",
                segment=stage.names["campaign"],
                channel="EMAIL",
                content=dispatch_pb2.MessageContent(template=plain),
                additional_treatments=[
                    campaigns_pb2.Treatment(
                        display_name="personal",
                        size_percent=SECOND_TREATMENT_PERCENT,
                        content=dispatch_pb2.MessageContent(template=personal),
                    )
                ],
                holdout_percent=HOLDOUT_PERCENT,
            ),
            request_id="demo",
        )
    )
    stage.names["email_campaign"] = campaign.name
    run = await finished_run(stage, campaign.name, stage.figures["segments"]["campaign"]["members"], within=90)
    stage.figures["campaign"] = {
        **funnel_figures(run),
        "segment": stage.figures["segments"]["campaign"]["members"],
        "mailbox": len(received(stage.mailbox_directory)),
        "treatments": [
            {
                "treatment": treatment.treatment_id,
                "name": treatment.display_name or "plain",
                "targeted": treatment.funnel.targeted_count,
                "accepted": treatment.funnel.accepted_count,
                "failed": treatment.funnel.failed_count,
                "skipped": dict(treatment.funnel.skipped_counts),
            }
            for treatment in run.treatments
        ],
    }


async def finished_run(stage: Stage, campaign: str, members: int, *, within: float) -> campaigns_pb2.Run:
    """Wait for the end of a campaign's run. Raises Stuck, also when it was cancelled."""

    async def over() -> campaigns_pb2.Run | None:
        runs = (await stage.clients.campaigns.ListRuns(campaigns_pb2.ListRunsRequest(parent=campaign))).runs
        if not runs:
            return None
        total = runs[0].total
        ended = total.accepted_count + total.failed_count + total.in_doubt_count + sum(total.skipped_counts.values())
        stage.progress(ended + total.holdout_count, members)
        return runs[0] if runs[0].state in (runs[0].STATE_COMPLETED, runs[0].STATE_CANCELLED) else None

    run = await until(f"the run of {campaign}", over, within=within)
    if run.state != run.STATE_COMPLETED:
        raise Stuck(f"the run of {campaign} was cancelled: {run.failure_reason}")
    return run


def funnel_figures(run: campaigns_pb2.Run) -> dict[str, Any]:
    """Return the counts of a run as the report shows them."""
    total = run.total
    return {
        "holdout": total.holdout_count,
        "targeted": total.targeted_count,
        "accepted": total.accepted_count,
        "failed": total.failed_count,
        "in_doubt": total.in_doubt_count,
        "skipped": dict(total.skipped_counts),
    }


async def use_channel(stage: Stage, channel: str, provider: str, settings: dict[str, object]) -> None:
    """Let a provider serve a channel of the project."""
    await stage.clients.channels.UpdateChannel(
        channels_pb2.UpdateChannelRequest(
            channel=channels_pb2.Channel(
                name=f"{PROJECT}/channels/{channel}",
                provider=provider,
                settings=ParseDict(settings, Struct()),
                enabled=True,
            )
        )
    )


async def _template(stage: Stage, template_id: str, subject: str) -> str:
    paragraph = "Fresh pressings, rare finds and the classics you came for, all in one place. " * 6
    html = (
        f"<!doctype html><html><head><style>{_STYLE}</style></head><body><p>Hello {{{{User.UserAttributes.FirstName}}}},"
        "</p><p>thank you for your {{Metrics.Orders}} orders: you are one of our {{User.UserAttributes.Tier}} customers."
        f"</p><p>{paragraph}</p><p>Sent to {{{{Address}}}}</p></body></html>"
    )
    template = await stage.clients.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=PROJECT,
            template_id=template_id,
            template=templates_pb2.Template(
                kind=templates_pb2.TEMPLATE_KIND_EMAIL,
                email=templates_pb2.EmailTemplate(
                    subject=subject, html=html, text="Hello {{User.UserAttributes.FirstName}}, new records are in."
                ),
                default_substitutions={"Attributes.Reason": "something new"},
            ),
            request_id=template_id,
        )
    )
    return template.name
