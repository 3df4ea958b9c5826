"""Local and mounted folders: `file:` and a path, absolute or relative to the folder of the settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from heliograph_segments.domain.import_rows import UnusableFile
from heliograph_segments.places.objects import MAX_OBJECTS, Halted, NotAllowed, NotWritten, StoredObject, counted


def below(root: Path | None, name: str, setting: str) -> Path:
    """Return what `file:` and a path mean below a folder.

    Links are followed before the folder is compared, so none leads out of it.

    Raises:
        NotAllowed: it lies elsewhere, cannot be followed, or there is no such folder.
    """
    if root is None:
        raise NotAllowed(f"files are switched off ({setting})")
    spelled = name.removeprefix("file:")
    if spelled.startswith("//"):  # file:///path is a URL, file:/path and file:path are paths
        spelled = unquote(spelled[2:])
    folder = root.resolve()
    try:
        path = (folder / spelled).resolve()
    except (OSError, ValueError, RuntimeError):
        path = Path("/")
    if not path.is_relative_to(folder):
        raise NotAllowed(f"must lie below the folder that the settings name ({setting})")
    return path


class FolderSource:
    """A file, or all files of a folder and the folders in it; names that begin with a dot are passed over."""

    def __init__(self, root: Path, path: Path) -> None:
        """Take the folder that may be read, and a path below it."""
        self._root = root.resolve()
        self._path = path

    def objects(self) -> Sequence[StoredObject]:
        """Return the files."""
        try:
            if not self._path.is_dir():
                return [self._stored(self._path, "")]
            found: list[StoredObject] = []
            for folder, folders, files in os.walk(self._path):
                folders[:] = [name for name in folders if not name.startswith(".")]
                paths = [Path(folder, name) for name in files if not name.startswith(".")]
                found += [self._stored(path, path.relative_to(self._path).as_posix()) for path in paths]
                if len(found) > MAX_OBJECTS:
                    break
        except OSError as error:
            raise _unreadable(error) from None
        return counted(found, "folder")

    def open(self, found: StoredObject, halted: Halted) -> tuple[BinaryIO, str]:
        """Open a file."""
        path = self._path / found.name
        self._stored(path, found.name)
        try:
            file = path.open("rb")
        except OSError as error:
            raise _unreadable(error) from None
        status = os.fstat(file.fileno())
        return file, _version(status)

    def _stored(self, path: Path, name: str) -> StoredObject:
        if not path.resolve().is_relative_to(self._root):
            raise UnusableFile("SOURCE_NOT_ALLOWED", f"{name} is a link that leads out of the folder imports may read")
        if not path.is_file():
            raise UnusableFile("SOURCE_NOT_FOUND", "there is no such file")
        status = path.stat()
        return StoredObject(name, status.st_size, _version(status))


class FolderDestination:
    """A folder, made when it is not there."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self._folder = folder

    def put(self, name: str, content: bytes) -> None:
        """Write a file whole: under another name first, to the disk, and then in its place."""
        unfinished = self._folder / f".{name}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(self._folder / name)
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise NotWritten(f"{name} cannot be written: {error.strerror}") from None


def _version(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"


def _unreadable(error: OSError) -> UnusableFile:
    return UnusableFile("SOURCE_UNREADABLE", f"the file cannot be read: {error.strerror}")
