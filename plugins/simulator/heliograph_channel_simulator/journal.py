"""The simulated provider's memory: a file with one JSON line for every message it took.

Several processes may append to one file. A batch is one `write` of whole lines on a descriptor opened with O_APPEND,
made before the send is answered: a sender killed at any point leaves whole lines only, and a line for everything it was
told is accepted. The file survives the process, not the loss of power (no fsync): it is an oracle for tests.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from heliograph_channels import OutgoingMessage

__all__ = ["Journal"]


class Journal:
    """One opened journal file. With `remember`, it knows every message id any process ever wrote to it."""

    def __init__(self, path: Path, *, remember: bool) -> None:
        """Open (and create) the file; the folder must exist.

        Raises:
            OSError: the file cannot be opened.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._remember = remember
        self._known: set[str] = set()
        self._read = 0
        self._rest = b""
        with self.exclusive():
            pass

    @contextmanager
    def exclusive(self) -> Iterator[set[str]]:
        """Hold the file against other processes and give the ids known now, lines of other processes included.

        Held for one batch, without any await inside. Without `remember` nothing is locked and the set is empty.
        """
        if not self._remember:
            yield self._known
            return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            self._catch_up()
            yield self._known
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def append(self, taken: Sequence[tuple[OutgoingMessage, str]], now: datetime) -> None:
        """Write one line per message and its answer ("accepted" or "unknown"), all in one write.

        Raises:
            OSError: the disk is full or the write was cut short.
        """
        time = now.isoformat()
        lines = "".join(
            f'{{"message_id":{_text(message.message_id)},"address":{_text(message.address)},"kind":"{message.kind}",'
            f'"time":"{time}","origination":{_text(message.origination)},"answer":"{answer}"}}\n'
            for message, answer in taken
        ).encode()
        written = os.write(self._descriptor, lines)
        if written != len(lines):
            raise OSError(f"the journal took {written} of {len(lines)} bytes")

    def close(self) -> None:
        """Close the file. Safe to repeat."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _catch_up(self) -> None:
        while os.fstat(self._descriptor).st_size > self._read:
            data = os.pread(self._descriptor, 1 << 20, self._read)
            if not data:
                return
            self._read += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._known.update(json.loads(line)["message_id"] for line in lines if line)


_text = json.encoder.encode_basestring_ascii
