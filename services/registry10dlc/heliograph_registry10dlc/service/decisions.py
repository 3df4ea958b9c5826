"""What registrars and operators decide, written down: each decision once, and none about papers that were handed in again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels import Decision, DecisionState
from heliograph_channels import Finding as Told
from heliograph_registry10dlc import domain
from heliograph_registry10dlc.domain import IN_FORCE, Actor, Event, Finding, Kind, NumberType, Registration, State
from heliograph_registry10dlc.domain.numbers import READY_AT_ONCE
from heliograph_registry10dlc.errors import MoveNotAllowed, SubmissionOutdated
from heliograph_registry10dlc.events import name_of
from heliograph_registry10dlc.service.book import Book, Cause, KnownDecision

_MOST_WORDS = 1000
_MOST_FINDINGS = 50
_MOST_FIELD = 200
_MOST_CAUSE = 100
_DECIDABLE = frozenset(Event(state) for state in DecisionState)


class Decisions:
    """Writes decisions down."""

    def __init__(self, book: Book) -> None:
        """Take the book."""
        self._book = book

    async def take(self, decisions: Sequence[Decision]) -> int:
        """Write down what a registrar decided; returns how many moves that made.

        Safe to repeat: registrars tell every decision with every poll. What is known, is about an older submission, or is
        not legal now changes nothing.
        """
        made = 0
        for decision in decisions:
            async with self._book.database.transaction() as conn:
                meant = await self._book.stores.registrations.of_reference(conn, decision.reference)
            if meant is not None:
                made += await self._take(meant, decision, Actor.REGISTRAR)
        return made

    async def by_hand(self, project: str, kind: Kind, registration_id: str, decision: Decision) -> Registration:
        """Write down what an operator decided. Safe to repeat.

        Raises:
            RegistrationNotFound, SubmissionOutdated, MoveNotAllowed.
        """
        current = await self._book.read(project, kind, registration_id)
        if current.reference != decision.reference:
            raise SubmissionOutdated(name_of(project, kind, registration_id))
        if not await self._take(current, decision, Actor.OPERATOR):
            current = await self._book.read(project, kind, registration_id)
            async with self._book.database.transaction() as conn:
                last = await self._book.stores.history.latest(conn, project, registration_id)
            if last is None or last.event != Event(decision.state):
                raise MoveNotAllowed(kind, name_of(project, kind, registration_id), current.state, decision.state)
        return await self._book.read(project, kind, registration_id)

    async def refused(self, registration: Registration, findings: Sequence[Told], at: datetime) -> bool:
        """Write down that the registrar did not take the papers in; False when they were handed in again since."""
        project = registration.project
        async with self._book.writing(project) as conn:
            current = await self._book.stores.registrations.get(conn, project, registration.kind, registration.id)
            if current is None or current.reference or current.submitted_at != registration.submitted_at:
                return False
            event = next(
                (one for one in (Event.REJECTED, Event.FAILED) if _legal(current, one, Actor.REGISTRAR)), None
            )  # fmt: skip
            if event is None:
                return False
            cause = Cause(
                Actor.REGISTRAR,
                at,
                findings[0].cause,
                findings[0].words[:_MOST_WORDS],
                _written(findings),
            )
            await self._decided(conn, current, event, cause, Decision("", DecisionState(event), at))
            return True

    async def handed_in(self, registration: Registration, reference: str) -> None:
        """Keep the registrar's reference of the present submission."""
        project = registration.project
        async with self._book.writing(project) as conn:
            current = await self._book.stores.registrations.get(conn, project, registration.kind, registration.id)
            if current is not None and current.submitted_at == registration.submitted_at:
                await self._book.stores.registrations.change(conn, replace(current, reference=reference))

    async def _take(self, meant: Registration, decision: Decision, actor: Actor) -> bool:
        event = Event(decision.state)
        findings = decision.findings
        if not findings and decision.field:
            findings = (Told(decision.field, decision.cause, decision.words),)
        key = f"{decision.reference} {event} {decision.at.isoformat()}"
        words = decision.words[:_MOST_WORDS]
        cause = Cause(actor, decision.at, decision.cause, words, _written(findings), key)
        try:
            async with self._book.writing(meant.project) as conn:
                current = await self._book.stores.registrations.get(conn, meant.project, meant.kind, meant.id)
                if current is None or current.reference != decision.reference or not _legal(current, event, actor):
                    return False
                await self._decided(conn, current, event, cause, decision)
        except KnownDecision:
            return False
        return True

    async def _decided(
        self, conn: AsyncConnection, current: Registration, event: Event, cause: Cause, decision: Decision
    ) -> None:
        changes = _changes(current, event, decision)
        if event is Event.BOUGHT and await self._book.stores.registrations.number_taken(conn, decision.number):
            # Nobody can own what is in another inventory; the order came to nothing.
            event, changes, cause = Event.FAILED, {}, replace(cause, word="NUMBER_EXISTS")
        moved = await self._book.move(conn, current, event, cause, **changes)
        follows = replace(cause, key="", findings=())
        if moved.kind is Kind.NUMBER:
            await self._number_follows(conn, current, moved, follows)
        elif moved.kind is Kind.VETTING and moved.state is State.SCORED:
            brand = await self._book.existing(conn, moved.project, Kind.BRAND, moved.parent_id)
            if _legal(brand, Event.SCORED, cause.actor):
                score = {"vetting_score": moved.vetting_score, "vetting_time": cause.at}
                kept = replace(follows, findings=brand.findings)
                await self._book.move(conn, brand, Event.SCORED, kept, **score)

    async def _number_follows(
        self, conn: AsyncConnection, before: Registration, number: Registration, cause: Cause
    ) -> None:
        """Take the next step of a number by itself: into use once bought, out of use when what it hangs on was stopped."""
        book = self._book
        if number.state is State.UNASSOCIATED and number.number_type in READY_AT_ONCE:
            await book.move(conn, number, Event.ACTIVATE, cause)
        elif number.state is State.UNASSOCIATED and before.state is State.ORDERED and before.fields.get("use_case"):
            wanted = before.fields["use_case"]
            use_case = await book.stores.registrations.get(conn, number.project, Kind.USE_CASE, wanted)
            taken = await book.stores.registrations.count(conn, number.project, Kind.NUMBER, parent_id=wanted)
            in_force = use_case is not None and use_case.state in IN_FORCE[Kind.USE_CASE]
            if in_force and taken < domain.MAX_NUMBERS_OF_USE_CASE:
                await book.move(conn, number, Event.ASSOCIATE, cause, parent_id=wanted)
        elif number.state is State.READY and (why := await book.stopped_by(conn, number)):
            await book.move(conn, number, Event.STOPPED, replace(cause, word=why))


def decidable(registration: Registration) -> list[str]:
    """Return what an operator may decide about a registration that is with him."""
    return [
        event
        for event in domain.events_of(registration.kind, registration.state, Actor.OPERATOR)
        if event in _DECIDABLE
    ]


def waiting_states() -> Collection[tuple[Kind, State]]:
    """Return where papers wait for a decision, as opposed to being in force."""
    found = set()
    for kind, machine in domain.MACHINES.items():
        for (state, event), move in machine.items():
            if event in _DECIDABLE and Actor.OPERATOR in move.actors and state not in IN_FORCE.get(kind, ()):
                found.add((kind, state))
        found |= {(kind, one) for one in (State.UPDATE_PENDING, State.RENEWAL_PENDING) if one in domain.states_of(kind)}
    return found


def _written(findings: Sequence[Told]) -> tuple[Finding, ...]:
    """Return what is kept of what a registrar wants mended; it comes from outside and is cut to size."""
    return tuple(
        Finding(one.field[:_MOST_FIELD], one.cause[:_MOST_CAUSE], one.words[:_MOST_WORDS])
        for one in findings[:_MOST_FINDINGS]
    )


def _legal(registration: Registration, event: Event, actor: Actor) -> bool:
    return domain.move(registration.kind, registration.state, event, actor) is not None


def _changes(current: Registration, event: Event, decision: Decision) -> dict[str, Any]:
    """Return what else a decision changes in a registration."""
    changes: dict[str, Any] = {}
    if decision.registered_id:
        changes["registered_id"] = decision.registered_id
    if decision.expires_at is not None or event is Event.RENEWED:
        changes["expire_time"] = decision.expires_at
    if current.kind is Kind.NUMBER:
        if event is Event.BOUGHT:
            changes["fields"] = {**current.fields, "number": decision.number}
        elif event in (Event.REJECTED, Event.DETACHED):
            changes |= {"parent_id": "", "submitted_at": None}
        elif event is Event.READY and current.number_type is NumberType.LONG_CODE:
            changes["fields"] = {**current.fields, "number_type": NumberType.TEN_DLC.value}
        return changes
    if event is Event.SCORED or (event is Event.VERIFIED and _score(decision) is not None):
        changes |= {"vetting_score": _score(decision) or 0, "vetting_time": decision.at}
    if event is Event.VERIFIED and current.state is State.UPDATE_PENDING:
        changes |= {"fields": current.draft_fields, "draft_fields": {}}
    return changes


def _score(decision: Decision) -> int | None:
    told = decision.attributes.get("vetting_score", "")
    score = decision.score if decision.score is not None else int(told) if told.isdecimal() else None
    return None if score is None else max(0, min(100, score))
