"""`python -m benchmarks [area ...]`: measures, prints tables with the machine, writes build/bench/<area>.json."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, shown, write
from benchmarks.machine import this_machine

AREAS = ("segments", "audience", "messaging", "templates", "mail", "smpp", "edge", "journeys", "analytics", "suite")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the areas asked for, all by default; returns 1 when one of them could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="area", help=f"one or more of {', '.join(AREAS)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of the JSON files")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.areas) - set(AREAS)):
        parser.error(f"no such area: {', '.join(unknown)}; there is {', '.join(AREAS)}")
    console, failed = Console(), False
    for area in options.areas or AREAS:
        machine = Table(show_header=False, box=None, title=f"{area}: the machine", title_justify="left")
        for row in this_machine().lines():
            machine.add_row(*row)
        console.print(machine)
        began = time.monotonic()
        try:
            figures = measure(area)
        except Exception:
            # The other areas are still worth measuring.
            traceback.print_exc()
            console.print(f"[red]{area} could not be measured[/red]")
            failed = True
            continue
        path = options.out / f"{area}.json"
        write(figures, path)
        console.print(table_of(area, figures))
        console.print(f"{path}, {time.monotonic() - began:.0f} s\n")
    return int(failed)


def measure(area: str) -> list[Figure]:
    """Run `measure()` of the area's module."""
    module = importlib.import_module(f"benchmarks.{area}")
    figures: list[Figure] = asyncio.run(module.measure())
    return figures


def table_of(area: str, figures: Sequence[Figure]) -> Table:
    """Draw the figures of one area."""
    table = Table(title=area, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("ratio", justify="right")
    table.add_column("against")
    for one in figures:
        table.add_row(one.figure, shown(one.value), one.unit, f"{one.ratio:.3g}", one.against)
    return table


if __name__ == "__main__":
    raise SystemExit(main())
