"""`heliograph audience verify`: does the index of every replica hold what the record holds?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.table import Table

from heliograph.projects.v1 import projects_pb2, projects_pb2_grpc
from heliograph.segments.v1 import audience_pb2, audience_pb2_grpc
from heliograph_kit.rpc import channel
from heliograph_suite.installation import DEFAULT_DIRECTORY, read_admin_key, read_state

app = typer.Typer(no_args_is_help=True, help="Look after audiences.")
console = Console()


@app.callback()
def _group() -> None:
    """Keep `verify` a command of its own name."""


@app.command()
def verify(
    project: Annotated[str | None, typer.Argument(help="A project id; without one all projects are compared.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Build again what differs.")] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Folder of the installation.")] = DEFAULT_DIRECTORY,
    target: Annotated[str | None, typer.Option(help="host:port of one segments service, instead of --dir.")] = None,
    projects_target: Annotated[str | None, typer.Option(help="host:port of the projects service.")] = None,
    key: Annotated[str | None, typer.Option(envvar="HELIOGRAPH_KEY", help="An admin key, instead of --dir's.")] = None,
) -> None:
    """Compare the audience index with the record, endpoint by endpoint; the exit code is 1 when they differ."""
    if target is None or key is None:
        state, own_key = read_state(directory), read_admin_key(directory)
        if state is None or own_key is None:
            console.print(f"nothing was started in {directory}; give --target and --key, or begin with: heliograph up")
            raise typer.Exit(2)
        target = target or state["services"]["segments"]["target"]
        projects_target = projects_target or state["services"]["projects"]["target"]
        key = key or own_key
    if project is None and projects_target is None:
        console.print("give a project, or --projects-target to compare all of them")
        raise typer.Exit(2)
    try:
        differing = asyncio.run(_verify(target, projects_target, key, project, repair=repair))
    except grpc.aio.AioRpcError as error:
        console.print(f"[red]{error.code().name}[/red] {error.details()}")
        raise typer.Exit(2) from None
    raise typer.Exit(1 if differing else 0)


async def _verify(target: str, projects_target: str | None, key: str, project: str | None, *, repair: bool) -> int:
    asked = [project] if project is not None else await _all_projects(projects_target or "", key)
    table = Table("project", "partition", "endpoints", "differences", "changed meanwhile", "")
    differing = 0
    opened = channel(f"dns:///{target}", tokens=None, key=key)
    try:
        audience: audience_pb2_grpc.AudienceServiceAsyncStub = audience_pb2_grpc.AudienceServiceStub(opened)
        for id in asked:
            request = audience_pb2.VerifyAudienceRequest(project=f"projects/{id}", repair=repair)
            async for found in audience.VerifyAudience(request, timeout=3600):
                differing += found.difference_count
                table.add_row(id, *_cells(found))
                for words in found.differences:
                    table.add_row("", "", "", "", "", words)
    finally:
        await opened.close(None)
    console.print(table)
    console.print("no difference" if not differing else f"[red]{differing} endpoints differ[/red]")
    return differing


def _cells(found: audience_pb2.VerifiedPartition) -> tuple[str, ...]:
    if not found.loaded:
        return ("", "", "", "", "no index in memory: too large, or turned off")
    words = "built again" if found.repaired else ""
    numbers = (found.partition, found.endpoint_count, found.difference_count, found.skipped_count)
    return (*map(str, numbers), words)


async def _all_projects(target: str, key: str) -> list[str]:
    opened = channel(f"dns:///{target}", tokens=None, key=key)
    try:
        projects: projects_pb2_grpc.ProjectServiceAsyncStub = projects_pb2_grpc.ProjectServiceStub(opened)
        found: list[str] = []
        token = ""
        while True:
            page = await projects.ListProjects(projects_pb2.ListProjectsRequest(page_token=token))
            found += [each.name.partition("/")[2] for each in page.projects]
            token = page.next_page_token
            if not token:
                return found
    finally:
        await opened.close(None)
