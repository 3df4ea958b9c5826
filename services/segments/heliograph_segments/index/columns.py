"""Columns of one partition: texts as codes, numbers as arrays. Positions are ordinals without their high bits."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliograph_segments.domain.instants import instant_of
from heliograph_segments.index.dictionary import Dictionary
from heliograph_segments.index.planes import Planes, equal

Arrays = dict[str, NDArray[Any]]
_WIDTHS = (np.uint8, np.uint16, np.uint32)
NOWHERE = np.int16(-32768)
NO_INSTANT = -(2**63)
# What is done in one step: texts parsed as instants, lists looked through, codes looked up.
_PARSED_AT_ONCE = 500
_LISTS_AT_ONCE = 50_000
_CODES_AT_ONCE = 1 << 18
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
        # Lists of text codes, one behind the other, where each of them begins and the last ends, and their numbers.
        self._flat = array("I")
        self._bounds = array("I", [0])
        self._numbers: dict[bytes, int] = {}
        # The texts as instants, as far as they were needed: microseconds since 1970, `NO_INSTANT` for other texts.
        self._instants: NDArray[np.int64] = np.zeros(0, np.int64)
        self._planes = Planes()

    @property
    def nbytes(self) -> int:
        """Roughly how much memory is taken."""
        columns = self.codes.nbytes + self._planes.nbytes
        return columns + self.texts.nbytes + self._instants.nbytes + 200 * len(self._numbers)

    def grow(self, capacity: int) -> None:
        """Make room for positions below `capacity`."""
        self.codes = _grown(self.codes, capacity, 0)
        self._planes.grow(capacity)

    def put(self, positions: NDArray[np.int64], values: Sequence[Sequence[str]], choices: NDArray[np.int64]) -> None:
        """Give the endpoint at `positions[n]` the texts `values[choices[n]]`."""
        texts = list(dict.fromkeys(chain.from_iterable(values)))
        known = dict(zip(texts, self.texts.codes(texts), strict=True))
        self._planes.put(positions, values, choices, known, self.codes)
        codes = np.asarray([self._code([known[text] for text in held]) for held in values], np.int64)[choices]
        greatest = codes.max(initial=0)
        if greatest > np.iinfo(self.codes.dtype).max:
            fitting = next(width for width in _WIDTHS if greatest <= np.iinfo(width).max)
            self.codes = self.codes.astype(fitting)
        self.codes[positions] = codes

    def clear(self, positions: NDArray[np.int64]) -> None:
        """Take away the values at positions."""
        self.codes[positions] = 0
        self._planes.clear(positions)

    def values(self, position: int) -> list[str]:
        """Return what an endpoint has, in its order."""
        return self.values_of(int(self.codes[position]))

    def values_of(self, code: int) -> list[str]:
        """Return what endpoints of a code have, in their order."""
        if not code:
            return []
        if code % 2:
            return [self.texts.text(each) for each in self._list(code // 2)]
        return [self.texts.text(code // 2)]

    def holding(self, wanted: NDArray[np.int64], codes: NDArray[Any]) -> Generator[None, None, NDArray[np.bool_]]:
        """Return in which codes of this column one of the wanted text codes is, in steps.

        All of the column's are answered fastest: `codes` is then `self.codes` itself.
        """
        compared: NDArray[np.bool_] | None = None
        if not self._numbers:
            compared = equal(codes, (2 * wanted).tolist())
        elif codes is self.codes:
            compared = self._planes.holding(wanted.tolist())
        if compared is not None:
            return compared
        table = yield from self._table(wanted)
        mask = np.empty(len(codes), np.bool_)
        for begin in range(0, len(codes), _CODES_AT_ONCE):
            # Half as long as by brackets.
            mask[begin : begin + _CODES_AT_ONCE] = table.take(codes[begin : begin + _CODES_AT_ONCE])
            yield
        return mask

    def _table(self, wanted: NDArray[np.int64]) -> Generator[None, None, NDArray[np.bool_]]:
        """Return for every code whether one of the wanted text codes is in it."""
        chosen = np.zeros(len(self.texts) + 1, np.bool_)
        chosen[wanted] = True
        lists = len(self._numbers)
        table = np.zeros(2 * max(len(chosen), lists), np.bool_)
        table[0 : 2 * len(chosen) : 2] = chosen
        yield
        for first in range(0, lists, _LISTS_AT_ONCE):
            last = min(first + _LISTS_AT_ONCE, lists)
            # Copies of the slices: while numpy looks into an array it cannot grow.
            bounds = np.asarray(self._bounds[first : last + 1], np.int64)
            held = chosen[np.asarray(self._flat[bounds[0] : bounds[-1]])]
            table[2 * first + 1 : 2 * last : 2] = np.logical_or.reduceat(held, bounds[:-1] - bounds[0])
            yield
        return table

    def instants(self) -> Generator[None, None, NDArray[np.int64]]:
        """Return the instant of every text by its code less one, in steps; texts are parsed once."""
        after = len(self._instants)
        if after < len(self.texts):
            instants = np.full(len(self.texts), NO_INSTANT, np.int64)
            instants[:after] = self._instants
            while portion := self.texts.portion(after, _PARSED_AT_ONCE):
                instants[after : after + len(portion)] = [_microseconds(text) for text in portion]
                after += len(portion)
                yield
            self._instants = instants
        return self._instants

    def codes_in(self, other: TextColumn) -> Generator[None, None, NDArray[np.int64]]:
        """Return for every code here the code of the same values there, -1 where there is none, in steps."""
        there: dict[str, int] = {}
        while portion := other.texts.portion(len(there)):
            there.update(zip(portion, range(len(there) + 1, len(there) + len(portion) + 1), strict=True))
            yield
        # Texts and lists that are added between two steps are left out.
        known, lists = len(self.texts), len(self._numbers)
        texts = np.full(known + 1, -1, np.int64)
        texts[0] = 0
        after = 0
        while after < known:
            # A portion ends early where the texts that were merged end.
            portion = self.texts.portion(after, min(_PARSED_AT_ONCE, known - after))
            texts[after + 1 : after + 1 + len(portion)] = [there.get(text, -1) for text in portion]
            after += len(portion)
            yield
        codes = np.full(2 * max(len(texts), lists), -1, np.int64)
        codes[0 : 2 * len(texts) : 2] = np.where(texts < 0, -1, 2 * texts)
        for first in range(0, lists, _PARSED_AT_ONCE):
            for number in range(first, min(first + _PARSED_AT_ONCE, lists)):
                same = texts[np.asarray(self._list(number))].tolist()
                found = other._numbers.get(array("I", same).tobytes()) if min(same) > 0 else None
                codes[2 * number + 1] = -1 if found is None else 2 * found + 1
            yield
        return codes

    def dump(self) -> Arrays:
        """Return the arrays that `restored` takes."""
        flat, lengths = np.array(self._flat), np.diff(np.asarray(self._bounds)).astype(np.uint8)
        return {"codes": self.codes, "flat": flat, "lengths": lengths, **self.texts.dump()}

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> TextColumn:
        """Return what was dumped."""
        made = cls(0)
        made.codes = arrays["codes"]
        made.texts = Dictionary.restored(arrays["block"], arrays["starts"], arrays["hashes"], arrays["places"])
        flat, at = array("I", arrays["flat"].tobytes()), 0
        for length in arrays["lengths"].tolist():
            made._number(flat[at : at + length])
            at += length
        made._planes.restore(made.codes, len(made.texts), arrays["flat"], arrays["lengths"].astype(np.int64))
        return made

    def _code(self, text_codes: Sequence[int]) -> int:
        if len(text_codes) == 1:
            return 2 * text_codes[0]
        return 2 * self._number(array("I", text_codes)) + 1 if text_codes else 0

    def _number(self, text_codes: array[int]) -> int:
        """Return the number of a list, which gets one when it has none."""
        key = text_codes.tobytes()
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self._flat += text_codes
            self._bounds.append(len(self._flat))
        return number

    def _list(self, number: int) -> array[int]:
        return self._flat[self._bounds[number] : self._bounds[number + 1]]


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

    def put(
        self, positions: NDArray[np.int64], latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]
    ) -> None:
        """Set the coordinates of endpoints, in degrees rounded to a tenth; not a number leaves what is there."""
        given = ~np.isnan(latitudes)
        self.latitudes[positions[given]] = np.rint(latitudes[given] * 10)
        self.longitudes[positions[given]] = np.rint(longitudes[given] * 10)


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
