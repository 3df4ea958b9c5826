"""The use cases over registrations: one method each, one transaction each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violations
from heliograph_kit.outbox import Outbox
from heliograph_registry10dlc import domain, events, forms
from heliograph_registry10dlc.allowance import allowance
from heliograph_registry10dlc.domain import (
    Actor,
    Event,
    Kind,
    Move,
    Registration,
    State,
)
from heliograph_registry10dlc.errors import (
    BrandNotVerified,
    MoveNotAllowed,
    NumberAssociated,
    NumberExists,
    RegistrationNotFound,
    UseCaseFull,
    UseCaseNotApproved,
)
from heliograph_registry10dlc.store import RegistryStore

_US_NUMBER = re.compile(r"\+1\d{10}")


class Registry:
    """Use cases over brands, use cases and numbers."""

    def __init__(
        self,
        *,
        database: Database,
        store: RegistryStore,
        outbox: Outbox,
        clock: Clock,
        new_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        """Take the parts; `wake` is called after a commit that gave the registrar's worker something to do."""
        self._database = database
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id
        self._wake = wake

    async def create_brand(
        self,
        project: str,
        fields: Mapping[str, str],
        *,
        request_id: str = "",
        fingerprint: str = "",
    ) -> Registration:
        """Store a brand as a draft. Raises InvalidArgument, RequestIdReused."""
        _check_form(Kind.BRAND, fields, under="brand", complete=False)
        return await self._create(project, Kind.BRAND, fields, request_id=request_id, fingerprint=fingerprint)

    async def create_use_case(
        self,
        project: str,
        brand_id: str,
        fields: Mapping[str, str],
        *,
        request_id: str = "",
        fingerprint: str = "",
    ) -> Registration:
        """Store a use case of a verified brand as a draft, with the brand's score of now (pinpoint-2 4.3).

        Raises:
            InvalidArgument, RequestIdReused, RegistrationNotFound, BrandNotVerified.
        """
        _check_form(Kind.USE_CASE, fields, under="use_case", complete=False)
        brand = await self.get(project, Kind.BRAND, brand_id)
        if brand.state is not State.VERIFIED:
            raise BrandNotVerified(events.name_of(project, Kind.BRAND, brand_id), brand.state)
        return await self._create(
            project,
            Kind.USE_CASE,
            fields,
            parent_id=brand_id,
            vetting_score=brand.vetting_score,
            request_id=request_id,
            fingerprint=fingerprint,
        )

    async def create_number(
        self, project: str, number: str, *, request_id: str = "", fingerprint: str = ""
    ) -> Registration:
        """Enter a number into the inventory. Raises InvalidArgument, RequestIdReused, NumberExists."""
        violations = Violations()
        if not _US_NUMBER.fullmatch(number):
            violations.add("phone_number.number", "must be +1 and ten digits", "INVALID_FORMAT")
        violations.check()
        fields = {"number": number}
        return await self._create(project, Kind.NUMBER, fields, request_id=request_id, fingerprint=fingerprint)

    async def get(self, project: str, kind: Kind, registration_id: str) -> Registration:
        """Return a registration. Raises RegistrationNotFound."""
        async with self._database.transaction() as conn:
            return await self._existing(conn, project, kind, registration_id)

    async def page(
        self, project: str, kind: Kind, after: tuple[datetime, str] | None, limit: int
    ) -> list[Registration]:
        """Return registrations of a kind, newest first."""
        async with self._database.transaction() as conn:
            return await self._store.page(conn, project, kind, after, limit)

    async def update(
        self,
        project: str,
        kind: Kind,
        registration_id: str,
        fields: Mapping[str, str],
        *,
        under: str,
    ) -> Registration:
        """Replace the fields of a brand or use case that is not with the registrar.

        Raises:
            InvalidArgument, RegistrationNotFound, MoveNotAllowed.
        """
        _check_form(kind, fields, under=under, complete=False)
        async with self._database.transaction() as conn:
            current = await self._existing(conn, project, kind, registration_id, lock=True)
            if current.state not in domain.EDITABLE:
                raise MoveNotAllowed(
                    kind,
                    events.name_of(project, kind, registration_id),
                    current.state,
                    "update",
                )
            now = self._clock.now()
            changed = replace(
                current,
                fields=dict(fields),
                revision=current.revision + 1,
                update_time=now,
            )
            await self._store.change(conn, changed)
            return changed

    async def submit(self, project: str, kind: Kind, registration_id: str) -> Registration:
        """Hand a brand or use case to the registrar; its worker does so after the commit.

        Raises:
            InvalidArgument: fields are missing or wrong; all are told.
            RegistrationNotFound, MoveNotAllowed.
        """
        async with self._database.transaction() as conn:
            current = await self._existing(conn, project, kind, registration_id, lock=True)
            _check_form(kind, current.fields, under="", complete=True)
            now = self._clock.now()
            moved = await self._moved(
                conn,
                replace(current, reference="", submitted_at=now),
                Event.SUBMIT,
                now,
                Actor.USER,
            )
        self._wake()
        return moved

    async def associate(self, project: str, number_id: str, use_case_id: str) -> Registration:
        """Associate a number with an approved use case; one number, one use case, at most 49 (pinpoint-2 4.9).

        Raises:
            RegistrationNotFound, UseCaseNotApproved, NumberAssociated, UseCaseFull, MoveNotAllowed.
        """
        async with self._database.transaction() as conn:
            # The use case is locked first: two numbers for the 49th place come one after the other.
            use_case = await self._existing(conn, project, Kind.USE_CASE, use_case_id, lock=True)
            number = await self._existing(conn, project, Kind.NUMBER, number_id, lock=True)
            if number.parent_id == use_case_id and number.state in (
                State.PENDING,
                State.READY,
            ):
                return number
            if number.parent_id and number.state in (State.PENDING, State.READY):
                raise NumberAssociated(
                    events.name_of(project, Kind.NUMBER, number_id),
                    events.name_of(project, Kind.USE_CASE, number.parent_id),
                )
            name = events.name_of(project, Kind.USE_CASE, use_case_id)
            if use_case.state is not State.APPROVED:
                raise UseCaseNotApproved(name, use_case.state)
            if await self._store.count_numbers(conn, project, use_case_id) >= domain.MAX_NUMBERS_OF_USE_CASE:
                raise UseCaseFull(name)
            now = self._clock.now()
            wanted = replace(number, parent_id=use_case_id, reference="", submitted_at=now)
            moved = await self._moved(conn, wanted, Event.ASSOCIATE, now, Actor.USER)
        self._wake()
        return moved

    async def release(self, project: str, number_id: str) -> Registration:
        """Give a number up. Raises RegistrationNotFound, MoveNotAllowed."""
        async with self._database.transaction() as conn:
            number = await self._existing(conn, project, Kind.NUMBER, number_id, lock=True)
            return await self._moved(conn, number, Event.RELEASE, self._clock.now(), Actor.USER)

    async def decide(
        self,
        registration: Registration,
        event: Event,
        at: datetime,
        *,
        cause: str = "",
        field: str = "",
        vetting_score: int | None = None,
    ) -> bool:
        """Write down a registrar's decision; False when it is known, belongs to an older submission, or is not legal now.

        Safe to repeat: registrars tell every decision with every poll.
        """
        async with self._database.transaction() as conn:
            current = await self._store.get(
                conn,
                registration.project,
                registration.kind,
                registration.id,
                lock=True,
            )
            if current is None or current.reference != registration.reference:
                return False
            if domain.after(current.kind, current.state, event) is None:
                return False
            if vetting_score is not None:
                current = replace(current, vetting_score=vetting_score)
            if event is Event.REJECTED and current.kind is Kind.NUMBER:
                current = replace(current, parent_id="")
            key = f"{registration.reference} {event} {at.isoformat()}"
            try:
                await self._moved(
                    conn,
                    current,
                    event,
                    at,
                    Actor.REGISTRAR,
                    cause=cause,
                    field=field,
                    key=key,
                )
            except _KnownDecision:
                return False
        return True

    async def handed_in(self, registration: Registration, reference: str) -> None:
        """Keep the registrar's reference of the present submission."""
        async with self._database.transaction() as conn:
            current = await self._store.get(
                conn,
                registration.project,
                registration.kind,
                registration.id,
                lock=True,
            )
            if current is not None and current.submitted_at == registration.submitted_at:
                await self._store.change(conn, replace(current, reference=reference))

    async def history(self, project: str, registration_id: str, after: int, limit: int) -> list[tuple[int, Move]]:
        """Return moves, oldest first."""
        async with self._database.transaction() as conn:
            return await self._store.history(conn, project, registration_id, after, limit)

    async def _create(
        self,
        project: str,
        kind: Kind,
        fields: Mapping[str, str],
        *,
        parent_id: str = "",
        vetting_score: int = 0,
        request_id: str,
        fingerprint: str,
    ) -> Registration:
        now = self._clock.now()
        new = Registration(
            project=project,
            id=self._new_id(),
            kind=kind,
            state=domain.FIRST_STATE[kind],
            fields=dict(fields),
            create_time=now,
            update_time=now,
            parent_id=parent_id,
            vetting_score=vetting_score,
        )
        async with self._database.transaction() as conn:
            if await self._store.add(conn, new, request_id=request_id, fingerprint=fingerprint):
                move = Move(project, new.id, kind, None, new.state, Actor.USER, now)
                await self._store.remember(conn, move)
                await self._announce(conn, new, move)
                return new
            done = await self._store.of_request(conn, project, request_id) if request_id else None
        if done is None:
            raise NumberExists(new.number)
        if done[0] != fingerprint:
            raise RequestIdReused(request_id)
        return done[1]

    async def _existing(
        self,
        conn: AsyncConnection,
        project: str,
        kind: Kind,
        registration_id: str,
        *,
        lock: bool = False,
    ) -> Registration:
        found = await self._store.get(conn, project, kind, registration_id, lock=lock)
        if found is None:
            raise RegistrationNotFound(kind, events.name_of(project, kind, registration_id))
        return found

    async def _moved(
        self,
        conn: AsyncConnection,
        current: Registration,
        event: Event,
        at: datetime,
        actor: Actor,
        *,
        cause: str = "",
        field: str = "",
        key: str = "",
    ) -> Registration:
        state = domain.after(current.kind, current.state, event)
        name = events.name_of(current.project, current.kind, current.id)
        if state is None:
            raise MoveNotAllowed(current.kind, name, current.state, event)
        move = Move(
            current.project,
            current.id,
            current.kind,
            current.state,
            state,
            actor,
            at,
            cause,
            field,
            key,
        )
        if not await self._store.remember(conn, move):
            raise _KnownDecision
        moved = replace(
            current,
            state=state,
            state_cause=cause,
            state_field=field,
            revision=current.revision + 1,
            update_time=max(at, current.update_time),
        )
        await self._store.change(conn, moved)
        await self._announce(conn, moved, move)
        return moved

    async def _announce(self, conn: AsyncConnection, registration: Registration, move: Move) -> None:
        await self._outbox.add(conn, events.registration_moved(registration, move))
        if registration.kind is not Kind.NUMBER:
            return
        rate = 0.0
        if registration.parent_id:
            use_case = await self._existing(conn, registration.project, Kind.USE_CASE, registration.parent_id)
            rate = rate_of(use_case)
        await self._outbox.add(conn, events.number_updated(registration, rate))


class _KnownDecision(Exception):
    """The history has this decision."""


def rate_of(use_case: Registration) -> float:
    """Return the message parts per second a use case may send on its strictest per-second carrier."""
    purpose = use_case.fields.get("campaignUseCase.useCase", "")
    return allowance(purpose, use_case.vetting_score).parts_per_second


def _check_form(kind: Kind, fields: Mapping[str, str], *, under: str, complete: bool) -> None:
    violations = Violations()
    prefix = f"{under}." if under else ""
    forms.check(
        kind,
        fields,
        lambda path, words, reason: violations.add(f"{prefix}fields[{path}]", words, reason),
        complete=complete,
    )
    violations.check()
