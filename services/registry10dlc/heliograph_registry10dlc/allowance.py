"""From vetting score and use case to what carriers let through: versioned tables, bundled or the operator's.

A table is of pinpoint-2 4.4: message parts a second to AT&T, of one use case, and message parts a US Pacific day to T-Mobile, of
the whole brand with all its use cases and numbers. Verizon publishes no figure and the others do not limit strictly. Vendors
publish different bands and change them: which one holds is the operator's choice (`data/README.md`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph_channels.us_carriers import Carrier
from heliograph_registry10dlc import data_files

_NAME = "allowances"


@dataclass(frozen=True)
class Allowance:
    """Message parts per second of one use case (AT&T), and message parts per US Pacific day of its brand (T-Mobile)."""

    parts_per_second: float
    messages_per_day: int


@dataclass(frozen=True)
class Band:
    """What holds from a vetting score (1 to 100) on, up to the next higher band."""

    least_score: int
    allowance: Allowance


@dataclass(frozen=True)
class UseCaseClass:
    """Use cases that carriers treat alike; none named: all that no other class names. Its bands, best first."""

    name: str
    use_cases: frozenset[str]
    bands: Sequence[Band]

    def allowance(self, score: int) -> Allowance | None:
        """Return what holds with a score (0 to 100); None: it is below every band."""
        return next((band.allowance for band in self.bands if score >= band.least_score), None)


@dataclass(frozen=True)
class AllowanceTable:
    """One version of what carriers let through."""

    version: str
    source: str
    unvetted: Allowance
    classes: Sequence[UseCaseClass]

    def class_of(self, use_case: str) -> UseCaseClass:
        """Return the class of a use case (`campaignUseCase.useCase`); of one that is not known, that of all others."""
        named = next((one for one in self.classes if use_case in one.use_cases), None)
        return named or next(one for one in self.classes if not one.use_cases)

    def allowance(self, use_case: str, score: int) -> Allowance:
        """Return what holds for a use case with a score (0 to 100). Below every band, or without one (0): as unvetted."""
        return self.class_of(use_case).allowance(score) or self.unvetted


@dataclass(frozen=True)
class Allowances:
    """All tables, the one that holds, and each carrier's share of recipients whose carrier is not known (sum 1)."""

    tables: Mapping[str, AllowanceTable]
    table: AllowanceTable
    shares: Mapping[Carrier, float]


def load_allowances(path: Path | None = None, version: str = "") -> Allowances:
    """Return the bundled tables with what an operator's file puts over them, and choose one; empty: the default.

    Raises:
        BadDataFile: the file cannot be used, or no table has the version.
    """
    data = dict(data_files.bundled(_NAME, _problems))
    tables = {entry["version"]: _table(entry) for entry in data["tables"]}
    if path is not None:
        over = data_files.of_operator(_NAME, path, _problems)
        tables |= {entry["version"]: _table(entry) for entry in over.get("tables", ())}
        data |= over
    chosen = version or data["default"]
    if chosen not in tables:
        raise data_files.BadDataFile(f"no table of allowances has the version {chosen!r}: {', '.join(sorted(tables))}")
    shares = {carrier: float(data["shares"][carrier]) for carrier in Carrier}
    return Allowances(tables, tables[chosen], shares)


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    shares = data.get("shares")
    if shares and abs(sum(shares.values()) - 1) > 1e-6:
        yield "shares must add up to 1"
    versions = [table["version"] for table in data.get("tables", ())]
    for version in sorted({version for version in versions if versions.count(version) > 1}):
        yield f"the version {version} comes more than once"
    for table in data.get("tables", ()):
        yield from (f"{table['version']}: {problem}" for problem in _problems_of_table(table))


def _problems_of_table(table: Mapping[str, Any]) -> Iterator[str]:
    classes = table["classes"]
    if sum(not one.get("use_cases") for one in classes) != 1:
        yield "exactly one class must name no use cases"
    named = [use_case for one in classes for use_case in one.get("use_cases", ())]
    for use_case in sorted({use_case for use_case in named if named.count(use_case) > 1}):
        yield f"{use_case} belongs to more than one class"
    for one in classes:
        scores = [band["least_score"] for band in one["bands"]]
        if scores != sorted(set(scores), reverse=True):
            yield f"the bands of {one['name']} must go from the highest score down, each score once"


def _table(entry: Mapping[str, Any]) -> AllowanceTable:
    return AllowanceTable(
        entry["version"],
        entry.get("source", ""),
        _allowance(entry["unvetted"]),
        tuple(
            UseCaseClass(
                one["name"],
                frozenset(one.get("use_cases", ())),
                tuple(Band(band["least_score"], _allowance(band)) for band in one["bands"]),
            )
            for one in entry["classes"]
        ),
    )


def _allowance(entry: Mapping[str, Any]) -> Allowance:
    return Allowance(entry["parts_per_second"], entry["parts_per_day"])


BUNDLED = load_allowances()
"""What holds unless the operator says otherwise."""
DEFAULT = BUNDLED.table


def allowance(use_case: str, score: int, table: AllowanceTable = DEFAULT) -> Allowance:
    """Return what carriers let through for a use case whose brand had this score (0 to 100) at its creation."""
    return table.allowance(use_case, score)
