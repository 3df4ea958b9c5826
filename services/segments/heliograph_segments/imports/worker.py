"""The worker of import jobs: leases one and works on it, or goes on where a dead worker stopped."""

from __future__ import annotations

import asyncio
import logging

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.outbox import Outbox
from heliograph_kit.telemetry import tracer
from heliograph_kit.working import Bell, until_stopped
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.imports.run import ImportRun
from heliograph_segments.places.choosing import Places
from heliograph_segments.service.writing import EndpointWriter
from heliograph_segments.store.job_rows import LeaseLost
from heliograph_segments.store.jobs import IMPORTS

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)


class ImportWorker:
    """Takes import jobs, one at a time a process."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        clock: Clock,
        settings: SegmentsSettings,
        writer: EndpointWriter,
        places: Places,
    ) -> None:
        """Take what the jobs are written with, and where they may read."""
        self._writer = writer
        self._places = places
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._settings = settings
        self._bell = Bell()

    def wake(self) -> None:
        """Look for jobs now instead of at the next poll."""
        self._bell.ring()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop; the piece in hand is finished and the job given back."""
        await until_stopped(stopping, self._bell, self._settings.import_poll_seconds, lambda: self.run_one(stopping))

    async def run_one(self, stopping: asyncio.Event) -> bool:
        """Take one job and work on it; tell whether there was one."""
        async with self._database.transaction() as conn:
            leased = await IMPORTS.lease(conn, self._settings.import_lease_seconds)
        if leased is None:
            return False
        run = ImportRun(self._database, self._outbox, self._clock, self._settings, leased, self._writer, self._places)
        attributes = {"heliograph.project": leased.job.project, "heliograph.job": leased.job.job_id}
        with _tracer.start_as_current_span("import", attributes=attributes):
            try:
                await run.work(stopping)
            except LeaseLost:
                _log.warning("import %s goes on elsewhere", leased.job.job_id)
        return True
