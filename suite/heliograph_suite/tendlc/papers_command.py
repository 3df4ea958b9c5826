"""`heliograph 10dlc papers`: registrations out of a project and into another one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from heliograph.registry10dlc.v1 import papers_pb2, papers_pb2_grpc
from heliograph_suite.installation import DEFAULT_DIRECTORY
from heliograph_suite.tendlc.reach import AsJson, Directory, Key, Reach, Target, fail, reach_of, run
from heliograph_suite.tendlc.timeline import plain

app = typer.Typer(no_args_is_help=True, help="Carry papers from one installation to another.")
Project = Annotated[str, typer.Option(help="The project id.")]
# An import of a thousand papers writes a thousand rows.
_SECONDS = 120


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Where the document is written; - is standard output.")],
    project: Project,
    directory: Directory = DEFAULT_DIRECTORY,
    target: Target = None,
    key: Key = None,
) -> None:
    """Write brands, use cases and toll-free registrations as a JSON document. Numbers and decisions are not in it."""
    document = run(_export(reach_of(directory, target, key), project))
    if str(file) == "-":
        sys.stdout.buffer.write(document)
        return
    try:
        file.write_bytes(document)
    except OSError as error:
        fail(f"cannot write: {error}")
    typer.echo(f"{len(document):,} bytes in {file}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The document; - is standard input.")],
    project: Project,
    as_json: AsJson = False,
    directory: Directory = DEFAULT_DIRECTORY,
    target: Target = None,
    key: Key = None,
) -> None:
    """Create drafts from a document; all that is wrong is told, and nothing created then. Safe to repeat."""
    try:
        document = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        fail(f"cannot read: {error}")
    imported = run(_import(reach_of(directory, target, key), project, document))
    if as_json:
        lists = {
            "brands": list(imported.brands),
            "use_cases": list(imported.use_cases),
            "left_out": list(imported.left_out),
        }
        typer.echo(json.dumps(lists, indent=2))
        return
    typer.echo(f"created as drafts: brands {len(imported.brands)}, use cases {len(imported.use_cases)}")
    for name in [*imported.brands, *imported.use_cases]:
        typer.echo(f"  {plain(name)}")
    for words in imported.left_out:
        typer.echo(f"left out: {plain(words)}")


async def _export(reach: Reach, project: str) -> bytes:
    async with reach.opened() as opened:
        stub: papers_pb2_grpc.PapersServiceAsyncStub = papers_pb2_grpc.PapersServiceStub(opened)
        request = papers_pb2.ExportPapersRequest(parent=f"projects/{project}")
        return (await stub.ExportPapers(request, timeout=_SECONDS)).document


async def _import(reach: Reach, project: str, document: bytes) -> papers_pb2.ImportPapersResponse:
    async with reach.opened() as opened:
        stub: papers_pb2_grpc.PapersServiceAsyncStub = papers_pb2_grpc.PapersServiceStub(opened)
        request = papers_pb2.ImportPapersRequest(parent=f"projects/{project}", document=document)
        return await stub.ImportPapers(request, timeout=_SECONDS)
