"""Brands and their vettings: from draft to verified, changed, scored, renewed, deleted."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_channels import SubmissionKind
from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_registry10dlc import events
from heliograph_registry10dlc.domain import IN_FORCE, Actor, Event, Kind, Registration, State
from heliograph_registry10dlc.errors import BrandNotVerified, HasDependents, NothingToSubmit, TooMany, VettingPending
from heliograph_registry10dlc.quotas import Quotas
from heliograph_registry10dlc.service.book import Book, Cause
from heliograph_registry10dlc.service.forms_checked import check_form

_COMPANY = "companyInfo.companyName"


class Brands:
    """Use cases over brands and vettings."""

    def __init__(self, book: Book, quotas: Quotas) -> None:
        """Take the book and the quotas."""
        self._book = book
        self._quotas = quotas

    async def create(
        self, project: str, fields: Mapping[str, str], *, external_reference: str = "", request_id: str = "",
        fingerprint: str = "",
    ) -> Registration:  # fmt: skip
        """Store a brand as a draft. Raises InvalidArgument, RequestIdReused, TooMany."""
        check_form(Kind.BRAND, fields, under="brand", complete=False, external_reference=external_reference)
        book = self._book
        async with book.writing(project) as conn:
            if done := await book.repeated(conn, project, request_id, fingerprint):
                return done
            if await book.stores.registrations.count(conn, project, Kind.BRAND) >= self._quotas.brands:
                raise TooMany("brands", self._quotas.brands, "max_brands")
            new = book.blank(project, Kind.BRAND, State.DRAFT, fields, external_reference=external_reference)
            return await book.create(conn, new, book.by_user(), request_id=request_id, fingerprint=fingerprint)

    async def update(
        self, project: str, brand_id: str, fields: Mapping[str, str], *, external_reference: str = ""
    ) -> Registration:
        """Replace the fields of a brand; of a verified one they are a draft until they are verified, too (pinpoint-2 4.2).

        Raises:
            InvalidArgument, RegistrationNotFound, MoveNotAllowed.
        """
        book = self._book
        async with book.writing(project) as conn:
            brand = await book.existing(conn, project, Kind.BRAND, brand_id)
            verified = brand.state is State.VERIFIED
            check_form(
                Kind.BRAND, fields, under="brand", complete=False, handed_in=None if brand.submitted_at is None else brand,
                external_reference=external_reference,
            )  # fmt: skip
            change = {"draft_fields" if verified else "fields": dict(fields), "external_reference": external_reference}
            return await book.move(conn, brand, Event.EDIT, _kept(book.by_user(), brand), **change)

    async def submit(self, project: str, brand_id: str) -> Registration:
        """Hand a brand, or a change of a verified one, to the registrar; the desk does so after the commit.

        Raises:
            InvalidArgument: fields are missing or wrong; all are told.
            RegistrationNotFound, MoveNotAllowed, NothingToSubmit.
        """
        book = self._book
        async with book.writing(project) as conn:
            brand = await book.existing(conn, project, Kind.BRAND, brand_id)
            if brand.state is State.VERIFIED and not brand.draft_fields:
                raise NothingToSubmit(events.name_of(project, Kind.BRAND, brand_id))
            check_form(Kind.BRAND, brand.draft_fields or brand.fields, under="", complete=True)
            return await book.move(conn, brand, Event.SUBMIT, book.by_user())

    async def renew(self, project: str, brand_id: str) -> Registration:
        """Ask for a longer life of a brand. Raises RegistrationNotFound, MoveNotAllowed."""
        book = self._book
        async with book.writing(project) as conn:
            brand = await book.existing(conn, project, Kind.BRAND, brand_id)
            if brand.state is State.RENEWAL_PENDING:
                return brand
            return await book.move(conn, brand, Event.RENEW, book.by_user())

    async def delete(self, project: str, brand_id: str, confirm_company_name: str) -> Registration:
        """Delete a brand nothing hangs on (pinpoint-2 4.2): what was handed in needs its company's name repeated.

        Raises:
            InvalidArgument, RegistrationNotFound, MoveNotAllowed, HasDependents.
        """
        book = self._book
        async with book.writing(project) as conn:
            brand = await book.existing(conn, project, Kind.BRAND, brand_id)
            if brand.state is not State.DRAFT and confirm_company_name != brand.fields.get(_COMPANY, ""):
                words = "must be the name of the company as it is in the papers"
                raise InvalidArgument([Violation("confirm_company_name", words, "CONFIRMATION_MISMATCH")])
            name = events.name_of(project, Kind.BRAND, brand_id)
            if hanging := await book.stores.registrations.children(conn, project, brand_id, Kind.USE_CASE):
                raise HasDependents(Kind.BRAND, name, "use cases", len(hanging))
            deleted = await book.move(conn, brand, Event.DELETE, Cause(Actor.OPERATOR, book.clock.now()))
            if brand.registered_id or brand.reference:
                await book.errand(conn, deleted, SubmissionKind.WITHDRAWAL)
            return deleted

    async def vet(self, project: str, brand_id: str, *, request_id: str = "", fingerprint: str = "") -> Registration:
        """Have a verified brand vetted; each time anew (pinpoint-2 4.3).

        Raises:
            RegistrationNotFound, RequestIdReused, BrandNotVerified, VettingPending.
        """
        book = self._book
        async with book.writing(project) as conn:
            if done := await book.repeated(conn, project, request_id, fingerprint):
                return done
            brand = await book.existing(conn, project, Kind.BRAND, brand_id)
            name = events.name_of(project, Kind.BRAND, brand_id)
            if brand.state not in IN_FORCE[Kind.BRAND]:
                raise BrandNotVerified(name, brand.state)
            others = await book.stores.registrations.children(conn, project, brand_id, Kind.VETTING)
            if any(one.state is State.PENDING for one in others):
                raise VettingPending(name)
            now = book.clock.now()
            new = book.blank(project, Kind.VETTING, State.PENDING, {}, parent_id=brand_id, submitted_at=now)
            return await book.create(conn, new, book.by_user(), request_id=request_id, fingerprint=fingerprint)


def _kept(cause: Cause, registration: Registration) -> Cause:
    """Return the cause of an edit, which leaves what is to be mended in sight."""
    return Cause(cause.actor, cause.at, registration.state_cause, "", registration.findings)
