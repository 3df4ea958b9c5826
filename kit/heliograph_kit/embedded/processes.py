"""Server processes that outlive the one that started them: found by pid file, told apart from strangers, ended."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from heliograph_kit.embedded.ports import LOOPBACK


class ServerFailed(Exception):
    """A server could not be started; the text ends with what it logged last."""


def secret_file(path: Path) -> str:
    """Return the secret in a file that only its owner may read (0600); made with a new one when missing."""
    if path.exists():
        return path.read_text().strip()
    secret = secrets.token_urlsafe(24).replace("-", "a").replace("_", "b")
    write_private(path, secret)
    return secret


def write_private(path: Path, text: str) -> None:
    """Write a file that is never readable for others, not even for a moment; replaces what is there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def process_in(pid_file: Path, name: str, marker: str) -> psutil.Process | None:
    """Return the live process a pid file names, None for a stale file.

    Pids are used again: only a process of that program with the marker (its directory) in its command line counts.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        # PostgreSQL names its directory in the arguments, whatever else the title says.
        if name in process.name() and any(marker in argument for argument in process.cmdline()):
            return process
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return None


def end(process: psutil.Process, first: signal.Signals, patience: float) -> None:
    """Send a signal, wait, then SIGKILL; safe when the process is gone."""
    for sign, seconds in ((first, patience), (signal.SIGKILL, 5.0)):
        try:
            process.send_signal(sign)
            process.wait(seconds)
        except psutil.TimeoutExpired:
            continue
        except psutil.Error:
            pass
        return


def wait_for_port(port: int, within: float, alive: Callable[[], bool]) -> bool:
    """Wait until something accepts connections on a port; False when time is over or the server died."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and alive():
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1):
                return True
        except OSError:
            time.sleep(0.02)
    return False


def last_lines(log: Path, count: int = 12) -> str:
    """Return the end of a log file, "" when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
