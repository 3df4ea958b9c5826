"""Real PostgreSQL and real NATS from Python wheels, for laptops and tests; a cluster brings its own."""

from __future__ import annotations

from heliograph_kit.embedded.nats import EmbeddedNats
from heliograph_kit.embedded.ports import PortTaken, free_port, holder_of
from heliograph_kit.embedded.postgres import EmbeddedPostgres
from heliograph_kit.embedded.processes import ServerFailed

__all__ = ["EmbeddedNats", "EmbeddedPostgres", "PortTaken", "ServerFailed", "free_port", "holder_of"]
