"""The console command of a service: arguments, exit codes, signals, and one line when it is ready."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import MetaData

from heliograph_kit.runtime.life import StartFailed, database_url, migrate, running
from heliograph_kit.runtime.wiring import Build, Kind
from heliograph_kit.settings import ServiceSettings, SettingsError, load_settings
from heliograph_kit.telemetry import setup_telemetry

log = logging.getLogger(__name__)

S = TypeVar("S", bound=ServiceSettings)

# How many more containers may be made than dropped before young ones are looked through: a thousand rows in the making.
_YOUNG_OBJECTS = 50_000


def run_service(
    settings_cls: type[S],
    build: Build[S],
    *,
    package: str,
    metadata: MetaData | None,
    uses_bus: bool = True,
    arguments: Sequence[str] | None = None,
) -> None:
    """Be the console command of a service.

    Exit code 0 after an orderly stop, 1 when the service cannot start or fails, 2 when arguments or settings are wrong.
    Standard output gets one line, `<service> ready on <host:port>`; everything else goes to standard error.

    Args:
        settings_cls: the settings of the service.
        build: wires the service.
        package: import package of the service, whose `migrations.versions` hold its migrations.
        metadata: the service's tables; None for a service without a database.
        uses_bus: False for a service that must answer also while the bus is away, and has no use for it.
        arguments: the command line, by default the process's own.
    """
    options = _parser(settings_cls.service).parse_args(arguments)
    try:
        settings = load_settings(settings_cls)
        if metadata is not None:
            database_url(settings)
    except (SettingsError, StartFailed) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    if options.check_settings:
        print(f"the settings of {settings.service} are complete")
        return
    telemetry = setup_telemetry(
        settings.service,
        log_level=settings.log_level,
        log_format=settings.log_format,
        trace_ratio=settings.trace_ratio,
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            if options.migrate_only:
                runner.run(_migrate_only(settings, package, metadata))
            else:
                runner.run(_serve(settings, build, package, metadata, options.role, uses_bus))
    except Exception as error:
        log.exception("%s failed", settings.service)
        print(f"{settings.service} cannot run: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        telemetry.flush()


async def _migrate_only(settings: ServiceSettings, package: str, metadata: MetaData | None) -> None:
    if metadata is not None:
        await migrate(settings, package, metadata)
    log.info("schema is up to date")


async def _serve(
    settings: S, build: Build[S], package: str, metadata: MetaData | None, role: Kind, uses_bus: bool
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked(received: signal.Signals) -> None:
        log.info("stopping", extra={"signal": received.name})
        stop.set()
        # The second signal means now: it finds the default action again.
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)

    for each in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # no such thing on Windows; Ctrl-C raises KeyboardInterrupt there
            loop.add_signal_handler(each, asked, each)
    ready = asyncio.Event()
    service = asyncio.create_task(_run_until(stop, ready, settings, build, package, metadata, role, uses_bus))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((service, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if ready.is_set() or service.done():
        await service
    else:
        # Still starting, perhaps waiting for a database that never comes: nothing to drain.
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)


async def _run_until(
    stop: asyncio.Event,
    ready: asyncio.Event,
    settings: S,
    build: Build[S],
    package: str,
    metadata: MetaData | None,
    role: Kind,
    uses_bus: bool,
) -> None:
    async with running(settings, build, package=package, metadata=metadata, role=role, uses_bus=uses_bus) as runtime:
        ready.set()
        _settle()
        print(f"{settings.service} ready on {runtime.address}", flush=True)
        await stop.wait()
    log.info("stopped")


def _settle() -> None:
    """Take what was loaded at the start out of the garbage collector's rounds, and let it go round less often.

    A row that is parsed makes tens of lists and dicts, none of which outlives its portion. With the defaults they set off
    rounds through everything a service has loaded, 65 ms each, in which nothing else happens.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


def _parser(service: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"heliograph-{service}", description=f"The Heliograph service {service}.")
    parser.add_argument(
        "--role", choices=("all", "api", "worker"), default="all", help="answer calls, do the background work, or both"
    )
    parser.add_argument("--migrate-only", action="store_true", help="bring the database schema up to date and end")
    parser.add_argument("--check-settings", action="store_true", help="read the settings, say what is wrong, and end")
    return parser
