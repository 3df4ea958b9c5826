"""Figures of the whole: how much memory each process took at most while the demonstration played."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Figure, figure
from benchmarks.parts import bare_result, until
from heliograph_kit.embedded import EmbeddedNats

_PLAY_SECONDS = 300
_EVERY_SECONDS = 0.2


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    bare = float(await bare_result("imports"))
    with tempfile.TemporaryDirectory(prefix="heliograph-bench-") as name:
        # PostgreSQL runs under an account of its own when we are root, and must be able to walk through.
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o711)
        peaks = await _play(folder)
    against = "a process with only the common libraries imported"
    return [
        figure(f"peak memory of {process} in the demonstration", peak, "MiB", bare=bare, against=against)
        for process, peak in sorted(peaks.items(), key=lambda item: -item[1])
    ]


async def _play(folder: Path) -> dict[str, float]:
    """Play the demonstration to its end; returns the peak of each process, MiB."""
    process = _start(folder)
    peaks: dict[str, float] = {}

    async def over() -> bool | None:
        for name, pid in _processes(folder / "demo").items():
            peaks[name] = max(peaks.get(name, 0.0), _peak_of(pid))
        if (folder / "demo.json").exists():
            return True
        if process.poll() is not None:
            raise RuntimeError(f"the demonstration ended with {process.returncode}:\n{_end_of(folder / 'demo.log')}")
        return None

    try:
        await until("the end of the demonstration", over, within=_PLAY_SECONDS, every=_EVERY_SECONDS)
    finally:
        # It stops everything it started.
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.to_thread(process.wait, 60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return peaks


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "heliograph_suite.cli", "demo"]
    options = ["--dir", str(folder / "demo"), "--json", str(folder / "demo.json"), "--stay"]
    with (folder / "demo.log").open("wb") as log:
        return subprocess.Popen([*command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _processes(directory: Path) -> dict[str, int]:
    """Return the process ids of the services and of the bus, as far as they run."""
    try:
        state: dict[str, Any] = json.loads((directory / "state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    found = {name: child["pid"] for name, child in state["services"].items() if child["pid"]}
    # Not PostgreSQL: its processes share most of their memory, and a sum would count that many times.
    nats = EmbeddedNats(directory / "nats").process if (directory / "nats" / "nats.pid").exists() else None
    return found | ({"nats-server": nats.pid} if nats else {})


def _peak_of(pid: int) -> float:
    """Return the highest memory of a process so far where the system keeps it, else what it has now; MiB."""
    status = Path(f"/proc/{pid}/status")
    try:
        for line in status.read_text().splitlines() if status.exists() else ():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except (psutil.Error, OSError):
        return 0.0


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
