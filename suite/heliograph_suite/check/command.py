"""`heliograph check`: hold an installation to its promises, from the outside."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import nats.errors
import psycopg
import typer
from rich.console import Console
from rich.table import Column, Table

from heliograph_suite.check.laws import Finding, judge
from heliograph_suite.check.reading import collect, ids_in_log
from heliograph_suite.installation import DEFAULT_DIRECTORY, Installation, read_state

console = Console()
_SHOWN = 20
_LAWS = {
    "O1": "exactly one outcome for everybody",
    "O2": "who is planned is counted",
    "O4": "no send after a stop, in quiet time or past a cap",
    "O6": "nothing of one project in another's hands",
    "O7": "nothing is stuck",
}


def check(
    project: Annotated[str, typer.Argument(help="A project id; without one all projects are looked at.")] = "",
    dsn: Annotated[
        str | None, typer.Option(envvar="HELIOGRAPH_DATABASE_URL", help="The database, instead of --dir's.")
    ] = None,
    bus: Annotated[
        str | None, typer.Option(envvar="HELIOGRAPH_NATS_URL", help="The bus; its event log is read.")
    ] = None,
    journal: Annotated[list[Path] | None, typer.Option(help="What a provider wrote down; may be given again.")] = None,
    over: Annotated[
        bool, typer.Option("--over", help="Everything is said to be done: nothing may be pending.")
    ] = False,
    in_flight: Annotated[int | None, typer.Option(help="The most messages that may be in doubt.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Folder of the installation.")] = DEFAULT_DIRECTORY,
) -> None:
    """Decide from database, providers' logs and event log whether every promise was kept; exit code 1 when not."""
    if dsn is None:
        if read_state(directory) is None:
            console.print(f"nothing was started in {directory}; give --dsn, or begin with: heliograph up")
            raise typer.Exit(2)
        installation = Installation.open(directory, free_ports=True)
        dsn, bus = installation.postgres.dsn_of("heliograph"), bus or installation.nats.url
    dsn = dsn.replace("+psycopg", "", 1)
    try:
        log_ids = asyncio.run(ids_in_log(bus)) if bus else None
        evidence = collect(dsn, project=project, journals=journal, log_ids=log_ids)
    except (psycopg.Error, OSError, nats.errors.Error) as error:
        console.print(f"[red]cannot look[/red] {error}")
        raise typer.Exit(2) from None
    findings = judge(evidence, over=over, in_flight=in_flight)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        console.print(f"{len(evidence.planned)} planned, {len(evidence.rows)} in the ledger, "
                      f"{len(evidence.letters)} messages between services")  # fmt: skip
        console.print(_table(findings))
    raise typer.Exit(1 if findings else 0)


def _table(findings: list[Finding]) -> Table:
    counts = Counter(finding.law for finding in findings)
    table = Table("law", "", Column("broken", justify="right"), Column("first", overflow="fold"))
    for law, words in _LAWS.items():
        first = next((f"{found.subject}: {found.words}" for found in findings if found.law == law), "")
        colour = "red" if counts[law] else "green"
        table.add_row(law, words, f"[{colour}]{counts[law]}[/{colour}]", first)
    return table
