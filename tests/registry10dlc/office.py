"""The registry's use cases over a real database, with a clock that tests set and a registrar that decides what tests say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy import text

from heliograph.registry10dlc.v1 import events_pb2
from heliograph_channels import Decision, DecisionState, Finding, Refused, Registrar, Submission
from heliograph_kit.clock import ManualClock
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outbox
from heliograph_registry10dlc.desk import Desk
from heliograph_registry10dlc.domain import Entry, Kind, Registration
from heliograph_registry10dlc.quotas import Quotas
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.service.brands import Brands
from heliograph_registry10dlc.service.decisions import Decisions, decidable
from heliograph_registry10dlc.service.numbers import Numbers
from heliograph_registry10dlc.service.toll_free import TollFree
from heliograph_registry10dlc.service.use_cases import UseCases
from heliograph_registry10dlc.tables import mail
from tests.registry10dlc.papers import BRAND, USE_CASE

START = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(2_000_000)


class Clerk(Registrar):
    """Takes papers in and keeps them; what it decides is said by the test. `refusing` and `away` turn papers away."""

    name = "clerk"
    chooses_area_code = True

    def __init__(self) -> None:
        """Begin with empty trays."""
        self.submissions: list[Submission] = []
        self.refusing: list[Finding] = []
        self.away = False

    async def submit(self, submission: Submission) -> str:
        """Keep the papers; the same papers again are the same reference."""
        if self.away:
            raise ConnectionError("the registry does not answer")
        if self.refusing:
            raise Refused(self.refusing)
        if submission not in self.submissions:
            self.submissions.append(submission)
        return f"{submission.kind} {submission.id} {submission.submitted_at.isoformat()}"

    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        """Decide nothing by itself."""
        if self.away:
            raise ConnectionError("the registry does not answer")
        return ()


@dataclass
class Office:
    """One project at one desk."""

    database: Database
    quotas: Quotas = field(default_factory=Quotas)
    project: str = field(default_factory=lambda: f"p{new_id()}")
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    registrar: Clerk = field(default_factory=Clerk)

    def __post_init__(self) -> None:
        """Put the use cases together as `main` does."""
        self.book = Book(database=self.database, outbox=Outbox(mail, clock=self.clock), clock=self.clock, new_id=new_id)
        self.brands, self.use_cases = Brands(self.book, self.quotas), UseCases(self.book, self.quotas)
        self.numbers, self.toll_free = Numbers(self.book, self.quotas, self.registrar), TollFree(self.book)
        self.decisions = Decisions(self.book)
        self.desk = Desk(
            book=self.book, decisions=self.decisions, registrar=self.registrar, clock=self.clock, poll_seconds=1
        )

    # -- the road ---------------------------------------------------------------------------------------------------

    async def a_verified_brand(self, score: int | None = None, **changes: str) -> Registration:
        """Bring a brand to VERIFIED."""
        brand = await self.brands.create(self.project, {**BRAND, **changes})
        await self.brands.submit(self.project, brand.id)
        return await self.decide(brand, "VERIFIED", score=score)

    async def an_approved_use_case(self, brand: Registration | None = None, **changes: str) -> Registration:
        """Bring a use case to APPROVED."""
        brand = brand or await self.a_verified_brand()
        use_case = await self.use_cases.create(self.project, brand.id, {**USE_CASE, **changes})
        await self.use_cases.submit(self.project, use_case.id)
        return await self.decide(use_case, "APPROVED")

    async def a_ready_number(self, use_case: Registration | None = None) -> Registration:
        """Bring a number to READY."""
        use_case = use_case or await self.an_approved_use_case()
        number = await self.numbers.create(self.project, a_number())
        await self.numbers.associate(self.project, number.id, use_case.id)
        return await self.decide(number, "READY")

    async def decide(
        self, about: Registration, state: str, *, score: int | None = None, number: str = "", cause: str = "",
        findings: Sequence[Finding] = (), days: int | None = None, registered_id: str = "",
    ) -> Registration:  # fmt: skip
        """Hand in what waits, have the registrar decide, and return what it led to."""
        await self.desk.once()
        current = await self.now(about)
        self.clock.advance(timedelta(seconds=1))
        at = self.clock.now()
        expires = None if days is None else at + timedelta(days=days)
        decision = Decision(
            current.reference, DecisionState(state), at, cause=cause, findings=tuple(findings), score=score,
            number=number, registered_id=registered_id, expires_at=expires,
        )  # fmt: skip
        await self.decisions.take([decision])
        return await self.now(about)

    # -- what there is ----------------------------------------------------------------------------------------------

    async def now(self, one: Registration) -> Registration:
        """Read a registration again, a deleted one as well."""
        async with self.database.transaction() as conn:
            found = await self.book.stores.registrations.get(conn, one.project, one.kind, one.id)
        assert found is not None
        return found

    async def everything(self) -> list[Registration]:
        """Read all registrations, deleted ones as well."""
        async with self.database.transaction() as conn:
            store = self.book.stores.registrations
            return [
                one
                for kind in Kind
                for one in await store.page(conn, self.project, kind, None, 10_000, deleted=True)
            ]  # fmt: skip

    async def moves(self, of: Registration | None = None) -> list[Entry]:
        """Read the history."""
        async with self.database.transaction() as conn:
            return await self.book.stores.history.history(conn, self.project, of.id if of else "", 0, 100_000)

    async def announced(self, project: str = "") -> list[events_pb2.NumberUpdated]:
        """Read what was announced of numbers to a project, oldest first."""
        query = text(
            "SELECT payload FROM registry10dlc.outbox WHERE project = :project AND type LIKE '%NumberUpdated' ORDER BY seq"
        )
        async with self.database.transaction() as conn:
            rows = await conn.execute(query, {"project": project or self.project})
            return [events_pb2.NumberUpdated.FromString(row.payload) for row in rows]

    async def waiting(self) -> list[Registration]:
        """Read what the registrar has and could decide."""
        await self.desk.once()
        return [one for one in await self.everything() if one.reference and decidable(one)]


def a_number(prefix: str = "+1206") -> str:
    """Return a number nobody has."""
    return f"{prefix}{next(_numbers)}"
