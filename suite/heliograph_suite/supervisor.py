"""Starts everything of an installation as child processes, restarts what crashes, and stops all of it in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from heliograph_kit.embedded import EmbeddedNats, EmbeddedPostgres
from heliograph_suite.installation import SERVICES, Installation

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_CALM_SECONDS = 30.0
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)


class ChildState(StrEnum):
    """What a child is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"
    STOPPED = "stopped"


class StartFailed(Exception):
    """A child did not become ready; the text ends with what it logged last."""


@dataclass
class Child:
    """One service process."""

    name: str
    state: ChildState = ChildState.WAITING
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    ready_seconds: float = 0.0
    said: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Runs one installation. `changed` is called whenever a child's state did."""

    def __init__(self, installation: Installation, changed: Callable[[], None] = lambda: None) -> None:
        """Take the installation; nothing is started yet."""
        self.installation = installation
        self.children = {name: Child(name) for name in SERVICES}
        self.servers = {"postgres": ChildState.WAITING, "nats": ChildState.WAITING}
        self.changed = changed
        self._urls = ("", "")
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Start the servers, then the services; returns when every one is ready.

        Raises:
            StartFailed: one of them did not become ready. What was started is stopped again.
        """
        try:
            await self._start_servers()
            # The owner of keys first, the rest side by side: they look for each other only when they are called.
            await self._start_child(self.children["projects"])
            await asyncio.gather(*(self._start_child(self.children[name]) for name in SERVICES[1:]))
        except BaseException:
            await self.stop()
            raise
        self._watchers += [asyncio.create_task(self._watch(child)) for child in self.children.values()]
        self._watchers.append(asyncio.create_task(self._watch_servers()))

    async def stop(self) -> None:
        """Stop the services in reverse order of asking, then the servers; safe to repeat."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(self._end(child) for child in self.children.values()))
        for name, server in (("nats", self.installation.nats), ("postgres", self.installation.postgres)):
            if self.servers[name] is not ChildState.STOPPED:
                await asyncio.to_thread(server.stop)
                self._set_server(name, ChildState.STOPPED)
        self._write_state()

    async def _start_servers(self) -> None:
        postgres, nats = self.installation.postgres, self.installation.nats
        for name in self.servers:
            self._set_server(name, ChildState.STARTING)
        database_url, nats_url = await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(nats.start))
        self._urls = (database_url, nats_url)
        for name in self.servers:
            self._set_server(name, ChildState.READY)

    async def _start_child(self, child: Child) -> None:
        began = time.monotonic()
        self._set(child, ChildState.STARTING)
        child.said = asyncio.Event()
        environment = self.installation.environment(child.name, *self._urls)
        with self.installation.log_of(child.name).open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"heliograph_{child.name}.main",
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # Ctrl-C reaches the suite only, which then stops its children in order.
                start_new_session=True,
            )
        reader = asyncio.create_task(self._listen(child, child.process))
        exited = asyncio.create_task(child.process.wait())
        said = asyncio.create_task(child.said.wait())
        try:
            await asyncio.wait({exited, said}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            said.cancel()
        if not child.said.is_set():
            if not exited.done():
                exited.cancel()
            reader.cancel()
            self._set(child, ChildState.CRASHED)
            await self._end(child)
            raise StartFailed(f"{child.name} did not start:\n{self._last_words(child)}")
        exited.cancel()
        child.ready_seconds = time.monotonic() - began
        self._set(child, ChildState.READY)

    async def _listen(self, child: Child, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        async for line in process.stdout:
            if line.startswith(f"{child.name} ready on ".encode()):
                child.said.set()

    async def _watch(self, child: Child) -> None:
        """Start a child again when it ends by itself, with growing pauses while it keeps ending."""
        failures = 0
        while True:
            if child.process is None:
                return
            began = time.monotonic()
            await child.process.wait()
            if self._stopping:
                return
            failures = 0 if time.monotonic() - began > _CALM_SECONDS else failures + 1
            self._set(child, ChildState.CRASHED)
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            child.restarts += 1
            with contextlib.suppress(StartFailed):
                await self._start_child(child)

    async def _watch_servers(self) -> None:
        servers: dict[str, EmbeddedPostgres | EmbeddedNats] = {
            "postgres": self.installation.postgres,
            "nats": self.installation.nats,
        }
        while True:
            await asyncio.sleep(1.0)
            for name, server in servers.items():
                if await asyncio.to_thread(_runs, server):
                    self._set_server(name, ChildState.READY)
                    continue
                self._set_server(name, ChildState.CRASHED)
                with contextlib.suppress(Exception):
                    await asyncio.to_thread(server.start)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            self._set(child, ChildState.STOPPED)
            return
        for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await process.wait()
                    break
        self._set(child, ChildState.STOPPED)

    def _last_words(self, child: Child) -> str:
        lines = self.installation.log_of(child.name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def _set(self, child: Child, state: ChildState) -> None:
        child.state = state
        self._write_state()
        self.changed()

    def _set_server(self, name: str, state: ChildState) -> None:
        if self.servers[name] is not state:
            self.servers[name] = state
            self._write_state()
            self.changed()

    def _write_state(self) -> None:
        self.installation.write_state(
            {
                "pid": os.getpid(),
                "servers": dict(self.servers),
                "services": {
                    child.name: {
                        "state": child.state,
                        "pid": child.process.pid if child.process else None,
                        "target": self.installation.target(child.name),
                        "restarts": child.restarts,
                        "log": str(self.installation.log_of(child.name)),
                    }
                    for child in self.children.values()
                },
            }
        )


def _runs(server: EmbeddedPostgres | EmbeddedNats) -> bool:
    return server.running
