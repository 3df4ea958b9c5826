"""Any sequence of calls, against a model: no illegal state is reached, and the history always replays to the present one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from heliograph_channels import Decision, DecisionState
from heliograph_kit.database import Database
from heliograph_kit.errors import HeliographError
from heliograph_kit.ids import new_id
from heliograph_kit.testing.fixtures import MigratedDatabase
from heliograph_registry10dlc import domain
from heliograph_registry10dlc.domain import FIRST_STATES, GONE, IN_FORCE, Kind, NumberType, Registration, State
from heliograph_registry10dlc.quotas import Quotas
from heliograph_registry10dlc.service.decisions import decidable
from tests.registry10dlc.office import Office, a_number
from tests.registry10dlc.papers import BRAND, TOLL_FREE, USE_CASE

T = TypeVar("T")
DECISIONS = st.sampled_from(DecisionState)
_GRANTS = {"VERIFIED", "APPROVED", "READY", "SCORED", "BOUGHT", "DETACHED", "RENEWED"}
ARGUMENTS: dict[str, Any] = {}


class Registry(RuleBasedStateMachine):
    """The whole of the use cases over a real database; what a call refuses changes nothing."""

    brands = Bundle("brands")
    use_cases = Bundle("use_cases")
    numbers = Bundle("numbers")
    toll_free = Bundle("toll_free")

    def __init__(self) -> None:
        """Begin a project of its own."""
        super().__init__()
        self.run: Callable[[Awaitable[Any]], Any] = ARGUMENTS["run"]
        self.office = Office(ARGUMENTS["database"], Quotas(3, 3, 60))
        self.project, self.clock = self.office.project, self.office.clock
        self.brand, self.use_case = self.office.brands, self.office.use_cases
        self.number, self.toll = self.office.numbers, self.office.toll_free

    def call(self, made: Awaitable[T]) -> T | None:
        """Make a call; None when it was refused, and then nothing moved."""
        before = self.run(self.office.moves())
        try:
            return self.run(made)  # type: ignore[no-any-return]
        except HeliographError:
            assert self.run(self.office.moves()) == before
            return None

    @initialize(target=use_cases, deep=st.booleans())
    def an_approved_use_case(self, deep: bool) -> Any:
        """Begin at the start of the road, or where numbers can be had."""
        if not deep:
            return multiple()
        brand = self.run(self.brand.create(self.project, BRAND))
        self.run(self.brand.submit(self.project, brand.id))
        self._grant("VERIFIED")
        use_case = self.run(self.use_case.create(self.project, brand.id, USE_CASE))
        self.run(self.use_case.submit(self.project, use_case.id))
        self._grant("APPROVED")
        return use_case.id

    # -- what people do ---------------------------------------------------------------------------------------------

    @rule(target=brands)
    def create_brand(self) -> Any:
        """Create a brand."""
        made = self.call(self.brand.create(self.project, BRAND))
        return made.id if made else multiple()

    @rule(brand=brands, city=st.sampled_from(["Springfield", "Shelbyville"]))
    def edit_brand(self, brand: str, city: str) -> None:
        """Change a field that may always change."""
        self.call(self.brand.update(self.project, brand, {**BRAND, "companyInfo.city": city}))

    @rule(brand=brands)
    def rename_brand(self, brand: str) -> None:
        """Change the field that is fixed once it is verified."""
        self.call(self.brand.update(self.project, brand, {**BRAND, "companyInfo.companyName": "Other Inc"}))

    @rule(brand=brands)
    def submit_brand(self, brand: str) -> None:
        """Hand a brand in."""
        self.call(self.brand.submit(self.project, brand))

    @rule(brand=brands)
    def renew_brand(self, brand: str) -> None:
        """Renew a brand."""
        self.call(self.brand.renew(self.project, brand))

    @rule(brand=brands)
    def vet(self, brand: str) -> None:
        """Have a brand vetted."""
        self.call(self.brand.vet(self.project, brand))

    @rule(brand=brands)
    def delete_brand(self, brand: str) -> None:
        """Delete a brand, if nothing hangs on it."""
        self.call(self.brand.delete(self.project, brand, BRAND["companyInfo.companyName"]))

    @rule(target=use_cases, brand=brands, imported=st.booleans())
    def create_use_case(self, brand: str, imported: bool) -> Any:
        """Create a use case."""
        made = self.call(self.use_case.create(self.project, brand, USE_CASE, imported=imported))
        return made.id if made else multiple()

    @rule(use_case=use_cases, help_words=st.sampled_from(["help@records.example.com", "+12065550100"]))
    def edit_use_case(self, use_case: str, help_words: str) -> None:
        """Edit or amend the reply to HELP."""
        fields = {**USE_CASE, "campaignInfo.helpMessage": f"Example Records: ask {help_words} for help"}
        self.call(self.use_case.update(self.project, use_case, fields))

    @rule(use_case=use_cases)
    def submit_use_case(self, use_case: str) -> None:
        """Hand a use case in."""
        self.call(self.use_case.submit(self.project, use_case))

    @rule(use_case=use_cases)
    def renew_use_case(self, use_case: str) -> None:
        """Renew a use case."""
        self.call(self.use_case.renew(self.project, use_case))

    @rule(use_case=use_cases)
    def delete_use_case(self, use_case: str) -> None:
        """Delete a use case, if it has no numbers."""
        self.call(self.use_case.delete(self.project, use_case))

    @rule(target=numbers, number_type=st.sampled_from(["TEN_DLC", "LONG_CODE", "TOLL_FREE", "SHORT_CODE"]))
    def create_number(self, number_type: str) -> Any:
        """Enter a number."""
        made = self.call(self.number.create(self.project, _new_number(number_type), number_type))
        return made.id if made else multiple()

    @rule(target=numbers, use_case=use_cases)
    def order_number(self, use_case: str) -> Any:
        """Buy a number for a use case."""
        made = self.call(
            self.number.order(
                self.project, "TEN_DLC", ["SMS"], use_case_id=use_case, quantity=1, area_code="", region="",
                request_id=new_id(), fingerprint="x",
            )
        )  # fmt: skip
        return made[0].id if made else multiple()

    @rule(number=numbers, use_case=use_cases)
    def associate(self, number: str, use_case: str) -> None:
        """Associate a number."""
        self.call(self.number.associate(self.project, number, use_case))

    @rule(number=numbers)
    def disassociate(self, number: str) -> None:
        """Take a number out."""
        self.call(self.number.disassociate(self.project, number))

    @rule(number=consumes(numbers))
    def release(self, number: str) -> None:
        """Give a number up."""
        self.call(self.number.release(self.project, number))

    @rule(target=toll_free, number=numbers)
    def create_toll_free(self, number: str) -> Any:
        """Register what a toll-free number is for."""
        made = self.call(self.toll.create(self.project, number, TOLL_FREE))
        return made.id if made else multiple()

    @rule(one=toll_free)
    def submit_toll_free(self, one: str) -> None:
        """Hand it in."""
        self.call(self.toll.submit(self.project, one))

    @rule(one=toll_free)
    def delete_toll_free(self, one: str) -> None:
        """Delete it."""
        self.call(self.toll.delete(self.project, one))

    # -- what registrars and the clock do ---------------------------------------------------------------------------

    @rule(data=st.data(), days=st.sampled_from([None, 20, 400]), twice=st.booleans())
    def decide(self, data: st.DataObject, days: int | None, twice: bool) -> None:
        """Have the registrar decide about something it has."""
        known = [one for one in self._known() if decidable(one)]
        if known:
            about = data.draw(st.sampled_from(known))
            self._decide(about, data.draw(st.sampled_from(decidable(about))), days, twice=twice)

    @rule(data=st.data(), days=st.sampled_from([None, 400]))
    def decide_more(self, data: st.DataObject, days: int | None) -> None:
        """Have it grant what waits: most papers are good."""
        known = [one for one in self._known() if _GRANTS & set(decidable(one))]
        if known:
            about = data.draw(st.sampled_from(known))
            self._decide(about, data.draw(st.sampled_from(sorted(_GRANTS & set(decidable(about))))), days)

    @rule(data=st.data(), state=DECISIONS)
    def decide_nonsense(self, data: st.DataObject, state: DecisionState) -> None:
        """Have it decide what nobody asked it."""
        if known := self._known():
            self._decide(data.draw(st.sampled_from(known)), state, None)

    @rule(days=st.sampled_from([1, 8, 31, 401]))
    def wait(self, days: int) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(days=days))
        self.run(self.office.desk.end_what_ran_out())

    # -- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def every_history_replays_to_the_present_state(self) -> None:
        """Replay all moves."""
        state: dict[str, State] = {}
        for entry in self.run(self.office.moves()):
            if entry.event is None:
                assert entry.registration_id not in state
                assert entry.to_state in FIRST_STATES[entry.kind]
            else:
                assert entry.from_state == state[entry.registration_id]
                found = domain.move(entry.kind, entry.from_state, entry.event, entry.actor)
                assert found is not None, entry
                assert found.to == entry.to_state
            state[entry.registration_id] = entry.to_state
        assert {one.id: one.state for one in self.run(self.office.everything())} == state

    @invariant()
    def what_hangs_on_what_holds(self) -> None:
        """Look at the rules between registrations."""
        found = {one.id: one for one in self.run(self.office.everything())}
        for one in found.values():
            if one.kind is Kind.USE_CASE and one.state not in (State.DRAFT, *GONE):
                assert found[one.parent_id].state not in (State.DRAFT, State.DELETED)
            if one.kind is not Kind.NUMBER or one.number_type is NumberType.TOLL_FREE:
                continue
            if one.state is State.READY and one.parent_id:
                use_case = found[one.parent_id]
                assert use_case.state in IN_FORCE[Kind.USE_CASE]
                assert found[use_case.parent_id].state in IN_FORCE[Kind.BRAND]
            if one.state is State.READY and not one.parent_id:
                assert one.number_type is not NumberType.TEN_DLC
            if one.parent_id and one.state not in GONE:
                assert found[one.parent_id].state is not State.DELETED

    def _grant(self, state: str) -> None:
        (about,) = (one for one in self._known() if state in decidable(one))
        self._decide(about, state, None)

    def _known(self) -> list[Registration]:
        self.run(self.office.desk.once())
        return [one for one in self.run(self.office.everything()) if one.reference]

    def _decide(self, about: Registration, state: str, days: int | None, *, twice: bool = False) -> None:
        self.clock.advance(timedelta(seconds=1))
        now = self.clock.now()
        decision = Decision(
            about.reference, DecisionState(state), now, cause="ATTRIBUTES_MISMATCH", field="companyInfo.city", score=42,
            number=_new_number("TEN_DLC"), expires_at=None if days is None else now + timedelta(days=days),
        )  # fmt: skip
        made = self.run(self.office.decisions.take([decision]))
        if twice and made:
            assert self.run(self.office.decisions.take([decision])) == 0


def _new_number(number_type: str) -> str:
    if number_type == "SHORT_CODE":
        return a_number("")[-6:]
    return a_number("+1888" if number_type == "TOLL_FREE" else "+1206")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the machine's rules run their calls on."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def _drive(loop: asyncio.AbstractEventLoop, url: str, examples: int, steps: int) -> None:
    database = Database(url, application_name="test")
    ARGUMENTS.update(run=loop.run_until_complete, database=database)
    try:
        run_state_machine_as_test(
            Registry,
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    finally:
        loop.run_until_complete(database.close())


@pytest.mark.timeout(900)
def test_no_sequence_of_calls_reaches_an_illegal_state(
    loop: asyncio.AbstractEventLoop, migrated_database: MigratedDatabase
) -> None:
    _drive(loop, migrated_database(("heliograph_registry10dlc", "registry10dlc")), examples=8, steps=40)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_long_sequence_of_calls_reaches_an_illegal_state(
    loop: asyncio.AbstractEventLoop, migrated_database: MigratedDatabase
) -> None:
    _drive(loop, migrated_database(("heliograph_registry10dlc", "registry10dlc")), examples=300, steps=80)
