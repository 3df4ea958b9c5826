"""Between roaring bitmaps and numpy: the bitmap library takes numpy arrays number by number, in Python objects."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

# A container of the portable format covers 2^16 numbers; with more than 4,096 of them it is 8 KiB of bits.
_CONTAINER = 1 << 16
_CONTAINER_BYTES = 8192
_MOST_LISTED = 4096
_COOKIE = 12346


def of_mask(mask: NDArray[Any]) -> BitMap:
    """Return the positions at which a mask is true, a hundred times as fast as by a list of them."""
    packed = np.packbits(mask, bitorder="little")
    blocks = np.pad(packed, (0, -len(packed) % _CONTAINER_BYTES)).reshape(-1, _CONTAINER_BYTES)
    counts = np.bitwise_count(blocks.view(np.uint64)).sum(axis=1, dtype=np.int64)
    keys = np.flatnonzero(counts)
    if not len(keys):
        return BitMap()
    blocks, counts = blocks[keys], counts[keys]
    # A container of few numbers has to be a list of them, which numpy takes long to make: it is handed over as the bits of
    # all other numbers, and turned around by the bitmap library.
    few = counts <= _MOST_LISTED
    blocks[few] ^= 0xFF
    heads = np.empty((len(keys), 2), "<u2")
    heads[:, 0], heads[:, 1] = keys, np.where(few, _CONTAINER - counts, counts) - 1
    first = 8 + heads.nbytes + 4 * len(keys)
    offsets = (first + _CONTAINER_BYTES * np.arange(len(keys))).astype("<u4")
    start = struct.pack("<II", _COOKIE, len(keys))
    found = BitMap.deserialize(b"".join([start, heads.tobytes(), offsets.tobytes(), blocks.tobytes()]))
    for key in keys[few].tolist():
        found.flip_inplace(key * _CONTAINER, (key + 1) * _CONTAINER)
    return found


def of_numbers(numbers: NDArray[Any]) -> BitMap:
    """Return the bitmap of numbers from 0 to 2^32 - 1, in any order; an `array` is taken without an object for each."""
    return BitMap(array("I", numbers.astype(np.uint32).tobytes()))


def bytes_of(bitmap: BitMap) -> int:
    """Return roughly how much memory a bitmap takes."""
    told = bitmap.get_statistics()
    containers = told["n_bytes_array_containers"] + told["n_bytes_run_containers"] + told["n_bytes_bitset_containers"]
    return int(containers) + 16 * int(told["n_containers"]) + 100


def positions_of(bitmap: BitMap) -> NDArray[np.int64]:
    """Return the numbers of a bitmap, ascending."""
    return np.frombuffer(bitmap.to_array(), np.uint32).astype(np.int64)
