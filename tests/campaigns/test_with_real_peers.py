"""Campaigns beside the real segments and messaging services, each a process: what the peers of other tests stand for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph.messaging.v1 import (
    channels_pb2,
    channels_pb2_grpc,
    messages_pb2,
    messages_pb2_grpc,
    templates_pb2,
    templates_pb2_grpc,
)
from heliograph.segments.v1 import endpoints_pb2, endpoints_pb2_grpc, segments_pb2, segments_pb2_grpc
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel, reason_of
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_kit.testing.fixtures import INTERNAL_SECRET, MigratedDatabase
from tests.campaigns.builders import SHOP, TEMPLATE, at, content
from tests.campaigns.conftest import Service, Start

pytestmark = pytest.mark.acceptance
PACKAGES = tuple((f"heliograph_{name}", name) for name in ("campaigns", "segments", "messaging", "projects"))
PEOPLE, OPTED_OUT, INACTIVE, ON_SMS = 300, 10, 5, 15


@dataclass
class Peers:
    """Stubs of the two real services."""

    endpoints: endpoints_pb2_grpc.EndpointServiceAsyncStub
    segments: segments_pb2_grpc.SegmentServiceAsyncStub
    templates: templates_pb2_grpc.TemplateServiceAsyncStub
    channels: channels_pb2_grpc.ChannelServiceAsyncStub
    messages: messages_pb2_grpc.MessageServiceAsyncStub


@pytest.fixture
def values(migrated_database: MigratedDatabase, nats_url: str, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings of campaigns beside running peers; they share the database server, each with its schema."""
    url = migrated_database(*PACKAGES)
    environment = {
        "HELIOGRAPH_DATABASE_URL": url,
        "HELIOGRAPH_NATS_URL": nats_url,
        "HELIOGRAPH_INTERNAL_SECRET": INTERNAL_SECRET,
        "HELIOGRAPH_MESSAGING_SECRET_KEY": "k" * 32,
        "HELIOGRAPH_MIGRATE_ON_START": "false",
    }
    processes = {
        name: ServiceProcess(f"heliograph_{name}.main", service=name, directory=tmp_path, environment=environment)
        for name in ("segments", "messaging", "projects")
    }
    try:
        for process in processes.values():
            process.start()
        for process in processes.values():
            process.ready()
        yield {
            "database_url": url,
            "nats_url": nats_url,
            "listen": "127.0.0.1:0",
            "internal_secret": INTERNAL_SECRET,
            "drain_seconds": 0,
            "poll_seconds": 0.05,
            "page_size": 50,
            "migrate_on_start": False,
            **{f"peer_{name}": process.address for name, process in processes.items()},
        }
    finally:
        for process in processes.values():
            process.stop()


@pytest_asyncio.fixture
async def peers(values: dict[str, Any]) -> AsyncIterator[Peers]:
    """Clients of the peers."""
    tokens = InternalTokens(INTERNAL_SECRET)
    async with (
        channel(values["peer_segments"], tokens=tokens) as segments,
        channel(values["peer_messaging"], tokens=tokens) as messaging,
    ):
        yield Peers(
            endpoints_pb2_grpc.EndpointServiceStub(segments),
            segments_pb2_grpc.SegmentServiceStub(segments),
            templates_pb2_grpc.TemplateServiceStub(messaging),
            channels_pb2_grpc.ChannelServiceStub(messaging),
            messages_pb2_grpc.MessageServiceStub(messaging),
        )


def an_endpoint(number: int) -> endpoints_pb2.Endpoint:
    """Return the n-th of them: the first are opted out, the next inactive, the last on another channel."""
    endpoint = endpoints_pb2.Endpoint(
        endpoint_id=f"e{number:04d}", channel_type="EMAIL", address=f"p{number}@example.com"
    )
    endpoint.attributes["Plan"].values.append("gold" if number % 2 else "basic")
    if number < OPTED_OUT:
        endpoint.opt_out = endpoints_pb2.Endpoint.OPT_OUT_ALL
    elif number < OPTED_OUT + INACTIVE:
        endpoint.status = endpoints_pb2.Endpoint.STATUS_INACTIVE
    elif number >= PEOPLE - ON_SMS:
        endpoint.channel_type, endpoint.address = "SMS", f"+1555{number:07d}"
    return endpoint


async def a_segment(peers: Peers, name: str) -> str:
    segment = segments_pb2.Segment(display_name=name)
    return (await peers.segments.CreateSegment(segments_pb2.CreateSegmentRequest(parent=SHOP, segment=segment))).name


async def a_template(peers: Peers, template_id: str) -> str:
    email = templates_pb2.EmailTemplate(subject="You are on {{Attributes.Plan}}", text="Hello")
    template = templates_pb2.Template(kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=email)
    request = templates_pb2.CreateTemplateRequest(parent=SHOP, template_id=template_id, template=template)
    return (await peers.templates.CreateTemplate(request)).name


async def the_shop(peers: Peers) -> str:
    """Fill the shop with people, a template and a working channel; returns the segment of everybody."""
    for start in range(0, PEOPLE, 100):
        batch = [an_endpoint(number) for number in range(start, start + 100)]
        await peers.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=SHOP, endpoints=batch))
    assert await a_template(peers, "hello") == TEMPLATE
    email = channels_pb2.Channel(
        name=f"{SHOP}/channels/EMAIL", provider="simulator", from_address="shop@example.com", enabled=True
    )
    await peers.channels.UpdateChannel(channels_pb2.UpdateChannelRequest(channel=email))
    return await a_segment(peers, "Everybody")


async def refused(service: Service, **changes: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.create(**changes)
    return caught.value.code(), reason_of(caught.value)


async def test_a_campaign_from_its_creation_to_the_last_outcome(start: Start, peers: Peers) -> None:
    segment = await the_shop(peers)
    service = await start()
    for changes, reason in (
        ({"segment": f"{SHOP}/segments/{'0' * 32}"}, "SEGMENT_UNUSABLE"),
        ({"segment": segment, "segment_version": 2}, "SEGMENT_UNUSABLE"),
        ({"segment": segment, "content": content(f"{SHOP}/templates/none")}, "TEMPLATE_UNUSABLE"),
        ({"segment": segment, "channel": "SMS"}, "TEMPLATE_UNUSABLE"),
    ):
        assert await refused(service, **changes) == (grpc.StatusCode.FAILED_PRECONDITION, reason)

    inline = content("", email_subject="Hi", email_text="Hi {{Attributes.Plan}}")
    half = pb.Treatment(size_percent=40, content=inline)
    campaign = await service.create(segment=segment, additional_treatments=[half], holdout_percent=10)
    run = await service.ended(campaign.name, timedelta(seconds=40))
    total = run.total
    assert (run.state, total.produced_count) == (pb.Run.STATE_COMPLETED, PEOPLE)
    assert 0 < total.holdout_count < PEOPLE // 4
    assert total.accepted_count + sum(total.skipped_counts.values()) == total.targeted_count
    most = {"ENDPOINT_OPT_OUT": OPTED_OUT, "ENDPOINT_INACTIVE": INACTIVE, "ENDPOINT_CHANNEL_MISMATCH": ON_SMS}
    assert all(count <= most[reason] for reason, count in total.skipped_counts.items())
    assert all(treatment.funnel.accepted_count for treatment in run.treatments)
    # Both ledgers say the same.
    request = messages_pb2.GetRunStatusRequest(parent=SHOP, run_id=run.name[-32:])
    status = await peers.messages.GetRunStatus(request)
    assert (status.targeted_count, status.accepted_count) == (total.targeted_count, total.accepted_count)
    assert status.skipped_count == sum(total.skipped_counts.values())

    # Receipts come behind the outcomes that completed the run.
    delivered = await service.run_that(campaign.name, lambda run: run.total.delivered_count == total.accepted_count)
    assert delivered.total.accepted_count == total.accepted_count

    # What is deleted over there is noticed here: announced at once, or at the start.
    second = await a_segment(peers, "Second")
    waiting = await service.create(segment=second, schedule=at(datetime.now(UTC) + timedelta(days=1)))
    await peers.segments.DeleteSegment(segments_pb2.DeleteSegmentRequest(name=second))
    assert (await service.in_state(waiting.name, "DELETED")).state_reason == "SEGMENT_DELETED"
    template = await a_template(peers, "short-lived")
    paused = await service.create(segment=segment, content=content(template), paused=True)
    await peers.templates.DeleteTemplate(templates_pb2.DeleteTemplateRequest(name=template))

    async def gone() -> bool:
        try:
            await peers.templates.GetTemplate(templates_pb2.GetTemplateRequest(name=template))
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.NOT_FOUND
        return False

    await eventually(gone)
    # A template that is deleted goes on being said by those that use it (pinpoint-1 6.2).
    await service.stub.ResumeCampaign(pb.ResumeCampaignRequest(name=paused.name))
    await service.in_state(paused.name, "COMPLETED")
    run = await service.run_that(paused.name, lambda run: run.total.accepted_count > 0)
    assert run.total.failed_count == 0


async def test_segments_knows_which_campaigns_use_a_segment(start: Start, peers: Peers) -> None:
    service = await start()
    segment = await a_segment(peers, "Gold")
    await a_template(peers, "hello")
    campaign = await service.create(segment=segment, schedule=at(datetime.now(UTC) + timedelta(days=1)))

    async def used_by(*expected: tuple[str, str]) -> bool:
        uses = (await peers.segments.ListSegmentUses(segments_pb2.ListSegmentUsesRequest(parent=segment))).uses
        return [(use.name, use.state) for use in uses] == list(expected)

    await eventually(lambda: used_by((campaign.name, "SCHEDULED")))
    await service.stub.PauseCampaign(pb.PauseCampaignRequest(name=campaign.name))
    await eventually(lambda: used_by((campaign.name, "PAUSED")))
    await service.stub.DeleteCampaign(pb.DeleteCampaignRequest(name=campaign.name))
    await eventually(lambda: used_by())
