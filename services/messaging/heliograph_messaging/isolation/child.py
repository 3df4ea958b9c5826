"""Starting and ending the process of a plugin: what it inherits, what it is told, how it ended."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from heliograph_channels import CHANNELS
from heliograph_messaging.faults import Fault
from heliograph_messaging.isolation.frames import FROM_PLUGIN, Frames
from heliograph_messaging.isolation.output import Output
from heliograph_messaging.redaction import KNOWN

MODULE = "heliograph_messaging.isolation.host"


@dataclass(frozen=True)
class Limits:
    """What the process of a plugin gets; times in seconds."""

    memory_mb: int = 512
    open_files: int = 1024
    start_seconds: float = 15.0
    """From its start until it has said what it offers: imports included."""
    stall_seconds: float = 10.0
    """How long its event loop may be blocked while it is waited for."""
    call_seconds: float = 60.0
    """How long a call of a sender may take, whatever its caller allows."""
    check_seconds: float = 5.0
    """How long a check of settings or addresses may take."""
    environment: Sequence[str] = ("LANG", "LC_ALL", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ")
    """The variables it inherits."""
    clock_rate: float = 1.0
    group: str = CHANNELS


@dataclass(eq=False)
class Life:
    """One run of the process."""

    child: subprocess.Popen[bytes]
    control: socket.socket
    folder: str
    output: Output
    began: float
    frames: Frames = field(default_factory=lambda: Frames(FROM_PLUGIN))
    numbers: int = 0
    cause: tuple[Fault, str] | None = None
    """Why it was killed, or how it ended: the words continue "the channel plugin 'x' "."""
    buried: bool = False


def spawn(plugin: str, limits: Limits) -> Life:
    """Start the process of a plugin; it has not said anything yet.

    Raises:
        OSError: it cannot be started.
    """
    folder = tempfile.mkdtemp(prefix="heliograph-plugin-")  # its own, mode 0700
    try:
        ours, theirs = socket.socketpair()
        with theirs:
            options = {
                "socket": theirs.fileno(),
                "parent": os.getpid(),
                "plugin": plugin,
                "group": limits.group,
                "memory_mb": limits.memory_mb,
                "open_files": limits.open_files,
                "clock_rate": limits.clock_rate,
                "log_level": logging.getLogger("heliograph.channel").getEffectiveLevel(),
            }
            # One pipe for both, so that what is printed stays in its order.
            reads, writes = os.pipe()
            try:
                child = subprocess.Popen(
                    [sys.executable, "-P", "-X", "faulthandler", "-m", MODULE, json.dumps(options)],
                    stdin=subprocess.DEVNULL,
                    stdout=writes,
                    stderr=writes,
                    env=_environment(limits.environment, folder, os.environ),
                    cwd=folder,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                os.close(reads)
                raise
            finally:
                os.close(writes)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    output = Output(plugin, os.fdopen(reads, "rb", buffering=0), KNOWN.hide)
    return Life(child, ours, folder, output, time.monotonic())


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill the process and what it has started. Not after it was waited for: its number may be somebody else's then."""
    if child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Tell whether the process has ended, and leave its number taken: what it has started is killed by that number."""
    if child.returncode is not None:
        return True
    if not hasattr(os, "waitid"):
        return child.poll() is not None
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def ends(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until the process has ended, at most so long; tell whether it has."""
    deadline = time.monotonic() + seconds
    while not has_ended(child):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _environment(names: Sequence[str], folder: str, own: Mapping[str, str]) -> dict[str, str]:
    """Return a clean environment: none of ours but the variables named, and what Python needs to find the plugin."""
    return {
        **{name: own[name] for name in names if name in own},
        "HOME": folder,
        "TMPDIR": folder,
        "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Each arena reserves 64 MB of the address space that is limited.
        "MALLOC_ARENA_MAX": "2",
    }


def manner(status: int) -> str:
    """Say how a process ended, by its exit status."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    return f"ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
