"""One partition of the audience: 2^20 ordinals and everything a segment may ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from heliograph_segments.domain.endpoints import rounded
from heliograph_segments.index.batches import Batch, numbers_of, texts_of
from heliograph_segments.index.bitmaps import of_numbers, positions_of
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
        if rows:
            self.put_batch(_batch(rows))

    def put_batch(self, batch: Batch) -> None:
        """Add endpoints that come as columns, or replace what is held of them."""
        where = batch.ordinals - self.first
        self._reserve(int(where.max()) + 1)
        touched = of_numbers(where)
        if touched.intersect(self.alive):
            self._wipe(where)
        self.last_active[where] = batch.last_active_us
        for columns, given in (
            (self.attributes, batch.attributes),
            (self.user_attributes, batch.user_attributes),
            (self.facts, batch.facts),
        ):
            for name, texts in given.items():
                column = columns.get(name)
                if column is None:
                    column = columns[name] = TextColumn(self.capacity)
                column.put(where[texts.places], texts.values, texts.choices)
        for name, numbers in batch.metrics.items():
            if name not in self.metrics:
                self.metrics[name] = NumberColumn(self.capacity)
            self.metrics[name].numbers[where[numbers.places]] = numbers.numbers
        self.places.put(where, batch.latitudes, batch.longitudes)
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

    def _wipe(self, where: NDArray[np.int64]) -> None:
        for text in self._texts():
            text.clear(where)
        for metric in self.metrics.values():
            metric.numbers[where] = np.nan
        self.places.latitudes[where] = self.places.longitudes[where] = -32768

    def _changed(self, touched: BitMap) -> None:
        """Note in every kept result who must be looked at again."""
        self.results.touch(touched, len(self.alive))


def _batch(rows: Sequence[Row]) -> Batch:
    """Return rows as columns."""
    coordinates = np.asarray([_coordinates(row.location) for row in rows], np.float64)
    return Batch(
        ordinals=np.asarray([row.ordinal for row in rows], np.int64),
        last_active_us=np.asarray([row.last_active_us for row in rows], np.int64),
        attributes=texts_of([row.attributes for row in rows]),
        user_attributes=texts_of([row.user_attributes for row in rows]),
        facts=texts_of([_facts(row) for row in rows]),
        metrics=numbers_of([row.metrics for row in rows]),
        latitudes=coordinates[:, 0],
        longitudes=coordinates[:, 1],
    )


def _facts(row: Row) -> dict[str, Sequence[str]]:
    facts: dict[str, Sequence[str]] = {name: (text,) for name, text in row.demographic.items()}
    if row.channel:
        facts[CHANNEL] = (row.channel,)
    if "Country" in row.location:
        facts[COUNTRY] = (row.location["Country"],)
    return facts


def _coordinates(location: Mapping[str, Any]) -> tuple[float, float]:
    latitude, longitude = location.get("Latitude"), location.get("Longitude")
    if latitude is None or longitude is None:
        return np.nan, np.nan
    return rounded(latitude), rounded(longitude)
