"""What the process of a plugin may use. Set by the process itself, before it imports anything of the plugin.

What a process has lowered for itself it cannot raise again: it gives up its privileges, root's too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Sequence

from heliograph_messaging.isolation.seccomp import forbid_processes

try:
    import resource
except ImportError:  # no such thing on Windows
    resource = None  # type: ignore[assignment]

_SET_PDEATHSIG, _SET_DUMPABLE = 1, 4
_CAPABILITIES_3 = 0x20080522


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; end at once if that was already."""
    if sys.platform == "linux":
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def hide_from_others() -> None:
    """Keep what is in this process's memory and environment from other processes of the same user, and from core files."""
    if sys.platform == "linux":
        _prctl(_SET_DUMPABLE, 0)


def confine(*, memory_bytes: int, open_files: int) -> Sequence[str]:
    """Limit this process for ever; returns what could not be limited here.

    `memory_bytes` is address space, which is more than what is used of it. `open_files` counts sockets, too.
    """
    missing = []
    hide_from_others()
    if resource is None:
        return ("memory", "open files", "processes")
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_AS, memory_bytes),
    ):
        _, most = resource.getrlimit(limit)
        wanted = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (wanted, wanted))
    if sys.platform != "linux":
        missing.append("memory")  # set, but not heeded
    _give_up_privileges()
    if not forbid_processes():
        missing.append("processes")
    return missing


def _give_up_privileges() -> None:
    """Drop all capabilities: as root in a container a process could raise its limits again and look into the service."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITIES_3, 0))
    nothing = ctypes.create_string_buffer(24)
    ctypes.CDLL(None, use_errno=True).capset(header, nothing)


def _prctl(option: int, value: int) -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
    prctl(option, value, 0, 0, 0)
