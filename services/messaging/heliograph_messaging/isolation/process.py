"""The process of one plugin, seen from the service: started, asked, killed, and started again after a pause."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from heliograph_channels import PluginError
from heliograph_kit.redelivery import Backoff
from heliograph_kit.telemetry import counter
from heliograph_messaging.answers import plain
from heliograph_messaging.faults import Fault, PluginFault, count
from heliograph_messaging.isolation.child import Life, Limits, ends, has_ended, kill_group, manner, spawn
from heliograph_messaging.isolation.codec import encode
from heliograph_messaging.isolation.frames import CALL, TO_PLUGIN, BadFrame, Frame, TooLarge, pack
from heliograph_messaging.isolation.limits import hide_from_others

_log = logging.getLogger(__name__)
T = TypeVar("T")

_RESTART = Backoff(timedelta(milliseconds=500), timedelta(seconds=60))
_STEADY_SECONDS = 60.0
_EXIT_SECONDS = 2.0
_ENDING_SECONDS = 0.5


@dataclass(frozen=True)
class Offers:
    """What a process said at its start: a list of channels as `codec` writes them, and what could not be limited."""

    channels: Sequence[object]
    unlimited: Sequence[str]


class PluginProcess:
    """Keeps one process for one plugin. Usable from any thread and without an event loop.

    Whatever waits happens in one thread of its own: the order of questions is plain, a plugin that hangs holds up nobody
    but itself, and the kernel kills the process when that thread ends, which is when the service does.
    """

    def __init__(self, plugin: str, limits: Limits) -> None:
        """Take the entry point's name; nothing is started."""
        self.plugin = plugin
        self.limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"plugin {plugin}")
        self._life: Life | None = None
        self._lock = threading.Lock()  # around `cause`, which others than the thread set
        self._failures = 0
        self._not_before = 0.0
        self._last: tuple[Fault, str] = (Fault.NOT_RUNNING, "is not running")
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        life = self._life
        return life.child.pid if life is not None and not life.buried else None

    @property
    def wait_seconds(self) -> float:
        """How long it is left alone from now on, after a failure."""
        return max(0.0, self._not_before - time.monotonic())

    def run(self, task: Callable[..., T], *arguments: object) -> Future[T]:
        """Run one of the blocking methods in the process's thread."""
        return self._thread.submit(task, *arguments)

    # -- blocking: to be called through `run` -----------------------------------------------------------------------

    def start(self) -> Offers:
        """Start the process for the first time and return what it offers.

        Raises:
            PluginError: it cannot be used; nothing runs any more.
        """
        try:
            return self._start()
        except PluginFault as fault:
            raise PluginError(self.plugin, fault.problem) from None

    def connect(self, channel: str) -> tuple[Life, socket.socket]:
        """Return a connection over which one sender of this channel can be opened, and the run it belongs to.

        Raises:
            PluginFault: it does not run and is left alone for now, cannot be started, or fails.
        """
        life = self._running()
        ours, theirs = socket.socketpair()
        try:
            self._exchange(life, ["connect", [channel]], descriptors=[theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return life, ours

    def ask(self, method: str, *body: object) -> object:
        """Ask about settings or addresses.

        Raises:
            PluginFault: as `connect`, or the plugin's check failed.
        """
        return self._exchange(self._running(), [method, list(body)]).body

    def bury(self, life: Life) -> PluginFault:
        """See to it that this run is over, once; returns why it ended."""
        if not life.buried:
            life.buried = True
            self._end(life)
        fault, problem = life.cause or (Fault.DIED, "ended")
        return PluginFault(self.plugin, fault, problem)

    # -- from any thread --------------------------------------------------------------------------------------------

    def kill(self, life: Life, fault: Fault, problem: str) -> None:
        """Kill a run because of what it does; the first reason counts."""
        with self._lock:
            if life.cause is None:
                life.cause = (fault, problem)
        kill_group(life.child)

    def close(self) -> None:
        """End the process for good. Safe to repeat; blocks for seconds at most."""
        if not self._closed:
            self._closed = True
            with suppress(RuntimeError):
                self._thread.submit(self._close).result(2 * _EXIT_SECONDS + self.limits.check_seconds)
            self._thread.shutdown(wait=False)

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _running(self) -> Life:
        life = self._life
        if life is not None and not life.buried:
            if not has_ended(life.child):
                return life
            self.bury(life)
        if self._closed:
            raise PluginFault(self.plugin, Fault.NOT_RUNNING, "is closed")
        if wait := self.wait_seconds:
            problem = f"{self._last[1]}; it is left alone for {wait:.1f} s"
            raise PluginFault(self.plugin, Fault.NOT_RUNNING, problem)
        self._start()
        counter("heliograph.messaging.plugin.restarts").add(1, {"heliograph.provider": self.plugin})
        if self._life is None:
            raise PluginFault(self.plugin, Fault.NOT_RUNNING, "is not running")
        return self._life

    def _start(self) -> Offers:
        hide_from_others()
        try:
            life = spawn(self.plugin, self.limits)
        except OSError as error:
            raise PluginFault(self.plugin, Fault.NOT_RUNNING, f"cannot be started: {error}") from None
        try:
            life.control.settimeout(self.limits.start_seconds)
            frame = self._receive(life, time.monotonic() + self.limits.start_seconds, "was not imported")
        except PluginFault:
            self.bury(life)
            raise
        match frame.type, frame.body:
            case "answer", [[*channels], [*unlimited]]:
                self._life = life
                _log.info(
                    "the plugin %s runs in process %d: %d MB of memory, %d open files, no processes of its own%s",
                    self.plugin, life.child.pid, self.limits.memory_mb, self.limits.open_files,
                    f"; not limited on this system: {', '.join(map(str, unlimited))}" if unlimited else "",
                )  # fmt: skip
                return Offers(channels, [str(one) for one in unlimited])
            case "fault", ["PluginError", str() as text]:
                # The SDK's own words begin with the plugin's name, as ours will.
                problem = plain(text.removeprefix(f"plugin {self.plugin!r}: "), 2000)
                self.kill(life, Fault.NOT_RUNNING, problem)
            case _:
                self.kill(life, Fault.GARBLED, "said something else than what it offers")
        raise self.bury(life)

    def _exchange(self, life: Life, body: Sequence[object], *, descriptors: Sequence[int] = ()) -> Frame:
        life.numbers += 1
        seconds = self.limits.check_seconds
        try:
            frame = pack(CALL, life.numbers, body, encode=encode, limit=TO_PLUGIN)
        except TooLarge as error:
            raise PluginFault(self.plugin, Fault.RAISED, f"was asked about too much: {error}") from None
        life.control.settimeout(seconds)
        try:
            if descriptors:
                sent = socket.send_fds(life.control, [frame], list(descriptors))
                frame = frame[sent:]
            life.control.sendall(frame)
        except OSError:
            raise self.bury(life) from None
        answer = self._receive(life, time.monotonic() + seconds, f"did not answer within {seconds:g} s")
        match answer:
            case Frame("answer", number) if number == life.numbers:
                return answer
            case Frame("fault", number, [str() as kind, str() as text]) if number == life.numbers:
                problem = text if kind == "Unsound" else f"raised {kind}"
                fault = Fault.WRONG_TYPE if kind == "Unsound" else Fault.RAISED
                raise PluginFault(self.plugin, fault, plain(problem, 300))
        self.kill(life, Fault.GARBLED, "answered another question")
        raise self.bury(life)

    def _receive(self, life: Life, deadline: float, late: str) -> Frame:
        while True:
            try:
                life.control.settimeout(max(0.001, deadline - time.monotonic()))
                data = life.control.recv(64 * 1024)
                found = life.frames.feed(data)
            except TimeoutError:
                fault = Fault.TIMED_OUT if self._life is life else Fault.NOT_RUNNING
                words = late if self._life is life else f"{late} within {self.limits.start_seconds:g} s"
                self.kill(life, fault, words)
                raise self.bury(life) from None
            except BadFrame as error:
                self.kill(life, Fault.GARBLED, f"sent {error}")
                raise self.bury(life) from None
            except OSError:
                data, found = b"", []
            if not data:
                raise self.bury(life)
            if len(found) > 1:
                self.kill(life, Fault.GARBLED, "answered more than it was asked")
                raise self.bury(life)
            if found:
                return found[0]

    def _end(self, life: Life) -> None:
        # Not hung up yet: it would end in good order, and nobody would know that it had not.
        if life.cause is None and not ends(life.child, _ENDING_SECONDS):
            life.cause = (Fault.DIED, "closed its connection")
        life.control.close()
        kill_group(life.child)
        status = life.child.wait()
        life.output.join(_EXIT_SECONDS)
        shutil.rmtree(life.folder, ignore_errors=True)
        if life.cause is None:
            life.cause = (Fault.DIED, manner(status))
        if self._life is life:
            self._life = None
        if self._closed:
            return
        if time.monotonic() - life.began > _STEADY_SECONDS:
            self._failures = 0
        self._failures += 1
        pause = _RESTART.delay(self._failures, random.random()).total_seconds()  # noqa: S311 (jitter)
        self._not_before = time.monotonic() + pause
        self._last = life.cause
        count(self.plugin, life.cause[0])
        _log.error(
            "the channel plugin %s %s; its process %d is over, another is started when it is needed, not before %.1f s "
            "have passed", self.plugin, life.cause[1], life.child.pid, pause,
        )  # fmt: skip

    def _close(self) -> None:
        life = self._life
        if life is not None and not life.buried:
            life.cause = (Fault.NOT_RUNNING, "is closed")
            life.control.close()  # which it takes as the end
            ends(life.child, _EXIT_SECONDS)
            kill_group(life.child)
            self.bury(life)


async def in_thread(
    process: PluginProcess, task: Callable[..., T], *arguments: object, unwanted: Callable[[T], None] = lambda _: None
) -> T:
    """Wait for what the process's thread does. Cancelled, that goes on, and what comes of it is `unwanted`."""
    future = asyncio.wrap_future(process.run(task, *arguments))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else unwanted(done.result()))
        raise
