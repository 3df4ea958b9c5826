"""Reads the settings, wires the registry, serves and stops."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from heliograph.registry10dlc.v1 import (
    desk_pb2_grpc,
    inventory_pb2_grpc,
    launch_pb2_grpc,
    papers_pb2_grpc,
    registrar_edge_pb2_grpc,
    registry_pb2_grpc,
    toll_free_pb2_grpc,
    vetting_pb2_grpc,
    watch_pb2_grpc,
)
from heliograph_channels import load_registrars
from heliograph_kit.clock import SystemClock
from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.ids import new_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime, StartFailed, run_service
from heliograph_kit.secretbox import SecretBox
from heliograph_registry10dlc import notice_store
from heliograph_registry10dlc.config import RegistrySettings
from heliograph_registry10dlc.data_files import BadDataFile
from heliograph_registry10dlc.desk import Desk
from heliograph_registry10dlc.notice_settings import NoticeSettings
from heliograph_registry10dlc.noticing import Chance, Noticing
from heliograph_registry10dlc.registrar_calls import RegistrarCalls
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.service.brands import Brands
from heliograph_registry10dlc.service.decisions import Decisions
from heliograph_registry10dlc.service.numbers import Numbers
from heliograph_registry10dlc.service.toll_free import TollFree
from heliograph_registry10dlc.service.use_cases import UseCases
from heliograph_registry10dlc.servicers.desk import DeskServicer
from heliograph_registry10dlc.servicers.inventory import InventoryServicer
from heliograph_registry10dlc.servicers.launch import LaunchServicer
from heliograph_registry10dlc.servicers.papers import PapersServicer
from heliograph_registry10dlc.servicers.registrar_edge import RegistrarEdgeServicer
from heliograph_registry10dlc.servicers.registry import RegistryServicer
from heliograph_registry10dlc.servicers.toll_free import TollFreeServicer
from heliograph_registry10dlc.servicers.vetting import VettingServicer
from heliograph_registry10dlc.servicers.watch import WatchServicer
from heliograph_registry10dlc.tables import mail, metadata
from heliograph_registry10dlc.transfer import Transfer
from heliograph_registry10dlc.watching import Watching

_SERVICES = "heliograph.registry10dlc.v1"
CHANGES_CONSUMER = "registry10dlc-changes"
# Request ids of imports are made of what the document says; there is nothing else to compare.
_IMPORTED = "imported"
# Keys of other services made of the same setting are other keys.
_PERSON = b"heliograph-10dlc"


async def build(runtime: Runtime[RegistrySettings]) -> None:
    """Wire the parts, top to bottom.

    Raises:
        StartFailed: the registrar plugin is not installed, its settings are wrong, or a data file cannot be used.
    """
    settings = runtime.settings
    relay = runtime.use_mail(mail)
    inbox = Inbox(mail)
    registrars = load_registrars()
    if settings.registrar not in registrars:
        known = ", ".join(sorted(registrars)) or "none"
        raise StartFailed(f"no registrar plugin is called {settings.registrar!r}; installed: {known}")
    try:
        registrar = registrars[settings.registrar].configured(settings.registrar_settings)
    except ValueError as error:
        raise StartFailed(f"the settings of registrar {settings.registrar}: {error}") from error
    try:
        terms = settings.terms()
    except BadDataFile as error:
        raise StartFailed(str(error)) from error
    runtime.on_close(registrar.close)

    def moved(project: str) -> None:
        relay.wake()
        desk.wake()
        watching.wake(project)
        noticing.wake()

    book = Book(
        database=runtime.database, outbox=runtime.outbox, clock=runtime.clock, new_id=new_id, moved=moved, terms=terms
    )
    quotas, decisions = settings.quotas(), Decisions(book)
    brands, use_cases, numbers = Brands(book, quotas), UseCases(book, quotas), Numbers(book, quotas, registrar)
    desk = Desk(
        book=book, decisions=decisions, registrar=registrar, clock=runtime.clock, poll_seconds=settings.poll_seconds
    )

    # -- who is told of moves
    watching = Watching(
        database=runtime.database,
        history=book.stores.history,
        poll_seconds=settings.watch_poll_seconds,
        most_watchers=settings.most_watchers,
    )
    box = SecretBox(settings.secret_key, service="registry10dlc", person=_PERSON)
    reach = settings.reach()
    noticing = Noticing(
        database=runtime.database,
        box=box,
        reach=reach,
        # Receivers compare the signature's time with their own clock, whatever the papers' clock says.
        clock=SystemClock(),
        chance=Chance(new_id, random.random),
        timeout_seconds=settings.notice_timeout_seconds,
        concurrency=settings.notice_concurrency,
    )
    book.listeners.append(notice_store.enqueue)
    notice_settings = NoticeSettings(
        database=runtime.database, box=box, reach=reach, clock=SystemClock(), wake=noticing.wake
    )
    transfer = Transfer(
        listing=book.every,
        create_brand=partial(brands.create, fingerprint=_IMPORTED),
        create_use_case_draft=partial(use_cases.create, fingerprint=_IMPORTED, imported=True),
    )

    async def drop_projects(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            async with runtime.database.transaction() as conn:
                if await inbox.first_seen(conn, CHANGES_CONSUMER, [delivery.id]):
                    await book.stores.registrations.drop_project(conn, delivery.project)
                    await notice_store.drop_project(conn, delivery.project)

    runtime.add_servicer(
        registry_pb2_grpc.add_RegistryServiceServicer_to_server,
        RegistryServicer(book, brands, use_cases, numbers),
        f"{_SERVICES}.RegistryService",
    )
    runtime.add_servicer(
        vetting_pb2_grpc.add_VettingServiceServicer_to_server,
        VettingServicer(book, brands),
        f"{_SERVICES}.VettingService",
    )
    runtime.add_servicer(
        toll_free_pb2_grpc.add_TollFreeServiceServicer_to_server,
        TollFreeServicer(book, TollFree(book)),
        f"{_SERVICES}.TollFreeService",
    )
    runtime.add_servicer(
        inventory_pb2_grpc.add_InventoryServiceServicer_to_server,
        InventoryServicer(numbers, terms),
        f"{_SERVICES}.InventoryService",
    )
    runtime.add_servicer(
        desk_pb2_grpc.add_DeskServiceServicer_to_server,
        DeskServicer(book, decisions, registrar),
        f"{_SERVICES}.DeskService",
    )
    runtime.add_servicer(
        launch_pb2_grpc.add_LaunchServiceServicer_to_server,
        LaunchServicer(book),
        f"{_SERVICES}.LaunchService",
    )
    runtime.add_servicer(
        watch_pb2_grpc.add_WatchServiceServicer_to_server,
        WatchServicer(watching, notice_settings),
        f"{_SERVICES}.WatchService",
    )
    runtime.add_servicer(
        papers_pb2_grpc.add_PapersServiceServicer_to_server,
        PapersServicer(transfer),
        f"{_SERVICES}.PapersService",
    )
    calls = RegistrarCalls(
        registrar=registrar,
        take=decisions.take,
        clock=runtime.clock,
        public_url=settings.public_url.rstrip("/"),
    )
    runtime.add_servicer(
        registrar_edge_pb2_grpc.add_RegistrarEdgeServiceServicer_to_server,
        RegistrarEdgeServicer(calls),
        f"{_SERVICES}.RegistrarEdgeService",
    )
    runtime.add_worker("desk", desk.run)
    runtime.add_worker("watching", watching.run, every_role=True)
    runtime.add_worker("notices", noticing.run)
    runtime.add_consumer(
        Consumer(
            runtime.bus,
            service="registry10dlc",
            stream="CHANGES",
            durable=CHANGES_CONSUMER,
            subjects=["changes.projects.*.project_deleted"],
            handler=drop_projects,
        )
    )


def main() -> None:
    """Run the service."""
    run_service(RegistrySettings, build, package="heliograph_registry10dlc", metadata=metadata)


if __name__ == "__main__":
    main()
