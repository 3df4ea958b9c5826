"""Reads the settings, wires the campaigns service, serves and stops."""

from __future__ import annotations

from heliograph.campaigns.v1 import campaigns_pb2_grpc
from heliograph_campaigns.config import CampaignsSettings
from heliograph_campaigns.outcomes import (
    CHANGES_CONSUMER,
    OUTCOMES_CONSUMER,
    Changes,
    Outcomes,
)
from heliograph_campaigns.peers import Peers
from heliograph_campaigns.previews import Previews
from heliograph_campaigns.registry import Registry10dlc
from heliograph_campaigns.runner import Runner
from heliograph_campaigns.service import Campaigns
from heliograph_campaigns.servicer import CampaignServicer
from heliograph_campaigns.store import CampaignStore
from heliograph_campaigns.tables import mail, metadata
from heliograph_kit.consumer import Consumer
from heliograph_kit.ids import new_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime, run_service

SERVICE_NAME = "heliograph.campaigns.v1.CampaignService"


async def build(runtime: Runtime[CampaignsSettings]) -> None:
    """Wire the parts, top to bottom."""
    settings = runtime.settings
    relay = runtime.use_mail(mail)
    store, outbox, inbox = CampaignStore(), runtime.outbox, Inbox(mail)
    peers = Peers(runtime.peer("segments"), runtime.peer("messaging"), runtime.peer("projects"))
    runner = Runner(
        database=runtime.database,
        store=store,
        outbox=outbox,
        audience=peers,
        clock=runtime.clock,
        owner=new_id(),
        wake_relay=relay.wake,
        page_size=settings.page_size,
        lease_seconds=settings.lease_seconds,
        poll_seconds=settings.poll_seconds,
        dispatch_window=settings.dispatch_window,
    )

    def wake() -> None:
        relay.wake()
        runner.wake()

    campaigns = Campaigns(
        database=runtime.database,
        store=store,
        outbox=outbox,
        references=peers,
        clock=runtime.clock,
        new_id=new_id,
        wake=wake,
    )
    outcomes = Outcomes(
        database=runtime.database,
        store=store,
        outbox=outbox,
        inbox=inbox,
        clock=runtime.clock,
        wake_relay=relay.wake,
    )
    changes = Changes(database=runtime.database, store=store, inbox=inbox, campaigns=campaigns)
    runtime.add_servicer(
        campaigns_pb2_grpc.add_CampaignServiceServicer_to_server,
        CampaignServicer(campaigns, Previews(campaigns, peers, Registry10dlc(runtime.peer("registry10dlc")))),
        SERVICE_NAME,
    )
    runtime.add_worker("runner", runner.run)
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="campaigns",
            stream="MESSAGES",
            durable=OUTCOMES_CONSUMER,
            subjects=["messages.*"],
            handler=outcomes.handle,
            batch=50,
        )
    )
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="campaigns",
            stream="CHANGES",
            durable=CHANGES_CONSUMER,
            subjects=[
                "changes.projects.*.project_deleted",
                "changes.segments.*.segment_deleted",
            ],
            handler=changes.handle,
        )
    )


def main() -> None:
    """Run the service."""
    run_service(CampaignsSettings, build, package="heliograph_campaigns", metadata=metadata)


if __name__ == "__main__":
    main()
