"""Comparing two partitions: column by column, a whole partition in about a second, in steps of some milliseconds.

Codes of two columns mean different texts; those of one are translated to those of the other, and then compared as numbers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from heliograph_segments.index.bitmaps import of_numbers, positions_of
from heliograph_segments.index.columns import NOWHERE, NumberColumn, TextColumn
from heliograph_segments.index.partition import Partition

Positions = NDArray[np.int64]
Steps = Generator[None, None, BitMap]


def differing(mine: Partition, theirs: Partition) -> Steps:
    """Return the positions at which two partitions differ; a generator that yields between its steps.

    `mine` may be written to between two steps: of positions written to meanwhile nothing is promised, and the others are
    told truly. `theirs` stands still.
    """
    found = mine.alive ^ theirs.alive
    where = positions_of(mine.alive & theirs.alive)
    for held, wanted, absent in _numbers(mine, theirs):
        yield
        differs = _at(held, where, absent) != _at(wanted, where, absent)
        found |= of_numbers(where[differs])
    for name in {*mine.metrics, *theirs.metrics}:
        yield
        ours, right = (_at(_metric(each, name), where, np.nan) for each in (mine, theirs))
        found |= of_numbers(where[(ours != right) & ~(np.isnan(ours) & np.isnan(right))])
    for columns, others in zip(_texts(mine), _texts(theirs), strict=True):
        for name in {*columns, *others}:
            yield
            found |= yield from _texts_differing(columns.get(name), others.get(name), where)
    return found


def difference(mine: Partition, theirs: Partition, position: int) -> str:
    """Say in words how two partitions differ in one endpoint."""
    ordinal = mine.first + position
    if position not in theirs.alive:
        return f"endpoint {ordinal} is not in the record"
    if position not in mine.alive:
        return f"endpoint {ordinal} is not in the index"
    ours, right = mine.row(position)._asdict(), theirs.row(position)._asdict()
    parts = [f"{name} is {ours[name]!r}, recorded is {right[name]!r}" for name in ours if ours[name] != right[name]]
    return f"endpoint {ordinal}: {'; '.join(parts)}"


def _numbers(mine: Partition, theirs: Partition) -> Iterator[tuple[NDArray[Any], NDArray[Any], int]]:
    yield mine.last_active, theirs.last_active, 0
    yield mine.places.latitudes, theirs.places.latitudes, int(NOWHERE)
    yield mine.places.longitudes, theirs.places.longitudes, int(NOWHERE)


def _metric(partition: Partition, name: str) -> NDArray[Any]:
    column = partition.metrics.get(name)
    return column.numbers if column is not None else NumberColumn(0).numbers


def _texts(partition: Partition) -> tuple[Mapping[str, TextColumn], ...]:
    return partition.attributes, partition.user_attributes, partition.facts


def _texts_differing(mine: TextColumn | None, theirs: TextColumn | None, where: Positions) -> Steps:
    ours, right = mine or TextColumn(0), theirs or TextColumn(0)
    translation = yield from ours.codes_in(right)
    held = _at(ours.codes, where, 0).astype(np.int64)
    yield
    # A code that was given while the translation was made belongs to a position that was written to meanwhile.
    known = held < len(translation)
    translated = np.where(known, translation[np.where(known, held, 0)], -1)
    yield
    return of_numbers(where[translated != _at(right.codes, where, 0)])


def _at(numbers: NDArray[Any], where: Positions, absent: float) -> NDArray[Any]:
    """Return the numbers at positions; columns may be shorter than their partition."""
    if not len(where) or len(numbers) > where[-1]:
        return numbers[where]
    held = np.full(len(where), absent, numbers.dtype)
    inside = where < len(numbers)
    held[inside] = numbers[where[inside]]
    return held
