"""Papers through Telnyx: the contract, what goes over the line, repetitions after every kind of break, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from heliograph_channel_telnyx import TelnyxRegistrar
from heliograph_channel_telnyx.registry.api import Away
from heliograph_channels import Refused, Registrar, Submission, SubmissionKind
from heliograph_channels.http_client import NoAnswer, NotSent
from heliograph_channels.testing import RegistrarContract
from heliograph_channels.testing.papers import PAPERS, SUBMITTED
from tests.plugins.http_peers import answering, dropping, losing
from tests.plugins.telnyx_peer import API_KEY, PROFILE, PUBLIC_KEY
from tests.plugins.telnyx_registry_peer import BRAND_ID, CAMPAIGN_ID, ERRORS, FakeRegistry, json_of

HOOK = "https://heliograph.example/registrars/telnyx"
ID = "ab" * 16
BRAND, USE_CASE, TOLL_FREE = (
    PAPERS[SubmissionKind.BRAND],
    PAPERS[SubmissionKind.USE_CASE],
    PAPERS[SubmissionKind.TOLL_FREE],
)
ON_CAMPAIGN = (SubmissionKind.RENEWAL, SubmissionKind.AMENDMENT, SubmissionKind.WITHDRAWAL)
PARENTS = {
    SubmissionKind.VETTING: BRAND_ID,
    SubmissionKind.USE_CASE: BRAND_ID,
    SubmissionKind.NUMBER: CAMPAIGN_ID,
    SubmissionKind.ORDER: CAMPAIGN_ID,
}


def account(url: str, **more: object) -> dict[str, object]:
    return {"api_key": API_KEY, "public_key": PUBLIC_KEY, "base_url": url, "webhook_url": HOOK, "timeout": 5, **more}


@pytest.fixture
async def telnyx() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry().running() as peer:
        yield peer


@pytest.fixture
def settings(telnyx: FakeRegistry) -> Mapping[str, object]:
    return account(telnyx.url)


@pytest.fixture
async def registrar(settings: Mapping[str, object]) -> AsyncIterator[Registrar]:
    registrar = TelnyxRegistrar().configured(settings)
    yield registrar
    await registrar.close()


def papers(kind: SubmissionKind, fields: Mapping[str, str] | None = None, **more: Any) -> Submission:
    more.setdefault("parent_reference", PARENTS.get(kind, ""))
    more.setdefault("registered_id", CAMPAIGN_ID if kind in ON_CAMPAIGN else "")
    return Submission(kind, ID, PAPERS[kind] if fields is None else fields, SUBMITTED, **more)


class TestContract(RegistrarContract):
    parents: ClassVar = PARENTS
    registered: ClassVar = dict.fromkeys(ON_CAMPAIGN, CAMPAIGN_ID)
    bad_fields: ClassVar = {
        SubmissionKind.BRAND: {**BRAND, "companyInfo.companyName": "Reject Inc."},
        SubmissionKind.USE_CASE: {
            **USE_CASE,
            "campaignInfo.campaignName": "Reject this, it says nothing about anything.",
        },
        SubmissionKind.NUMBER: {"number": "+12065550999", "number_type": "TEN_DLC"},
        SubmissionKind.TOLL_FREE: {**TOLL_FREE, "messageSamples.messageSample1": "Reject this sample, please."},
    }
    refused_fields: ClassVar = {
        SubmissionKind.BRAND: {**BRAND, "companyInfo.taxId": "1" * 21, "contactInfo.website": "example.com"},
        SubmissionKind.USE_CASE: {**USE_CASE, "campaignUseCase.useCase": "CHARITY"},
        SubmissionKind.NUMBER: {"number": "+13105550100", "number_type": "TEN_DLC"},
        SubmissionKind.ORDER: {"number_type": "TEN_DLC", "capabilities": "SMS", "area_code": "310", "quantity": "1"},
        SubmissionKind.TOLL_FREE: {**TOLL_FREE, "companyInfo.state": "Nowhere"},
    }

    @pytest.fixture
    def registrar(self, registrar: Registrar) -> Registrar:
        return registrar

    @pytest.fixture
    def settings(self, telnyx: FakeRegistry) -> Mapping[str, object]:
        return account(telnyx.url)


async def test_without_settings_it_can_only_be_configured() -> None:
    with pytest.raises(RuntimeError, match="needs settings"):
        await TelnyxRegistrar().submit(papers(SubmissionKind.BRAND))
    await TelnyxRegistrar().close()
    assert {problem.field for problem in TelnyxRegistrar().check_settings({})} == {"api_key", "webhook_url"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("webhook_url", "http://heliograph.example/registrars/telnyx"),
        ("webhook_url", HOOK + "?a=b"),
        ("webhook_url", "https://" + "x" * 493),
        ("base_url", "http://api.example/v2"),
        ("vetting_days", 0.9),
        ("vetting_days", 365.1),
        ("connections", 0),
        ("connections", 51),
        ("brand_review_seconds", -1),
    ],
)
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    wrong = [
        problem.field for problem in TelnyxRegistrar().check_settings({**account("https://x.example"), field: value})
    ]
    assert wrong == [field]


@pytest.mark.parametrize(
    "more", [{"vetting_days": 1}, {"vetting_days": 365}, {"connections": 1}, {"connections": 50}, {"timeout": 25}]
)
def test_limits_of_settings_are_good(more: dict[str, object]) -> None:
    assert list(TelnyxRegistrar().check_settings(account("https://x.example", **more))) == []


async def test_a_brand_goes_over_the_line_in_telnyx_words(telnyx: FakeRegistry, registrar: Registrar) -> None:
    reference = await registrar.submit(papers(SubmissionKind.BRAND))
    (call,) = telnyx.made("POST", "/10dlc/brand")
    assert call.json == {
        "displayName": "Example Telephone", "companyName": "Example Telephone Company, Inc.", "ein": "123456789",
        "entityType": "PRIVATE_PROFIT", "country": "US", "street": "1 Main Street", "city": "Seattle", "state": "WA",
        "postalCode": "98101", "vertical": "COMMUNICATION", "website": "https://example.com",
        "email": "support@example.com", "phone": "+12065550199",
        "webhookURL": f"{HOOK}?submission={ID}-{int(SUBMITTED.timestamp() * 1_000_000):x}",
    }  # fmt: skip
    assert reference.split(":")[1:4] == ["BRAND", next(id for id in telnyx.brands if id != BRAND_ID), ID]


async def test_a_trial_registers_mock_brands(telnyx: FakeRegistry) -> None:
    registrar = TelnyxRegistrar().configured(account(telnyx.url, mock_brands=True))
    await registrar.submit(papers(SubmissionKind.BRAND))
    assert telnyx.made("POST", "/10dlc/brand")[0].json["mock"] is True
    await registrar.close()


async def test_a_use_case_goes_over_the_line_in_telnyx_words(telnyx: FakeRegistry, registrar: Registrar) -> None:
    fields = {
        **USE_CASE,
        "campaignUseCase.useCase": "MIXED",
        "campaignUseCase.subUseCases": "TWO_FACTOR_AUTHENTICATION, CUSTOMER_CARE",
        "campaignInfo.optInKeyword": "JOIN, START",
    }
    await registrar.submit(papers(SubmissionKind.USE_CASE, fields))
    (call,) = telnyx.made("POST", "/10dlc/campaignBuilder")
    sent = call.json
    assert (sent["brandId"], sent["usecase"], sent["subUsecases"]) == (BRAND_ID, "MIXED", ["2FA", "CUSTOMER_CARE"])
    assert (sent["optinKeywords"], sent["helpKeywords"]) == ("JOIN,START", "HELP")
    assert {"STOP", "CANCEL", "END", "QUIT", "UNSUBSCRIBE"} <= set(sent["optoutKeywords"].split(","))
    assert sent["description"] == USE_CASE["campaignInfo.campaignName"]
    assert sent["messageFlow"] == USE_CASE["campaignInfo.optInWorkflow"]
    assert sent["optoutMessage"] == USE_CASE["campaignInfo.stopMessage"]
    assert [sent[name] for name in ("subscriberOptin", "subscriberOptout", "subscriberHelp")] == [True] * 3
    assert [sent[name] for name in ("embeddedLink", "embeddedPhone", "ageGated", "directLending")] == [False] * 4
    assert sent["referenceId"] in sent["webhookURL"]
    assert len(sent["referenceId"]) <= 50


async def test_an_order_looks_for_a_number_and_names_the_profile(telnyx: FakeRegistry) -> None:
    registrar = TelnyxRegistrar().configured(account(telnyx.url, messaging_profile_id=PROFILE))
    fields = {**PAPERS[SubmissionKind.ORDER], "area_code": "206"}
    await registrar.submit(papers(SubmissionKind.ORDER, fields))
    (search,) = telnyx.made("GET", "/available_phone_numbers")
    for part in ("%5Blimit%5D=1", "%5Bfeatures%5D=sms%2Cvoice", "type%5D=local", "destination_code%5D=206"):
        assert part in search.target
    (order,) = telnyx.made("POST", "/number_orders")
    assert order.json["phone_numbers"] == [{"phone_number": "+12065550123"}]
    assert order.json["messaging_profile_id"] == PROFILE
    await registrar.close()


async def test_errands_are_done_and_may_be_repeated(telnyx: FakeRegistry, registrar: Registrar) -> None:
    changed = {**USE_CASE, "messageSamples.messageSample2": "Example Telephone: your parcel is at the shop. STOP ends."}
    stop = {**changed, "campaignInfo.stopMessage": ""}
    for _ in range(2):
        await registrar.submit(papers(SubmissionKind.AMENDMENT, stop))
        await registrar.submit(papers(SubmissionKind.RELEASE))
    assert telnyx.campaigns[CAMPAIGN_ID]["sample2"] == changed["messageSamples.messageSample2"]
    assert len(telnyx.made("PUT", f"/10dlc/campaign/{CAMPAIGN_ID}")) == 1
    assert telnyx.numbers == {}
    for _ in range(2):
        await registrar.submit(papers(SubmissionKind.WITHDRAWAL))
        await registrar.submit(papers(SubmissionKind.WITHDRAWAL, BRAND, registered_id=BRAND_ID))
    assert (telnyx.campaigns, telnyx.brands) == ({}, {})


async def test_another_reply_to_stop_cannot_be_told_and_the_rest_is(telnyx: FakeRegistry, registrar: Registrar) -> None:
    telnyx.campaigns[CAMPAIGN_ID]["optoutMessage"] = "the registered one"
    with pytest.raises(Refused) as caught:
        await registrar.submit(papers(SubmissionKind.AMENDMENT))
    assert [finding.field for finding in caught.value.findings] == ["campaignInfo.stopMessage"]
    assert telnyx.campaigns[CAMPAIGN_ID]["helpMessage"] == USE_CASE["campaignInfo.helpMessage"]


CREATES = [
    (SubmissionKind.BRAND, "brands"),
    (SubmissionKind.USE_CASE, "campaigns"),
    (SubmissionKind.ORDER, "orders"),
    (SubmissionKind.TOLL_FREE, "verifications"),
    (SubmissionKind.NUMBER, "assignments"),
    (SubmissionKind.VETTING, "vettings"),
]


@pytest.mark.parametrize(("kind", "things"), CREATES)
async def test_papers_whose_answer_was_lost_are_found_again(
    telnyx: FakeRegistry, registrar: Registrar, kind: SubmissionKind, things: str
) -> None:
    before = len(getattr(telnyx, things))
    count = {SubmissionKind.ORDER: 2, SubmissionKind.VETTING: 0}.get(kind, 1)

    async def usual(exchange: Any) -> None:
        exchange.send(telnyx.answer(exchange.call))

    telnyx.acts(*[usual] * count, losing)
    with pytest.raises(NoAnswer):
        await registrar.submit(papers(kind))
    # Another process, which knows nothing, repeats it.
    again = TelnyxRegistrar().configured(account(telnyx.url))
    reference = await again.submit(papers(kind))
    assert await registrar.submit(papers(kind)) == reference
    assert len(getattr(telnyx, things)) == before + 1
    posts = [call for call in telnyx.calls if call.method == "POST"]
    assert len(posts) == (3 if kind is SubmissionKind.VETTING else 1)  # Telnyx itself knows the repetition of a vetting
    await again.close()


@pytest.mark.parametrize(("kind", "things"), CREATES)
async def test_papers_that_never_arrived_are_handed_in_once(
    telnyx: FakeRegistry, registrar: Registrar, kind: SubmissionKind, things: str
) -> None:
    before = len(getattr(telnyx, things))
    telnyx.acts(dropping)
    with pytest.raises(NoAnswer):
        await registrar.submit(papers(kind))
    assert len(getattr(telnyx, things)) == before
    await registrar.submit(papers(kind))
    assert len(getattr(telnyx, things)) == before + 1


@pytest.mark.parametrize("name", ["unauthorized", "too many", "no money", "unexpected"])
@pytest.mark.parametrize(("kind", "things"), CREATES)
async def test_what_the_papers_cannot_help_leaves_them_waiting(
    telnyx: FakeRegistry, registrar: Registrar, kind: SubmissionKind, things: str, name: str
) -> None:
    before = len(getattr(telnyx, things))

    async def refusing(exchange: Any) -> None:
        if exchange.call.method == "POST":
            await answering(ERRORS[name]["status"], json_of(ERRORS[name]["body"]))(exchange)
        else:
            exchange.send(telnyx.answer(exchange.call))

    telnyx.acts(*[refusing] * 4)
    with pytest.raises(Away, match=str(ERRORS[name]["status"])):
        await registrar.submit(papers(kind))
    telnyx.script.clear()
    await registrar.submit(papers(kind))
    assert len(getattr(telnyx, things)) == before + 1


async def test_a_wish_to_be_left_alone_is_kept(telnyx: FakeRegistry) -> None:
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    registrar = TelnyxRegistrar(account(telnyx.url), lambda: now[0])
    telnyx.acts(answering(429, json_of(ERRORS["too many"]["body"]), ("Retry-After", "30")))
    with pytest.raises(Away, match="429"):
        await registrar.submit(papers(SubmissionKind.BRAND))
    with pytest.raises(Away, match="left alone"):
        await registrar.submit(papers(SubmissionKind.BRAND))
    assert len(telnyx.calls) == 1
    now[0] += timedelta(seconds=30)
    assert await registrar.submit(papers(SubmissionKind.BRAND))
    await registrar.close()


@pytest.mark.parametrize("body", [b"<html>gone</html>", b'"text"', b'{"broken'], ids=["html", "text", "broken"])
async def test_an_answer_that_is_not_telnyx_is_no_answer(
    telnyx: FakeRegistry, registrar: Registrar, body: bytes
) -> None:
    telnyx.acts(answering(200, body))
    with pytest.raises(Away, match="not Telnyx's"):
        await registrar.submit(papers(SubmissionKind.BRAND))


async def test_a_closed_registrar_hands_nothing_in(registrar: Registrar) -> None:
    await registrar.close()
    with pytest.raises(NotSent):
        await registrar.submit(papers(SubmissionKind.BRAND))


async def test_field_errors_become_findings_of_our_form(telnyx: FakeRegistry, registrar: Registrar) -> None:
    fields = {**BRAND, "companyInfo.taxId": "1" * 21}
    with pytest.raises(Refused) as caught:
        await registrar.submit(papers(SubmissionKind.BRAND, fields))
    assert [(one.field, one.cause) for one in caught.value.findings] == [
        ("companyInfo.taxId", "ATTRIBUTES_MISMATCH"),
        ("contactInfo.website", "WEBSITE_MISSING_OR_DOWN"),
    ]
    with pytest.raises(Refused) as caught:
        await registrar.submit(papers(SubmissionKind.USE_CASE, {**USE_CASE, "campaignUseCase.useCase": "CHARITY"}))
    assert [(one.field, one.cause) for one in caught.value.findings] == [
        ("campaignUseCase.useCase", "USE_CASE_NOT_QUALIFIED")
    ]


@pytest.mark.parametrize("kind", [SubmissionKind.VETTING, SubmissionKind.USE_CASE, SubmissionKind.NUMBER])
async def test_what_hangs_on_something_needs_it_at_telnyx(registrar: Registrar, kind: SubmissionKind) -> None:
    with pytest.raises(Refused, match="not registered with Telnyx"):
        await registrar.submit(papers(kind, parent_reference="manual:not:telnyx's"))


async def test_a_parent_may_be_told_by_its_reference(telnyx: FakeRegistry, registrar: Registrar) -> None:
    brand = await registrar.submit(papers(SubmissionKind.BRAND))
    await registrar.submit(papers(SubmissionKind.USE_CASE, parent_reference=brand))
    assert telnyx.made("POST", "/10dlc/campaignBuilder")[0].json["brandId"] == brand.split(":")[2]


async def test_a_brand_that_is_known_is_changed_once(telnyx: FakeRegistry, registrar: Registrar) -> None:
    first = await registrar.submit(papers(SubmissionKind.BRAND))
    changed = replace(
        papers(SubmissionKind.BRAND, {**BRAND, "companyInfo.city": "Tacoma"}),
        submitted_at=SUBMITTED + timedelta(days=1),
        earlier_reference=first,
    )
    second = await registrar.submit(changed)
    assert await registrar.submit(changed) == second != first
    brand = first.split(":")[2]
    assert second.split(":")[2] == brand
    assert telnyx.brands[brand]["city"] == "Tacoma"
    assert len(telnyx.made("PUT", f"/10dlc/brand/{brand}")) == 1


@pytest.mark.parametrize(
    ("changes", "calls", "same"),
    [
        ({"messageSamples.messageSample1": "Example Telephone: your parcel comes at ten. STOP ends."}, ["PUT"], True),
        ({}, ["PUT", "POST"], True),
        (
            {"campaignInfo.campaignName": "Tells customers of Example Telephone where parcels are."},
            ["POST", "DELETE"],
            False,
        ),
    ],
    ids=["other samples", "mended elsewhere", "another campaign"],
)
async def test_a_refused_campaign_is_mended_as_telnyx_lets_it(
    telnyx: FakeRegistry, registrar: Registrar, changes: dict[str, str], calls: list[str], same: bool
) -> None:
    first = await registrar.submit(papers(SubmissionKind.USE_CASE))
    campaign = first.split(":")[2]
    telnyx.campaigns[campaign]["campaignStatus"] = "TELNYX_FAILED"
    begun = len(telnyx.calls)
    again = replace(
        papers(SubmissionKind.USE_CASE, {**USE_CASE, **changes}),
        submitted_at=SUBMITTED + timedelta(days=1),
        registered_id=campaign,
    )
    second = await registrar.submit(again)
    assert [call.method for call in telnyx.calls[begun:] if call.method != "GET"] == calls
    assert (second.split(":")[2] == campaign) is same
    assert (campaign in telnyx.campaigns) is same
    assert await registrar.submit(again) == second
    assert [call.method for call in telnyx.calls[begun:] if call.method != "GET"] == calls


async def test_a_rejected_verification_is_handed_in_again_as_the_same_one(
    telnyx: FakeRegistry, registrar: Registrar
) -> None:
    bad = {**TOLL_FREE, "messageSamples.messageSample1": "Reject this sample, please."}
    first = await registrar.submit(papers(SubmissionKind.TOLL_FREE, bad))
    again = replace(
        papers(SubmissionKind.TOLL_FREE), submitted_at=SUBMITTED + timedelta(seconds=1), earlier_reference=first
    )  # fmt: skip
    second = await registrar.submit(again)
    assert await registrar.submit(again) == second
    assert second.split(":")[2] == first.split(":")[2]
    methods = [call.method for call in telnyx.calls if call.method != "GET"]
    assert methods == ["POST", "PATCH"]


async def test_a_number_leaves_one_campaign_for_another(telnyx: FakeRegistry, registrar: Registrar) -> None:
    other = (await registrar.submit(papers(SubmissionKind.USE_CASE))).split(":")[2]
    await registrar.submit(papers(SubmissionKind.NUMBER))
    await registrar.submit(replace(papers(SubmissionKind.NUMBER, parent_reference=other), id="cd" * 16))
    assert telnyx.assignments["+12065550100"]["campaignId"] == other
    await registrar.submit(papers(SubmissionKind.DISASSOCIATION))
    assert telnyx.assignments == {}


async def test_a_renewal_lets_a_campaign_renew_itself(telnyx: FakeRegistry, registrar: Registrar) -> None:
    telnyx.campaigns[CAMPAIGN_ID]["autoRenewal"] = False
    reference = await registrar.submit(papers(SubmissionKind.RENEWAL))
    assert telnyx.campaigns[CAMPAIGN_ID]["autoRenewal"] is True
    (decision,) = await registrar.poll([reference], SUBMITTED)
    assert decision.state == "RENEWED"
    telnyx.campaigns[CAMPAIGN_ID]["campaignStatus"] = "TCR_EXPIRED"
    for wrong in (papers(SubmissionKind.RENEWAL), papers(SubmissionKind.RENEWAL, BRAND, registered_id=BRAND_ID)):
        with pytest.raises(Refused, match=r"ran out|run out"):
            await registrar.submit(wrong)
