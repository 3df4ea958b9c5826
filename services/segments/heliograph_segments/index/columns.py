"""Columns of one partition: texts as codes, numbers as arrays. Positions are ordinals without their high bits."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliograph_segments.domain.endpoints import rounded
from heliograph_segments.domain.instants import instant_of
from heliograph_segments.index.dictionary import Dictionary

Arrays = dict[str, NDArray[Any]]
_WIDTHS = (np.uint8, np.uint16, np.uint32)
NOWHERE = np.int16(-32768)
NO_INSTANT = -(2**63)
_PARSED_AT_ONCE = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TextColumn:
    """The values of one field. An endpoint has none (code 0), one, or a list of them.

    A single value has twice the code of its text; a list has an odd code, twice the number of the list and one: two
    endpoints with the same list share it. Codes take one, two or four bytes, as many as the greatest one needs.
    """

    def __init__(self, capacity: int) -> None:
        """Begin with nobody having a value."""
        self.texts = Dictionary()
        self.codes: NDArray[Any] = np.zeros(capacity, np.uint8)
        # Lists of text codes, and the number of each.
        self._lists: list[tuple[int, ...]] = []
        self._numbers: dict[tuple[int, ...], int] = {}
        # The texts as instants, as far as they were needed: microseconds since 1970, `NO_INSTANT` for other texts.
        self._instants: NDArray[np.int64] = np.zeros(0, np.int64)

    @property
    def nbytes(self) -> int:
        """Roughly how much memory is taken."""
        return self.codes.nbytes + self.texts.nbytes + self._instants.nbytes + 250 * len(self._lists)

    @property
    def has_lists(self) -> bool:
        """Whether some endpoint has, or had, more than one value."""
        return bool(self._lists)

    def grow(self, capacity: int) -> None:
        """Make room for positions below `capacity`."""
        self.codes = _grown(self.codes, capacity, 0)

    def code(self, values: Sequence[str]) -> int:
        """Return the code of what an endpoint has."""
        if len(values) == 1:
            return 2 * self.texts.code(values[0])
        if not values:
            return 0
        key = tuple(map(self.texts.code, values))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._lists)
            self._lists.append(key)
        return 2 * number + 1

    def put(self, positions: Sequence[int], codes: Sequence[int]) -> None:
        """Set the codes at positions."""
        if not codes:
            return
        greatest = max(codes)
        if greatest > np.iinfo(self.codes.dtype).max:
            fitting = next(width for width in _WIDTHS if greatest <= np.iinfo(width).max)
            self.codes = self.codes.astype(fitting)
        self.codes[positions] = codes

    def clear(self, positions: NDArray[np.int64]) -> None:
        """Take away the values at positions."""
        self.codes[positions] = 0

    def values(self, position: int) -> list[str]:
        """Return what an endpoint has, in its order."""
        return self.values_of(int(self.codes[position]))

    def values_of(self, code: int) -> list[str]:
        """Return what endpoints of a code have, in their order."""
        if not code:
            return []
        if code % 2:
            return [self.texts.text(each) for each in self._lists[code // 2]]
        return [self.texts.text(code // 2)]

    def table(self, wanted: Iterable[int]) -> NDArray[np.bool_]:
        """Return for every code whether one of the wanted text codes is in it."""
        chosen = np.zeros(len(self.texts) + 1, np.bool_)
        chosen[list(wanted)] = True
        chosen[0] = False
        table = np.zeros(max(2 * len(chosen), 2 * len(self._lists) + 2), np.bool_)
        table[0 : 2 * len(chosen) : 2] = chosen
        if self._lists:
            flat = np.fromiter(chain.from_iterable(self._lists), np.int64)
            lengths = np.fromiter(map(len, self._lists), np.int64, len(self._lists))
            begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
            table[1 : 2 * len(self._lists) : 2] = np.logical_or.reduceat(chosen[flat], begins)
        return table

    def instants(self) -> Generator[None, None, NDArray[np.int64]]:
        """Return the instant of every text by its code less one, in steps; texts are parsed once."""
        known = len(self._instants)
        missing = iter(self.texts.texts(known))
        parsed: list[int] = []
        while portion := list(islice(missing, _PARSED_AT_ONCE)):
            parsed += [_microseconds(text) for text in portion]
            yield
        if parsed:
            self._instants = np.concatenate([self._instants[:known], np.asarray(parsed, np.int64)])
        return self._instants

    def dump(self) -> Arrays:
        """Return the arrays that `restored` takes."""
        flat = np.fromiter(chain.from_iterable(self._lists), np.uint32)
        lengths = np.fromiter(map(len, self._lists), np.uint8, len(self._lists))
        return {"codes": self.codes, "flat": flat, "lengths": lengths, **self.texts.dump()}

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> TextColumn:
        """Return what was dumped."""
        made = cls(0)
        made.codes = arrays["codes"]
        made.texts = Dictionary.restored(arrays["block"], arrays["starts"], arrays["hashes"], arrays["places"])
        flat, at = arrays["flat"].tolist(), 0
        for length in arrays["lengths"].tolist():
            made._lists.append(tuple(flat[at : at + length]))
            at += length
        made._numbers = {key: number for number, key in enumerate(made._lists)}
        return made


class NumberColumn:
    """A metric: doubles, not a number where there is none."""

    def __init__(self, capacity: int) -> None:
        """Begin with nobody having a value."""
        self.numbers: NDArray[np.float64] = np.full(capacity, np.nan)

    @property
    def nbytes(self) -> int:
        """How much memory is taken."""
        return self.numbers.nbytes

    def grow(self, capacity: int) -> None:
        """Make room for positions below `capacity`."""
        self.numbers = _grown(self.numbers, capacity, np.nan)


class Places:
    """Coordinates in tenths of a degree, as they are stored (pinpoint-1 2.2); `NOWHERE` where there are none."""

    def __init__(self, capacity: int) -> None:
        """Begin with nobody having coordinates."""
        self.latitudes: NDArray[np.int16] = np.full(capacity, NOWHERE, np.int16)
        self.longitudes: NDArray[np.int16] = np.full(capacity, NOWHERE, np.int16)

    def grow(self, capacity: int) -> None:
        """Make room for positions below `capacity`."""
        self.latitudes = _grown(self.latitudes, capacity, NOWHERE)
        self.longitudes = _grown(self.longitudes, capacity, NOWHERE)

    def put(self, position: int, location: Mapping[str, Any]) -> None:
        """Set the coordinates of an endpoint; both or none."""
        latitude, longitude = location.get("Latitude"), location.get("Longitude")
        if latitude is None or longitude is None:
            self.latitudes[position] = self.longitudes[position] = NOWHERE
        else:
            self.latitudes[position] = round(rounded(latitude) * 10)
            self.longitudes[position] = round(rounded(longitude) * 10)


def _microseconds(text: str) -> int:
    instant = instant_of(text)
    return NO_INSTANT if instant is None else microseconds(instant)


def microseconds(instant: datetime) -> int:
    """Return an instant in microseconds since 1970, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _grown(array: NDArray[Any], capacity: int, absent: Any) -> NDArray[Any]:
    if capacity <= len(array):
        return array
    larger = np.full(capacity, absent, array.dtype)
    larger[: len(array)] = array
    return larger
