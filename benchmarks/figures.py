"""The shape of every figure: what was measured, and its ratio to the bare parts measured in the same run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One figure.

    `ratio` is value / bare, in the unit of the figure: of a rate more is better, of a time or of memory less is.
    `against` says what the bare part was and what it reached, and the design's target where it names one.
    """

    figure: str
    value: float
    unit: str
    ratio: float
    against: str


def figure(name: str, value: float, unit: str, *, bare: float, against: str, target: str = "") -> Figure:
    """Return a figure held against a bare part that reached `bare`, in the same unit."""
    words = f"{against}: {shown(bare)} {unit}" + (f"; target {target}" if target else "")
    return Figure(name, _rounded(value), unit, _rounded(value / bare), words)


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures of one area as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in figures], indent=2) + "\n", encoding="utf-8")


def shown(value: float) -> str:
    """Return a number as people read it: three digits, and thousands in groups."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0..1) of all values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a percentile needs at least one value")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _rounded(value: float) -> float:
    # Three significant digits: more would only be the noise of a shared machine.
    return float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))
