"""How the commands reach the registry: an installation's folder, or an address and a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import grpc
import typer
from google.rpc import error_details_pb2

from heliograph.projects.v1 import projects_pb2, projects_pb2_grpc
from heliograph_kit.rpc import channel, details_of, reason_of
from heliograph_suite.installation import read_admin_key, read_state
from heliograph_suite.tendlc.timeline import plain

T = TypeVar("T")

Directory = Annotated[Path, typer.Option("--dir", help="Folder of the installation.")]
Target = Annotated[str | None, typer.Option("--target", help="host:port of the registry, instead of --dir's.")]
Key = Annotated[str | None, typer.Option("--key", envvar="HELIOGRAPH_KEY", help="An API key, instead of --dir's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@dataclass(frozen=True)
class Reach:
    """Where the registry is, and who asks. `projects_target` is empty when it is not known."""

    target: str
    key: str
    projects_target: str = ""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[grpc.aio.Channel]:
        """Open a channel to the registry."""
        async with channel(f"dns:///{self.target}", tokens=None, key=self.key) as opened:
            yield opened

    async def projects(self) -> list[str]:
        """Return the ids of all projects, in the order of the service."""
        found: list[str] = []
        async with channel(f"dns:///{self.projects_target}", tokens=None, key=self.key) as opened:
            stub: projects_pb2_grpc.ProjectServiceAsyncStub = projects_pb2_grpc.ProjectServiceStub(opened)
            token = ""
            while True:
                page = await stub.ListProjects(projects_pb2.ListProjectsRequest(page_token=token))
                found += [each.name.partition("/")[2] for each in page.projects]
                token = page.next_page_token
                if not token:
                    return found


def reach_of(directory: Path, target: str | None, key: str | None, projects_target: str | None = None) -> Reach:
    """Take what was given, and the rest from the folder; ends the command with 2 when something is missing."""
    if target is None or key is None:
        state, own_key = read_state(directory), read_admin_key(directory)
        if state is None or own_key is None:
            fail(f"nothing was started in {directory}; give --target and --key, or begin with: heliograph up")
        target = target or str(state["services"]["registry10dlc"]["target"])
        projects_target = projects_target or str(state["services"]["projects"]["target"])
        key = key or own_key
    return Reach(target, key, projects_target or "")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; a refusal is told with all its violations and ends the command with 2, Ctrl-C with 130."""
    try:
        return asyncio.run(work)
    except grpc.aio.AioRpcError as error:
        fail(words_of(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def words_of(error: grpc.aio.AioRpcError) -> str:
    """Return what a refused call says, one violation a line."""
    reason = reason_of(error)
    lines = [f"{error.code().name}{f' {reason}' if reason else ''}: {error.details()}"]
    for request in details_of(error, error_details_pb2.BadRequest):
        lines += [f"  {each.field}: {each.description}" for each in request.field_violations]
    return "\n".join(map(plain, lines))


def fail(words: str) -> NoReturn:
    """Tell what is wrong, and end the command with 2."""
    typer.echo(words, err=True)
    raise typer.Exit(2)
