"""The distinct texts of a column: text to code and back, without an object per text once there are many.

Codes begin at 1 and are never given anew; 0 means absent. Most texts lie in one block of UTF-8 with their hashes sorted
beside it; the latest ones lie in a plain dict until there are enough of them to be merged.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MERGE_AT = 4096
# How many texts are decoded or looked at, and how many bytes of the block are searched, before others have a turn.
_PORTION = 4096
_WINDOW = 1 << 17
# A needle is looked for by its first bytes in one pass each; the others are compared where these were found.
_SIEVED = 4
_END = b"\x00"  # no text holds a NUL: PostgreSQL could not keep it


class Dictionary:
    """Texts and their codes."""

    def __init__(self) -> None:
        """Begin empty."""
        self._block = b""
        # Where each text of the block begins; one more than there are texts.
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)
        self._hashes: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._places: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._latest: dict[str, int] = {}
        # The latest texts in the order of their codes.
        self._order: list[str] = []

    def __len__(self) -> int:
        """Return how many texts there are; the greatest code."""
        return len(self._starts) - 1 + len(self._latest)

    @property
    def nbytes(self) -> int:
        """Roughly how much memory is taken."""
        arrays = self._starts.nbytes + self._hashes.nbytes + self._places.nbytes
        return len(self._block) + arrays + 150 * len(self._latest)

    def find(self, text: str) -> int:
        """Return the code of a text, 0 when it has none."""
        code = self._latest.get(text)
        return code if code is not None else self._find_merged(text)

    def codes(self, texts: Sequence[str]) -> list[int]:
        """Return the codes of texts, which get one where they have none; a thousand at once cost little more than ten."""
        latest = self._latest
        codes = [latest.get(text, 0) for text in texts]
        unknown = [place for place, code in enumerate(codes) if not code]
        if unknown:
            merged = self._find_all([texts[place] for place in unknown])
            for place, code in zip(unknown, merged, strict=True):
                codes[place] = code or self._code_of_latest(texts[place])
            if len(latest) > max(_MERGE_AT, len(self._hashes) // 4):
                self._merge()
        return codes

    def _code_of_latest(self, text: str) -> int:
        code = self._latest.get(text)
        if code is None:
            code = self._latest[text] = len(self) + 1
            self._order.append(text)
        return code

    def text(self, code: int) -> str:
        """Return the text of a code that was given."""
        merged = len(self._starts) - 1
        if code <= merged:
            return self._block[self._starts[code - 1] : self._starts[code] - 1].decode()
        return self._order[code - merged - 1]

    def portion(self, after: int, most: int = _PORTION) -> list[str]:
        """Return up to `most` texts with codes greater than `after`, in the order of their codes; none at the end."""
        merged = len(self._starts) - 1
        if after < merged:
            end = min(after + most, merged)
            return self._block[int(self._starts[after]) : int(self._starts[end]) - 1].decode().split("\x00")
        return self._order[after - merged : after - merged + most]

    def containing(self, part: str) -> Generator[None, None, NDArray[np.int64]]:
        """Return the codes of the texts that contain a part, in steps; a code may come more than once."""
        if not part:
            return np.arange(1, len(self) + 1)
        found = [np.zeros(0, np.int64)]
        needle = np.frombuffer(part.encode(), np.uint8)
        for begin in range(0, len(self._block), _WINDOW):
            hits = yield from self._hits(needle, begin)
            # The last text that begins at or before a hit holds it: no needle reaches over a NUL.
            found.append(np.searchsorted(self._starts, hits, side="right"))
            yield
        after = len(self._starts) - 1
        while texts := self.portion(after):
            found.append(np.asarray([code for code, text in enumerate(texts, after + 1) if part in text], np.int64))
            after += len(texts)
            yield
        return np.concatenate(found)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `restored` takes."""
        if len(self) > _MERGE_AT:
            self._merge()
        block, starts = self._with_latest()
        return {
            "block": np.frombuffer(block, np.uint8),
            "starts": starts,
            "hashes": self._hashes,
            "places": self._places,
        }

    @classmethod
    def restored(
        cls,
        block: NDArray[np.uint8],
        starts: NDArray[np.int64],
        hashes: NDArray[np.uint64],
        places: NDArray[np.uint32],
    ) -> Dictionary:
        """Return what was dumped."""
        made = cls()
        if len(starts) - 1 <= _MERGE_AT:
            texts = block.tobytes()[:-1].decode().split("\x00") if len(starts) > 1 else []
            made._latest = {text: code for code, text in enumerate(texts, 1)}
            made._order = texts
        else:
            made._block, made._starts, made._hashes, made._places = block.tobytes(), starts, hashes, places
        return made

    def _hits(self, needle: NDArray[np.uint8], begin: int) -> Generator[None, None, NDArray[np.int64]]:
        """Return where in the block a needle lies that begins inside of one window."""
        end = min(begin + _WINDOW, len(self._block) - len(needle) + 1)
        size = max(0, end - begin)
        block = np.frombuffer(self._block, np.uint8)
        mask = np.ones(size, np.bool_)
        for offset, byte in enumerate(needle[:_SIEVED]):
            mask &= block[begin + offset : begin + offset + size] == byte
        hits: NDArray[np.int64] = np.flatnonzero(mask) + begin
        for offset, byte in enumerate(needle[_SIEVED:], _SIEVED):
            if not len(hits):
                break
            hits = hits[block[hits + offset] == byte]
            if len(hits) * 8 > _WINDOW:
                yield
        return hits

    def _find_merged(self, text: str) -> int:
        if not len(self._hashes):
            return 0
        wanted = np.uint64(_hash(text))
        place = int(np.searchsorted(self._hashes, wanted))
        while place < len(self._hashes) and self._hashes[place] == wanted:
            code = int(self._places[place]) + 1
            if self._block[self._starts[code - 1] : self._starts[code] - 1] == text.encode():
                return code
            place += 1
        return 0

    def _find_all(self, texts: Sequence[str]) -> list[int]:
        """Return the codes of texts in the block, 0 for those that are not in it."""
        codes = [0] * len(texts)
        if not len(self._hashes):
            return codes
        wanted = _hashed(texts)
        places = np.searchsorted(self._hashes, wanted)
        places[places == len(self._hashes)] = 0
        hits = np.flatnonzero(self._hashes[places] == wanted)
        found = self._places[places[hits]].astype(np.int64)
        begins, ends = self._starts[found].tolist(), (self._starts[found + 1] - 1).tolist()
        for hit, place, begin, end in zip(hits.tolist(), found.tolist(), begins, ends, strict=True):
            same = self._block[begin:end] == texts[hit].encode()
            # Another text may have the same hash.
            codes[hit] = place + 1 if same else self._find_merged(texts[hit])
        return codes

    def _merge(self) -> None:
        if not self._latest:
            return
        self._block, self._starts = self._with_latest()
        before = np.empty(len(self._hashes), np.uint64)
        before[self._places] = self._hashes
        self._index(np.concatenate([before, _hashed(self._order)]))
        self._latest, self._order = {}, []

    def _with_latest(self) -> tuple[bytes, NDArray[np.int64]]:
        if not self._latest:
            return self._block, self._starts
        encoded = [text.encode() for text in self._order]
        lengths = np.fromiter((len(text) + 1 for text in encoded), np.int64, len(encoded))
        block = self._block + _END.join(encoded) + _END
        return block, np.concatenate([self._starts, self._starts[-1] + np.cumsum(lengths)])

    def _index(self, hashes: NDArray[np.uint64]) -> None:
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._places = hashes[order], order.astype(np.uint32)


def _hash(text: str) -> int:
    # Not Python's own: it differs from process to process, and the block outlives them.
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _hashed(texts: Iterable[str]) -> NDArray[np.uint64]:
    return np.fromiter(map(_hash, texts), np.uint64)
