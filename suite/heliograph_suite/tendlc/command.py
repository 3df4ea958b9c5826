"""`heliograph 10dlc status`: where registrations stand, what comes next and who must do it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import grpc
import typer

from heliograph_kit.redelivery import Backoff
from heliograph_suite.installation import DEFAULT_DIRECTORY
from heliograph_suite.tendlc import desk_command, papers_command
from heliograph_suite.tendlc.reach import AsJson, Directory, Key, Reach, Target, fail, reach_of, run
from heliograph_suite.tendlc.reading import Reading
from heliograph_suite.tendlc.timeline import Moved, Standing, as_json, move_json, move_picture, picture, plain

app = typer.Typer(no_args_is_help=True, help="Look after 10DLC registrations.")
app.add_typer(papers_command.app, name="papers")
app.add_typer(desk_command.app, name="desk")

AGAIN = Backoff(timedelta(milliseconds=200), timedelta(seconds=10))
# The service stops or sends its callers elsewhere, or the hour of a stream is over: go on behind the last move.
_GO_ON = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


@app.command()
def status(
    project: Annotated[str | None, typer.Option(help="A project id; without one all projects are shown.")] = None,
    registration: Annotated[
        str | None, typer.Option(help="Only this one, by its whole name: projects/shop/brands/0190…")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on telling what happens, until Ctrl-C.")] = False,
    as_json_: AsJson = False,
    directory: Directory = DEFAULT_DIRECTORY,
    target: Target = None,
    projects_target: Annotated[str | None, typer.Option(help="host:port of the projects service.")] = None,
    key: Key = None,
) -> None:
    """Show a timeline of each registration: its state, what comes next and who must do it, what to mend, its moves.

    With --json a list; with --json --follow a line for each registration, then a line for each move.
    """
    reach = reach_of(directory, target, key, projects_target)
    if project is None and registration is None and not reach.projects_target:
        fail("give --project, --registration, or --projects-target to see all projects")
    run(_status(reach, project, registration, follow=follow, machine=as_json_))


async def _status(reach: Reach, project: str | None, registration: str | None, *, follow: bool, machine: bool) -> None:
    async with reach.opened() as opened:
        reading = Reading(opened)
        found: list[Standing] = []
        cursors: dict[str, int] = {}
        if registration is not None:
            try:
                found, last = await reading.registration(registration)
            except ValueError as error:
                fail(str(error))
            cursors[registration.split("/")[1]] = last
        else:
            for each in [project] if project is not None else await reach.projects():
                standings, cursors[each] = await reading.project(each)
                found += standings
        _show(found, machine=machine, lines=follow)
        if follow:
            tell = _tell_machine if machine else _tell
            # No group: what a call is refused with must come out as it is.
            await asyncio.gather(
                *(_follow(reading, each, registration or "", last, tell) for each, last in cursors.items())
            )


def _show(found: list[Standing], *, machine: bool, lines: bool) -> None:
    if machine and lines:
        for standing in found:
            typer.echo(json.dumps({"registration": as_json(standing)}))
    elif machine:
        typer.echo(json.dumps([as_json(standing) for standing in found], indent=2))
    else:
        typer.echo("\n\n".join(map(picture, found)) or "there are no registrations")


async def _follow(reading: Reading, project: str, resource: str, last: int, tell: Callable[[Moved], None]) -> None:
    """Tell each move once, across ends of the stream; anything else than an end of the service's is the command's end."""
    failures = 0
    while True:
        try:
            async for move in reading.follow(project, resource, last):
                tell(move)
                last, failures = move.move_id, 0
        except grpc.aio.AioRpcError as error:
            if error.code() not in _GO_ON:
                raise
            failures += 1
            if failures == 1:
                typer.echo(f"{error.code().name}: {plain(error.details() or '')}; going on", err=True)
        await asyncio.sleep(AGAIN.delay(max(failures, 1), 1.0).total_seconds())


def _tell(move: Moved) -> None:
    typer.echo(f"\n{move_picture(move)}")


def _tell_machine(move: Moved) -> None:
    typer.echo(json.dumps({"move": move_json(move)}))
