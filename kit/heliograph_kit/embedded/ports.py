"""Ports on loopback: a free one, or who has the one that is taken."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"


class PortTaken(Exception):
    """The port asked for belongs to another process; the text names it."""

    def __init__(self, port: int, holder: str) -> None:
        """Take the port and who has it."""
        super().__init__(f"port {port} on {LOOPBACK} is taken by {holder}")
        self.port = port
        self.holder = holder


def free_port() -> int:
    """Return a port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port now."""
    with socket.socket() as probe:
        # Servers set this too: a port whose old connections still fade away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """Return name and pid of the process that listens on a port, or a sentence that it cannot be seen."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, OSError):
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return "a process of another user"


def choose_port(remembered: Path, wanted: int | None) -> int:
    """Return the port to start on: the one asked for, else the one of last time when it is free, else a free one.

    Raises:
        PortTaken: the port asked for is taken.
    """
    if wanted is not None:
        if not is_free(wanted):
            raise PortTaken(wanted, holder_of(wanted))
        return wanted
    if remembered.exists():
        last = int(remembered.read_text())
        if is_free(last):
            return last
    return free_port()
