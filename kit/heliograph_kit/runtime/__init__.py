"""Runs a service: settings, telemetry, database, bus, server, workers; one line when ready; a stop that loses nothing.

A service's `main.py` is one `build` function that wires its parts and one call of `run_service`.
"""

from heliograph_kit.runtime.command import run_service
from heliograph_kit.runtime.life import StartFailed, running
from heliograph_kit.runtime.wiring import Build, Kind, Runtime, Server

__all__ = ["Build", "Kind", "Runtime", "Server", "StartFailed", "run_service", "running"]
