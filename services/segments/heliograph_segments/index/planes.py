"""The texts of short lists side by side: comparing bytes finds who has one, several times as fast as looking up codes.

A code of a list says nothing by itself, so that every endpoint's has to be looked up in a table, number by number. Where
lists are short and the texts are few, the n-th texts of all endpoints make one array of bytes, a plane, which the
processor compares dozens at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A plane takes a byte per endpoint: more of them would be felt in the memory, and more texts need more bytes.
_MOST_PLANES = 4
_MOST_TEXTS = 255
# So many comparisons take about half as long as looking up codes; of four-byte codes, half as many do.
_MOST_COMPARED = 8


class Planes:
    """The planes of one column. Without lists there are none; a longer list or too many texts end them for good."""

    def __init__(self) -> None:
        """Begin without lists."""
        self._planes: list[NDArray[np.uint8]] = []
        self._ended = False

    @property
    def nbytes(self) -> int:
        """How much memory is taken."""
        return sum(plane.nbytes for plane in self._planes)

    def grow(self, capacity: int) -> None:
        """Make room for positions below `capacity`."""
        self._planes = [np.pad(plane, (0, max(0, capacity - len(plane)))) for plane in self._planes]

    def put(
        self,
        positions: NDArray[np.int64],
        values: Sequence[Sequence[str]],
        choices: NDArray[np.int64],
        known: Mapping[str, int],
        before: NDArray[Any],
    ) -> None:
        """Give the endpoint at `positions[n]` the texts `values[choices[n]]`, whose codes are known.

        `before` is the column as it was: while it has no lists, twice the codes of the only texts.
        """
        if self._ended:
            return
        longest = max(map(len, values), default=0)
        if longest > _MOST_PLANES or max(known.values(), default=0) > _MOST_TEXTS:
            self._planes, self._ended = [], True
            return
        if longest > 1 and not self._planes:
            self._planes.append((before >> 1).astype(np.uint8))
        while self._planes and len(self._planes) < longest:
            self._planes.append(np.zeros(len(before), np.uint8))
        for place, plane in enumerate(self._planes):
            codes = [known[held[place]] if place < len(held) else 0 for held in values]
            plane[positions] = np.asarray(codes, np.uint8)[choices]

    def clear(self, positions: NDArray[np.int64]) -> None:
        """Take away the texts at positions."""
        for plane in self._planes:
            plane[positions] = 0

    def restore(self, codes: NDArray[Any], texts: int, flat: NDArray[Any], lengths: NDArray[Any]) -> None:
        """Make the planes of a whole column of so many texts, with its lists one behind the other."""
        longest = int(lengths.max(initial=0))
        self._ended = longest > _MOST_PLANES or texts > _MOST_TEXTS
        if self._ended or not longest:
            return
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        for place in range(longest):
            table = np.zeros(2 * max(texts + 1, len(lengths)), np.uint8)
            if not place:
                table[0 : 2 * texts + 2 : 2] = np.arange(texts + 1)
            reaching = np.flatnonzero(lengths > place)
            table[2 * reaching + 1] = flat[starts[reaching] + place]
            self._planes.append(table.take(codes))

    def holding(self, wanted: Sequence[int]) -> NDArray[np.bool_] | None:
        """Return who has one of the texts with these codes; None where looking up their codes is better, or needed."""
        if not self._planes or len(wanted) * len(self._planes) > _MOST_COMPARED:
            return None
        return _compared((plane, code) for plane in self._planes for code in wanted)


def equal(codes: NDArray[Any], wanted: Sequence[int]) -> NDArray[np.bool_] | None:
    """Return which codes are among the wanted ones, at least one; None where looking them up in a table is better."""
    if len(wanted) > _MOST_COMPARED // max(1, codes.itemsize // 2):
        return None
    return _compared((codes, code) for code in wanted)


def _compared(pairs: Iterable[tuple[NDArray[Any], int]]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] | None = None
    for held, code in pairs:
        same: NDArray[np.bool_] = held == code
        mask = same if mask is None else np.logical_or(mask, same, out=mask)
    if mask is None:
        raise ValueError("there is nothing to compare with")
    return mask
