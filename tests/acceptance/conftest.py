"""The whole suite as real processes, as `heliograph up` starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from heliograph_kit.embedded import EmbeddedPostgres
from heliograph_suite.demo.stage import Clients
from heliograph_suite.installation import SERVICES, Installation, read_state
from tests.acceptance.spans import SpanCollector

_READY_SECONDS = 90.0


@dataclass
class RunningSuite:
    """A suite that was started by the command, and what tests do to it."""

    directory: Path
    process: subprocess.Popen[bytes]
    log: Path
    spans: SpanCollector
    installation: Installation = field(init=False)

    def state(self) -> dict[str, Any]:
        """Return what the supervisor wrote last."""
        return read_state(self.directory) or {"services": {}, "servers": {}}

    def await_ready(self) -> None:
        """Wait until every service is ready."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            services = self.state()["services"]
            if len(services) == len(SERVICES) and all(child["state"] == "ready" for child in services.values()):
                ports = {name: int(child["target"].rpartition(":")[2]) for name, child in services.items()}
                secrets = json.loads((self.directory / "secrets.json").read_text())
                self.installation = Installation(self.directory, ports, secrets)
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"the suite is not ready: {self.state()}\n{self.log.read_text(errors='replace')[-4000:]}")

    def pid_of(self, service: str) -> int:
        """Return the process id of a service."""
        return int(self.state()["services"][service]["pid"])

    def kill(self, service: str) -> int:
        """End a service with SIGKILL; the supervisor starts it again. Returns the pid it had."""
        pid = self.pid_of(service)
        os.kill(pid, signal.SIGKILL)
        return pid

    def logs_of(self, service: str) -> str:
        """Return what a service logged."""
        return (self.directory / "logs" / f"{service}.log").read_text(errors="replace")


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """A suite with hurried clocks for journeys and registrations, and every span collected."""
    directory = tmp_path_factory.mktemp("suite")
    with (
        SpanCollector() as spans,
        started(directory, {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint}, spans) as running,
    ):
        yield running


class started:  # noqa: N801 - used like a function
    """Start a suite in a folder and stop it at the end of the block."""

    def __init__(self, directory: Path, extra: Mapping[str, str], spans: SpanCollector) -> None:
        """Take the folder and further environment."""
        origin = datetime.now(UTC).isoformat()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HELIOGRAPH_")},
            "HELIOGRAPH_JOURNEYS_CLOCK_RATE": "20000",
            "HELIOGRAPH_JOURNEYS_CLOCK_ORIGIN": origin,
            "HELIOGRAPH_JOURNEYS_PUBLISH_DELAY_SECONDS": "0",
            "HELIOGRAPH_REGISTRY10DLC_CLOCK_RATE": "100000",
            "HELIOGRAPH_REGISTRY10DLC_CLOCK_ORIGIN": origin,
            "HELIOGRAPH_REGISTRY10DLC_POLL_SECONDS": "0.2",
            **extra,
        }
        self._directory = directory
        self._spans = spans

    def __enter__(self) -> RunningSuite:
        """Start it and wait until everything is ready."""
        log = self._directory / "up.log"
        command = [sys.executable, "-m", "heliograph_suite.cli", "up", "--free-ports", "--dir", str(self._directory)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._running = RunningSuite(self._directory, process, log, self._spans)
        try:
            self._running.await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self._running

    def __exit__(self, *_: object) -> None:
        """Stop it as Ctrl-C does, and make sure that nothing is left."""
        process = self._running.process
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            for child in children:
                if child.is_running():
                    child.kill()
            EmbeddedPostgres(self._directory / "postgres").remove()


@pytest_asyncio.fixture
async def clients(suite: RunningSuite) -> AsyncIterator[Clients]:
    """Clients with the admin key."""
    opened = Clients(suite.installation, suite.installation.admin_key)
    yield opened
    await opened.close()


@pytest.fixture
def write_import(suite: RunningSuite) -> Callable[[str, str], str]:
    """Write a file into the folder that imports may read; returns its URI."""

    def write(name: str, text: str) -> str:
        path = suite.directory / "imports" / name
        path.write_text(text, encoding="utf-8")
        return path.as_uri()

    return write
