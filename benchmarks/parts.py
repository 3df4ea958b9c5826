"""Servers and services of a measurement, as real processes in a temporary folder; all of them end with the block."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from heliograph_kit.auth import InternalTokens
from heliograph_kit.embedded import EmbeddedNats, EmbeddedPostgres
from heliograph_kit.rpc import channel
from heliograph_kit.testing import ServiceProcess

T = TypeVar("T")
_SECRET = "benchmarks-benchmarks-benchmarks-1"
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Servers:
    """A durable PostgreSQL and a NATS that syncs every write."""

    folder: Path
    database_url: str
    nats_url: str

    @property
    def dsn(self) -> str:
        """The URL as the bare driver takes it."""
        return self.database_url.replace("+psycopg", "", 1)

    def service(self, name: str, **settings: object) -> ServiceProcess:
        """Describe a service process; settings by their field names."""
        environment = {
            "HELIOGRAPH_DATABASE_URL": self.database_url,
            "HELIOGRAPH_NATS_URL": self.nats_url,
            "HELIOGRAPH_INTERNAL_SECRET": _SECRET,
            "HELIOGRAPH_LOG_LEVEL": "WARNING",
            **{f"HELIOGRAPH_{field.upper()}": str(value) for field, value in settings.items()},
        }
        module = f"heliograph_{name}.main"
        return ServiceProcess(module, service=name, directory=self.folder / "logs", environment=environment)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start both servers on free ports."""
    folder = Path(tempfile.mkdtemp(prefix="heliograph-bench-"))
    # PostgreSQL runs under an account of its own when we are root, and must be able to walk through.
    folder.chmod(0o711)
    postgres, nats = EmbeddedPostgres(folder / "postgres"), EmbeddedNats(folder / "nats")
    try:
        yield Servers(folder, postgres.start(), nats.start())
    finally:
        nats.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def calling(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to a service as another service of the installation has it."""
    opened = channel(address, tokens=InternalTokens(_SECRET), caller="bench")
    try:
        yield opened
    finally:
        await opened.close(None)


@contextlib.contextmanager
def bare(part: str, *arguments: str) -> Iterator[str]:
    """Run a module of benchmarks.bare in another process; yields the first line it prints, and ends it after.

    Raises:
        RuntimeError: it ended without a word.
    """
    process = _start(part, *arguments)
    try:
        yield _line(process, part)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def bare_result(part: str, *arguments: str, within: float = 120) -> str:
    """Run a module of benchmarks.bare to its end and return the line it prints; times in seconds.

    Raises:
        RuntimeError: it failed.
        TimeoutExpired: it took too long and was ended.
    """
    process = _start(part, *arguments)
    try:
        output, _ = await asyncio.to_thread(process.communicate, timeout=within)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise RuntimeError(f"{part} failed with {process.returncode}")
    return str(output).strip()


async def until(what: str, look: Callable[[], Awaitable[T | None]], *, within: float, every: float = 0.1) -> T:
    """Look again and again until there is something to see; times in seconds.

    Raises:
        TimeoutError: there was nothing in time; says what was waited for.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within
    while (seen := await look()) is None:
        if loop.time() > give_up:
            raise TimeoutError(f"waited {within:g} s for {what}")
        await asyncio.sleep(every)
    return seen


def _start(part: str, *arguments: str) -> subprocess.Popen[str]:
    command: list[Any] = [sys.executable, "-m", f"benchmarks.bare.{part}", *arguments]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str], part: str) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError(f"{part} ended without a word")
    return line.strip()
