"""The book all use cases write into: a move, its line in the history, its announcement, and what follows for numbers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels import SubmissionKind
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused
from heliograph_kit.outbox import Outbox
from heliograph_registry10dlc import domain, events
from heliograph_registry10dlc.domain import (
    IN_FORCE,
    Actor,
    Entry,
    Event,
    Finding,
    Follows,
    Kind,
    NumberType,
    Registration,
    State,
)
from heliograph_registry10dlc.errors import MoveNotAllowed, NumberExists, RegistrationNotFound
from heliograph_registry10dlc.store.errands import Errand, ErrandStore, GrantStore
from heliograph_registry10dlc.store.history import HistoryStore
from heliograph_registry10dlc.store.registrations import RegistrationStore
from heliograph_registry10dlc.terms import Terms

_PAGE = 500
Listener = Callable[[AsyncConnection, Entry], Awaitable[object]]


class KnownDecision(Exception):
    """The history has this decision."""


@dataclass(frozen=True)
class Cause:
    """Why something moves: who, when (the installation's clock), a word, the registrar's words, what to mend."""

    actor: Actor
    at: datetime
    word: str = ""
    words: str = ""
    findings: tuple[Finding, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class Stores:
    """Where papers are kept."""

    registrations: RegistrationStore = field(default_factory=RegistrationStore)
    history: HistoryStore = field(default_factory=HistoryStore)
    errands: ErrandStore = field(default_factory=ErrandStore)
    grants: GrantStore = field(default_factory=GrantStore)


class Book:
    """Writes papers. `listeners` are told every move inside its transaction; `moved` of a project after the commit."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: Outbox,
        clock: Clock,
        new_id: Callable[[], str],
        moved: Callable[[str], None] = lambda _project: None,
        stores: Stores | None = None,
        terms: Terms | None = None,
    ) -> None:
        """Take the parts."""
        self.database = database
        self.clock = clock
        self.new_id = new_id
        self.stores = stores or Stores()
        self.terms = terms or Terms()
        self.listeners: list[Listener] = []
        self._outbox = outbox
        self._moved = moved

    @contextlib.asynccontextmanager
    async def writing(self, project: str) -> AsyncIterator[AsyncConnection]:
        """Open a transaction as the only writer of a project's papers."""
        async with self.database.transaction() as conn:
            await self.stores.registrations.lock(conn, project)
            yield conn
        self._moved(project)

    def by_user(self) -> Cause:
        """Return the cause of what a caller does now."""
        return Cause(Actor.USER, self.clock.now())

    async def existing(self, conn: AsyncConnection, project: str, kind: Kind, registration_id: str) -> Registration:
        """Read a registration that is not deleted. Raises RegistrationNotFound."""
        found = await self.stores.registrations.get(conn, project, kind, registration_id)
        if found is None or found.state is State.DELETED:
            raise RegistrationNotFound(kind, events.name_of(project, kind, registration_id))
        return found

    async def read(self, project: str, kind: Kind, registration_id: str) -> Registration:
        """Read a registration on its own. Raises RegistrationNotFound."""
        async with self.database.transaction() as conn:
            return await self.existing(conn, project, kind, registration_id)

    async def page(
        self, project: str, kind: Kind, after: tuple[datetime, str] | None, limit: int, *, parent_id: str = ""
    ) -> list[Registration]:
        """Read registrations of a kind, newest first."""
        async with self.database.transaction() as conn:
            return await self.stores.registrations.page(conn, project, kind, after, limit, parent_id=parent_id)

    async def every(self, project: str, kind: Kind) -> list[Registration]:
        """Read all registrations of a kind, newest first."""
        found: list[Registration] = []
        after = None
        while page := await self.page(project, kind, after, _PAGE):
            found += page
            after = (page[-1].create_time, page[-1].id)
        return found

    def blank(self, project: str, kind: Kind, state: State, fields: Mapping[str, str], **more: Any) -> Registration:
        """Return a registration that is not stored yet."""
        now = self.clock.now()
        return Registration(
            project=project, id=self.new_id(), kind=kind, state=state, fields=dict(fields), create_time=now,
            update_time=now, **more,
        )  # fmt: skip

    async def repeated(
        self, conn: AsyncConnection, project: str, request_id: str, fingerprint: str
    ) -> Registration | None:
        """Return what this request created before; None when it is new. Raises RequestIdReused."""
        done = await self.stores.registrations.of_request(conn, project, request_id) if request_id else None
        if done is not None and done[0] != fingerprint:
            raise RequestIdReused(request_id)
        return done[1] if done else None

    async def create(
        self, conn: AsyncConnection, new: Registration, cause: Cause, *, request_id: str = "", fingerprint: str = ""
    ) -> Registration:
        """Store a new registration with its first line of history. Raises NumberExists."""
        if not await self.stores.registrations.add(conn, new, request_id=request_id, fingerprint=fingerprint):
            raise NumberExists(new.number)
        await self._write_down(
            conn, new, Entry(new.project, new.id, new.kind, None, None, new.state, cause.actor, cause.at)
        )
        return new

    async def move(
        self, conn: AsyncConnection, current: Registration, event: Event, cause: Cause, **changes: Any
    ) -> Registration:
        """Make a move with other changes of the registration, and all that follows from it.

        Raises:
            MoveNotAllowed: the state or the actor does not allow it.
            KnownDecision: the history has a move with this key.
        """
        move = domain.move(current.kind, current.state, event, cause.actor)
        name = events.name_of(current.project, current.kind, current.id)
        if move is None:
            raise MoveNotAllowed(current.kind, name, current.state, event)
        if Follows.HAND_IN in move.follows:
            earlier = current.reference or current.earlier_reference
            changes = {"reference": "", "earlier_reference": earlier, "submitted_at": cause.at, **changes}
        moved = replace(
            current,
            **{
                "state_cause": cause.word,
                "state_field": cause.findings[0].field if cause.findings else "",
                "findings": cause.findings,
                **changes,
                "state": move.to,
                "revision": current.revision + 1,
                "update_time": max(cause.at, current.update_time),
            },
        )
        entry = Entry(
            current.project, current.id, current.kind, event, current.state, move.to, cause.actor, cause.at,
            cause.word, moved.state_field, cause.words, cause.key,
        )  # fmt: skip
        await self._write_down(conn, moved, entry, changed=True)
        if Follows.NUMBERS in move.follows:
            await self.numbers_follow(conn, moved, cause)
        return moved

    async def touch(self, conn: AsyncConnection, number: Registration) -> Registration:
        """Announce a number again because something it hangs on changed."""
        touched = replace(number, revision=number.revision + 1)
        await self.stores.registrations.change(conn, touched)
        await self.announce_number(conn, touched)
        return touched

    async def hang(self, conn: AsyncConnection, number: Registration, parent_id: str) -> Registration:
        """Have a number belong to a registration, or to none."""
        return await self.touch(conn, replace(number, parent_id=parent_id))

    async def errand(
        self, conn: AsyncConnection, of: Registration, kind: SubmissionKind, parent_reference: str = ""
    ) -> None:
        """Have the registrar told something that needs no decision."""
        errand = Errand(
            of.project, self.new_id(), of.id, kind, of.fields, of.registered_id or of.reference, parent_reference,
            self.clock.now(),
        )  # fmt: skip
        await self.stores.errands.add(conn, errand)

    # -- what numbers hang on ---------------------------------------------------------------------------------------

    async def numbers_follow(self, conn: AsyncConnection, registration: Registration, cause: Cause) -> None:
        """Stop the numbers that send for a registration, or let them send again, and announce each anew."""
        for number in await self._numbers_of(conn, registration):
            why = await self.stopped_by(conn, number)
            follows = replace(cause, word=why or cause.word, key="", findings=())
            if cause.actor is Actor.USER:
                follows = replace(follows, actor=Actor.OPERATOR)
            if why and number.state is State.READY:
                await self.move(conn, number, Event.STOPPED, follows)
            elif not why and number.state is State.SUSPENDED:
                await self.move(conn, number, Event.RESUMED, follows)
            else:
                await self.touch(conn, number)

    async def stopped_by(self, conn: AsyncConnection, number: Registration) -> str:
        """Return why a number may not send although it is associated, as a word; empty: it may."""
        if not number.parent_id:
            return ""
        if number.number_type is NumberType.TOLL_FREE:
            registration = await self._parent(conn, number, Kind.TOLL_FREE)
            return "TOLL_FREE_SUSPENDED" if registration and registration.state is State.SUSPENDED else ""
        use_case = await self._parent(conn, number, Kind.USE_CASE)
        if use_case is None or use_case.state not in IN_FORCE[Kind.USE_CASE]:
            return f"USE_CASE_{use_case.state if use_case else State.DELETED}"
        brand = await self._parent(conn, use_case, Kind.BRAND)
        if brand is None or brand.state not in IN_FORCE[Kind.BRAND]:
            return f"BRAND_{brand.state if brand else State.DELETED}"
        return ""

    async def announce_number(self, conn: AsyncConnection, number: Registration) -> None:
        """Announce all that messaging needs to know of a number, to its project and to those that borrow it."""
        use_case = brand = toll_free = None
        if number.parent_id and number.number_type is NumberType.TOLL_FREE:
            toll_free = await self._parent(conn, number, Kind.TOLL_FREE)
        elif number.parent_id:
            use_case = await self._parent(conn, number, Kind.USE_CASE)
            brand = await self._parent(conn, use_case, Kind.BRAND) if use_case else None
        if not number.number:
            return
        papers = events.Papers(use_case, brand, toll_free)
        borrowers = [grant.borrower for grant in await self.stores.grants.of_number(conn, number.project, number.id)]
        for project in (number.project, *borrowers):
            await self._outbox.add(conn, events.number_updated(number, papers, project, self.terms))

    async def take_back(self, conn: AsyncConnection, number: Registration, borrower: str) -> None:
        """Tell a project that a number it borrowed is gone."""
        gone = replace(number, state=State.RELEASED, parent_id="")
        await self._outbox.add(conn, events.number_updated(gone, events.Papers(), borrower, self.terms))

    async def _numbers_of(self, conn: AsyncConnection, registration: Registration) -> Sequence[Registration]:
        store, project = self.stores.registrations, registration.project
        if registration.kind is Kind.BRAND:
            use_cases = await store.children(conn, project, registration.id, Kind.USE_CASE)
            return [one for case in use_cases for one in await store.children(conn, project, case.id, Kind.NUMBER)]
        return await store.children(conn, project, registration.id, Kind.NUMBER)

    async def _parent(self, conn: AsyncConnection, child: Registration, kind: Kind) -> Registration | None:
        return await self.stores.registrations.get(conn, child.project, kind, child.parent_id)

    async def _write_down(
        self, conn: AsyncConnection, registration: Registration, entry: Entry, *, changed: bool = False
    ) -> None:
        kept = await self.stores.history.append(conn, entry)
        if kept is None:
            raise KnownDecision
        if changed:
            await self.stores.registrations.change(conn, registration)
        await self._outbox.add(conn, events.registration_moved(registration, kept))
        for listener in self.listeners:
            await listener(conn, kept)
        if registration.kind is Kind.NUMBER:
            await self.announce_number(conn, registration)
