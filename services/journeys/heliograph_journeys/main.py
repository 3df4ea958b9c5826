"""Reads the settings, wires the journeys service, serves and stops."""

from __future__ import annotations

from datetime import timedelta

from heliograph.journeys.v1 import journeys_pb2_grpc
from heliograph_journeys.changes import CHANGES_CONSUMER, Changes
from heliograph_journeys.config import JourneysSettings
from heliograph_journeys.crowd import Crowd
from heliograph_journeys.entrance import Entrance
from heliograph_journeys.erasing import ERASURES_CONSUMER, Erasing
from heliograph_journeys.mover import Mover
from heliograph_journeys.outcomes import OUTCOMES_CONSUMER, Outcomes
from heliograph_journeys.peers import Peers
from heliograph_journeys.sender import Sender
from heliograph_journeys.service import Journeys
from heliograph_journeys.servicer import JourneyServicer
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.tables import mail, metadata
from heliograph_journeys.working import Tables
from heliograph_kit.consumer import Consumer
from heliograph_kit.ids import new_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime, run_service
from heliograph_kit.working import Bell

SERVICE_NAME = "heliograph.journeys.v1.JourneyService"


async def build(runtime: Runtime[JourneysSettings]) -> None:
    """Wire the parts, top to bottom."""
    settings, database, clock = runtime.settings, runtime.database, runtime.clock
    runtime.use_mail(mail)
    outbox = runtime.outbox
    store, crowd, tables, bell = JourneyStore(), Crowd(), Tables(), Bell()
    peers = Peers(
        runtime.peer("segments"),
        runtime.peer("messaging"),
        runtime.peer("projects"),
        active_seconds=settings.template_cache_seconds,
    )
    lease = timedelta(seconds=settings.lease_seconds)
    journeys = Journeys(
        database=database,
        store=store,
        crowd=crowd,
        outbox=outbox,
        references=peers,
        clock=clock,
        new_id=new_id,
        publish_delay=timedelta(seconds=settings.publish_delay_seconds),
        implicit_window=timedelta(seconds=settings.implicit_window_seconds),
        wake=bell.ring,
    )
    entrance = Entrance(
        database=database,
        store=store,
        crowd=crowd,
        outbox=outbox,
        audience=peers,
        clock=clock,
        tables=tables,
        bell=bell,
        page_size=settings.page_size,
        lease=lease,
        poll_seconds=settings.poll_seconds,
    )
    mover = Mover(
        database=database,
        store=store,
        crowd=crowd,
        outbox=outbox,
        clock=clock,
        tables=tables,
        bell=bell,
        claim_size=settings.claim_size,
        poll_seconds=settings.poll_seconds,
    )
    sender = Sender(
        database=database,
        store=store,
        crowd=crowd,
        outbox=outbox,
        recipients=peers,
        clock=clock,
        tables=tables,
        bell=bell,
        lease=lease,
        poll_seconds=settings.poll_seconds,
    )
    inbox = Inbox(mail)
    changes = Changes(database=database, store=store, inbox=inbox)
    outcomes = Outcomes(database=database, store=store, crowd=crowd, inbox=inbox, clock=clock, tables=tables, bell=bell)
    erasing = Erasing(
        database=database,
        store=store,
        crowd=crowd,
        outbox=outbox,
        inbox=inbox,
        clock=clock,
        tables=tables,
        bell=bell,
    )
    runtime.add_servicer(
        journeys_pb2_grpc.add_JourneyServiceServicer_to_server, JourneyServicer(journeys), SERVICE_NAME
    )
    runtime.add_worker("entrance", entrance.run)
    runtime.add_worker("mover", mover.run)
    runtime.add_worker("sender", sender.run)
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="journeys",
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
            service="journeys",
            stream="CHANGES",
            durable=CHANGES_CONSUMER,
            subjects=["changes.projects.*.project_deleted"],
            handler=changes.handle,
        )
    )
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="journeys",
            stream="CHANGES",
            durable=ERASURES_CONSUMER,
            subjects=["changes.segments.*.user_erased"],
            handler=erasing.handle,
            on_dead=inbox.burial(database, ERASURES_CONSUMER),
        )
    )


def main() -> None:
    """Run the service."""
    run_service(JourneysSettings, build, package="heliograph_journeys", metadata=metadata)


if __name__ == "__main__":
    main()
