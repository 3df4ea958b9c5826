"""One partition of the audience: 2^20 ordinals and everything a segment may ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from heliograph_segments.index.bitmaps import positions_of
from heliograph_segments.index.clauses import Condition
from heliograph_segments.index.columns import NumberColumn, Places, TextColumn
from heliograph_segments.index.results import Result, Results

PARTITION_BITS = 20
PARTITION_SIZE = 1 << PARTITION_BITS
_FIRST_CAPACITY = 1024

# The channel and the country are single texts, kept beside the members of Demographic.
CHANNEL, COUNTRY = "ChannelType", "Country"


class Row(NamedTuple):
    """What the index wants of an endpoint: times in microseconds since 1970, names and values as in `Endpoint`."""

    ordinal: int
    channel: str
    last_active_us: int
    attributes: Mapping[str, Sequence[str]]
    user_attributes: Mapping[str, Sequence[str]]
    metrics: Mapping[str, float]
    demographic: Mapping[str, str]
    location: Mapping[str, Any]


class Partition:
    """The endpoints with ordinals from `number << 20` on. Inside, positions count from 0."""

    def __init__(self, number: int) -> None:
        """Begin empty."""
        self.number = number
        self.capacity = _FIRST_CAPACITY
        self.alive = BitMap()
        self.attributes: dict[str, TextColumn] = {}
        self.user_attributes: dict[str, TextColumn] = {}
        self.facts: dict[str, TextColumn] = {}
        self.metrics: dict[str, NumberColumn] = {}
        self.places = Places(self.capacity)
        self.last_active: NDArray[np.int64] = np.zeros(self.capacity, np.int64)
        self.results = Results()

    def __len__(self) -> int:
        """Return how many endpoints there are."""
        return len(self.alive)

    @property
    def first(self) -> int:
        """The ordinal of position 0."""
        return self.number << PARTITION_BITS

    @property
    def nbytes(self) -> int:
        """Roughly how much memory is taken."""
        columns: list[TextColumn | NumberColumn] = [*self._texts(), *self.metrics.values()]
        fixed = self.last_active.nbytes + self.places.latitudes.nbytes * 2
        return fixed + sum(column.nbytes for column in columns) + self.results.nbytes

    def put(self, rows: Sequence[Row]) -> None:
        """Add endpoints, or replace what is held of them."""
        if not rows:
            return
        positions = [row.ordinal - self.first for row in rows]
        self._reserve(max(positions) + 1)
        where = np.asarray(positions, np.int64)
        touched = BitMap(positions)
        if touched.intersect(self.alive):
            self._wipe(where)
        self.last_active[where] = [row.last_active_us for row in rows]
        self._put_texts(self.attributes, positions, (row.attributes for row in rows))
        self._put_texts(self.user_attributes, positions, (row.user_attributes for row in rows))
        facts = ({**_singles(row.demographic), **_fact(CHANNEL, row.channel)} for row in rows)
        self._put_texts(self.facts, positions, facts)
        countries = (_singles({COUNTRY: row.location["Country"]}) if "Country" in row.location else {} for row in rows)
        self._put_texts(self.facts, positions, countries)
        self._put_metrics(positions, rows)
        for position, row in zip(positions, rows, strict=True):
            if "Latitude" in row.location:
                self.places.put(position, row.location)
        self.alive |= touched
        self._changed(touched)

    def remove(self, ordinals: Iterable[int]) -> None:
        """Forget endpoints; unknown ones are passed over."""
        gone = BitMap(ordinal - self.first for ordinal in ordinals) & self.alive
        if gone:
            self._wipe(positions_of(gone))
            self.alive -= gone
            self._changed(gone)

    def keep(self, condition: Condition, found: BitMap) -> None:
        """Keep the result of a condition over the whole partition."""
        self.results.keep(condition, found)

    def kept(self, condition: Condition) -> Result | None:
        """Return the kept result of a condition."""
        return self.results.kept(condition)

    def row(self, position: int) -> Row:
        """Return what is held of an endpoint. Slow: for comparisons."""
        latitude, longitude = (int(self.places.latitudes[position]), int(self.places.longitudes[position]))
        texts = {name: held[0] for name, column in self.facts.items() if (held := column.values(position))}
        located = {"Latitude": latitude / 10, "Longitude": longitude / 10} if latitude > -1000 else {}
        country = {"Country": texts.pop(COUNTRY)} if COUNTRY in texts else {}
        return Row(
            ordinal=self.first + position,
            channel=texts.pop(CHANNEL, ""),
            last_active_us=int(self.last_active[position]),
            attributes={name: held for name, column in self.attributes.items() if (held := column.values(position))},
            user_attributes={
                name: held for name, column in self.user_attributes.items() if (held := column.values(position))
            },
            metrics={
                name: float(column.numbers[position])
                for name, column in self.metrics.items()
                if not np.isnan(column.numbers[position])
            },
            demographic=texts,
            location={**country, **located},
        )

    def _texts(self) -> list[TextColumn]:
        return [*self.attributes.values(), *self.user_attributes.values(), *self.facts.values()]

    def _reserve(self, size: int) -> None:
        if size <= self.capacity:
            return
        while self.capacity < size:
            self.capacity = min(2 * self.capacity, PARTITION_SIZE)
        for text in self._texts():
            text.grow(self.capacity)
        for metric in self.metrics.values():
            metric.grow(self.capacity)
        self.places.grow(self.capacity)
        last_active = np.zeros(self.capacity, np.int64)
        last_active[: len(self.last_active)] = self.last_active
        self.last_active = last_active

    def _put_texts(
        self,
        columns: dict[str, TextColumn],
        positions: Sequence[int],
        documents: Iterable[Mapping[str, Sequence[str]]],
    ) -> None:
        cells: dict[str, tuple[list[int], list[int]]] = {}
        for position, document in zip(positions, documents, strict=True):
            for name, values in document.items():
                column = columns.get(name)
                if column is None:
                    column = columns[name] = TextColumn(self.capacity)
                cell = cells.get(name)
                if cell is None:
                    cell = cells[name] = ([], [])
                cell[0].append(position)
                cell[1].append(column.code(values))
        for name, (places, codes) in cells.items():
            columns[name].put(places, codes)

    def _put_metrics(self, positions: Sequence[int], rows: Sequence[Row]) -> None:
        cells: dict[str, tuple[list[int], list[float]]] = {}
        for position, row in zip(positions, rows, strict=True):
            for name, value in row.metrics.items():
                cell = cells.setdefault(name, ([], []))
                cell[0].append(position)
                cell[1].append(value)
        for name, (places, values) in cells.items():
            if name not in self.metrics:
                self.metrics[name] = NumberColumn(self.capacity)
            self.metrics[name].numbers[places] = values

    def _wipe(self, where: NDArray[np.int64]) -> None:
        for text in self._texts():
            text.clear(where)
        for metric in self.metrics.values():
            metric.numbers[where] = np.nan
        self.places.latitudes[where] = self.places.longitudes[where] = -32768

    def _changed(self, touched: BitMap) -> None:
        """Note in every kept result who must be looked at again."""
        self.results.touch(touched, len(self.alive))


def _singles(facts: Mapping[str, str]) -> dict[str, Sequence[str]]:
    return {name: (text,) for name, text in facts.items()}


def _fact(name: str, text: str | None) -> dict[str, Sequence[str]]:
    return {name: (text,)} if text else {}
