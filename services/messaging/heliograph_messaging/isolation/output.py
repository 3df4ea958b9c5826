"""What the process of a plugin prints and logs: read, held to a rate, cleared of secrets, and logged under its name."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import IO

from heliograph_messaging.isolation.frames import LOG_MARK

_READ = 64 * 1024
_LINE = 2000
_BURST, _LINES_A_SECOND = 100, 20.0
# A process that prints faster than this waits for us, not we for it.
_READS_A_SECOND = 20.0


class Output:
    """Reads one process's output to its end, in a thread: nothing that is printed may keep the event loop busy."""

    def __init__(self, plugin: str, stream: IO[bytes], hide: Callable[[str], str]) -> None:
        """Take the pipe and what hides secrets."""
        self._stream = stream
        self._hide = hide
        self._logger = logging.getLogger(f"heliograph.channel.{plugin}")
        self._allowance, self._since = float(_BURST), time.monotonic()
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"output of {plugin}", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the rest is read."""
        self._thread.join(seconds)

    def _run(self) -> None:
        rest = b""
        with self._stream as stream:
            while data := stream.read(_READ):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._tell(line)
                if len(rest) > _READ:
                    self._tell(rest)
                    rest = b""
                if len(data) == _READ or self._dropped:
                    time.sleep(1 / _READS_A_SECOND)
        if rest:
            self._tell(rest)
        self._tell_dropped()

    def _tell(self, line: bytes) -> None:
        if not line.strip():
            return
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + (now - self._since) * _LINES_A_SECOND)
        self._since = now
        if self._allowance < 1:
            self._dropped += 1
            return
        self._tell_dropped()
        self._allowance -= 1
        level, text = _read(line.decode("utf-8", "replace"))
        # Hidden before it is cut, or half of a secret could be left.
        text = self._hide(text)[:_LINE]
        self._logger.log(level, "%s", text)

    def _tell_dropped(self) -> None:
        if self._dropped:
            self._logger.warning("%d lines of its output were dropped: it says too much", self._dropped)
            self._dropped = 0


def _read(line: str) -> tuple[int, str]:
    """Return level and text of a line: of a log record, or of something printed."""
    if line.startswith(LOG_MARK):
        try:
            match json.loads(line[1:]):
                case [int() as level, str() as name, str() as text] if 0 <= level <= logging.CRITICAL:
                    return level, text if name.startswith("heliograph.channel") else f"{name}: {text}"
        except (ValueError, RecursionError):
            pass
    return logging.INFO, f"printed: {line}"
