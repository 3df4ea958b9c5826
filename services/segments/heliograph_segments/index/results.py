"""The results of conditions asked before, as many as fit into a bound of bytes; those of the latest questions stay."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from pyroaring import BitMap

from heliograph_segments.index.bitmaps import bytes_of
from heliograph_segments.index.clauses import Condition

# Per partition. A result takes at most 128 KiB, a rare one some hundred bytes, a condition up to 10 KiB of values.
# Their number is bounded as well: every write goes through all of them.
_MOST_BYTES = 4 * 1024 * 1024
_MOST = 256
# A result that so large a share of its partition would have to be looked at again for is not worth keeping.
_WORN = 8


@dataclass
class Result:
    """Who met a condition; `stale` positions were written to since and must be looked at again."""

    found: BitMap
    stale: BitMap
    nbytes: int


class Results:
    """Kept results of one partition."""

    def __init__(self) -> None:
        """Begin with none."""
        self._results: OrderedDict[Condition, Result] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._results)

    def __contains__(self, condition: Condition) -> bool:
        """Tell whether the result of a condition is kept."""
        return condition in self._results

    def keep(self, condition: Condition, found: BitMap) -> None:
        """Keep the result of a condition, and drop the ones that were asked for longest ago when they get too many."""
        self._drop(condition)
        size = bytes_of(found) + len(repr(condition))
        self._results[condition] = Result(found, BitMap(), size)
        self.nbytes += size
        while self.nbytes > _MOST_BYTES or len(self._results) > _MOST:
            self._drop(next(iter(self._results)))

    def kept(self, condition: Condition) -> Result | None:
        """Return the kept result of a condition."""
        result = self._results.get(condition)
        if result is not None:
            self._results.move_to_end(condition)
        return result

    def clear(self) -> None:
        """Drop all of them."""
        self._results.clear()
        self.nbytes = 0

    def touch(self, positions: BitMap, alive: int) -> None:
        """Note that positions were written to, of so many that are alive."""
        for condition, result in list(self._results.items()):
            result.stale |= positions
            if len(result.stale) * _WORN > max(alive, _WORN * 1024):
                self._drop(condition)

    def _drop(self, condition: Condition) -> None:
        result = self._results.pop(condition, None)
        if result is not None:
            self.nbytes -= result.nbytes
