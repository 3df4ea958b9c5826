"""A service as a real process that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from heliograph_kit.embedded import free_port


class ServiceProcess:
    """Runs `python -m <module>` with settings in its environment, its output in files.

    Usable as a context manager: started and ready inside of the block, stopped at its end.
    """

    def __init__(
        self,
        module: str,
        *,
        service: str,
        directory: Path,
        environment: Mapping[str, str],
        arguments: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        """Describe the process.

        Args:
            module: as in `heliograph_segments.main`.
            service: the name in its settings and in its ready line.
            directory: gets the log file.
            environment: HELIOGRAPH_... settings; the caller's own HELIOGRAPH_ variables are not inherited.
            arguments: of the command, as in `--role worker`.
            port: of its gRPC server, kept over restarts; a free one when None.
        """
        self.service = service
        self.address = f"127.0.0.1:{port or free_port()}"
        self._command = [sys.executable, "-m", module, *arguments]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HELIOGRAPH_")}
        self._environment = {
            **inherited,
            "HELIOGRAPH_DRAIN_SECONDS": "0",
            **environment,
            f"HELIOGRAPH_{service.upper()}_LISTEN": self.address,
        }
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / f"{service}-{self.address.rpartition(':')[2]}.log"
        self._output = self._log.with_suffix(".out")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; LookupError when it was not started."""
        if self._process is None:
            raise LookupError(f"{self.service} was not started")
        return self._process.pid

    @property
    def logs(self) -> str:
        """Everything it has logged, over all restarts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it, without waiting."""
        if self.running:
            return self
        self._output.write_bytes(b"")
        with self._log.open("ab") as log, self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=log
            )
        return self

    def ready(self, within: float = 30.0) -> Self:
        """Wait (blocking, seconds) for its ready line.

        Raises:
            AssertionError: it ended or stayed silent; shows the end of its log.
        """
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if f"{self.service} ready on" in self._output.read_text(errors="replace"):
                return self
            if not self.running:
                break
            time.sleep(0.03)
        state = "is not ready" if self.running else f"ended with {self._process.returncode if self._process else None}"
        raise AssertionError(f"{self.service} {state}; it logged:\n{self.logs[-4000:]}")

    def kill(self) -> None:
        """End it with SIGKILL: nothing is flushed, finished or given back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, within: float = 30.0) -> int:
        """Ask it to stop with SIGTERM and return its exit code; killed when time (seconds) is over."""
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.service} did not stop in {within:g} s:\n{self.logs[-4000:]}") from None

    def restart(self, within: float = 30.0) -> Self:
        """Kill it if it lives, start it again on the same port and wait until it is ready."""
        self.kill()
        return self.start().ready(within)

    def __enter__(self) -> Self:
        """Start and wait until ready."""
        return self.start().ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it; after a failure without patience, so that the failure is what is shown."""
        if error is None:
            self.stop()
        else:
            self.kill()
