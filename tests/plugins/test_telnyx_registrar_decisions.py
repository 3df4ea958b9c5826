"""What Telnyx decides, asked for and told by its events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph_channel_telnyx import TelnyxRegistrar
from heliograph_channel_telnyx.registry.api import Away
from heliograph_channel_telnyx.registry.references import Reference
from heliograph_channels import Decision, Forged, Registrar, Submission, SubmissionKind, WebhookRequest
from heliograph_channels.testing.papers import PAPERS, SUBMITTED
from tests.plugins.http_peers import answering
from tests.plugins.telnyx_peer import signed
from tests.plugins.telnyx_registry_peer import (
    BRAND_ID,
    CAMPAIGN_ID,
    EVENTS,
    FEEDBACK,
    THINGS,
    FakeRegistry,
    entry,
    json_of,
)
from tests.plugins.test_telnyx_registrar import account, papers

NOW = SUBMITTED + timedelta(days=2)


@pytest.fixture
async def telnyx() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry(fares_well=False).running() as peer:
        yield peer


@pytest.fixture
async def registrar(telnyx: FakeRegistry) -> AsyncIterator[Registrar]:
    registrar = TelnyxRegistrar().configured(account(telnyx.url))
    yield registrar
    await registrar.close()


def reference_of(submission: Submission, thing: str, other: str = "") -> str:
    return str(Reference.of(submission, thing, other))


BRAND = reference_of(papers(SubmissionKind.BRAND), BRAND_ID)
USE_CASE = reference_of(papers(SubmissionKind.USE_CASE), CAMPAIGN_ID)
VETTING = reference_of(papers(SubmissionKind.VETTING), BRAND_ID)
NUMBER = reference_of(papers(SubmissionKind.NUMBER), "+12065550100", CAMPAIGN_ID)
ORDER = reference_of(papers(SubmissionKind.ORDER), THINGS["order"]["id"])


async def told(registrar: Registrar, reference: str, now: datetime = NOW) -> list[Decision]:
    return list(await registrar.poll([reference], now))


async def words(registrar: Registrar, reference: str, now: datetime = NOW) -> list[str]:
    return [decision.state.value for decision in await told(registrar, reference, now)]


@pytest.mark.parametrize(
    ("told_of_it", "expected"),
    [
        ({"status": "REGISTRATION_PENDING", "identityStatus": "UNVERIFIED"}, []),
        ({"status": "REGISTRATION_PENDING", "identityStatus": None}, []),
        ({"status": "OK", "identityStatus": "UNVERIFIED"}, []),
        ({"status": "OK", "identityStatus": "SELF_DECLARED"}, []),
        ({"status": "OK", "identityStatus": "VERIFIED"}, ["VERIFIED"]),
        ({"status": "OK", "identityStatus": "VETTED_VERIFIED"}, ["VERIFIED"]),
        ({"status": "OK", "identityStatus": "UNVERIFIED", "entityType": "PUBLIC_PROFIT"}, ["NEEDS_AUTHENTICATION"]),
        ({"status": "REGISTRATION_FAILED", "failureReasons": "EIN is wrong"}, ["REJECTED"]),
        ({"status": "REGISTRATION_FAILED", "failureReasons": None}, ["REJECTED"]),
    ],
)
async def test_states_of_brands(
    telnyx: FakeRegistry, registrar: Registrar, told_of_it: dict[str, Any], expected: list[str]
) -> None:
    telnyx.brands[BRAND_ID] |= told_of_it
    assert await words(registrar, BRAND) == expected


@pytest.mark.parametrize(("seconds", "decided"), [(3599, False), (3600, True)])
async def test_feedback_about_a_brand_counts_after_the_time_of_a_review(
    telnyx: FakeRegistry, registrar: Registrar, seconds: int, decided: bool
) -> None:
    telnyx.brands[BRAND_ID] |= {"status": "OK", "identityStatus": "UNVERIFIED"}
    telnyx.feedback = FEEDBACK
    decisions = await told(registrar, BRAND, SUBMITTED + timedelta(seconds=seconds))
    assert bool(decisions) is decided
    if decided:
        (decision,) = decisions
        assert (decision.state, decision.registered_id) == ("REJECTED", BRAND_ID)
        assert [finding.field for finding in decision.findings] == ["companyInfo.taxId", "companyInfo.companyName"]


@pytest.mark.parametrize(
    ("told_of_it", "expected"),
    [
        *[({"campaignStatus": status}, []) for status in ("TCR_PENDING", "TCR_ACCEPTED", "TELNYX_ACCEPTED")],
        *[({"campaignStatus": status}, []) for status in ("MNO_PENDING", "MNO_ACCEPTED", None)],
        ({"campaignStatus": "MNO_PROVISIONED"}, ["APPROVED"]),
        ({"campaignStatus": "MNO_PROVISIONED", "isTMobileSuspended": True}, ["SUSPENDED"]),
        ({"campaignStatus": "MNO_PROVISIONED", "status": "DORMANT"}, ["SUSPENDED"]),
        ({"campaignStatus": "TCR_SUSPENDED"}, ["SUSPENDED"]),
        ({"campaignStatus": "TCR_EXPIRED"}, ["EXPIRED"]),
        ({"status": "EXPIRED"}, ["EXPIRED"]),
        ({"campaignStatus": "TCR_PENDING", "submissionStatus": "FAILED"}, ["REJECTED"]),
        *[({"campaignStatus": status}, ["REJECTED"]) for status in ("TCR_FAILED", "TELNYX_FAILED", "MNO_REJECTED")],
        ({"campaignStatus": "MNO_PROVISIONING_FAILED"}, ["REJECTED"]),
    ],
)
async def test_states_of_campaigns(
    telnyx: FakeRegistry, registrar: Registrar, told_of_it: dict[str, Any], expected: list[str]
) -> None:
    telnyx.campaigns[CAMPAIGN_ID] |= told_of_it
    assert await words(registrar, USE_CASE) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PENDING_ASSIGNMENT", []),
        ("ASSIGNED", ["READY"]),
        ("FAILED_ASSIGNMENT", ["REJECTED"]),
        ("PENDING_UNASSIGNMENT", []),
    ],
)
async def test_states_of_assignments(
    telnyx: FakeRegistry, registrar: Registrar, status: str, expected: list[str]
) -> None:
    made = {**THINGS["assignment"], "phoneNumber": "+12065550100", "assignmentStatus": status}
    telnyx.assignments["+12065550100"] = made
    assert await words(registrar, NUMBER) == expected
    # Of another campaign it says nothing about this one.
    made |= {"campaignId": "other", "telnyxCampaignId": "other", "tcrCampaignId": "C0"}
    anew = TelnyxRegistrar().configured(account(telnyx.url))
    assert await words(anew, NUMBER) == []
    await anew.close()


async def test_a_number_is_detached_when_it_belongs_to_no_campaign(telnyx: FakeRegistry, registrar: Registrar) -> None:
    submission = papers(SubmissionKind.DISASSOCIATION)
    reference = reference_of(submission, "+12065550100")
    telnyx.assignments["+12065550100"] = {**THINGS["assignment"], "assignmentStatus": "PENDING_UNASSIGNMENT"}
    assert await words(registrar, reference) == []
    telnyx.assignments.clear()
    assert await words(registrar, reference) == ["DETACHED"]


@pytest.mark.parametrize(("status", "expected"), [("pending", []), ("success", ["BOUGHT"]), ("failure", ["FAILED"])])
async def test_states_of_orders(telnyx: FakeRegistry, registrar: Registrar, status: str, expected: list[str]) -> None:
    telnyx.orders[THINGS["order"]["id"]] = {**THINGS["order"], "status": status}
    decisions = await told(registrar, ORDER)
    assert [decision.state.value for decision in decisions] == expected
    if status == "success":
        assert (decisions[0].number, decisions[0].registered_id) == (
            "+12065550123", THINGS["order"]["phone_numbers"][0]["id"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "score"),
    [
        ({}, 76),
        ({"vettingScore": 0}, 0),
        ({"vettingScore": 101}, None),
        ({"vettingScore": None}, None),
        ({"vettedDate": None}, None),
        ({"evpId": "WMC"}, None),
        ({"vettingClass": "ENHANCED"}, None),
        ({"createDate": (SUBMITTED - timedelta(days=180)).isoformat()}, 76),
        ({"createDate": (SUBMITTED - timedelta(days=180, seconds=1)).isoformat()}, None),
    ],
)
async def test_a_vetting_has_the_score_of_its_provider_and_class(
    telnyx: FakeRegistry, registrar: Registrar, changes: dict[str, Any], score: int | None
) -> None:
    telnyx.vettings[BRAND_ID] = [{**THINGS["vetting"], **changes}]
    decisions = await told(registrar, VETTING)
    assert [decision.score for decision in decisions] == ([] if score is None else [score])


async def test_a_vetting_without_a_score_fails_after_some_days(telnyx: FakeRegistry, registrar: Registrar) -> None:
    end = SUBMITTED + timedelta(days=30)
    assert await words(registrar, VETTING, end - timedelta(seconds=1)) == []
    (decision,) = await told(registrar, VETTING, end)
    assert (decision.state, decision.at) == ("FAILED", end)


async def test_a_verification_tells_its_whole_history(telnyx: FakeRegistry, registrar: Registrar) -> None:
    submission = papers(SubmissionKind.TOLL_FREE)
    reference = reference_of(submission, "v1")
    telnyx.verifications["v1"] = {}
    telnyx.histories["v1"] = [
        entry("Verified", "2026-03-03T12:00:00Z"),
        entry("Rejected", "2026-02-28T12:00:00Z", "before these papers"),
        entry("In Progress", "2026-03-01T13:00:00Z"),
        entry("Waiting For Customer", "2026-03-02T12:00:00Z", "The opt-in is not clear"),
        entry("Rejected", "2026-03-04T12:00:00Z", "complaints"),
        entry("Verified", "2026-03-05T12:00:00Z"),
        entry("Waiting For Vendor", "2026-03-06T12:00:00Z"),
    ]
    decisions = await told(registrar, reference, SUBMITTED + timedelta(days=30))
    assert [decision.state.value for decision in decisions] == ["REJECTED", "APPROVED", "SUSPENDED", "APPROVED"]
    assert decisions[0].cause == "OPT_IN_NOT_COMPLIANT"
    assert await told(registrar, reference, datetime(2026, 3, 3, 12, tzinfo=UTC)) == decisions[:2]


async def test_a_decision_keeps_its_time_until_another_holds(telnyx: FakeRegistry, registrar: Registrar) -> None:
    telnyx.campaigns[CAMPAIGN_ID]["campaignStatus"] = "MNO_PROVISIONED"
    first = await told(registrar, USE_CASE)
    assert await told(registrar, USE_CASE, NOW + timedelta(hours=1)) == first
    telnyx.campaigns[CAMPAIGN_ID]["campaignStatus"] = "TCR_SUSPENDED"
    (suspended,) = await told(registrar, USE_CASE, NOW + timedelta(hours=2))
    assert (suspended.state, suspended.at) == ("SUSPENDED", NOW + timedelta(hours=2))
    telnyx.campaigns[CAMPAIGN_ID]["campaignStatus"] = "MNO_PROVISIONED"
    (again,) = await told(registrar, USE_CASE, NOW + timedelta(hours=3))
    assert (again.state, again.at) == ("APPROVED", NOW + timedelta(hours=3))


async def test_a_campaign_that_does_not_renew_itself_tells_its_end(telnyx: FakeRegistry, registrar: Registrar) -> None:
    telnyx.campaigns[CAMPAIGN_ID] |= {"campaignStatus": "MNO_PROVISIONED", "autoRenewal": False}
    (decision,) = await told(registrar, USE_CASE)
    assert decision.expires_at == datetime(2026, 6, 1, tzinfo=UTC)


async def test_one_that_cannot_be_asked_about_holds_up_no_other(telnyx: FakeRegistry, registrar: Registrar) -> None:
    telnyx.orders[THINGS["order"]["id"]] = dict(THINGS["order"])
    both = await registrar.poll([BRAND, ORDER], NOW)
    assert [decision.state.value for decision in both] == ["VERIFIED", "BOUGHT"]
    telnyx.acts(answering(500))
    assert list(await registrar.poll([BRAND, ORDER], NOW)) == both  # what is not told now is told as before
    telnyx.acts(answering(500), answering(401))
    with pytest.raises(Away):
        await registrar.poll([BRAND, ORDER], NOW)


async def test_things_that_are_gone_tell_nothing(telnyx: FakeRegistry, registrar: Registrar) -> None:
    telnyx.brands.clear()
    telnyx.campaigns.clear()
    for reference in (BRAND, USE_CASE, VETTING, NUMBER, ORDER):
        assert await words(registrar, reference) == []


@pytest.mark.parametrize(
    "reference",
    [
        BRAND[:-1],
        BRAND.replace("BRAND", "TRADE"),
        BRAND.replace(BRAND_ID, "../phone_numbers"),
        BRAND.replace(BRAND_ID, ""),
        BRAND + "a b",
        "telnyx:BRAND:x:y:99999999999999999999999999:",
        "telnyx:BRAND:x:y:z:",
    ],
)
async def test_references_that_are_not_ours_are_not_asked_about(
    telnyx: FakeRegistry, registrar: Registrar, reference: str
) -> None:
    assert await words(registrar, reference) == []
    assert telnyx.calls == []


def call(name: str, at: datetime = NOW) -> WebhookRequest:
    return signed(json_of(EVENTS[name]), at=at)


async def known(registrar: Registrar, *references: str) -> None:
    """Let the registrar ask about something while it is not decided."""
    await registrar.poll(references, SUBMITTED)


async def test_an_event_lets_the_thing_be_asked_about_at_once(telnyx: FakeRegistry, registrar: Registrar) -> None:
    telnyx.brands[BRAND_ID]["identityStatus"] = None
    reference = await registrar.submit(papers(SubmissionKind.NUMBER))
    assert list(await registrar.webhook(call("number assigned"), NOW)) == []
    telnyx.assignments["+12065550100"]["assignmentStatus"] = "ASSIGNED"
    (decision,) = await registrar.webhook(call("number assigned"), NOW)
    assert (decision.state, decision.reference) == ("READY", reference)
    assert await told(registrar, reference) == [decision]


async def test_what_an_event_says_to_mend_is_told_by_later_polls_too(
    telnyx: FakeRegistry, registrar: Registrar
) -> None:
    reference = await registrar.submit(replace(papers(SubmissionKind.BRAND), registered_id=BRAND_ID))
    telnyx.brands[BRAND_ID] |= {"status": "REGISTRATION_FAILED", "failureReasons": "see the notification"}
    (decision,) = await registrar.webhook(call("brand registration failed"), NOW)
    assert (decision.state, decision.field) == ("REJECTED", "companyInfo.taxId")
    assert "nine-digit" in decision.findings[0].words
    assert await told(registrar, reference) == [decision]


@pytest.mark.parametrize(
    ("name", "field", "cause"),
    [
        ("campaign registration failed", "messageSamples.messageSample1", "USE_CASE_SAMPLES_INCONSISTENT"),
        ("campaign rejected", "", "OPT_IN_NOT_COMPLIANT"),
    ],
)
async def test_a_refused_campaign_names_what_the_event_names(
    telnyx: FakeRegistry, registrar: Registrar, name: str, field: str, cause: str
) -> None:
    telnyx.campaigns[CAMPAIGN_ID]["campaignStatus"] = "TCR_PENDING"
    reference = await registrar.submit(papers(SubmissionKind.USE_CASE))
    campaign = reference.split(":")[2]
    telnyx.campaigns[campaign]["campaignStatus"] = "MNO_REJECTED"
    body = json_of(EVENTS[name]).replace(CAMPAIGN_ID.encode(), campaign.encode())
    (decision,) = await registrar.webhook(signed(body, at=NOW), NOW)
    assert (decision.state, decision.field, decision.cause) == ("REJECTED", field, cause)


async def test_a_vetting_fails_by_its_event(telnyx: FakeRegistry, registrar: Registrar) -> None:
    reference = await registrar.submit(papers(SubmissionKind.VETTING))
    (decision,) = await registrar.webhook(call("vetting failed"), NOW)
    assert (decision.state, decision.reference) == ("FAILED", reference)
    assert decision.at == datetime(2026, 3, 1, 13, 22, 37, 328000, tzinfo=UTC)
    assert await told(registrar, reference) == [decision]


async def test_an_order_is_asked_about_when_it_is_done(telnyx: FakeRegistry, registrar: Registrar) -> None:
    reference = await registrar.submit(papers(SubmissionKind.ORDER))
    telnyx.orders[THINGS["order"]["id"]]["status"] = "success"
    (decision,) = await registrar.webhook(call("order done"), NOW)
    assert (decision.state, decision.reference) == ("BOUGHT", reference)


async def test_events_about_what_this_process_does_not_know_tell_nothing(
    telnyx: FakeRegistry, registrar: Registrar
) -> None:
    for name in EVENTS:
        assert list(await registrar.webhook(call(name), NOW)) == []
    assert telnyx.calls == []


async def test_a_toll_free_request_calls_with_itself(telnyx: FakeRegistry, registrar: Registrar) -> None:
    reference = await registrar.submit(papers(SubmissionKind.TOLL_FREE))
    id = reference.split(":")[2]
    telnyx.histories[id].append(entry("Verified"))
    body = json_of({**THINGS["verification"], "id": id, "verificationStatus": "Verified"})
    (decision,) = await registrar.webhook(signed(body, at=NOW), NOW)
    assert (decision.state, decision.registered_id) == ("APPROVED", id)


@pytest.mark.parametrize(("seconds", "good"), [(300, True), (301, False), (-300, True), (-301, False)])
async def test_a_call_is_good_for_five_minutes(registrar: Registrar, seconds: int, good: bool) -> None:
    request = call("brand added", NOW + timedelta(seconds=seconds))
    if good:
        assert list(await registrar.webhook(request, NOW)) == []
    else:
        with pytest.raises(Forged):
            await registrar.webhook(request, NOW)


async def test_a_changed_call_is_forged_and_without_a_key_every_call_is(
    telnyx: FakeRegistry, registrar: Registrar
) -> None:
    request = call("brand added")
    with pytest.raises(Forged):
        await registrar.webhook(replace(request, body=request.body.replace(b"success", b"failure")), NOW)
    settings = account(telnyx.url)
    del settings["public_key"]
    keyless = TelnyxRegistrar().configured(settings)
    with pytest.raises(Forged, match="public_key"):
        await keyless.webhook(request, NOW)
    await keyless.close()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"data": 1}', b'{"data": {"event_type": "x"}}', b"[" * 30_000]
)
async def test_signed_garbage_cannot_be_read(registrar: Registrar, body: bytes) -> None:
    with pytest.raises(ValueError):
        await registrar.webhook(signed(body, at=NOW), NOW)


def test_every_paper_of_the_contract_is_of_a_kind_that_telnyx_takes() -> None:
    assert set(PAPERS) == TelnyxRegistrar.kinds
