"""What the kernel refuses a plugin's process: other processes. A filter of system calls, for x86-64 and arm64.

RLIMIT_NPROC counts all processes of a user and does not hold for root, and a control group needs a right that services do
not have. A filter needs none, holds for everybody, and lets threads be.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUALS, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # places in struct seccomp_data, of the argument its lower half
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _SET_PDEATHSIG = 38, 22, 1

# Starting processes, looking into others, signalling others, changing others' limits, and ways around a filter.
_X86_64 = {
    "arch": 0xC000003E,
    "clone": 56,
    "prctl": 157,
    "none": (57, 58, 101, 200, 310, 311, 312, 424, 272, 308, 165, 298, 321, 425),
    "own": (62, 129, 234, 297, 141, 203, 302, 314),
}
_ARM64 = {
    "arch": 0xC00000B7,
    "clone": 220,
    "prctl": 167,
    "none": (117, 130, 270, 271, 272, 424, 97, 268, 40, 241, 280, 425),
    "own": (129, 138, 131, 240, 140, 122, 261, 274),
}
"""`none`: fork, vfork, ptrace, tkill, process_vm_readv, process_vm_writev, kcmp, pidfd_send_signal, unshare, setns, mount,
perf_event_open, bpf, io_uring_setup. `own`, for the process itself only: kill, rt_sigqueueinfo, tgkill, rt_tgsigqueueinfo,
setpriority, sched_setaffinity, prlimit64, sched_setattr."""
_CLONE3 = 435


def forbid_processes() -> bool:
    """Let this process start no others, signal none and look into none from now on; False where that cannot be done."""
    calls = {"x86_64": _X86_64, "aarch64": _ARM64}.get(platform.machine())
    if sys.platform != "linux" or calls is None or sys.byteorder != "little" or struct.calcsize("P") != 8:
        return False
    program = b"".join(_program(calls, os.getpid()))
    code = ctypes.create_string_buffer(program, len(program))
    filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
    if prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return bool(prctl(_SET_SECCOMP, 2, ctypes.addressof(filter), 0, 0) == 0)


def _program(calls: Mapping[str, object], own: int) -> Sequence[bytes]:
    refuse = _step(_RETURN, _ERRNO | errno.EPERM)
    allow = _step(_RETURN, _ALLOW)
    argument = _step(_LOAD, _FIRST_ARGUMENT)
    # Another architecture's numbers would slip through.
    program = [
        _step(_LOAD, _ARCH), _step(_EQUALS, calls["arch"], yes=1), _step(_RETURN, _KILL), _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, no=1), refuse,
    ]  # fmt: skip
    for number in calls["none"]:  # type: ignore[attr-defined]
        program += [_step(_EQUALS, number, no=1), refuse]
    # Its flags are behind a pointer, which a filter cannot follow: "not there" makes the C library use clone.
    program += [_step(_EQUALS, _CLONE3, no=1), _step(_RETURN, _ERRNO | errno.ENOSYS)]
    program += [_step(_EQUALS, calls["clone"], no=4), argument, _step(_HAS_BITS, _CLONE_THREAD, no=1), allow, refuse]
    program += [_step(_EQUALS, calls["prctl"], no=4), argument, _step(_EQUALS, _SET_PDEATHSIG, no=1), refuse, allow]
    for number in calls["own"]:  # type: ignore[attr-defined]
        program += [
            _step(_EQUALS, number, no=5),
            argument,
            _step(_EQUALS, own, yes=1),
            _step(_EQUALS, 0, no=1),
            allow,
            refuse,
        ]
    return [*program, allow]


def _step(code: int, value: object, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction: what it does, with what value, and how many steps to skip on yes and on no."""
    return struct.pack("HBBI", code, yes, no, value)
