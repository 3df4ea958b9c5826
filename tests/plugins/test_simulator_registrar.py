"""The simulator's registrar: the contract, and every word that changes what it decides."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from heliograph_channel_simulator import SimulatorRegistrar
from heliograph_channels import (
    ERRANDS,
    Decision,
    DecisionState,
    Refused,
    Registrar,
    Submission,
    SubmissionKind,
)
from heliograph_channels.testing import RegistrarContract

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=900)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
REJECTABLE = (SubmissionKind.BRAND, SubmissionKind.USE_CASE, SubmissionKind.TOLL_FREE, SubmissionKind.RENEWAL)


class TestContract(RegistrarContract):
    bad_fields: ClassVar = {
        **{kind: {"company_name": "Reject me Ltd", "other": "fine"} for kind in REJECTABLE},
        SubmissionKind.NUMBER: {"number": "+12065550100", "number_type": "Reject"},
    }
    refused_fields: ClassVar = {SubmissionKind.ORDER: {"number_type": "TEN_DLC", "area_code": "123"}}

    @pytest.fixture
    def registrar(self) -> Registrar:
        return SimulatorRegistrar()


def papers(kind: SubmissionKind, id: str = "b" * 32, **fields: str) -> Submission:
    return Submission(kind, id, fields, START)


async def decided(registrar: Registrar, submission: Submission, now: datetime = LATER) -> list[Decision]:
    return list(await registrar.poll([await registrar.submit(submission)], now))


def words(decisions: list[Decision]) -> list[str]:
    return [decision.state.value for decision in decisions]


@pytest.mark.parametrize(
    ("kind", "delay", "state"),
    [
        (SubmissionKind.BRAND, timedelta(hours=1), "VERIFIED"),
        (SubmissionKind.VETTING, timedelta(minutes=1), "SCORED"),
        (SubmissionKind.USE_CASE, DAY, "APPROVED"),
        (SubmissionKind.NUMBER, 14 * DAY, "READY"),
        (SubmissionKind.TOLL_FREE, 15 * DAY, "APPROVED"),
        (SubmissionKind.ORDER, timedelta(minutes=1), "BOUGHT"),
        (SubmissionKind.DISASSOCIATION, DAY, "DETACHED"),
        (SubmissionKind.RENEWAL, timedelta(hours=1), "RENEWED"),
    ],
)
async def test_decisions_come_when_the_references_say(kind: SubmissionKind, delay: timedelta, state: str) -> None:
    reference = await SimulatorRegistrar().submit(papers(kind))
    assert list(await SimulatorRegistrar().poll([reference], START + delay - SECOND)) == []
    (decision,) = await SimulatorRegistrar().poll([reference], START + delay)
    assert (decision.state, decision.at, decision.expires_at) == (state, START + delay, None)


async def test_delays_are_settings() -> None:
    registrar = SimulatorRegistrar().configured({"number_delay": 0, "brand_delay": 5})
    (decision,) = await decided(registrar, papers(SubmissionKind.NUMBER), START)
    assert decision.at == START
    with pytest.raises(ValueError, match="brand_delay"):
        SimulatorRegistrar().configured({"brand_delay": -1})


@pytest.mark.parametrize("kind", sorted(ERRANDS))
async def test_errands_are_taken_and_lead_to_nothing(kind: SubmissionKind) -> None:
    assert await decided(SimulatorRegistrar(), papers(kind, text="Reject Suspend Expire")) == []


async def test_papers_may_ask_for_a_rejection_and_its_cause() -> None:
    asked = papers(SubmissionKind.USE_CASE, website="Reject:WEBSITE_MISSING_OR_DOWN", name="We Rejected it")
    (decision,) = await decided(SimulatorRegistrar(), asked)
    assert (decision.state, decision.cause, decision.field) == ("REJECTED", "WEBSITE_MISSING_OR_DOWN", "website")


async def test_every_field_that_asks_for_a_rejection_is_a_finding() -> None:
    asked = papers(SubmissionKind.BRAND, b="Reject", a="Reject:UNOFFICIAL_EMAIL_DOMAIN", c="fine")
    (decision,) = await decided(SimulatorRegistrar(), asked)
    assert [(finding.field, finding.cause) for finding in decision.findings] == [
        ("a", "UNOFFICIAL_EMAIL_DOMAIN"),
        ("b", "ATTRIBUTES_MISMATCH"),
    ]
    assert (decision.field, decision.cause) == ("a", "UNOFFICIAL_EMAIL_DOMAIN")


@pytest.mark.parametrize("length", [5, 100, 200])
async def test_findings_never_make_a_reference_too_long(length: int) -> None:
    fields = {f"{index:02d}" + "é" * length: f"Reject:{'A' * 60}" for index in range(40)}
    reference = await SimulatorRegistrar().submit(Submission(SubmissionKind.BRAND, "b" * 32, fields, START))
    assert len(reference) <= 1000
    (decision,) = await SimulatorRegistrar().poll([reference], LATER)
    assert 1 <= len(decision.findings) <= 12
    assert decision.findings[0].field == min(fields)[:100]


@pytest.mark.parametrize("kind", [SubmissionKind.BRAND, SubmissionKind.USE_CASE, SubmissionKind.TOLL_FREE])
async def test_papers_may_ask_to_be_declined(kind: SubmissionKind) -> None:
    (decision,) = await decided(SimulatorRegistrar(), papers(kind, name="Decline:RESTRICTED_HATE", other="Reject"))
    assert (decision.state, decision.cause, decision.field) == ("DECLINED", "RESTRICTED_HATE", "name")


@pytest.mark.parametrize(
    "fields", [{"companyInfo.legalType": "PUBLIC_PROFIT"}, {"name": "Authenticate"}], ids=["public", "asked for"]
)
async def test_a_brand_may_need_a_proof_first(fields: dict[str, str]) -> None:
    registrar = SimulatorRegistrar({"authentication_delay": 60})
    asked = Submission(SubmissionKind.BRAND, "b" * 32, fields, START)
    needed, verified = await decided(registrar, asked)
    assert words([needed, verified]) == ["NEEDS_AUTHENTICATION", "VERIFIED"]
    assert verified.at - needed.at == timedelta(minutes=1)
    assert verified.registered_id
    # Handed in again when it is verified, it needs none.
    assert words(await decided(registrar, replace(asked, registered_id=verified.registered_id))) == ["VERIFIED"]


async def test_a_proof_may_never_come() -> None:
    assert words(await decided(SimulatorRegistrar(), papers(SubmissionKind.BRAND, name="Lapse"))) == [
        "NEEDS_AUTHENTICATION"
    ]


@pytest.mark.parametrize(
    ("kind", "back"),
    [
        (SubmissionKind.BRAND, "VERIFIED"),
        (SubmissionKind.USE_CASE, "APPROVED"),
        (SubmissionKind.TOLL_FREE, "APPROVED"),
    ],
)
async def test_a_suspension_follows_and_may_be_lifted(kind: SubmissionKind, back: str) -> None:
    registrar = SimulatorRegistrar({"suspension_delay": 60, "lift_delay": 30})
    kept = await decided(registrar, papers(kind, description="Suspend me later"))
    assert words(kept) == [back, "SUSPENDED"]
    assert (kept[1].at - kept[0].at, kept[1].cause, kept[1].field) == (
        timedelta(minutes=1), "OPT_IN_NOT_COMPLIANT", "description",
    )  # fmt: skip
    lifted = await decided(registrar, papers(kind, description="Suspend:RESTRICTED_HATE and Lift"))
    assert words(lifted) == [back, "SUSPENDED", back]
    assert (lifted[2].at - lifted[1].at, lifted[1].cause) == (timedelta(seconds=30), "RESTRICTED_HATE")


@pytest.mark.parametrize("kind", [SubmissionKind.BRAND, SubmissionKind.USE_CASE, SubmissionKind.RENEWAL])
async def test_what_comes_into_force_may_run_out(kind: SubmissionKind) -> None:
    registrar = SimulatorRegistrar({"expiry_delay": 60})
    begun, ended = await decided(registrar, papers(kind, name="Expire"))
    assert ended.state is DecisionState.EXPIRED
    assert begun.expires_at == ended.at == begun.at + timedelta(minutes=1)


@pytest.mark.parametrize(("days", "ends"), [(0, False), (0.5, True), (30, True)])
async def test_registrations_are_good_for_some_days_or_for_ever(days: float, ends: bool) -> None:
    registrar = SimulatorRegistrar({"registration_days": days})
    begun, *end = await decided(registrar, papers(SubmissionKind.RENEWAL))
    assert begun.expires_at == (begun.at + days * DAY if ends else None)
    assert words(end) == (["EXPIRED"] if ends else [])
    # A toll-free registration has no end.
    assert words(await decided(registrar, papers(SubmissionKind.TOLL_FREE, name="Expire"))) == ["APPROVED"]


async def test_nothing_happens_after_the_end() -> None:
    registrar = SimulatorRegistrar({"registration_days": 40, "suspension_delay": 30 * 86400})
    asked = papers(SubmissionKind.USE_CASE, name="Suspend, Lift")
    assert words(await decided(registrar, asked)) == ["APPROVED", "SUSPENDED", "APPROVED", "EXPIRED"]
    short = registrar.configured({"registration_days": 30, "suspension_delay": 30 * 86400})
    assert words(await decided(short, asked)) == ["APPROVED", "EXPIRED"]


async def test_a_renewed_brand_is_verified_again_after_a_suspension_and_keeps_its_id() -> None:
    registrar = SimulatorRegistrar()
    (brand,) = await decided(registrar, papers(SubmissionKind.BRAND))
    renewal = replace(papers(SubmissionKind.RENEWAL, name="Suspend, Lift"), registered_id=brand.registered_id)
    decisions = await decided(registrar, renewal)
    assert words(decisions) == ["RENEWED", "SUSPENDED", "VERIFIED"]
    assert {decision.registered_id for decision in decisions} == {brand.registered_id, ""}


async def test_a_brand_has_the_score_it_asks_for_or_that_of_the_settings() -> None:
    async def score(registrar: Registrar, **fields: str) -> int | None:
        (decision,) = await decided(registrar, papers(SubmissionKind.BRAND, **fields))
        return decision.score

    assert await score(SimulatorRegistrar(), company_name="Acme Score:42") == 42
    assert await score(SimulatorRegistrar({"vetting_score": 77}), company_name="Acme Score:0") == 0
    assert await score(SimulatorRegistrar(), company_name="Acme Score:101") == 100
    assert await score(SimulatorRegistrar({"vetting_score": 77})) == 77
    assert await score(SimulatorRegistrar()) is None


@pytest.mark.parametrize("by_reference", [False, True], ids=["by its id", "by its reference"])
async def test_a_vetting_gives_the_score_that_the_brand_asked_for(by_reference: bool) -> None:
    registrar = SimulatorRegistrar({"vetting_score": 5})
    (brand,) = await decided(registrar, papers(SubmissionKind.BRAND, name="Score:42"))
    parent = brand.reference if by_reference else brand.registered_id
    (vetting,) = await decided(registrar, replace(papers(SubmissionKind.VETTING), parent_reference=parent))
    assert (vetting.state, vetting.score) == ("SCORED", 42)


async def test_a_vetting_of_any_other_brand_gives_that_of_the_settings_or_one_by_its_id() -> None:
    (set_,) = await decided(SimulatorRegistrar({"vetting_score": 0}), papers(SubmissionKind.VETTING))
    assert set_.score == 0
    drawn = [
        (await decided(SimulatorRegistrar(), papers(SubmissionKind.VETTING, f"{index:032x}")))[0].score or 0
        for index in range(50)
    ]
    assert len(set(drawn)) > 20
    assert all(1 <= score <= 100 for score in drawn)
    (failed,) = await decided(SimulatorRegistrar({"vettings_fail": True}), papers(SubmissionKind.VETTING))
    assert (failed.state, failed.score, failed.cause) == ("FAILED", None, "ATTRIBUTES_MISMATCH")


@pytest.mark.parametrize(
    ("number_type", "area_code", "pattern"),
    [
        ("TEN_DLC", "", r"\+1[2-9]9[0-9][2-9][0-9]{6}"),
        ("LONG_CODE", "206", r"\+1206[2-9][0-9]{6}"),
        ("TOLL_FREE", "", r"\+18(88|77|66|55|44|33)[2-9][0-9]{6}"),
        ("TOLL_FREE", "844", r"\+1844[2-9][0-9]{6}"),
    ],
)
async def test_an_order_brings_a_number_of_the_plan(number_type: str, area_code: str, pattern: str) -> None:
    registrar = SimulatorRegistrar()
    numbers = set()
    for index in range(1000):
        order = papers(SubmissionKind.ORDER, f"{index:032x}", number_type=number_type, area_code=area_code)
        (decision,) = await decided(registrar, order)
        assert re.fullmatch(pattern, decision.number)
        assert decision.number[5:8][1:] != "11"
        numbers.add(decision.number)
    assert len(numbers) >= 999


@pytest.mark.parametrize(
    ("number_type", "area_code"),
    [("TEN_DLC", "123"), ("TEN_DLC", "290"), ("TEN_DLC", "20"), ("TEN_DLC", "888"), ("TOLL_FREE", "206")],
)
async def test_an_area_code_that_nobody_can_have_is_refused_at_once(number_type: str, area_code: str) -> None:
    with pytest.raises(Refused) as caught:
        await SimulatorRegistrar().submit(papers(SubmissionKind.ORDER, number_type=number_type, area_code=area_code))
    assert [finding.field for finding in caught.value.findings] == ["area_code"]


async def test_orders_can_be_made_to_fail() -> None:
    (decision,) = await decided(SimulatorRegistrar({"orders_fail": True}), papers(SubmissionKind.ORDER))
    assert (decision.state, decision.cause, decision.number) == ("FAILED", "NO_NUMBER_AVAILABLE", "")


async def test_numbers_can_be_made_unfit() -> None:
    registrar = SimulatorRegistrar({"rejected_numbers": ["+12065550100"]})
    (bad,) = await decided(registrar, papers(SubmissionKind.NUMBER, number="+12065550100"))
    assert (bad.state, bad.cause, bad.field) == ("REJECTED", "ATTRIBUTES_MISMATCH", "number")
    (good,) = await decided(registrar, papers(SubmissionKind.NUMBER, number="+12065550101"))
    assert good.state is DecisionState.READY


async def test_damaged_references_have_no_decisions() -> None:
    registrar = SimulatorRegistrar()
    reference = await registrar.submit(papers(SubmissionKind.BRAND))
    damaged = [reference[:-3], reference[:40] + "!" + reference[41:], "sim2.", "sim2.e30", "sim2.W10", "sim2.\u00e9"]
    assert list(await registrar.poll(damaged, LATER)) == []
