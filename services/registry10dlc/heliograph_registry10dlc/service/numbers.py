"""Numbers: entered or bought, associated, converted, taken out, lent and given up (pinpoint-2 4.9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_channels import Registrar, SubmissionKind
from heliograph_kit.errors import InvalidArgument, Violation, Violations
from heliograph_registry10dlc import domain, events
from heliograph_registry10dlc.domain import IN_FORCE, Event, Kind, NumberType, Registration, State
from heliograph_registry10dlc.domain.numbers import (
    CAPABILITIES,
    MAX_REGION,
    READY_AT_ONCE,
    TO_BE_BOUGHT,
    check_capabilities,
    check_number,
)
from heliograph_registry10dlc.errors import (
    NumberAssociated,
    NumberNotTenDlc,
    RegistrarCannot,
    ShareGrantNotFound,
    TooMany,
    UseCaseFull,
    UseCaseNotApproved,
)
from heliograph_registry10dlc.quotas import Quotas
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.store.errands import Grant

_US_LONG_CODE = "+1"
_MOST_AT_ONCE = 10
_HELD = (State.PENDING, State.CONVERTING, State.READY, State.SUSPENDED)


class Numbers:
    """Use cases over numbers."""

    def __init__(self, book: Book, quotas: Quotas, registrar: Registrar) -> None:
        """Take the book, the quotas and the registrar, for what it can do."""
        self._book = book
        self._quotas = quotas
        self._registrar = registrar

    async def create(
        self, project: str, number: str, number_type: str = "", capabilities: Sequence[str] = (), region: str = "", *,
        request_id: str = "", fingerprint: str = "",
    ) -> Registration:  # fmt: skip
        """Enter a number into the inventory; one that needs no use case is READY at once.

        Raises:
            InvalidArgument, RequestIdReused, NumberExists, TooMany.
        """
        violations = Violations()
        check_number(
            number, number_type, capabilities, region,
            lambda path, words, reason: violations.add(f"phone_number.{path}", words, reason),
        )  # fmt: skip
        violations.check()
        book = self._book
        async with book.writing(project) as conn:
            if done := await book.repeated(conn, project, request_id, fingerprint):
                return done
            await self._check_quota(conn, project, region, 1)
            fields = _fields(number_type or NumberType.TEN_DLC, capabilities, region) | {"number": number}
            new = book.blank(project, Kind.NUMBER, State.UNASSOCIATED, fields)
            made = await book.create(conn, new, book.by_user(), request_id=request_id, fingerprint=fingerprint)
            if made.number_type in READY_AT_ONCE:
                made = await book.move(conn, made, Event.ACTIVATE, book.by_user())
            return made

    async def order(
        self, project: str, number_type: str, capabilities: Sequence[str], *, use_case_id: str, quantity: int,
        area_code: str, region: str, request_id: str, fingerprint: str,
    ) -> list[Registration]:  # fmt: skip
        """Have one to ten numbers bought; with a use case they are associated with it once they are there.

        Raises:
            InvalidArgument, RequestIdReused, RegistrarCannot, RegistrationNotFound, UseCaseNotApproved, UseCaseFull, TooMany.
        """
        self._check_order(number_type, capabilities, use_case_id, quantity, area_code, region)
        book = self._book
        async with book.writing(project) as conn:
            keys = [f"{request_id}#{number}" for number in range(quantity or 1)]
            if await book.repeated(conn, project, keys[0], fingerprint):
                done = [await book.repeated(conn, project, key, fingerprint) for key in keys]
                return [one for one in done if one is not None]
            if use_case_id:
                await self._check_use_case(conn, project, use_case_id, len(keys))
            await self._check_quota(conn, project, region, len(keys))
            fields = _fields(number_type, capabilities, region) | {"area_code": area_code, "use_case": use_case_id}
            ordered = []
            for key in keys:
                new = book.blank(project, Kind.NUMBER, State.ORDERED, fields)
                new = replace(new, submitted_at=new.create_time)
                ordered.append(await book.create(conn, new, book.by_user(), request_id=key, fingerprint=fingerprint))
            return ordered

    async def associate(self, project: str, number_id: str, use_case_id: str) -> Registration:
        """Associate a number with an approved use case, or convert a long code for it; one number, one use case, at most 49.

        Raises:
            RegistrationNotFound, NumberNotTenDlc, UseCaseNotApproved, NumberAssociated, UseCaseFull, MoveNotAllowed.
        """
        book = self._book
        async with book.writing(project) as conn:
            number = await book.existing(conn, project, Kind.NUMBER, number_id)
            if number.parent_id and number.state in _HELD:
                if number.parent_id == use_case_id:
                    return number
                owner = events.name_of(project, Kind.USE_CASE, number.parent_id)
                raise NumberAssociated(events.name_of(project, Kind.NUMBER, number_id), owner)
            convertible = number.number_type is NumberType.LONG_CODE and number.number.startswith(_US_LONG_CODE)
            if number.number_type is not NumberType.TEN_DLC and not convertible:
                raise NumberNotTenDlc(events.name_of(project, Kind.NUMBER, number_id), number.number_type)
            await self._check_use_case(conn, project, use_case_id, 1)
            event = Event.CONVERT if convertible else Event.ASSOCIATE
            return await book.move(conn, number, event, book.by_user(), parent_id=use_case_id)

    async def disassociate(self, project: str, number_id: str) -> Registration:
        """Take a number out of its use case. Raises RegistrationNotFound, MoveNotAllowed, NumberNotTenDlc."""
        book = self._book
        async with book.writing(project) as conn:
            number = await book.existing(conn, project, Kind.NUMBER, number_id)
            if number.state is State.DISASSOCIATING:
                return number
            if not number.parent_id or number.number_type is NumberType.TOLL_FREE:
                raise NumberNotTenDlc(events.name_of(project, Kind.NUMBER, number_id), number.number_type)
            return await book.move(conn, number, Event.DISASSOCIATE, book.by_user())

    async def release(self, project: str, number_id: str) -> Registration:
        """Give a number up, for good; the toll-free registration of it is closed (pinpoint-2 4.10).

        Raises:
            RegistrationNotFound, MoveNotAllowed.
        """
        book = self._book
        async with book.writing(project) as conn:
            number = await book.existing(conn, project, Kind.NUMBER, number_id)
            released = await book.move(conn, number, Event.RELEASE, book.by_user())
            await book.errand(conn, released, SubmissionKind.RELEASE)
            for grant in await book.stores.grants.of_number(conn, project, number_id):
                await book.stores.grants.remove(conn, grant)
            if number.number_type is NumberType.TOLL_FREE and number.parent_id:
                registration = await book.existing(conn, project, Kind.TOLL_FREE, number.parent_id)
                if domain.move(registration.kind, registration.state, Event.CLOSE, book.by_user().actor):
                    await book.move(conn, registration, Event.CLOSE, book.by_user())
            return released

    # -- lent to other projects -------------------------------------------------------------------------------------

    async def lend(self, project: str, number_id: str, borrower: str) -> tuple[Grant, Registration]:
        """Lend a number to another project (S130). Safe to repeat. Raises InvalidArgument, RegistrationNotFound."""
        if borrower == project:
            raise InvalidArgument([Violation("share_grant.borrower", "must be another project", "SAME_PROJECT")])
        book = self._book
        async with book.writing(project) as conn:
            number = await book.existing(conn, project, Kind.NUMBER, number_id)
            new = Grant(project, book.new_id(), number_id, borrower, book.clock.now())
            grant = await book.stores.grants.add(conn, new)
            if grant.id == new.id:
                number = await book.touch(conn, number)
            return grant, number

    async def take_back(self, project: str, grant_id: str) -> tuple[Grant, Registration]:
        """Take a lent number back. Raises ShareGrantNotFound."""
        book = self._book
        async with book.writing(project) as conn:
            grant = await book.stores.grants.get(conn, project, grant_id)
            if grant is None:
                raise ShareGrantNotFound(f"projects/{project}/shareGrants/{grant_id}")
            await book.stores.grants.remove(conn, grant)
            number = await book.touch(conn, await book.existing(conn, project, Kind.NUMBER, grant.number_id))
            await book.take_back(conn, number, grant.borrower)
            return grant, number

    async def lent(self, project: str, after: str, limit: int) -> list[tuple[Grant, Registration]]:
        """Return what is lent, by id of the grant."""
        book = self._book
        async with book.database.transaction() as conn:
            grants = await book.stores.grants.page(conn, project, after, limit)
            return [(grant, await book.existing(conn, project, Kind.NUMBER, grant.number_id)) for grant in grants]

    # -- what must hold ---------------------------------------------------------------------------------------------

    def _check_order(
        self,
        number_type: str,
        capabilities: Sequence[str],
        use_case_id: str,
        quantity: int,
        area_code: str,
        region: str,
    ) -> None:
        violations = Violations()
        if number_type not in TO_BE_BOUGHT:
            violations.add("number_type", f"must be one of {', '.join(sorted(TO_BE_BOUGHT))}", "UNKNOWN_CHOICE")
        if not capabilities:
            violations.add("capabilities", f"at least one of {', '.join(CAPABILITIES)}", "REQUIRED")
        check_capabilities(capabilities, violations.add)
        if number_type == NumberType.TEN_DLC and not use_case_id:
            violations.add("use_case", "a 10DLC number is bought for a use case", "REQUIRED")
        if number_type != NumberType.TEN_DLC and use_case_id:
            violations.add("use_case", f"a {number_type} belongs to no use case", "NOT_ALLOWED")
        if not 0 <= quantity <= _MOST_AT_ONCE:
            violations.add("quantity", f"must be 1 to {_MOST_AT_ONCE}", "OUT_OF_RANGE")
        if area_code and not (area_code.isascii() and area_code.isdecimal() and len(area_code) == 3):
            violations.add("area_code", "must be three digits", "INVALID_FORMAT")
        if len(region) > MAX_REGION:
            violations.add("region", f"must be at most {MAX_REGION} characters", "INVALID_LENGTH")
        violations.check()
        if SubmissionKind.ORDER not in self._registrar.kinds:
            raise RegistrarCannot(self._registrar.name, "buys no numbers")
        if area_code and not self._registrar.chooses_area_code:
            raise RegistrarCannot(self._registrar.name, "lets nobody choose an area code")

    async def _check_use_case(self, conn: AsyncConnection, project: str, use_case_id: str, more: int) -> None:
        use_case = await self._book.existing(conn, project, Kind.USE_CASE, use_case_id)
        name = events.name_of(project, Kind.USE_CASE, use_case_id)
        if use_case.state not in IN_FORCE[Kind.USE_CASE]:
            raise UseCaseNotApproved(name, use_case.state)
        store = self._book.stores.registrations
        if await store.count(conn, project, Kind.NUMBER, parent_id=use_case_id) + more > domain.MAX_NUMBERS_OF_USE_CASE:
            raise UseCaseFull(name)

    async def _check_quota(self, conn: AsyncConnection, project: str, region: str, more: int) -> None:
        most = self._quotas.numbers_of_region
        if await self._book.stores.registrations.count(conn, project, Kind.NUMBER, region=region) + more > most:
            raise TooMany("numbers in this region", most, "max_numbers_per_region")


def _fields(number_type: str, capabilities: Sequence[str], region: str) -> dict[str, Any]:
    able = [one for one in CAPABILITIES if one in capabilities] or list(CAPABILITIES)
    if number_type == NumberType.SHORT_CODE:
        able = ["SMS"]
    return {"number_type": str(number_type), "capabilities": ",".join(able), "region": region}
