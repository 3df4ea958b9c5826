"""What folders, hosts and buckets have in common for a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from heliograph_segments.domain.import_rows import UnusableFile

MAX_OBJECTS = 10_000
BLOCK = 1024 * 1024

# Asked between blocks: whether the service is about to stop.
Halted = Callable[[], bool]


class NotAllowed(Exception):
    """The settings do not let jobs go there; the text says which setting."""


class NotWritten(Exception):
    """An object could not be written; the text says why."""


class Interrupted(Exception):
    """Reading was given up because the service stops."""


@dataclass(frozen=True)
class StoredObject:
    """An object of a source: its name behind that of the source, empty when it is the source itself.

    Size in bytes as it is stored, and a text that changes with the content; 0 and empty when only opening tells.
    """

    name: str
    size: int
    version: str


class Source(Protocol):
    """One object, or all objects below a prefix."""

    def objects(self) -> Sequence[StoredObject]:
        """Return the objects by name, at least one.

        Raises:
            UnusableFile: SOURCE_NOT_FOUND, SOURCE_UNREADABLE, SOURCE_EMPTY, SOURCE_TOO_LARGE, SOURCE_NOT_ALLOWED.
        """
        ...

    def open(self, found: StoredObject, halted: Halted) -> tuple[BinaryIO, str]:
        """Return an object to read, at its start and with any position to be reached, and its version.

        Raises:
            UnusableFile: SOURCE_NOT_FOUND, SOURCE_UNREADABLE, SOURCE_TOO_LARGE, SOURCE_CHANGED, SOURCE_NOT_ALLOWED.
            Interrupted: the service stops.
        """
        ...


class Destination(Protocol):
    """A folder for the objects of an export."""

    def put(self, name: str, content: bytes) -> None:
        """Write an object; it appears when it is whole, in place of one of the same name.

        Raises:
            NotWritten: it could not be written.
        """
        ...


def counted(objects: Sequence[StoredObject], where: str) -> Sequence[StoredObject]:
    """Return the objects below a prefix, as many as a job may have, by name.

    Raises:
        UnusableFile: SOURCE_EMPTY, SOURCE_TOO_LARGE.
    """
    if not objects:
        raise UnusableFile("SOURCE_EMPTY", f"there is no object in the {where}")
    if len(objects) > MAX_OBJECTS:
        raise UnusableFile("SOURCE_TOO_LARGE", f"the {where} has more than {MAX_OBJECTS} objects")
    return sorted(objects, key=lambda each: each.name)


def too_large(most_bytes: int) -> UnusableFile:
    """Return the refusal of an object that takes more of the temporary folder than it may."""
    words = f"the object has more than {most_bytes} bytes (HELIOGRAPH_SEGMENTS_IMPORT_UNPACKED_BYTES)"
    return UnusableFile("SOURCE_TOO_LARGE", words)
