"""The `heliograph` command."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from heliograph_kit.embedded import PortTaken, ServerFailed
from heliograph_suite import audience
from heliograph_suite.check.command import check
from heliograph_suite.installation import DEFAULT_DIRECTORY, Installation, PortsTaken, read_state
from heliograph_suite.supervisor import ChildState, StartFailed, Supervisor
from heliograph_suite.tendlc import command as tendlc

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
app.add_typer(audience.app, name="audience")
app.add_typer(tendlc.app, name="10dlc")
app.command()(check)
console = Console()

Directory = Annotated[Path, typer.Option("--dir", help="Folder of the installation.")]
FreePorts = Annotated[bool, typer.Option("--free-ports", help="Take free ports instead of 7101 to 7107 and 7180.")]

_COLOURS = {
    ChildState.READY: "green",
    ChildState.STARTING: "yellow",
    ChildState.CRASHED: "red",
}


@app.command()
def up(directory: Directory = DEFAULT_DIRECTORY, free_ports: FreePorts = False) -> None:
    """Start PostgreSQL, NATS and all services; Ctrl-C stops them."""
    raise typer.Exit(asyncio.run(_up(directory, free_ports)))


@app.command()
def status(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Show what runs; the exit code is 0 when everything does."""
    state = read_state(directory)
    if state is None:
        console.print(f"nothing was started in {directory}; begin with: heliograph up")
        raise typer.Exit(1)
    alive = psutil.pid_exists(state["pid"])
    table = Table("part", "state", "address", "restarts", Column("log", overflow="fold"))
    for name, server in state["servers"].items():
        table.add_row(name, _coloured(server if alive else ChildState.STOPPED), "", "", "")
    for name, child in state["services"].items():
        runs = alive and child["pid"] is not None and psutil.pid_exists(child["pid"])
        shown = child["state"] if runs else ChildState.STOPPED
        table.add_row(name, _coloured(shown), child["target"], str(child["restarts"]), child["log"])
    console.print(table)
    well = alive and all(child["state"] == ChildState.READY for child in state["services"].values())
    raise typer.Exit(0 if well else 1)


@app.command()
def demo(
    directory: Directory = DEFAULT_DIRECTORY / "demo",
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures are written.")] = Path("build/demo.json"),
    stay: Annotated[bool, typer.Option("--stay", help="Leave everything running at the end, until Ctrl-C.")] = False,
) -> None:
    """Do the main job on 69,659 real purchases, from an import to a chart; everything begins anew."""
    # Imported here: the other commands need none of it.
    from heliograph_suite.demo.play import play

    raise typer.Exit(asyncio.run(play(directory, json_path, stay=stay, console=console)))


async def _up(directory: Path, free_ports: bool) -> int:
    try:
        installation = Installation.open(directory, free_ports=free_ports)
    except PortsTaken as error:
        console.print(f"[red]cannot start[/red]\n{error}")
        return 1
    stop = stop_on_signals()
    live = Live(console=console, auto_refresh=False)
    supervisor = Supervisor(installation, changed=lambda: live.update(picture(supervisor), refresh=True))
    with live:
        try:
            starting = asyncio.create_task(supervisor.start())
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                return 0
            await starting
            # Not wrapped: a key that is broken over two lines is copied as no key.
            console.print(f"admin key: {installation.admin_key}", soft_wrap=True)
            console.print("Ctrl-C stops everything; `heliograph status` shows it from elsewhere")
            await stop.wait()
        except (StartFailed, ServerFailed, PortTaken) as error:
            console.print(f"[red]cannot start[/red] {error}")
            return 1
        finally:
            console.print(f"{datetime.now(UTC):%H:%M:%S} stopping")
            await supervisor.stop()
    return 0


def stop_on_signals() -> asyncio.Event:
    """Return an event that is set by Ctrl-C, SIGTERM, or the terminal being closed (unless started with nohup)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    return stop


def picture(supervisor: Supervisor) -> Table:
    """Draw what every part is doing."""
    table = Table("part", "state", "address", "ready after", "restarts")
    for name, state in supervisor.servers.items():
        table.add_row(name, _coloured(state), "", "", "")
    for child in supervisor.children.values():
        took = f"{child.ready_seconds:.1f} s" if child.ready_seconds else ""
        target = supervisor.installation.target(child.name)
        table.add_row(child.name, _coloured(child.state), target, took, str(child.restarts or ""))
    return table


def _coloured(state: str) -> str:
    colour = _COLOURS.get(ChildState(state), "white")
    return f"[{colour}]{state}[/{colour}]"


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
