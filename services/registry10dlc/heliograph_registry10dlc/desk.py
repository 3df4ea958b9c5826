"""The worker: hands submissions to the registrar plugin and brings its decisions back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from heliograph_channels import (
    Decision,
    DecisionState,
    Registrar,
    Submission,
    SubmissionKind,
)
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_registry10dlc.domain import Event, Registration
from heliograph_registry10dlc.service import Registry
from heliograph_registry10dlc.store import RegistryStore

_log = logging.getLogger(__name__)
_PAGE = 500


class Desk:
    """Carries papers both ways. Several may work side by side: submitting and deciding are safe to repeat."""

    def __init__(
        self,
        *,
        database: Database,
        store: RegistryStore,
        registry: Registry,
        registrar: Registrar,
        clock: Clock,
        poll_seconds: float,
    ) -> None:
        """Take the parts; `poll_seconds` are real seconds."""
        self._database = database
        self._store = store
        self._registry = registry
        self._registrar = registrar
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for submissions now instead of at the next poll."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        while not stopping.is_set():
            self._woken.clear()
            await self.once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._woken.wait()

    async def once(self) -> int:
        """Submit what waits and take in what was decided; returns how many moves were made."""
        after = ("", "")
        made = 0
        while True:
            async with self._database.transaction() as conn:
                page = await self._store.at_registrar(conn, after, _PAGE)
            if not page:
                return made
            made += await self._work(page)
            after = (page[-1].project, page[-1].id)

    async def _work(self, page: Sequence[Registration]) -> int:
        by_reference = {r.reference: r for r in page if r.reference}
        for registration in page:
            if not registration.reference:
                await self._submit(registration)
        made = 0
        for decision in await self._registrar.poll(sorted(by_reference), self._clock.now()):
            made += await self._decide(by_reference[decision.reference], decision)
        return made

    async def _submit(self, registration: Registration) -> None:
        submitted_at = registration.submitted_at or registration.update_time
        paper = Submission(
            kind=SubmissionKind(registration.kind),
            id=registration.id,
            fields=registration.fields,
            submitted_at=submitted_at,
        )
        # A crash before the reference is kept repeats the submission; registrars answer it with the same reference.
        await self._registry.handed_in(registration, await self._registrar.submit(paper))

    async def _decide(self, registration: Registration, decision: Decision) -> bool:
        score = decision.attributes.get("vetting_score", "")
        made = await self._registry.decide(
            registration,
            _EVENT_OF[decision.state],
            decision.at,
            cause=decision.cause,
            field=decision.field,
            vetting_score=int(score) if score.isdecimal() else None,
        )
        if made:
            _log.info("%s %s: %s", registration.kind, registration.id, decision.state)
        return made


_EVENT_OF = {
    DecisionState.VERIFIED: Event.VERIFIED,
    DecisionState.APPROVED: Event.APPROVED,
    DecisionState.READY: Event.READY,
    DecisionState.REJECTED: Event.REJECTED,
    DecisionState.SUSPENDED: Event.SUSPENDED,
}
