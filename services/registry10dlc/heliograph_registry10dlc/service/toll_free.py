"""Registrations of toll-free numbers: one for each number (pinpoint-2 4.10)."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_registry10dlc import events
from heliograph_registry10dlc.domain import GONE, Event, Kind, NumberType, Registration, State
from heliograph_registry10dlc.errors import HasDependents, NumberAssociated, NumberNotTollFree
from heliograph_registry10dlc.service.book import Book, Cause
from heliograph_registry10dlc.service.forms_checked import check_form

_UNDER = "toll_free_registration"


class TollFree:
    """Use cases over toll-free registrations."""

    def __init__(self, book: Book) -> None:
        """Take the book."""
        self._book = book

    async def create(
        self, project: str, number_id: str, fields: Mapping[str, str], *, request_id: str = "", fingerprint: str = ""
    ) -> Registration:
        """Store a registration of a number as a draft.

        Raises:
            InvalidArgument, RequestIdReused, RegistrationNotFound, NumberNotTollFree, NumberAssociated.
        """
        check_form(Kind.TOLL_FREE, fields, under=_UNDER, complete=False)
        book = self._book
        async with book.writing(project) as conn:
            if done := await book.repeated(conn, project, request_id, fingerprint):
                return done
            number = await book.existing(conn, project, Kind.NUMBER, number_id)
            name = events.name_of(project, Kind.NUMBER, number_id)
            if number.number_type is not NumberType.TOLL_FREE:
                raise NumberNotTollFree(name, number.number_type)
            if number.parent_id:
                raise NumberAssociated(name, events.name_of(project, Kind.TOLL_FREE, number.parent_id))
            new = book.blank(project, Kind.TOLL_FREE, State.DRAFT, fields, parent_id=number_id)
            made = await book.create(conn, new, book.by_user(), request_id=request_id, fingerprint=fingerprint)
            await book.hang(conn, number, made.id)
            return made

    async def update(self, project: str, registration_id: str, fields: Mapping[str, str]) -> Registration:
        """Replace the fields of a draft. Raises InvalidArgument, RegistrationNotFound, MoveNotAllowed."""
        check_form(Kind.TOLL_FREE, fields, under=_UNDER, complete=False)
        book = self._book
        async with book.writing(project) as conn:
            current = await book.existing(conn, project, Kind.TOLL_FREE, registration_id)
            kept = Cause(book.by_user().actor, book.clock.now(), current.state_cause, "", current.findings)
            return await book.move(conn, current, Event.EDIT, kept, fields=dict(fields))

    async def submit(self, project: str, registration_id: str) -> Registration:
        """Hand it to the registrar. Raises InvalidArgument with all that is missing, RegistrationNotFound, MoveNotAllowed."""
        book = self._book
        async with book.writing(project) as conn:
            current = await book.existing(conn, project, Kind.TOLL_FREE, registration_id)
            check_form(Kind.TOLL_FREE, current.fields, under="", complete=True)
            return await book.move(conn, current, Event.SUBMIT, book.by_user())

    async def delete(self, project: str, registration_id: str) -> Registration:
        """Delete a draft, or one whose number is gone: number first, then registration (pinpoint-2 4.10).

        Raises:
            RegistrationNotFound, HasDependents.
        """
        book = self._book
        async with book.writing(project) as conn:
            current = await book.existing(conn, project, Kind.TOLL_FREE, registration_id)
            number = await book.stores.registrations.get(conn, project, Kind.NUMBER, current.parent_id)
            there = number is not None and number.state not in GONE
            if there and current.state is not State.DRAFT:
                raise HasDependents(
                    Kind.TOLL_FREE, events.name_of(project, Kind.TOLL_FREE, registration_id), "numbers", 1
                )
            deleted = await book.move(conn, current, Event.DELETE, book.by_user())
            if there and number is not None:
                await book.hang(conn, number, "")
            return deleted
