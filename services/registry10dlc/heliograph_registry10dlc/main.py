"""Reads the settings, wires the registry, serves and stops."""

from __future__ import annotations

from collections.abc import Sequence

from heliograph.registry10dlc.v1 import registry_pb2_grpc
from heliograph_channels import load_registrars
from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.ids import new_id
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime, run_service
from heliograph_registry10dlc.config import RegistrySettings
from heliograph_registry10dlc.desk import Desk
from heliograph_registry10dlc.service import Registry
from heliograph_registry10dlc.servicer import RegistryServicer
from heliograph_registry10dlc.store import RegistryStore
from heliograph_registry10dlc.tables import mail, metadata

SERVICE_NAME = "heliograph.registry10dlc.v1.RegistryService"
CHANGES_CONSUMER = "registry10dlc-changes"


async def build(runtime: Runtime[RegistrySettings]) -> None:
    """Wire the parts, top to bottom."""
    settings = runtime.settings
    relay = runtime.use_mail(mail)
    store, inbox = RegistryStore(), Inbox(mail)
    registrars = load_registrars()
    if settings.registrar not in registrars:
        known = ", ".join(sorted(registrars)) or "none"
        raise LookupError(f"no registrar plugin is called {settings.registrar!r}; installed: {known}")
    registrar = registrars[settings.registrar].configured(settings.registrar_settings)

    def wake() -> None:
        relay.wake()
        desk.wake()

    registry = Registry(
        database=runtime.database,
        store=store,
        outbox=runtime.outbox,
        clock=runtime.clock,
        new_id=new_id,
        wake=wake,
    )
    desk = Desk(
        database=runtime.database,
        store=store,
        registry=registry,
        registrar=registrar,
        clock=runtime.clock,
        poll_seconds=settings.poll_seconds,
    )

    async def drop_projects(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            async with runtime.database.transaction() as conn:
                if await inbox.first_seen(conn, CHANGES_CONSUMER, [delivery.id]):
                    await store.drop_project(conn, delivery.project)

    runtime.add_servicer(
        registry_pb2_grpc.add_RegistryServiceServicer_to_server,
        RegistryServicer(registry),
        SERVICE_NAME,
    )
    runtime.add_worker("desk", desk.run)
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
