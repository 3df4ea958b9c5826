"""Steps that several acceptance tests take, by the public API only."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from heliograph.campaigns.v1 import campaigns_pb2
from heliograph.messaging.v1 import channels_pb2, dispatch_pb2, templates_pb2
from heliograph.projects.v1 import projects_pb2
from heliograph.segments.v1 import jobs_pb2, segments_pb2
from heliograph_kit.testing import eventually
from heliograph_suite.demo.stage import Clients


async def a_project(clients: Clients, project_id: str) -> str:
    """Create a project; returns its name."""
    project = projects_pb2.Project(display_name=project_id)
    request = projects_pb2.CreateProjectRequest(project_id=project_id, project=project)
    return (await clients.projects.CreateProject(request)).name


def people_csv(count: int, *, channel: str = "EMAIL") -> str:
    """Write that many endpoints with a first name and a plan."""
    head = "Id,ChannelType,Address,User.UserId,User.UserAttributes.FirstName,Attributes.Plan\n"
    address = "p{n}@example.com" if channel == "EMAIL" else "+1555{n:07d}"
    return head + "".join(
        f"e{n},{channel},{address.format(n=n)},u{n},Name{n % 100},{'gold' if n % 4 == 0 else 'basic'}\n"
        for n in range(count)
    )


async def imported(clients: Clients, project: str, source: str, *, within: float = 60) -> jobs_pb2.ImportJob:
    """Import a CSV file and wait for the job's end."""
    wanted = jobs_pb2.ImportJob(format=jobs_pb2.ImportJob.FORMAT_CSV, source=source)
    job = await clients.jobs.CreateImportJob(jobs_pb2.CreateImportJobRequest(parent=project, import_job=wanted))

    async def over() -> jobs_pb2.ImportJob | None:
        seen = await clients.jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=job.name))
        return seen if seen.state in (seen.STATE_COMPLETED, seen.STATE_FAILED) else None

    done = await eventually(over, within=within)
    assert done is not None
    return done


async def everybody(clients: Clients, project: str, channel: str = "EMAIL") -> str:
    """Make a segment of everybody on a channel; returns its name."""
    only = segments_pb2.SetDimension(operator=segments_pb2.SetDimension.OPERATOR_INCLUSIVE, values=[channel])
    dimensions = segments_pb2.SegmentDimensions(demographic=segments_pb2.DemographicDimensions(channel=only))
    rules = segments_pb2.SegmentRules(groups=[segments_pb2.SegmentGroup(dimensions=[dimensions])])
    segment = segments_pb2.Segment(display_name=f"all on {channel}", rules=rules)
    request = segments_pb2.CreateSegmentRequest(parent=project, segment=segment)
    return (await clients.segments.CreateSegment(request)).name


async def use_simulator(clients: Clients, project: str, channel: str = "EMAIL", **settings: Any) -> None:
    """Let the simulator serve a channel."""
    await clients.channels.UpdateChannel(
        channels_pb2.UpdateChannelRequest(
            channel=channels_pb2.Channel(
                name=f"{project}/channels/{channel}",
                provider="simulator",
                settings=ParseDict(settings, Struct()),
                from_address="shop@example.com",
                enabled=True,
            )
        )
    )


async def an_email_template(clients: Clients, project: str, template_id: str = "hello") -> str:
    """Store a template; returns its name."""
    email = templates_pb2.EmailTemplate(
        subject="Hello {{User.UserAttributes.FirstName}}", html="<p>You are on {{Attributes.Plan}}</p>", text="Hello"
    )
    template = templates_pb2.Template(kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=email)
    request = templates_pb2.CreateTemplateRequest(parent=project, template_id=template_id, template=template)
    return (await clients.templates.CreateTemplate(request)).name


async def start_campaign(
    clients: Clients, project: str, segment: str, template: str, **changes: Any
) -> campaigns_pb2.Campaign:
    """Create an immediate campaign."""
    campaign = campaigns_pb2.Campaign(
        **{
            "display_name": "news",
            "segment": segment,
            "channel": "EMAIL",
            "content": dispatch_pb2.MessageContent(template=template),
            **changes,
        }
    )
    return await clients.campaigns.CreateCampaign(
        campaigns_pb2.CreateCampaignRequest(parent=project, campaign=campaign)
    )


async def run_of(clients: Clients, campaign: str) -> campaigns_pb2.Run | None:
    """Return the newest run of a campaign; None also while the service is away."""
    try:
        runs = (await clients.campaigns.ListRuns(campaigns_pb2.ListRunsRequest(parent=campaign))).runs
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return None
        raise
    return runs[0] if runs else None


async def completed_run(clients: Clients, campaign: str, *, within: float = 60) -> campaigns_pb2.Run:
    """Wait for the end of a campaign's run."""

    async def over() -> campaigns_pb2.Run | None:
        run = await run_of(clients, campaign)
        return run if run is not None and run.state in (run.STATE_COMPLETED, run.STATE_CANCELLED) else None

    run = await eventually(over, within=within, every=0.2)
    assert run is not None
    assert run.state == run.STATE_COMPLETED, run
    return run
