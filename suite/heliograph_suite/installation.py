"""One installation in a folder: its secrets, its ports, and the environment its services are started with."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from heliograph_kit.embedded import EmbeddedNats, EmbeddedPostgres, PortTaken, free_port, holder_of
from heliograph_kit.embedded.ports import is_free
from heliograph_kit.settings import PORTS

# In the order of starting: who is asked comes before who asks.
SERVICES = ("projects", "segments", "messaging", "registry10dlc", "analytics", "campaigns", "journeys", "gateway")
# The edge is asked by people and providers, not by services.
PEERS = tuple(name for name in SERVICES if name != "gateway")
DEFAULT_DIRECTORY = Path(".heliograph")


class PortsTaken(Exception):
    """One or more of the ports belong to others; every one is told with its holder."""

    def __init__(self, taken: Mapping[str, PortTaken]) -> None:
        """Take the service or server and what stands in its way."""
        lines = [f"{name}: {error}" for name, error in taken.items()]
        super().__init__("\n".join([*lines, "stop them, or start with --free-ports"]))


@dataclass
class Installation:
    """The folder of an installation and everything that is decided once for it."""

    directory: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, directory: Path, *, free_ports: bool, extra: Mapping[str, str] | None = None) -> Installation:
        """Use a folder, made when it is missing. Secrets are made once and kept, readable for the owner only.

        Raises:
            PortsTaken: fixed ports are asked for and somebody else has some of them.
        """
        directory = directory.absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("logs", "imports", "analytics"):
            (directory / folder).mkdir(exist_ok=True)
        ports = {name: free_port() for name in SERVICES} if free_ports else {name: PORTS[name] for name in SERVICES}
        if not free_ports:
            taken = {name: PortTaken(p, holder_of(p)) for name, p in ports.items() if not is_free(p)}
            if taken:
                raise PortsTaken(taken)
        return cls(directory, ports, _secrets_of(directory), dict(extra or {}))

    @cached_property
    def postgres(self) -> EmbeddedPostgres:
        """The PostgreSQL server of this folder."""
        return EmbeddedPostgres(self.directory / "postgres")

    @cached_property
    def nats(self) -> EmbeddedNats:
        """The NATS server of this folder."""
        return EmbeddedNats(self.directory / "nats")

    @property
    def admin_key(self) -> str:
        """The key that the installation begins with: role ADMIN, all projects."""
        return self.secrets["bootstrap_key"]

    def target(self, service: str) -> str:
        """Return host:port of a service."""
        return f"127.0.0.1:{self.ports[service]}"

    def log_of(self, name: str) -> Path:
        """Return the log file of a child."""
        return self.directory / "logs" / f"{name}.log"

    def environment(self, service: str, database_url: str, nats_url: str) -> dict[str, str]:
        """Return the environment a service is started with; HELIOGRAPH_ variables of the caller come through."""
        peers = {f"HELIOGRAPH_PEER_{name.upper()}": f"dns:///{self.target(name)}" for name in PEERS}
        return {
            **os.environ,
            **peers,
            "HELIOGRAPH_DATABASE_URL": database_url,
            "HELIOGRAPH_NATS_URL": nats_url,
            "HELIOGRAPH_LISTEN": self.target(service),
            "HELIOGRAPH_INTERNAL_SECRET": self.secrets["internal_secret"],
            "HELIOGRAPH_PROJECTS_BOOTSTRAP_KEY": self.secrets["bootstrap_key"],
            "HELIOGRAPH_MESSAGING_SECRET_KEY": self.secrets["messaging_secret_key"],
            # One passphrase for both: their boxes make different keys of it.
            "HELIOGRAPH_REGISTRY10DLC_SECRET_KEY": self.secrets["messaging_secret_key"],
            "HELIOGRAPH_ANALYTICS_EVENT_STORE": str(self.directory / "analytics" / "events.duckdb"),
            "HELIOGRAPH_SEGMENTS_IMPORT_ROOT": str(self.directory / "imports"),
            "HELIOGRAPH_SEGMENTS_INDEX_FOLDER": str(self.directory / "indexes"),
            "HELIOGRAPH_DRAIN_SECONDS": "0",
            "HELIOGRAPH_LOG_FORMAT": "json",
            **self.extra,
        }

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Keep what `heliograph status` shows."""
        draft = self.directory / "state.json.new"
        draft.write_text(json.dumps(state, indent=2))
        draft.replace(self.directory / "state.json")


def read_state(directory: Path) -> dict[str, Any] | None:
    """Return what a running or past `heliograph up` wrote, None when there was none."""
    path = directory / "state.json"
    return json.loads(path.read_text()) if path.exists() else None


def supervisor_of(directory: Path) -> int | None:
    """Return the process id of whoever runs the installation in this folder, None when nobody does."""
    state = read_state(directory)
    if state is None or all(child["state"] == "stopped" for child in state["services"].values()):
        return None
    try:
        # After a crash the number may belong to a stranger by now.
        command = " ".join(psutil.Process(state["pid"]).cmdline())
    except psutil.Error:
        return None
    return int(state["pid"]) if "heliograph" in command else None


def read_admin_key(directory: Path) -> str | None:
    """Return the admin key of an installation that exists, None where there is none."""
    path = directory / "secrets.json"
    return str(json.loads(path.read_text())["bootstrap_key"]) if path.exists() else None


def _secrets_of(directory: Path) -> dict[str, str]:
    path = directory / "secrets.json"
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    made = {
        "internal_secret": secrets.token_hex(32),
        "bootstrap_key": f"hg_{secrets.token_hex(16)}_{secrets.token_hex(32)}",
        "messaging_secret_key": secrets.token_hex(32),
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(made, file)
    return made
