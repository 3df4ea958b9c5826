"""What the fields of a form say together: each rule of pinpoint-2 4.2, 4.5 and 4.10, kept and broken."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_registry10dlc import forms
from heliograph_registry10dlc.domain import Kind
from tests.registry10dlc.complaints import LISTED, PAPERS, TOLL_FREE, complaints
from tests.registry10dlc.form_oracle import broken
from tests.registry10dlc.papers import BRAND, USE_CASE

pytestmark = pytest.mark.unit
U, M, C = "campaignUseCase.", "campaignInfo.", "companyInfo."
S1, S2 = "messageSamples.messageSample1", "messageSamples.messageSample2"
LINK, LINK_SAMPLE, PHONE = f"{U}embeddedLink", f"{U}embeddedLinkSample", f"{U}embeddedPhone"
OK: set[tuple[str, str]] = set()


def links(sample: str, shown: str = "https://records.example.com/new") -> dict[str, str]:
    """Declare links and say something with one."""
    return {LINK: "Yes", LINK_SAMPLE: shown, S1: f"Example Records: new arrivals for you {sample}"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({f"{C}taxId": "12-3456789"}, {(f"{C}taxId", "INVALID_EIN")}),
        ({f"{C}taxId": "12345678"}, {(f"{C}taxId", "INVALID_EIN")}),
        ({f"{C}taxId": "1234567890"}, {(f"{C}taxId", "INVALID_EIN")}),
        ({f"{C}taxId": "١٢٣٤٥٦٧٨٩"}, {(f"{C}taxId", "INVALID_EIN")}),
        ({f"{C}taxId": "DE123456789", f"{C}taxIdIssuingCountry": "DE"}, OK),
        ({f"{C}taxId": "123456789RC0001", f"{C}taxIdIssuingCountry": "CA"}, {(f"{C}taxId", "CRA_NUMBER_NOT_ALLOWED")}),
        ({f"{C}taxId": "1234567", f"{C}taxIdIssuingCountry": "CA"}, OK),
        ({f"{C}taxIdIssuingCountry": "us"}, {(f"{C}taxIdIssuingCountry", "INVALID_FORMAT")}),
        ({f"{C}legalType": "NON_PROFIT"}, OK),
        ({f"{C}legalType": "GOVERNMENT"}, OK),
        ({f"{C}legalType": "NON_PROFIT", f"{C}taxIdIssuingCountry": "DE"}, {(f"{C}legalType", "LEGAL_TYPE_ONLY_US")}),
        ({f"{C}legalType": "GOVERNMENT", f"{C}taxIdIssuingCountry": "CA"}, {(f"{C}legalType", "LEGAL_TYPE_ONLY_US")}),
        (
            {f"{C}legalType": "PUBLIC_PROFIT"},
            {(f"{C}{name}", "REQUIRED") for name in ("stockSymbol", "stockExchange", "businessContactEmail")},
        ),
        (LISTED, OK),
        ({**LISTED, f"{C}businessContactEmail": "legal@mail.example.com"}, OK),
        (
            {**LISTED, f"{C}businessContactEmail": "legal@gmail.com"},
            {(f"{C}businessContactEmail", "UNOFFICIAL_EMAIL_DOMAIN")},
        ),
        (
            {**LISTED, f"{C}businessContactEmail": "legal@example.com.evil.net"},
            {(f"{C}businessContactEmail", "UNOFFICIAL_EMAIL_DOMAIN")},
        ),
        (
            {
                **LISTED,
                "contactInfo.website": "https://shop.other.co.uk",
                f"{C}businessContactEmail": "legal@example.co.uk",
            },
            {(f"{C}businessContactEmail", "UNOFFICIAL_EMAIL_DOMAIN")},
        ),
        ({f"{C}businessContactEmail": "owner@gmail.com"}, OK),
        ({"contactInfo.website": "https://bit.ly/shop"}, {("contactInfo.website", "PUBLIC_SHORTENER")}),
        ({"contactInfo.website": "records.example.com"}, {("contactInfo.website", "INVALID_FORMAT")}),
        ({"contactInfo.supportPhoneNumber": "+1 206 555 0100"}, {("contactInfo.supportPhoneNumber", "INVALID_FORMAT")}),
        ({"contactInfo.supportPhoneNumber": "12065550100"}, {("contactInfo.supportPhoneNumber", "INVALID_FORMAT")}),
        ({f"{C}city": "   "}, {(f"{C}city", "INVALID_FORMAT")}),
        ({"shoeSize": "44"}, {("shoeSize", "UNKNOWN_FIELD")}),
    ],
)  # fmt: skip
def test_brands(changes: dict[str, str], expected: set[tuple[str, str]]) -> None:
    assert complaints(Kind.BRAND, {**BRAND, **changes}) == expected


CHARITY = {f"{U}useCase": "CHARITY"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Samples name the brand.
        ({S1: "New arrivals this week, come and see them"}, {(S1, "BRAND_NOT_NAMED")}),
        ({S1: "EXAMPLE RECORDS: new arrivals this week"}, OK),
        ({S1: "ExampleRecords: new arrivals this week"}, OK),
        ({S1: "Example's new arrivals of this week"}, OK),
        ({S1: "Counterexample Records: new arrivals"}, {(S1, "BRAND_NOT_NAMED")}),
        ({S2: "We have news for you this week, come in"}, {(S2, "BRAND_NOT_NAMED")}),
        # Samples show what is sent.
        ({S1: "Example {#var} {#var} {#var}"}, {(S1, "TOO_LITTLE_FIXED_TEXT")}),
        ({S1: "Example Records: hi {#var}, {#var}"}, OK),
        ({S1: "Example: {#var}"}, {(S1, "INVALID_LENGTH")}),
        # Links.
        (links("https://records.example.com/new"), OK),
        (links("records.example.com/new"), OK),
        (
            {S1: "Example Records: see https://records.example.com/new"},
            {(LINK, "LINK_NOT_DECLARED"), (LINK_SAMPLE, "REQUIRED")},
        ),
        (
            {S2: "Example Records: see www.records.example.com", LINK_SAMPLE: "https://records.example.com/new"},
            {(LINK, "LINK_NOT_DECLARED")},
        ),
        ({LINK: "Yes"}, {(LINK_SAMPLE, "REQUIRED")}),
        (links("", "a page of our website"), {(LINK_SAMPLE, "LINK_MISSING")}),
        # Public shorteners.
        (links("bit.ly/x"), {(S1, "PUBLIC_SHORTENER")}),
        (links("https://www.bit.ly"), {(S1, "PUBLIC_SHORTENER")}),
        (links("HTTPS://BIT.LY/X"), {(S1, "PUBLIC_SHORTENER")}),
        (links("https://bit.ly:443/x"), {(S1, "PUBLIC_SHORTENER")}),
        (links("https://user@bit.ly/x"), {(S1, "PUBLIC_SHORTENER")}),
        (links("(tinyurl.com/abc)."), {(S1, "PUBLIC_SHORTENER")}),
        (links("https://bit.ly/{#var}"), {(S1, "PUBLIC_SHORTENER")}),
        (links("https://rabbit.ly.example.com/x"), OK),
        (links("https://notbit.example.com/bit.ly"), OK),
        (links("https://records.example.com/new", "https://t.co/abc"), {(LINK_SAMPLE, "PUBLIC_SHORTENER")}),
        (
            {f"{M}optInWorkflow": "Customers follow https://goo.gl/abc and tick a box to get news"},
            {(f"{M}optInWorkflow", "PUBLIC_SHORTENER")},
        ),
        ({f"{M}optInMessage": "Example Records: welcome, see ow.ly/abc"}, {(f"{M}optInMessage", "PUBLIC_SHORTENER")}),
        # Shorteners of one's own.
        (links("https://exrc.co/Ab1"), {(LINK_SAMPLE, "SHORT_LINK_SAMPLE_MISSING")}),
        (links("https://exrc.co/Ab1", "https://exrc.co/Xy9"), OK),
        (links("exrc.co/{#var}", "https://exrc.co/Xy9"), OK),
        (
            {f"{M}optInMessage": "Example Records: welcome, see exrc.co/abc"},
            {(LINK_SAMPLE, "SHORT_LINK_SAMPLE_MISSING")},
        ),
        # Replies.
        ({f"{M}helpMessage": "Example Records: we help you gladly"}, {(f"{M}helpMessage", "CONTACT_MISSING")}),
        ({f"{M}helpMessage": "Example Records: call 206-555-0100"}, OK),
        ({f"{M}helpMessage": "Example Records: see https://records.example.com/help"}, OK),
        ({f"{M}stopMessage": "Example Records: thank you for your time"}, {(f"{M}stopMessage", "END_NOT_TOLD")}),
        ({f"{M}stopMessage": "Example Records: you are unsubscribed"}, OK),
        ({f"{M}stopMessage": "Example Records: you won't receive texts."}, OK),
        ({f"{M}stopMessage": "Example Records: vous êtes désabonné."}, OK),
        # Phone numbers.
        ({S1: "Example Records: call (206) 555-0199 for new arrivals"}, {(PHONE, "PHONE_NOT_DECLARED")}),
        ({S1: "Example Records: call 1-800-GO-FEDEX for arrivals"}, {(PHONE, "PHONE_NOT_DECLARED")}),
        ({S1: "Example Records: call +44 20 7946 0958 for news"}, {(PHONE, "PHONE_NOT_DECLARED")}),
        ({S1: "Example Records: call (206) 555-0100 for arrivals"}, OK),
        ({S1: "Example Records: call +12065550100 for arrivals"}, OK),
        ({S1: "Example Records: call 206 555 0199 for it", PHONE: "Yes"}, OK),
        ({S1: "Example Records: order #2065550199 is on its way"}, OK),
        # Sub use cases.
        ({f"{U}useCase": "MIXED"}, {(f"{U}subUseCases", "REQUIRED")}),
        ({f"{U}useCase": "LOW_VOLUME"}, {(f"{U}subUseCases", "REQUIRED")}),
        ({f"{U}useCase": "MIXED", f"{U}subUseCases": "MARKETING"}, {(f"{U}subUseCases", "OUT_OF_RANGE")}),
        ({f"{U}useCase": "MIXED", f"{U}subUseCases": "MARKETING, FRAUD_ALERT"}, OK),
        ({f"{U}useCase": "MIXED", f"{U}subUseCases": ",".join(forms.STANDARD_USE_CASES[:5])}, OK),
        (
            {f"{U}useCase": "MIXED", f"{U}subUseCases": ",".join(forms.STANDARD_USE_CASES[:6])},
            {(f"{U}subUseCases", "OUT_OF_RANGE")},
        ),
        ({f"{U}useCase": "LOW_VOLUME", f"{U}subUseCases": "MARKETING"}, OK),
        ({f"{U}useCase": "LOW_VOLUME", f"{U}subUseCases": " , "}, {(f"{U}subUseCases", "OUT_OF_RANGE")}),
        (
            {f"{U}useCase": "MIXED", f"{U}subUseCases": "MARKETING, MARKETING"},
            {(f"{U}subUseCases", "DUPLICATE_CHOICE")},
        ),
        (
            {f"{U}useCase": "MIXED", f"{U}subUseCases": "MARKETING, CHARITY"},
            {(f"{U}subUseCases", "UNKNOWN_CHOICE")},
        ),
        ({f"{U}subUseCases": "FRAUD_ALERT"}, {(f"{U}subUseCases", "NOT_ALLOWED")}),
        # Charity.
        (CHARITY, {(f"{U}useCase", "CHARITY_NEEDS_NON_PROFIT")}),
        # The rest.
        ({f"{U}subscriberOptOut": "No"}, {(f"{U}subscriberOptOut", "UNKNOWN_CHOICE")}),
        ({f"{M}optInWorkflow": " " + "x" * 50}, {(f"{M}optInWorkflow", "INVALID_FORMAT")}),
        ({f"{M}optInWorkflow": "x" * 25 + "\n" + "x" * 25}, OK),
        ({f"{M}privacyPolicyLink": "ftp://example.com"}, {(f"{M}privacyPolicyLink", "INVALID_FORMAT")}),
    ],
)  # fmt: skip
def test_use_cases(changes: dict[str, str], expected: set[tuple[str, str]]) -> None:
    assert complaints(Kind.USE_CASE, {**USE_CASE, **changes}, brand=BRAND) == expected


def test_a_charity_that_seeks_no_profit_passes_with_a_warning() -> None:
    values = {**USE_CASE, **CHARITY}
    assert complaints(Kind.USE_CASE, values, brand={**BRAND, f"{C}legalType": "NON_PROFIT"}) == OK
    assert [(w.path, w.reason) for w in forms.warnings(Kind.USE_CASE, values)] == [
        (f"{U}useCase", "CHARITY_IS_REVIEWED")
    ]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("Example Records: new arrivals this week", []),
        ("Example Records: hello {#var}, new arrivals", ["PLACEHOLDER"]),
        ("Example Records: hello [first name], news", ["UNKNOWN_PLACEHOLDER"]),
        ("Example Records: hello {{User.first}}, news", ["UNKNOWN_PLACEHOLDER"]),
        ("Example Records: hello <name>, new arrivals", ["UNKNOWN_PLACEHOLDER"]),
        ("Example Records: code XXXXXX, valid {#var} min", ["UNKNOWN_PLACEHOLDER", "PLACEHOLDER"]),
    ],
)
def test_holes_of_samples_are_warned_of(sample: str, expected: list[str]) -> None:
    found = forms.warnings(Kind.USE_CASE, {**USE_CASE, S1: sample})
    assert [w.reason for w in found] == expected
    assert all(w.words for w in found)


def test_other_forms_have_no_warnings() -> None:
    assert forms.warnings(Kind.BRAND, BRAND) == []


def test_without_a_brand_nothing_is_held_against_one() -> None:
    values = {**USE_CASE, **CHARITY, S1: "New arrivals this week, come and see them"}
    assert complaints(Kind.USE_CASE, values) == OK


def test_a_link_to_the_website_is_no_shortener_however_short_it_is() -> None:
    values = {**USE_CASE, **links("https://exrc.co/Ab1")}
    assert complaints(Kind.USE_CASE, values, brand={**BRAND, "contactInfo.website": "https://www.exrc.co"}) == OK


def test_a_draft_is_only_held_to_what_is_there() -> None:
    values = {
        S1: "New arrivals: see bit.ly/x or call 206-555-0199",
        f"{U}embeddedLink": "No",
        f"{U}embeddedPhone": "No",
    }
    assert complaints(Kind.USE_CASE, values, complete=False, brand=BRAND) == OK
    assert complaints(Kind.USE_CASE, {}, complete=False) == OK


def test_everything_that_is_wrong_is_told_at_once() -> None:
    values = {**USE_CASE, S1: "See https://bit.ly/x or call 206-555-0199", f"{M}stopMessage": "Thank you for your time"}
    assert complaints(Kind.USE_CASE, values, brand=BRAND) == {
        (S1, "BRAND_NOT_NAMED"),
        (S1, "PUBLIC_SHORTENER"),
        (LINK, "LINK_NOT_DECLARED"),
        (LINK_SAMPLE, "REQUIRED"),
        (PHONE, "PHONE_NOT_DECLARED"),
        (f"{M}stopMessage", "END_NOT_TOLD"),
    }


SOLE = {k: v for k, v in TOLL_FREE.items() if "taxId" not in k} | {f"{C}businessType": "SOLE_PROPRIETOR"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (TOLL_FREE, OK),
        (SOLE, OK),
        (
            {**SOLE, f"{C}businessType": "NON_PROFIT"},
            {(f"{C}{name}", "REQUIRED") for name in ("taxId", "taxIdAuthority", "taxIdIssuingCountry")},
        ),
        ({**TOLL_FREE, f"{C}taxId": "12-3456789"}, {(f"{C}taxId", "INVALID_EIN")}),
        ({**TOLL_FREE, f"{C}taxIdIssuingCountry": "DE"}, {(f"{C}taxIdAuthority", "AUTHORITY_MISMATCH")}),
        ({**TOLL_FREE, f"{C}taxIdIssuingCountry": "DE", f"{C}taxIdAuthority": "VAT", f"{C}taxId": "DE1"}, OK),
        ({**TOLL_FREE, S1: "x" * 306}, OK),
        ({**TOLL_FREE, S1: "x" * 307}, {(S1, "INVALID_LENGTH")}),
        ({**TOLL_FREE, S2: "See bit.ly/x"}, {(S2, "PUBLIC_SHORTENER")}),
        ({**TOLL_FREE, "messageSamples.messageSample4": "x"}, {("messageSamples.messageSample4", "UNKNOWN_FIELD")}),
        ({**TOLL_FREE, "messagingUseCase.monthlyMessageVolume": "11"}, {("messagingUseCase.monthlyMessageVolume", "UNKNOWN_CHOICE")}),
    ],
)  # fmt: skip
def test_toll_free_registrations(values: dict[str, str], expected: set[tuple[str, str]]) -> None:
    assert complaints(Kind.TOLL_FREE, values) == expected


FRAGMENTS = st.sampled_from(
    ["Example Records", "bit.ly/x", "https://records.example.com/a", "exrc.co/abc", "206-555-0199", "+12065550100", "{#var}",
     "you get no more messages", "new arrivals this week for you", "write to help@records.example.com", "Reply STOP to end"]
)  # fmt: skip
TEXT = st.lists(FRAGMENTS, min_size=1, max_size=4).map(" ".join)


@st.composite
def filled(draw: st.DrawFn) -> tuple[Kind, dict[str, str]]:
    """A form near one that passes: some fields changed, some left out."""
    kind = draw(st.sampled_from(list(PAPERS)))
    form = forms.FORMS[kind]
    values = dict(PAPERS[kind])
    for field in draw(st.lists(st.sampled_from(form.fields), max_size=4)):
        value = st.just("") | TEXT
        if field.choices:
            value = (
                st.just("")
                | st.sampled_from(field.values)
                | st.lists(st.sampled_from(field.values), max_size=6).map(",".join)
            )
        values[field.path] = draw(value)
    return kind, {path: value for path, value in values.items() if value}


@settings(max_examples=300, deadline=None)
@given(filled())
def test_a_form_that_passes_breaks_no_rule_of_an_obvious_reading(form: tuple[Kind, dict[str, str]]) -> None:
    kind, values = form
    found = complaints(kind, values, brand=BRAND)
    assert bool(found) == bool(broken(kind, values, BRAND)), (found, broken(kind, values, BRAND))
