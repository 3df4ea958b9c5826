"""The worker: hands papers to the registrar plugin and brings its decisions back; and the clock, which ends what runs out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import timedelta

from heliograph_channels import Refused, Registrar, Submission, SubmissionKind
from heliograph_kit.clock import Clock
from heliograph_kit.ids import derived_id
from heliograph_registry10dlc.domain import Actor, Event, Kind, Registration, State
from heliograph_registry10dlc.errors import MoveNotAllowed
from heliograph_registry10dlc.service.book import Book, Cause, KnownDecision
from heliograph_registry10dlc.service.decisions import Decisions
from heliograph_registry10dlc.store.errands import Errand

_log = logging.getLogger(__name__)
_PAGE = 500
_PROOF = timedelta(days=7)
"""How long the mail that proves a company is good for (pinpoint-2 4.2)."""
_BEFORE_EXPIRY = timedelta(days=30)
"""How long before a registration runs out that is said."""
_HANDED_IN = {
    State.UPDATE_PENDING: SubmissionKind.BRAND,
    State.RENEWAL_PENDING: SubmissionKind.RENEWAL,
    State.ORDERED: SubmissionKind.ORDER,
    State.CONVERTING: SubmissionKind.NUMBER,
    State.DISASSOCIATING: SubmissionKind.DISASSOCIATION,
}


class Desk:
    """Carries papers both ways. Several may work side by side: submitting and deciding are safe to repeat."""

    def __init__(
        self, *, book: Book, decisions: Decisions, registrar: Registrar, clock: Clock, poll_seconds: float
    ) -> None:
        """Take the parts; `poll_seconds` are real seconds."""
        self._book = book
        self._decisions = decisions
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
        """Do what there is to do now; returns how many decisions and ends were written down."""
        await self._run_errands()
        after = ("", "")
        made = 0
        while True:
            async with self._book.database.transaction() as conn:
                page = await self._book.stores.registrations.at_registrar(conn, after, _PAGE)
            if not page:
                return made + await self.end_what_ran_out()
            made += await self._work(page)
            after = (page[-1].project, page[-1].id)

    async def end_what_ran_out(self) -> int:
        """Move what time moves: proofs that did not come, registrations at their end or near it; returns how many."""
        now = self._clock.now()
        async with self._book.database.transaction() as conn:
            due = await self._book.stores.registrations.due(
                conn, authenticated_before=now - _PROOF, expiring_before=now + _BEFORE_EXPIRY, limit=_PAGE
            )
        return sum([await self._end(one) for one in due])

    async def _end(self, one: Registration) -> bool:
        now, expires = self._clock.now(), one.expire_time
        if one.state is State.REQUIRES_AUTHENTICATION:
            event, cause = Event.LAPSED, Cause(Actor.CLOCK, now, "AUTHENTICATION_EXPIRED")
        elif expires is not None and expires <= now:
            event, cause = Event.EXPIRED, Cause(Actor.CLOCK, expires, "REGISTRATION_EXPIRED")
        else:
            key = f"renewal due {expires.isoformat() if expires else ''}"
            event, cause = Event.RENEWAL_DUE, Cause(Actor.CLOCK, now, "RENEWAL_DUE", key=key)
        try:
            async with self._book.writing(one.project) as conn:
                current = await self._book.existing(conn, one.project, one.kind, one.id)
                if current.revision != one.revision:
                    return False
                if event is Event.RENEWAL_DUE and current.findings:
                    cause = Cause(cause.actor, cause.at, cause.word, "", current.findings, cause.key)
                await self._book.move(conn, current, event, cause)
        except (KnownDecision, MoveNotAllowed):
            return False
        return True

    async def _work(self, page: Sequence[Registration]) -> int:
        made = 0
        for registration in page:
            if not registration.reference:
                made += await self._hand_in(registration)
        references = sorted({one.reference for one in page if one.reference})
        try:
            return made + await self._decisions.take(await self._registrar.poll(references, self._clock.now()))
        except Exception:  # a registry that is away must not stop the desk; the next poll tells the same again
            _log.warning("registrar %s did not tell its decisions", self._registrar.name, exc_info=True)
            return made

    async def _hand_in(self, registration: Registration) -> int:
        kind = _HANDED_IN.get(registration.state) or SubmissionKind(registration.kind)
        paper = Submission(
            kind=kind,
            id=registration.id,
            fields=_fields(registration, kind),
            submitted_at=registration.submitted_at or registration.update_time,
            parent_reference=await self._parent_reference(registration),
            registered_id=registration.registered_id,
            earlier_reference=registration.earlier_reference,
        )
        try:
            # A crash before the reference is kept repeats the submission; registrars answer it with the same reference.
            await self._decisions.handed_in(registration, await self._registrar.submit(paper))
        except Refused as refused:
            return await self._decisions.refused(registration, refused.findings, self._clock.now())
        except Exception:  # whatever a plugin raises: the papers wait for the next poll, others go on
            _log.warning("%s %s could not be handed in", kind, registration.id, exc_info=True)
        return 0

    async def _parent_reference(self, registration: Registration) -> str:
        parent_id = registration.parent_id or registration.fields.get("use_case", "")
        kind = Kind.USE_CASE if registration.kind is Kind.NUMBER else Kind.BRAND
        if not parent_id or registration.kind is Kind.TOLL_FREE:
            return ""
        async with self._book.database.transaction() as conn:
            parent = await self._book.stores.registrations.get(conn, registration.project, kind, parent_id)
        return (parent.registered_id or parent.reference) if parent is not None else ""

    async def _run_errands(self) -> None:
        after = ("", "")
        while True:
            async with self._book.database.transaction() as conn:
                page = await self._book.stores.errands.page(conn, after, _PAGE)
            if not page:
                return
            for errand in page:
                await self._run_errand(errand)
            after = (page[-1].project, page[-1].id)

    async def _run_errand(self, errand: Errand) -> None:
        paper = Submission(
            kind=errand.kind,
            id=derived_id(errand.registration_id, errand.id),
            fields=errand.fields,
            submitted_at=errand.create_time,
            parent_reference=errand.parent_reference,
            registered_id=errand.registered_id,
        )
        try:
            await self._registrar.submit(paper)
        except Refused as refused:
            _log.warning("the registrar refused errand %s of %s: %s", errand.kind, errand.registration_id, refused)
        except Exception:  # it waits for the next poll
            _log.warning("errand %s of %s failed", errand.kind, errand.registration_id, exc_info=True)
            return
        async with self._book.database.transaction() as conn:
            await self._book.stores.errands.done(conn, errand)


def _fields(registration: Registration, kind: SubmissionKind) -> dict[str, str]:
    """Return the fields of a submission as the SDK promises them."""
    if registration.kind is not Kind.NUMBER:
        return dict(registration.draft_fields if registration.state is State.UPDATE_PENDING else registration.fields)
    number_type = registration.number_type.value
    if kind is SubmissionKind.ORDER:
        wanted = {
            "capabilities": ",".join(registration.capabilities),
            "area_code": registration.fields.get("area_code", ""),
        }
        return {"number_type": number_type, "quantity": "1", **wanted}
    return {"number": registration.number, "number_type": number_type}
