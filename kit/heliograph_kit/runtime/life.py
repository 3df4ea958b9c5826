"""One service from start to stop, inside of an event loop: what is opened is closed in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import sqlalchemy.exc
from sqlalchemy import MetaData

from heliograph_kit import migrations
from heliograph_kit.auth import InternalTokens
from heliograph_kit.bus import Bus
from heliograph_kit.database import Database
from heliograph_kit.errors import HeliographError
from heliograph_kit.readiness import failing, watch_readiness
from heliograph_kit.rpc import AddressTaken
from heliograph_kit.rpc.access import MissingAccessRule
from heliograph_kit.runtime.wiring import Build, Kind, Runtime, Server
from heliograph_kit.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)


class StartFailed(Exception):
    """The service cannot start; the text says why in plain words."""


@asynccontextmanager
async def running(
    settings: S,
    build: Build[S],
    *,
    package: str,
    metadata: MetaData | None,
    role: Kind = "all",
    uses_bus: bool = True,
) -> AsyncIterator[Runtime[S]]:
    """Run a service inside of the current event loop; it is ready inside of the block and drained at its end.

    `run_service` and in-process tests both use this. Signals, telemetry and logs are the caller's.

    Raises:
        StartFailed: a dependency does not answer in time, the port is taken, or a method has no access rule.
    """
    async with AsyncExitStack() as stack:
        database = await _open_database(settings, package, metadata)
        if database is not None:
            stack.push_async_callback(database.close)
        bus = await _open_bus(settings, stack) if uses_bus else None
        runtime = Runtime(
            settings,
            role=role,
            database=database,
            bus=bus,
            tokens=InternalTokens(settings.internal_secret.get_secret_value()),
            clock=settings.clock(),
        )
        stack.push_async_callback(runtime.close)
        await build(runtime)
        await runtime.answer_applied_here()
        try:
            server = runtime.make_server()
            runtime.address = await server.start()
        except (MissingAccessRule, AddressTaken) as error:
            raise StartFailed(str(error)) from error
        stopping = asyncio.Event()
        orderly = False
        watch = asyncio.create_task(watch_readiness(runtime.pings, server.set_ready, stopping))
        try:
            runtime.workers.start()
            await _until_ready(runtime, server)
            yield runtime
            orderly = True
        finally:
            stopping.set()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await server.set_ready(False)
            if orderly and settings.drain_seconds:
                await asyncio.sleep(settings.drain_seconds)
            # Together: a worker may wait for a call to this server and a handler for a worker.
            grace = settings.shutdown_grace_seconds
            await asyncio.gather(
                runtime.workers.stop(grace), server.stop(drain_seconds=0, grace_seconds=grace), return_exceptions=True
            )


async def _open_database(settings: ServiceSettings, package: str, metadata: MetaData | None) -> Database | None:
    if metadata is None:
        return None
    if settings.migrate_on_start:
        await migrate(settings, package, metadata)
    return Database(
        database_url(settings),
        application_name=f"heliograph-{settings.service}",
        pool_size=settings.database_pool_size,
        server_prepared=settings.database_prepared_statements,
    )


def database_url(settings: ServiceSettings) -> str:
    """Return where the service's data is.

    Raises:
        StartFailed: it was not told.
    """
    if settings.database_url is None:
        name = f"HELIOGRAPH_{settings.service.upper()}_DATABASE_URL"
        raise StartFailed(
            f"{name} (or HELIOGRAPH_DATABASE_URL) is not set, and {settings.service} keeps its data there"
        )
    return settings.database_url.get_secret_value()


async def migrate(settings: ServiceSettings, package: str, metadata: MetaData) -> None:
    """Bring the schema up to date, waiting for a database that is still starting."""
    url, schema = database_url(settings), metadata.schema
    if schema is None:
        raise StartFailed(f"the tables of {settings.service} name no schema")
    loop = asyncio.get_running_loop()
    give_up = loop.time() + settings.startup_timeout_seconds
    while True:
        try:
            return await asyncio.to_thread(migrations.upgrade, url, package=package, schema=schema)
        except sqlalchemy.exc.OperationalError as error:
            if loop.time() > give_up:
                raise StartFailed(f"the database does not answer: {error.orig}") from error
        await asyncio.sleep(0.5)


async def _open_bus(settings: ServiceSettings, stack: AsyncExitStack) -> Bus:
    try:
        bus = await stack.enter_async_context(
            Bus.connect(
                settings.nats_url, name=settings.service, replicas=settings.nats_replicas, clock=settings.clock()
            )
        )
        await bus.ensure_streams()
    except HeliographError as error:
        raise StartFailed(error.message) from error
    return bus


async def _until_ready(runtime: Runtime[Any], server: Server) -> None:
    try:
        async with asyncio.timeout(runtime.settings.startup_timeout_seconds):
            while not server.ready:
                await asyncio.sleep(0.02)
    except TimeoutError:
        troubles = await failing(runtime.pings)
        said = "; ".join(f"{name}: {trouble}" for name, trouble in troubles.items()) or "nothing says why"
        raise StartFailed(f"not ready in {runtime.settings.startup_timeout_seconds:g} s: {said}") from None
