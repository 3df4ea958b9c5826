"""Plays the demonstration: starts everything anew, goes through the chapters, prints the tables, writes the figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from heliograph_kit.embedded import PortTaken, ServerFailed
from heliograph_kit.rpc import reason_of
from heliograph_suite.cli import stop_on_signals
from heliograph_suite.demo import audience, campaign, journey, kpis, registration, report
from heliograph_suite.demo.stage import Clients, Stage, Stuck
from heliograph_suite.installation import Installation, supervisor_of
from heliograph_suite.supervisor import ChildState, StartFailed, Supervisor

# The journey's four days pass in about 17 seconds, the 14 days of a pending number in about 12.
JOURNEY_CLOCK_RATE = 20_000
REGISTRY_CLOCK_RATE = 100_000

_MAILBOX = "mailbox"
"""Made first of all: by it a folder is known as one that a demonstration may empty."""

Chapter = Callable[[Stage], Awaitable[None]]
CHAPTERS: tuple[tuple[str, Chapter], ...] = (
    ("Import customers and purchases", audience.load),
    ("Build segments", audience.build_segments),
    ("A/B e-mail campaign through SMTP", campaign.send),
    ("Journey, days in seconds", journey.travel),
    ("10DLC registration and SMS", registration.register),
    ("Charts", kpis.ask),
)


async def play(directory: Path, json_path: Path, *, stay: bool, console: Console) -> int:
    """Play it; returns the exit code. The folder is emptied first; everything is stopped at the end unless `stay`.

    A folder that no demonstration has filled, or one where something runs, is left as it is: the exit code is 1.
    """
    began = time.monotonic()
    stop = stop_on_signals()
    if obstacle := _obstacle(directory):
        console.print(f"[red]the demonstration begins anew in an empty folder:[/red] {obstacle}")
        return 1
    installation = _anew(directory)
    supervisor = Supervisor(installation)
    performance = asyncio.create_task(_perform(supervisor, console))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({performance, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not performance.done():
            performance.cancel()
            await asyncio.gather(performance, return_exceptions=True)
            console.print("stopped")
            return 130
        figures = await performance
        figures["seconds"] = round(time.monotonic() - began, 1)
        _write(figures, json_path)
        report.show(figures, console, json_path)
        if stay:
            console.print(f"\nadmin key: {installation.admin_key}", soft_wrap=True)
            console.print(f"everything goes on until Ctrl-C; heliograph status --dir {directory} shows it")
            await stop.wait()
    except (StartFailed, ServerFailed, PortTaken, Stuck) as error:
        console.print(f"[red]the demonstration stopped:[/red] {error}\nlogs: {installation.directory / 'logs'}")
        return 1
    except grpc.aio.AioRpcError as error:
        refusal = f"{error.code().name} {reason_of(error)}: {error.details()}"
        console.print(f"[red]a call was refused:[/red] {refusal}\nlogs: {installation.directory / 'logs'}")
        return 1
    finally:
        stopped.cancel()
        await supervisor.stop()
    return 0


async def _perform(supervisor: Supervisor, console: Console) -> dict[str, Any]:
    """Start everything and go through all chapters; returns the figures and leaves the services running."""
    installation = supervisor.installation
    async with contextlib.AsyncExitStack() as stack:
        progress = stack.enter_context(_bars(console))
        starting = progress.add_task("Start PostgreSQL, NATS and seven services", total=9)

        def changed() -> None:
            states = [*supervisor.servers.values(), *(child.state for child in supervisor.children.values())]
            progress.update(starting, completed=states.count(ChildState.READY))

        supervisor.changed = changed
        await supervisor.start()
        mailbox_directory = installation.directory / _MAILBOX
        port = await stack.enter_async_context(_mailbox(mailbox_directory))
        clients = Clients(installation, installation.admin_key)
        stack.push_async_callback(clients.close)
        stage = Stage(installation, clients, port, mailbox_directory, progress=lambda *_: None)
        for title, chapter in CHAPTERS:
            bar = progress.add_task(title, total=None)

            def moved(done: float, total: float, bar: TaskID = bar) -> None:
                progress.update(bar, completed=int(min(done, total)), total=int(total))

            stage.progress = moved
            await chapter(stage)
            total = progress.tasks[bar].total or 1
            progress.update(bar, completed=total, total=total)
        return stage.figures


def _write(figures: dict[str, Any], json_path: Path) -> None:
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(figures, indent=2) + "\n")


def _obstacle(directory: Path) -> str:
    """Return why the folder must not be emptied; "" when it may be."""
    if (pid := supervisor_of(directory)) is not None:
        return f"pid {pid} runs in {directory}; stop it first, or name another folder with --dir"
    if (
        not directory.exists()
        or (directory / _MAILBOX).is_dir()
        or (directory.is_dir() and not any(directory.iterdir()))
    ):
        return ""
    return f"{directory} holds something that no demonstration has made; name another folder with --dir"


def _anew(directory: Path) -> Installation:
    left_over = Installation(directory.absolute(), {}, {})
    left_over.nats.stop()
    left_over.postgres.remove()
    shutil.rmtree(directory, ignore_errors=True)
    origin = datetime.now(UTC).isoformat()
    installation = Installation.open(
        directory,
        free_ports=True,
        extra={
            # The purchases go back 18 months; by default events are kept for 90 days.
            "HELIOGRAPH_ANALYTICS_RETENTION_DAYS": "800",
            "HELIOGRAPH_JOURNEYS_CLOCK_RATE": str(JOURNEY_CLOCK_RATE),
            "HELIOGRAPH_JOURNEYS_CLOCK_ORIGIN": origin,
            "HELIOGRAPH_JOURNEYS_PUBLISH_DELAY_SECONDS": "0",
            "HELIOGRAPH_REGISTRY10DLC_CLOCK_RATE": str(REGISTRY_CLOCK_RATE),
            "HELIOGRAPH_REGISTRY10DLC_CLOCK_ORIGIN": origin,
            "HELIOGRAPH_REGISTRY10DLC_POLL_SECONDS": "0.2",
        },
    )
    (installation.directory / _MAILBOX).mkdir()
    return installation


@contextlib.asynccontextmanager
async def _mailbox(directory: Path) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "heliograph_suite.demo.mailbox",
        str(directory),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        if process.stdout is None:
            raise Stuck("the mailbox server has no output")
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        yield int(line.rpartition(":")[2])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description:<44}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
