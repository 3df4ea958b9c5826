"""Our forms in Telnyx's words, and Telnyx's reasons in ours."""

from __future__ import annotations

import pytest

from heliograph_channel_telnyx.registry.findings import cause_of, findings_of_reasons
from heliograph_channel_telnyx.registry.forms import BRAND, USE_CASE, brand_body
from heliograph_channel_telnyx.registry.references import url_mark
from heliograph_channel_telnyx.registry.regions import state_code, state_name
from heliograph_channel_telnyx.registry.toll_free_forms import verification_body
from heliograph_channels import Refused, SubmissionKind
from heliograph_channels.testing.papers import PAPERS

OURS, TOLL_FREE = PAPERS[SubmissionKind.BRAND], PAPERS[SubmissionKind.TOLL_FREE]
HOOK = "https://heliograph.example/registrars/telnyx"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Website is not reachable", "WEBSITE_MISSING_OR_DOWN"),
        ("The call-to-action does not contain registered information", "OPT_IN_NOT_COMPLIANT"),
        ("Privacy policy missing", "OPT_IN_NOT_COMPLIANT"),
        ("Sample messages do not match the use case", "USE_CASE_SAMPLES_INCONSISTENT"),
        ("Company name is missing in sample messages", "COMPANY_SAMPLES_INCONSISTENT_OR_MISSING"),
        ("Business email address must use an official domain", "UNOFFICIAL_EMAIL_DOMAIN"),
        ("Content related to CBD", "RESTRICTED_CANNABIS"),
        ("Firearms", "RESTRICTED_GUNS_AMMO"),
        ("SHAFT content", "RESTRICTED_SHAFT"),
        ("Gambling", "RESTRICTED_GAMBLING"),
        ("Hate speech", "RESTRICTED_HATE"),
        ("Alcohol without age gate", "RESTRICTED_ALCOHOL_NO_AGE_GATE"),
        ("Vaping", "RESTRICTED_TOBACCO_VAPE_NO_AGE_GATE"),
        ("Lead generation", "PROHIBITED_LEAD_GENERATION_AFFILIATE_OTHER"),
        ("Payday loans", "PROHIBITED_HIGH_RISK_FINANCIAL"),
        ("Direct lending was not declared", "DIRECT_LENDING_NOT_DECLARED"),
        ("The brand is a reseller", "ISV_RESELLER_MISMATCH"),
        ("Sub usecase not allowed", "USE_CASE_NOT_QUALIFIED"),
        ("The EIN does not match", "ATTRIBUTES_MISMATCH"),
        ("", "ATTRIBUTES_MISMATCH"),
    ],
)
def test_reasons_have_a_word(words: str, cause: str) -> None:
    assert cause_of(words) == cause


@pytest.mark.parametrize(
    ("reasons", "fields"),
    [
        ([{"fields": ["ein", "companyName"], "description": "x"}], ["companyInfo.taxId", "companyInfo.companyName"]),
        ('[{"fields": ["ein"], "description": "x"}]', ["companyInfo.taxId"]),
        ([{"fields": [], "description": "The website is down"}], ["contactInfo.website"]),
        ("The postal code does not fit the state", ["companyInfo.zipCode"]),
        ("nothing that names a field", [""]),
        (["one", "one", "two"], ["", ""]),
        ([{"fields": ["unheardOf"], "description": "x"}], [""]),
        (None, []),
        ("", []),
        ([], []),
        (7, [""]),
        ("[" * 30_000, [""]),
    ],
)
def test_reasons_name_fields_of_our_form(reasons: object, fields: list[str]) -> None:
    assert [finding.field for finding in findings_of_reasons(reasons, BRAND)] == fields


def test_reasons_are_bounded() -> None:
    assert len(findings_of_reasons([f"reason {index}" for index in range(51)], USE_CASE)) == 50
    assert len(findings_of_reasons("x" * 5000, USE_CASE)[0].words) == 1000


@pytest.mark.parametrize(
    ("given", "code", "name"),
    [
        ("WA", "WA", "Washington"),
        ("wa", "WA", "Washington"),
        ("new  york", "NY", "New York"),
        ("District of Columbia", "DC", "District of Columbia"),
        ("Bavaria", None, None),
        ("", None, None),
    ],
)
def test_states_by_code_and_name(given: str, code: str | None, name: str | None) -> None:
    assert (state_code(given), state_name(given)) == (code, name)


def test_a_public_company_tells_its_stock() -> None:
    public = {
        **OURS,
        "companyInfo.legalType": "PUBLIC_PROFIT",
        "companyInfo.stockSymbol": "ABC",
        "companyInfo.stockExchange": "NASDAQ",
        "companyInfo.businessContactEmail": "ann@example.com",
        "companyInfo.state": "Washington",
    }
    body = brand_body(public, webhook_url=HOOK, mock=False)
    assert (body["stockSymbol"], body["stockExchange"], body["businessContactEmail"], body["state"]) == (
        "ABC", "NASDAQ", "ann@example.com", "WA",
    )  # fmt: skip
    private = brand_body({**public, "companyInfo.legalType": "PRIVATE_PROFIT"}, webhook_url=HOOK, mock=False)
    assert not {"stockSymbol", "stockExchange", "businessContactEmail"} & set(private)


def test_all_that_telnyx_has_no_word_for_is_told_at_once() -> None:
    wrong = {
        **OURS,
        "companyInfo.legalType": "PUBLIC_PROFIT",
        "companyInfo.stockExchange": "SGX",
        "companyInfo.state": "Bavaria",
    }
    with pytest.raises(Refused) as caught:
        brand_body(wrong, webhook_url=HOOK, mock=False)
    assert {finding.field for finding in caught.value.findings} == {"companyInfo.stockExchange", "companyInfo.state"}
    abroad = brand_body(
        {**OURS, "companyInfo.isoCountryCode": "DE", "companyInfo.state": "Bavaria"}, webhook_url=HOOK, mock=False
    )
    assert abroad["state"] == "Bavaria"


@pytest.mark.parametrize(
    ("given", "volume"),
    [
        ("10", "10"), ("11", "100"), ("1000", "1,000"), ("1,001", "10,000"), ("1,000-10,000", "10,000"),
        ("5000000", "5,000,000"), ("5000001", "10,000,000+"), ("10,000,000+", "10,000,000+"),
    ],
)  # fmt: skip
def test_a_volume_is_the_smallest_that_holds_it(given: str, volume: str) -> None:
    fields = {**TOLL_FREE, "messagingUseCase.monthlyMessageVolume": given}
    assert verification_body(fields, webhook_url=HOOK)["messageVolume"] == volume


@pytest.mark.parametrize(
    ("given", "category"),
    [
        ("Two-factor authentication", "2FA"), ("TWO_FACTOR_AUTHENTICATION", "2FA"), ("One-time passwords", "2FA"),
        ("Notifications", "App Notifications"), ("Polling and surveys", "Surveys"),
        ("Info on demand", "Conversational / Alerts"), ("Promotions and Marketing", "General Marketing"), ("Other", "Mixed"),
    ],
)  # fmt: skip
def test_every_use_case_of_the_form_has_a_category(given: str, category: str) -> None:
    fields = {**TOLL_FREE, "messagingUseCase.useCaseCategory": given}
    assert verification_body(fields, webhook_url=HOOK)["useCase"] == category


def test_a_verification_that_telnyx_would_not_take_is_told_at_once() -> None:
    wrong = {
        **TOLL_FREE,
        "companyInfo.state": "XX",
        "messagingUseCase.monthlyMessageVolume": "many",
        "messagingUseCase.useCaseCategory": "Pigeons",
        "messagingUseCase.optInImage": "attachment-1",
    }
    with pytest.raises(Refused) as caught:
        verification_body(wrong, webhook_url=HOOK)
    assert len({finding.field for finding in caught.value.findings}) == 4


@pytest.mark.parametrize(
    ("url", "mark"),
    [(f"{HOOK}?submission=ab-1", "ab-1"), (HOOK, ""), (None, ""), (7, ""), ("http://[", ""), ("?" + "a&" * 200, "")],
)
def test_a_mark_is_read_from_any_address(url: object, mark: str) -> None:
    assert url_mark(url) == mark
