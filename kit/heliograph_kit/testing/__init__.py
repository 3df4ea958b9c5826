"""For tests only: real servers, waiting without sleeping, services as processes. Needs the extra `testing`."""

from __future__ import annotations

from heliograph_kit.runtime import running
from heliograph_kit.testing.processes import ServiceProcess
from heliograph_kit.testing.waiting import eventually

__all__ = ["ServiceProcess", "eventually", "running"]
