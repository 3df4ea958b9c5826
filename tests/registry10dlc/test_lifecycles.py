"""What moves mean for what hangs on them: suspensions, conversions, renewals, amendments, deletions, loans."""

from __future__ import annotations

from datetime import timedelta

import pytest

from heliograph_channels import Decision, DecisionState, Finding, SubmissionKind
from heliograph_kit.database import Database
from heliograph_kit.errors import InvalidArgument, RequestIdReused
from heliograph_registry10dlc.domain import MAX_NUMBERS_OF_USE_CASE, Kind, Registration, State
from heliograph_registry10dlc.errors import (
    BrandNotVerified,
    HasDependents,
    MoveNotAllowed,
    NothingToSubmit,
    NumberAssociated,
    NumberExists,
    NumberNotTenDlc,
    NumberNotTollFree,
    RegistrationNotFound,
    TooMany,
    UseCaseFull,
    UseCaseNotApproved,
    VettingPending,
)
from heliograph_registry10dlc.quotas import Quotas
from tests.registry10dlc.office import Office, a_number
from tests.registry10dlc.papers import BRAND, TOLL_FREE, USE_CASE


@pytest.fixture
def office(database: Database) -> Office:
    """A project at a desk; one brand more than two is too many."""
    return Office(database, Quotas(brands=2, use_cases_of_brand=2, numbers_of_region=60))


def told(one: Registration) -> list[Finding]:
    return [Finding(finding.field, finding.cause, finding.words) for finding in one.findings]


async def states(office: Office, *ones: Registration) -> list[str]:
    return [(await office.now(one)).state.value for one in ones]


# -- brands ---------------------------------------------------------------------------------------------------------


async def test_a_denied_brand_names_what_to_mend_and_is_handed_in_again(office: Office) -> None:
    brand = await office.brands.create(office.project, BRAND)
    await office.brands.submit(office.project, brand.id)
    findings = [
        Finding("companyInfo.companyName", "ATTRIBUTES_MISMATCH", "not as on the tax record"),
        Finding("contactInfo.website", "WEBSITE_MISSING_OR_DOWN", "404"),
    ]
    denied = await office.decide(brand, "REJECTED", cause="ATTRIBUTES_MISMATCH", findings=findings)
    assert denied.state is State.REQUIRES_UPDATE
    assert told(denied) == findings
    assert denied.state_field == "companyInfo.companyName"
    edited = await office.brands.update(office.project, brand.id, {**BRAND, "companyInfo.companyName": "Example Inc"})
    assert told(edited) == findings, "what is to be mended stays in sight while it is"
    again = await office.brands.submit(office.project, brand.id)
    assert (again.findings, again.state) == ((), State.PENDING)
    assert (await office.decide(brand, "VERIFIED")).state is State.VERIFIED
    assert [entry.event for entry in await office.moves(brand)] == [
        None, "SUBMIT", "REJECTED", "EDIT", "SUBMIT", "VERIFIED",
    ]  # fmt: skip


async def test_a_decision_about_papers_that_were_handed_in_again_changes_nothing(office: Office) -> None:
    brand = await office.brands.create(office.project, BRAND)
    await office.brands.submit(office.project, brand.id)
    await office.desk.once()
    old = await office.now(brand)
    await office.decide(brand, "REJECTED", cause="ATTRIBUTES_MISMATCH")
    office.clock.advance(timedelta(minutes=1))
    await office.brands.submit(office.project, brand.id)
    await office.desk.once()
    assert (await office.decide(old, "VERIFIED")).reference != old.reference
    # The decision above was about the new papers; one about the old ones is nobody's.
    late = Decision(old.reference, DecisionState.SUSPENDED, office.clock.now(), cause="OPT_IN_NOT_COMPLIANT")
    assert await office.decisions.take([late]) == 0
    assert (await office.now(brand)).state is State.VERIFIED


async def test_a_change_of_a_verified_brand_is_in_force_once_it_is_verified_too(office: Office) -> None:
    brand = await office.a_verified_brand()
    with pytest.raises(NothingToSubmit):
        await office.brands.submit(office.project, brand.id)
    moved = {**BRAND, "companyInfo.city": "Shelbyville"}
    await office.brands.update(office.project, brand.id, moved)
    pending = await office.brands.submit(office.project, brand.id)
    assert (pending.state, pending.fields["companyInfo.city"]) == (State.UPDATE_PENDING, "Springfield")
    await office.desk.once()
    assert office.registrar.submissions[-1].fields["companyInfo.city"] == "Shelbyville"
    assert office.registrar.submissions[-1].earlier_reference
    denied = await office.decide(brand, "REJECTED", cause="ATTRIBUTES_MISMATCH")
    assert (denied.state, denied.fields["companyInfo.city"]) == (State.VERIFIED, "Springfield")
    office.clock.advance(timedelta(minutes=1))
    await office.brands.submit(office.project, brand.id)
    changed = await office.decide(brand, "VERIFIED")
    assert (changed.fields["companyInfo.city"], dict(changed.draft_fields)) == ("Shelbyville", {})


async def test_the_name_of_a_verified_company_is_fixed(office: Office) -> None:
    brand = await office.a_verified_brand()
    with pytest.raises(InvalidArgument) as refused:
        await office.brands.update(office.project, brand.id, {**BRAND, "companyInfo.companyName": "Other Inc"})
    assert [(one.field, one.reason) for one in refused.value.violations] == [
        ("brand.fields[companyInfo.companyName]", "FIELD_LOCKED")
    ]


async def test_a_proof_by_mail_is_good_for_seven_days(office: Office) -> None:
    brand = await office.brands.create(office.project, BRAND)
    await office.brands.submit(office.project, brand.id)
    assert (await office.decide(brand, "NEEDS_AUTHENTICATION")).state is State.REQUIRES_AUTHENTICATION
    office.clock.advance(timedelta(days=7) - timedelta(seconds=1))
    assert await office.desk.end_what_ran_out() == 0
    office.clock.advance(timedelta(seconds=1))
    assert await office.desk.end_what_ran_out() == 1
    lapsed = await office.now(brand)
    assert (lapsed.state, lapsed.state_cause) == (State.REQUIRES_UPDATE, "AUTHENTICATION_EXPIRED")


async def test_a_score_counts_for_use_cases_created_after_it(office: Office) -> None:
    brand = await office.a_verified_brand()
    before = await office.use_cases.create(office.project, brand.id, USE_CASE)
    vetting = await office.brands.vet(office.project, brand.id)
    with pytest.raises(VettingPending):
        await office.brands.vet(office.project, brand.id)
    scored = await office.decide(vetting, "SCORED", score=88)
    assert (scored.state, scored.vetting_score) == (State.SCORED, 88)
    after = await office.use_cases.create(office.project, brand.id, USE_CASE)
    assert [(await office.now(one)).vetting_score for one in (brand, before, after)] == [88, 0, 88]
    again = await office.brands.vet(office.project, brand.id)
    assert (await office.decide(again, "FAILED", cause="ATTRIBUTES_MISMATCH")).state is State.FAILED
    assert (await office.now(brand)).vetting_score == 88, "a vetting that came to nothing takes nothing away"


async def test_an_unverified_brand_is_not_vetted_and_owns_no_use_case(office: Office) -> None:
    brand = await office.brands.create(office.project, BRAND)
    with pytest.raises(BrandNotVerified):
        await office.brands.vet(office.project, brand.id)
    with pytest.raises(BrandNotVerified):
        await office.use_cases.create(office.project, brand.id, USE_CASE)
    imported = await office.use_cases.create(office.project, brand.id, USE_CASE, imported=True)
    with pytest.raises(BrandNotVerified):
        await office.use_cases.submit(office.project, imported.id)
    await office.brands.submit(office.project, brand.id)
    await office.decide(brand, "VERIFIED", score=70)
    assert (await office.use_cases.submit(office.project, imported.id)).vetting_score == 70


async def test_a_brand_is_deleted_once_nothing_hangs_on_it_and_its_name_is_repeated(office: Office) -> None:
    brand = await office.a_verified_brand()
    use_case = await office.use_cases.create(office.project, brand.id, USE_CASE)
    with pytest.raises(InvalidArgument) as refused:
        await office.brands.delete(office.project, brand.id, "Example")
    assert refused.value.violations[0].reason == "CONFIRMATION_MISMATCH"
    with pytest.raises(HasDependents):
        await office.brands.delete(office.project, brand.id, BRAND["companyInfo.companyName"])
    await office.use_cases.delete(office.project, use_case.id)
    await office.brands.delete(office.project, brand.id, BRAND["companyInfo.companyName"])
    with pytest.raises(RegistrationNotFound):
        await office.book.read(office.project, brand.kind, brand.id)
    await office.desk.once()
    assert office.registrar.submissions[-1].kind is SubmissionKind.WITHDRAWAL


async def test_there_are_as_many_brands_and_use_cases_as_the_installation_allows(office: Office) -> None:
    brand = await office.a_verified_brand()
    second = await office.brands.create(office.project, BRAND)
    with pytest.raises(TooMany):
        await office.brands.create(office.project, BRAND)
    await office.brands.delete(office.project, second.id, "")
    await office.brands.create(office.project, BRAND)
    for _ in range(2):
        await office.use_cases.create(office.project, brand.id, USE_CASE)
    with pytest.raises(TooMany):
        await office.use_cases.create(office.project, brand.id, USE_CASE)


# -- use cases ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "of"), [("SUSPENDED", "use case"), ("EXPIRED", "use case"), ("SUSPENDED", "brand")])
async def test_numbers_stop_with_what_they_are_registered_for(office: Office, event: str, of: str) -> None:
    use_case = await office.an_approved_use_case()
    number = await office.a_ready_number(use_case)
    waiting = await office.numbers.create(office.project, a_number())
    await office.numbers.associate(office.project, waiting.id, use_case.id)
    brand = await office.book.read(office.project, Kind.BRAND, use_case.parent_id)
    stopped = brand if of == "brand" else use_case
    await office.decide(stopped, event, cause="OPT_IN_NOT_COMPLIANT")
    assert await states(office, number, waiting) == ["SUSPENDED", "PENDING"]
    assert (await office.now(number)).state_cause == f"{stopped.kind}_{event}"
    assert (await office.announced())[-1].state != "READY"
    assert (await office.decide(waiting, "READY")).state is State.SUSPENDED, (
        "ready at the carriers, and stopped at once"
    )
    if event == "SUSPENDED":
        await office.decide(stopped, "VERIFIED" if of == "brand" else "APPROVED")
        assert await states(office, number, waiting) == ["READY", "READY"]
        told = {one.number: one.state for one in await office.announced()}
        assert set(told.values()) == {"READY"}


async def test_an_approved_use_case_changes_its_replies_and_samples_only(office: Office) -> None:
    use_case = await office.an_approved_use_case()
    await office.a_ready_number(use_case)
    new_help = {**USE_CASE, "campaignInfo.helpMessage": "Example Records: call +12065550100 for help"}
    await office.use_cases.update(office.project, use_case.id, new_help)
    assert (await office.announced())[-1].help_reply == new_help["campaignInfo.helpMessage"]
    await office.desk.once()
    amendment = office.registrar.submissions[-1]
    assert (amendment.kind, amendment.fields) == (SubmissionKind.AMENDMENT, new_help)
    with pytest.raises(InvalidArgument) as refused:
        await office.use_cases.update(office.project, use_case.id, {**new_help, "campaignInfo.vertical": "EDUCATION"})
    assert refused.value.violations[0].reason == "FIELD_LOCKED"
    assert (await office.now(use_case)).state is State.APPROVED


async def test_a_registration_is_renewed_before_it_runs_out_or_after(office: Office) -> None:
    brand = await office.a_verified_brand()
    use_case = await office.use_cases.create(office.project, brand.id, USE_CASE)
    await office.use_cases.submit(office.project, use_case.id)
    await office.decide(use_case, "APPROVED", days=90)
    number = await office.a_ready_number(use_case)
    office.clock.advance(timedelta(days=59))
    assert await office.desk.end_what_ran_out() == 0
    office.clock.advance(timedelta(days=2))
    assert await office.desk.end_what_ran_out() == 1, "thirty days before the end that is said"
    assert await office.desk.end_what_ran_out() == 0, "once"
    assert (await office.moves(use_case))[-1].event == "RENEWAL_DUE"
    await office.use_cases.renew(office.project, use_case.id)
    assert await states(office, use_case, number) == ["RENEWAL_PENDING", "READY"]
    renewed = await office.decide(use_case, "RENEWED", days=90)
    assert renewed.state is State.APPROVED
    office.clock.advance(timedelta(days=91))
    await office.desk.end_what_ran_out()
    assert await states(office, use_case, number) == ["EXPIRED", "SUSPENDED"]
    await office.use_cases.renew(office.project, use_case.id)
    await office.decide(use_case, "APPROVED", days=90)
    assert await states(office, use_case, number) == ["APPROVED", "READY"]


async def test_a_use_case_goes_after_its_numbers(office: Office) -> None:
    use_case = await office.an_approved_use_case()
    number = await office.a_ready_number(use_case)
    with pytest.raises(HasDependents):
        await office.use_cases.delete(office.project, use_case.id)
    await office.numbers.disassociate(office.project, number.id)
    with pytest.raises(HasDependents):
        await office.use_cases.delete(office.project, use_case.id)
    detached = await office.decide(number, "DETACHED")
    assert (detached.state, detached.parent_id) == (State.UNASSOCIATED, "")
    assert (await office.use_cases.delete(office.project, use_case.id)).state is State.DELETED


async def test_papers_the_registry_does_not_take_in_come_back_at_once(office: Office) -> None:
    brand = await office.brands.create(office.project, BRAND)
    await office.brands.submit(office.project, brand.id)
    office.registrar.refusing = [Finding("companyInfo.taxId", "ATTRIBUTES_MISMATCH", "unknown EIN")]
    await office.desk.once()
    assert told(await office.now(brand)) == office.registrar.refusing
    assert (await office.now(brand)).state is State.REQUIRES_UPDATE


async def test_papers_wait_while_the_registry_is_away(office: Office) -> None:
    brand = await office.brands.create(office.project, BRAND)
    await office.brands.submit(office.project, brand.id)
    office.registrar.away = True
    await office.desk.once()
    assert await states(office, brand) == ["PENDING"]
    office.registrar.away = False
    await office.desk.once()
    assert len(office.registrar.submissions) == 1


# -- numbers --------------------------------------------------------------------------------------------------------


async def test_a_use_case_has_at_most_49_numbers(office: Office) -> None:
    use_case = await office.an_approved_use_case()
    for _ in range(MAX_NUMBERS_OF_USE_CASE):
        number = await office.numbers.create(office.project, a_number())
        await office.numbers.associate(office.project, number.id, use_case.id)
    one_more = await office.numbers.create(office.project, a_number())
    with pytest.raises(UseCaseFull):
        await office.numbers.associate(office.project, one_more.id, use_case.id)
    rates = {one.parts_per_second for one in await office.announced() if one.use_case}
    assert len(rates) == 1, "more numbers bring no more throughput"


async def test_a_long_code_is_for_voice_until_it_is_converted(office: Office) -> None:
    use_case = await office.an_approved_use_case()
    number = await office.numbers.create(office.project, a_number(), "LONG_CODE")
    assert number.state is State.READY
    converting = await office.numbers.associate(office.project, number.id, use_case.id)
    assert converting.state is State.CONVERTING
    back = await office.decide(number, "REJECTED", cause="ATTRIBUTES_MISMATCH")
    assert (back.state, back.number_type, back.parent_id) == (State.READY, "LONG_CODE", "")
    office.clock.advance(timedelta(minutes=1))
    await office.numbers.associate(office.project, number.id, use_case.id)
    converted = await office.decide(number, "READY")
    assert (converted.state, converted.number_type) == (State.READY, "TEN_DLC")
    assert (await office.announced())[-1].use_case.endswith(use_case.id)


async def test_numbers_are_bought_for_a_use_case_and_associated_by_themselves(office: Office) -> None:
    use_case = await office.an_approved_use_case()

    async def order(quantity: int, request_id: str, fingerprint: str = "x") -> list[Registration]:
        return await office.numbers.order(
            office.project, "TEN_DLC", ["SMS"], use_case_id=use_case.id, quantity=quantity, area_code="206", region="",
            request_id=request_id, fingerprint=fingerprint,
        )  # fmt: skip

    first, second = await order(2, "a")
    assert [one.id for one in await order(2, "a")] == [first.id, second.id]
    with pytest.raises(RequestIdReused):
        await order(2, "a", "y")
    bought = await office.decide(first, "BOUGHT", number="+12065559999")
    assert (bought.state, bought.number, bought.parent_id) == (State.PENDING, "+12065559999", use_case.id)
    doubled = await office.decide(second, "BOUGHT", number="+12065559999")
    assert (doubled.state, doubled.state_cause) == (State.FAILED, "NUMBER_EXISTS")
    assert (await office.decide(first, "READY")).state is State.READY
    for quantity, request_id in ((11, "b"), (-1, "c")):
        with pytest.raises(InvalidArgument):
            await order(quantity, request_id)


async def test_a_toll_free_number_is_registered_by_itself(office: Office) -> None:
    number = await office.numbers.create(office.project, a_number("+1888"), "TOLL_FREE")
    assert number.state is State.READY
    assert not (await office.announced())[-1].toll_free_registered
    ten_dlc = await office.numbers.create(office.project, a_number())
    with pytest.raises(NumberNotTollFree):
        await office.toll_free.create(office.project, ten_dlc.id, TOLL_FREE)
    with pytest.raises(NumberNotTenDlc):
        await office.numbers.associate(office.project, number.id, (await office.an_approved_use_case()).id)
    registration = await office.toll_free.create(office.project, number.id, TOLL_FREE)
    with pytest.raises(NumberAssociated):
        await office.toll_free.create(office.project, number.id, TOLL_FREE)
    await office.toll_free.submit(office.project, registration.id)
    await office.decide(registration, "APPROVED")
    assert (await office.announced())[-1].toll_free_registered
    await office.decide(registration, "SUSPENDED", cause="OPT_IN_NOT_COMPLIANT")
    assert await states(office, number) == ["SUSPENDED"]
    await office.decide(registration, "APPROVED")
    assert await states(office, number) == ["READY"]
    with pytest.raises(HasDependents):
        await office.toll_free.delete(office.project, registration.id)
    await office.numbers.release(office.project, number.id)
    assert await states(office, registration) == ["CLOSED"]
    await office.toll_free.delete(office.project, registration.id)


async def test_a_released_number_is_gone_and_may_be_entered_by_somebody_else(office: Office) -> None:
    number = await office.a_ready_number()
    other = Office(office.database)
    with pytest.raises(NumberExists):
        await other.numbers.create(other.project, number.number)
    await office.numbers.release(office.project, number.id)
    assert (await office.announced())[-1].state == "RELEASED"
    await office.desk.once()
    assert office.registrar.submissions[-1].kind is SubmissionKind.RELEASE
    assert office.registrar.submissions[-1].fields["number"] == number.number
    with pytest.raises(MoveNotAllowed):
        await office.numbers.release(office.project, number.id)
    assert (await other.numbers.create(other.project, number.number)).number == number.number


async def test_a_number_needs_an_approved_use_case(office: Office) -> None:
    brand = await office.a_verified_brand()
    draft = await office.use_cases.create(office.project, brand.id, USE_CASE)
    number = await office.numbers.create(office.project, a_number())
    with pytest.raises(UseCaseNotApproved):
        await office.numbers.associate(office.project, number.id, draft.id)


async def test_numbers_of_a_region_are_limited(office: Office) -> None:
    small = Office(office.database, Quotas(numbers_of_region=2))
    for _ in range(2):
        await small.numbers.create(small.project, a_number(), region="us-east-1")
    with pytest.raises(TooMany):
        await small.numbers.create(small.project, a_number(), region="us-east-1")
    await small.numbers.create(small.project, a_number(), region="us-west-2")


async def test_a_lent_number_is_announced_to_the_borrower_until_it_is_taken_back(office: Office) -> None:
    number = await office.a_ready_number()
    grant, _ = await office.numbers.lend(office.project, number.id, "borrower")
    assert (await office.numbers.lend(office.project, number.id, "borrower"))[0] == grant
    told = (await office.announced("borrower"))[-1]
    assert (told.number, told.state, told.lent_by) == (number.number, "READY", f"projects/{office.project}")
    use_case = await office.book.read(office.project, Kind.USE_CASE, number.parent_id)
    await office.decide(use_case, "SUSPENDED", cause="OPT_IN_NOT_COMPLIANT")
    assert (await office.announced("borrower"))[-1].state == "SUSPENDED"
    await office.numbers.take_back(office.project, grant.id)
    gone = (await office.announced("borrower"))[-1]
    assert (gone.state, gone.revision > told.revision) == ("RELEASED", True)
    with pytest.raises(InvalidArgument):
        await office.numbers.lend(office.project, number.id, office.project)
