"""The machine that figures were measured on. A figure without it says nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Machine:
    """What matters of a machine, and how busy it was when the measurement began."""

    cpu: str
    cores: int
    memory_bytes: int
    python: str
    system: str
    load: tuple[float, float, float]

    def lines(self) -> list[tuple[str, str]]:
        """Return names and values for people."""
        return [
            ("CPU", f"{self.cpu}, {self.cores} logical cores for this process"),
            ("memory", f"{self.memory_bytes / 2**30:.1f} GiB"),
            ("software", f"Python {self.python} on {self.system}"),
            ("load at start", " ".join(f"{value:.2f}" for value in self.load) + " (1, 5 and 15 minutes)"),
        ]


def this_machine() -> Machine:
    """Look at the machine now."""
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        load=psutil.getloadavg(),
    )


def _cores() -> int:
    # A container may be allowed fewer than the machine has.
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
