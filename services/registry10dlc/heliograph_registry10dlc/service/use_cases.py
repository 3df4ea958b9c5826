"""Use cases: from draft to approved, amended, renewed, deleted (pinpoint-2 4.5 to 4.8)."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_channels import SubmissionKind
from heliograph_registry10dlc import events, forms
from heliograph_registry10dlc.domain import IN_FORCE, SCORE_AT_SUBMISSION, Event, Kind, Registration, State
from heliograph_registry10dlc.errors import BrandNotVerified, HasDependents, TooMany
from heliograph_registry10dlc.quotas import Quotas
from heliograph_registry10dlc.service.book import Book, Cause
from heliograph_registry10dlc.service.forms_checked import check_form


class UseCases:
    """Use cases over use cases."""

    def __init__(self, book: Book, quotas: Quotas) -> None:
        """Take the book and the quotas."""
        self._book = book
        self._quotas = quotas

    async def create(
        self, project: str, brand_id: str, fields: Mapping[str, str], *, external_reference: str = "",
        request_id: str = "", fingerprint: str = "", imported: bool = False,
    ) -> Registration:  # fmt: skip
        """Store a use case as a draft, with the brand's score of now, which is the one that counts for it (pinpoint-2 4.3).

        `imported`: the brand need not be verified yet; it must be when the use case is handed in, and its score counts then.

        Raises:
            InvalidArgument, RequestIdReused, RegistrationNotFound, BrandNotVerified, TooMany.
        """
        check_form(Kind.USE_CASE, fields, under="use_case", complete=False, external_reference=external_reference)
        book = self._book
        async with book.writing(project) as conn:
            if done := await book.repeated(conn, project, request_id, fingerprint):
                return done
            brand = await book.existing(conn, project, Kind.BRAND, brand_id)
            if brand.state not in IN_FORCE[Kind.BRAND] and not imported:
                raise BrandNotVerified(events.name_of(project, Kind.BRAND, brand_id), brand.state)
            most = self._quotas.use_cases_of_brand
            if await book.stores.registrations.count(conn, project, Kind.USE_CASE, parent_id=brand_id) >= most:
                raise TooMany("use cases of this brand", most, "max_use_cases_per_brand")
            score = brand.vetting_score if brand.state in IN_FORCE[Kind.BRAND] else SCORE_AT_SUBMISSION
            new = book.blank(
                project, Kind.USE_CASE, State.DRAFT, fields, parent_id=brand_id, vetting_score=score,
                external_reference=external_reference,
            )  # fmt: skip
            return await book.create(conn, new, book.by_user(), request_id=request_id, fingerprint=fingerprint)

    async def update(
        self, project: str, use_case_id: str, fields: Mapping[str, str], *, external_reference: str = ""
    ) -> Registration:
        """Replace the fields of a draft, or amend an approved use case: replies and samples, without a review (4.8).

        Raises:
            InvalidArgument, RegistrationNotFound, MoveNotAllowed.
        """
        book = self._book
        async with book.writing(project) as conn:
            use_case = await book.existing(conn, project, Kind.USE_CASE, use_case_id)
            approved = use_case.state in IN_FORCE[Kind.USE_CASE]
            brand = await book.existing(conn, project, Kind.BRAND, use_case.parent_id)
            # What is left out of an amendment stays.
            given = {**use_case.fields, **fields} if approved else fields
            fields = forms.amended(use_case.fields, given) if approved else fields
            check_form(
                Kind.USE_CASE,
                fields,
                under="use_case",
                complete=approved,
                brand=brand.fields,
                handed_in=use_case if approved else None,
                wanted=given,
                external_reference=external_reference,
            )
            change = {"fields": dict(fields), "external_reference": external_reference}
            now = book.clock.now()
            if not approved:
                kept = Cause(book.by_user().actor, now, use_case.state_cause, "", use_case.findings)
                return await book.move(conn, use_case, Event.EDIT, kept, **change)
            amended = await book.move(conn, use_case, Event.AMEND, Cause(book.by_user().actor, now), **change)
            if amended.fields != use_case.fields:
                await book.errand(conn, amended, SubmissionKind.AMENDMENT, brand.registered_id or brand.reference)
                # The replies go out by the numbers.
                for number in await book.stores.registrations.children(conn, project, use_case_id, Kind.NUMBER):
                    await book.touch(conn, number)
            return amended

    async def submit(self, project: str, use_case_id: str) -> Registration:
        """Hand a use case to the registrar; the desk does so after the commit.

        Raises:
            InvalidArgument: fields are missing or wrong; all are told.
            RegistrationNotFound, MoveNotAllowed, BrandNotVerified.
        """
        book = self._book
        async with book.writing(project) as conn:
            use_case = await book.existing(conn, project, Kind.USE_CASE, use_case_id)
            brand = await book.existing(conn, project, Kind.BRAND, use_case.parent_id)
            if brand.state not in IN_FORCE[Kind.BRAND]:
                raise BrandNotVerified(events.name_of(project, Kind.BRAND, brand.id), brand.state)
            check_form(Kind.USE_CASE, use_case.fields, under="", complete=True, brand=brand.fields)
            score = use_case.vetting_score
            if score == SCORE_AT_SUBMISSION:
                score = brand.vetting_score
            return await book.move(conn, use_case, Event.SUBMIT, book.by_user(), vetting_score=score)

    async def renew(self, project: str, use_case_id: str) -> Registration:
        """Ask for a longer life of a use case. Raises RegistrationNotFound, MoveNotAllowed."""
        book = self._book
        async with book.writing(project) as conn:
            use_case = await book.existing(conn, project, Kind.USE_CASE, use_case_id)
            if use_case.state is State.RENEWAL_PENDING:
                return use_case
            return await book.move(conn, use_case, Event.RENEW, book.by_user())

    async def delete(self, project: str, use_case_id: str) -> Registration:
        """Delete a use case without numbers, for good (pinpoint-2 4.8).

        Raises:
            RegistrationNotFound, MoveNotAllowed, HasDependents.
        """
        book = self._book
        async with book.writing(project) as conn:
            use_case = await book.existing(conn, project, Kind.USE_CASE, use_case_id)
            name = events.name_of(project, Kind.USE_CASE, use_case_id)
            if numbers := await book.stores.registrations.children(conn, project, use_case_id, Kind.NUMBER):
                raise HasDependents(Kind.USE_CASE, name, "numbers", len(numbers))
            deleted = await book.move(conn, use_case, Event.DELETE, book.by_user())
            if use_case.registered_id or use_case.reference:
                await book.errand(conn, deleted, SubmissionKind.WITHDRAWAL)
            return deleted
