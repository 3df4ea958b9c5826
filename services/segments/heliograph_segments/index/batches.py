"""Endpoints as columns, the way they enter a partition: each field with those of the batch that have a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Texts:
    """A field of texts: the endpoint at `places[n]` of the batch has `values[choices[n]]`, a list of texts.

    A value that many have needs to be named only once.
    """

    places: NDArray[np.int64]
    choices: NDArray[np.int64]
    values: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Numbers:
    """A metric: the endpoint at `places[n]` of the batch has `numbers[n]`."""

    places: NDArray[np.int64]
    numbers: NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """Endpoints of one partition, each once; fields that are not named they do not have.

    Times are microseconds since 1970; coordinates are degrees, rounded to a tenth, not a number where there are none.
    `facts` holds the members of Demographic, the channel and the country.
    """

    ordinals: NDArray[np.int64]
    last_active_us: NDArray[np.int64]
    attributes: Mapping[str, Texts]
    user_attributes: Mapping[str, Texts]
    facts: Mapping[str, Texts]
    metrics: Mapping[str, Numbers]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]


def texts_of(documents: Sequence[Mapping[str, Sequence[str]]]) -> dict[str, Texts]:
    """Return the fields of one document for each endpoint of a batch."""
    cells: dict[str, tuple[list[int], list[Sequence[str]]]] = {}
    for place, document in enumerate(documents):
        for name, values in document.items():
            cell = cells.get(name)
            if cell is None:
                cell = cells[name] = ([], [])
            cell[0].append(place)
            cell[1].append(values)
    return {
        name: Texts(np.asarray(places, np.int64), np.arange(len(places)), values)
        for name, (places, values) in cells.items()
    }


def numbers_of(documents: Sequence[Mapping[str, Any]]) -> dict[str, Numbers]:
    """Return the metrics of one document for each endpoint of a batch."""
    cells: dict[str, tuple[list[int], list[float]]] = {}
    for place, document in enumerate(documents):
        for name, number in document.items():
            cell = cells.get(name)
            if cell is None:
                cell = cells[name] = ([], [])
            cell[0].append(place)
            cell[1].append(number)
    return {
        name: Numbers(np.asarray(places, np.int64), np.asarray(numbers, np.float64))
        for name, (places, numbers) in cells.items()
    }
