"""Partitions on disk: a header, then the arrays as they are in memory, then a checksum over both."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pyroaring import BitMap

from heliograph_segments.index.columns import NumberColumn, TextColumn
from heliograph_segments.index.partition import Partition

_MAGIC = b"heliograph-partition-1\n"
_ALIGNED = 64
_PORTION = 8 * 1024 * 1024


class BadFile(Exception):
    """The file is no whole partition."""


def write(partition: Partition, path: Path, about: Mapping[str, object]) -> None:
    """Write a partition with what the caller wants to know of it; the file is there whole or not at all."""
    arrays = dict(_arrays(partition))
    shapes = {name: [array.dtype.str, len(array)] for name, array in arrays.items()}
    header = orjson.dumps(
        {"about": about, "number": partition.number, "capacity": partition.capacity, "arrays": shapes}
    )
    draft = path.with_suffix(".new")
    checksum = 0
    with draft.open("wb") as file:
        for block in _blocks(header, arrays):
            checksum = zlib.crc32(block, checksum)
            file.write(block)
        file.write(checksum.to_bytes(4, "little"))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    # The new name lies in the folder, which is a file of its own.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> tuple[Partition, dict[str, Any]]:
    """Return a partition and what was said of it. Its arrays are mapped: pages are read when they are needed, and
    copied when they are written to.

    Raises:
        BadFile: it is damaged, cut short, or no partition at all.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < len(_MAGIC) + 8:
            raise BadFile("is too short")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    view = memoryview(mapped)
    checksum = 0
    for start in range(0, size - 4, _PORTION):
        checksum = zlib.crc32(view[start : min(start + _PORTION, size - 4)], checksum)
    if view[: len(_MAGIC)] != _MAGIC or checksum != int.from_bytes(view[size - 4 :], "little"):
        raise BadFile("is damaged")
    at = len(_MAGIC) + 4
    length = int.from_bytes(view[len(_MAGIC) : at], "little")
    header = orjson.loads(view[at : at + length])
    at += length
    arrays: dict[str, NDArray[Any]] = {}
    for name, (kind, count) in header["arrays"].items():
        at += -at % _ALIGNED
        arrays[name] = np.frombuffer(mapped, np.dtype(kind), count, at)
        at += arrays[name].nbytes
    return _partition(header, arrays), header["about"]


def _arrays(partition: Partition) -> Iterator[tuple[str, NDArray[Any]]]:
    yield "alive", np.frombuffer(partition.alive.serialize(), np.uint8)
    yield "last_active", partition.last_active
    yield "latitudes", partition.places.latitudes
    yield "longitudes", partition.places.longitudes
    for kind, columns in _texts(partition).items():
        for name, column in columns.items():
            for part, array in column.dump().items():
                yield f"{kind}\x00{name}\x00{part}", array
    for name, numbers in partition.metrics.items():
        yield f"metrics\x00{name}", numbers.numbers


def _texts(partition: Partition) -> dict[str, dict[str, TextColumn]]:
    return {
        "attributes": partition.attributes,
        "user_attributes": partition.user_attributes,
        "facts": partition.facts,
    }


def _blocks(header: bytes, arrays: Mapping[str, NDArray[Any]]) -> Iterator[bytes | memoryview]:
    yield _MAGIC + len(header).to_bytes(4, "little") + header
    at = len(_MAGIC) + 4 + len(header)
    for array in arrays.values():
        yield bytes(-at % _ALIGNED)
        at += -at % _ALIGNED + array.nbytes
        if len(array):
            yield np.ascontiguousarray(array).data.cast("B")


def _partition(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Partition:
    made = Partition(header["number"])
    made.capacity = header["capacity"]
    made.alive = BitMap.deserialize(arrays["alive"].tobytes())
    made.last_active = arrays["last_active"]
    made.places.latitudes, made.places.longitudes = arrays["latitudes"], arrays["longitudes"]
    texts: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    for path, array in arrays.items():
        match path.split("\x00"):
            case ["metrics", name]:
                made.metrics[name] = NumberColumn(0)
                made.metrics[name].numbers = array
            case [kind, name, part]:
                texts.setdefault((kind, name), {})[part] = array
    columns = _texts(made)
    for (kind, name), parts in texts.items():
        columns[kind][name] = TextColumn.restored(parts)
    return made
