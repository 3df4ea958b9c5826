"""Where the simulated carriers count: in a file that processes share, or in the memory of one sender.

The file lies beside the journal (`<journal_path>.carriers`) and holds one line of JSON, a few hundred bytes for each limit. A batch
locks it, reads it, counts and writes it back before it is answered, so all workers of an installation on one machine count as one;
workers that share no file system do not. A worker killed in between has counted a batch or has not. Without a journal every sender
counts for itself.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from heliograph_channel_simulator.carriers import Counts

__all__ = ["CarrierLedger"]


class CarrierLedger:
    """The counts of the simulated carriers."""

    def __init__(self, path: Path | None) -> None:
        """Open (and create) the file, whose folder must exist; None counts in memory.

        Raises:
            OSError: the file cannot be opened.
        """
        self._counts = Counts()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = -1 if path is None else os.open(path, flags, 0o644)

    @contextmanager
    def exclusive(self) -> Iterator[Counts]:
        """Give the counts to be changed, held against other processes. For one batch, without any await inside."""
        if self._descriptor < 0:
            yield self._counts
            return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            counts = self._read()
            yield counts
            self._write(counts)
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file. Safe to repeat."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> Counts:
        # Only the first line counts: a longer one that was there before may end behind it.
        line = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0).partition(b"\n")[0]
        if not line:
            return Counts()
        data = json.loads(line)
        return Counts(
            {key: (day, parts) for key, (day, parts) in data["days"].items()},
            {key: datetime.fromisoformat(instant) for key, instant in data["used_until"].items()},
        )

    def _write(self, counts: Counts) -> None:
        used_until = {key: instant.isoformat() for key, instant in counts.used_until.items()}
        line = json.dumps({"days": counts.days, "used_until": used_until}).encode() + b"\n"
        written = os.pwrite(self._descriptor, line, 0)
        if written != len(line):
            raise OSError(f"the file of the carriers took {written} of {len(line)} bytes")
        os.ftruncate(self._descriptor, len(line))
