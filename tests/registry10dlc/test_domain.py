"""The transition tables, the forms and the allowance."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_registry10dlc import forms
from heliograph_registry10dlc.allowance import allowance
from heliograph_registry10dlc.domain import ACTOR_OF, FIRST_STATE, MOVES, Event, Kind, State, after
from tests.registry10dlc.papers import BRAND, USE_CASE

LEGAL = {
    (Kind.BRAND, "DRAFT", "SUBMIT", "PENDING"),
    (Kind.BRAND, "REQUIRES_UPDATE", "SUBMIT", "PENDING"),
    (Kind.BRAND, "PENDING", "VERIFIED", "VERIFIED"),
    (Kind.BRAND, "PENDING", "REJECTED", "REQUIRES_UPDATE"),
    (Kind.USE_CASE, "DRAFT", "SUBMIT", "PENDING"),
    (Kind.USE_CASE, "REQUIRES_UPDATE", "SUBMIT", "PENDING"),
    (Kind.USE_CASE, "PENDING", "APPROVED", "APPROVED"),
    (Kind.USE_CASE, "PENDING", "REJECTED", "REQUIRES_UPDATE"),
    (Kind.USE_CASE, "APPROVED", "SUSPENDED", "SUSPENDED"),
    (Kind.USE_CASE, "SUSPENDED", "APPROVED", "APPROVED"),
    (Kind.NUMBER, "UNASSOCIATED", "ASSOCIATE", "PENDING"),
    (Kind.NUMBER, "PENDING", "READY", "READY"),
    (Kind.NUMBER, "PENDING", "REJECTED", "UNASSOCIATED"),
    (Kind.NUMBER, "UNASSOCIATED", "RELEASE", "RELEASED"),
    (Kind.NUMBER, "PENDING", "RELEASE", "RELEASED"),
    (Kind.NUMBER, "READY", "RELEASE", "RELEASED"),
}


@pytest.mark.parametrize("kind", list(Kind))
def test_every_pair_of_state_and_event_is_legal_or_refused_as_listed(kind: Kind) -> None:
    for state, event in itertools.product(State, Event):
        expected = {State(to) for k, frm, ev, to in LEGAL if (k, frm, ev) == (kind, state, event)}
        got = after(kind, state, event)
        assert ({got} if got else set()) == expected


@given(st.sampled_from(Kind), st.lists(st.sampled_from(Event), max_size=30))
def test_no_sequence_of_events_leaves_the_states_of_its_kind(kind: Kind, happenings: list[Event]) -> None:
    reachable = {FIRST_STATE[kind], *MOVES[kind].values()}
    state = FIRST_STATE[kind]
    for event in happenings:
        state = after(kind, state, event) or state
        assert state in reachable


def test_every_event_has_one_who_makes_it() -> None:
    assert set(ACTOR_OF) == set(Event)


def complaints(kind: Kind, values: dict[str, str], *, complete: bool = True) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    forms.check(kind, values, lambda path, _, reason: found.add((path, reason)), complete=complete)
    return found


def test_complete_papers_pass() -> None:
    assert complaints(Kind.BRAND, BRAND) == set()
    assert complaints(Kind.USE_CASE, USE_CASE) == set()


@pytest.mark.parametrize("path", sorted(BRAND))
def test_every_field_of_a_brand_is_asked_for(path: str) -> None:
    assert complaints(Kind.BRAND, {k: v for k, v in BRAND.items() if k != path}) == {(path, "REQUIRED")}


@pytest.mark.parametrize("path", sorted(USE_CASE))
def test_every_field_of_a_use_case_is_asked_for(path: str) -> None:
    assert complaints(Kind.USE_CASE, {k: v for k, v in USE_CASE.items() if k != path}) == {(path, "REQUIRED")}


def test_a_draft_may_be_incomplete_but_not_wrong() -> None:
    assert complaints(Kind.BRAND, {}, complete=False) == set()
    assert complaints(Kind.BRAND, {"companyInfo.legalType": "CLUB"}, complete=False) == {
        ("companyInfo.legalType", "UNKNOWN_CHOICE")
    }


_TEXT_FIELDS = [
    pytest.param(kind, field, id=field.path)
    for kind, form in forms.FORMS.items()
    for field in form
    if not field.choices and not field.pattern and field.path != "campaignUseCase.subUseCases"
]


@pytest.mark.parametrize(("kind", "field"), _TEXT_FIELDS)
def test_lengths_hold_at_the_limit_and_fail_past_it(kind: Kind, field: forms.Field) -> None:
    for length, expected in [
        (field.max_length, set()),
        (field.max_length + 1, {(field.path, "INVALID_LENGTH")}),
        (field.min_length, set()),
        *([(field.min_length - 1, {(field.path, "INVALID_LENGTH")})] if field.min_length > 1 else []),
    ]:
        assert complaints(kind, {field.path: "x" * length}, complete=False) == expected


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        pytest.param(
            Kind.BRAND,
            {"companyInfo.legalType": "PUBLIC_PROFIT"},
            {
                ("companyInfo.stockSymbol", "REQUIRED"),
                ("companyInfo.stockExchange", "REQUIRED"),
                ("companyInfo.businessContactEmail", "REQUIRED"),
            },
            id="a listed company names its exchange",
        ),
        pytest.param(
            Kind.BRAND,
            {"contactInfo.website": "records.example.com"},
            {("contactInfo.website", "INVALID_FORMAT")},
            id="a website without its scheme",
        ),
        pytest.param(
            Kind.BRAND,
            {"contactInfo.supportPhoneNumber": "+1 206 555 0100"},
            {("contactInfo.supportPhoneNumber", "INVALID_FORMAT")},
            id="a phone number with blanks",
        ),
        pytest.param(Kind.BRAND, {"shoeSize": "44"}, {("shoeSize", "UNKNOWN_FIELD")}, id="a field of no form"),
        pytest.param(
            Kind.USE_CASE,
            {"campaignUseCase.embeddedLink": "Yes"},
            {("campaignUseCase.embeddedLinkSample", "REQUIRED")},
            id="links need a sample",
        ),
        pytest.param(
            Kind.USE_CASE,
            {"campaignUseCase.useCase": "MIXED", "campaignUseCase.subUseCases": "MARKETING"},
            {("campaignUseCase.subUseCases", "OUT_OF_RANGE")},
            id="mixed of one",
        ),
        pytest.param(
            Kind.USE_CASE,
            {"campaignUseCase.useCase": "MIXED", "campaignUseCase.subUseCases": "MARKETING, FRAUD_ALERT"},
            set(),
            id="mixed of two",
        ),
        pytest.param(
            Kind.USE_CASE,
            {"campaignUseCase.subUseCases": "FRAUD_ALERT"},
            {("campaignUseCase.subUseCases", "NOT_ALLOWED")},
            id="a standard use case is not divided",
        ),
        pytest.param(
            Kind.USE_CASE,
            {"campaignInfo.optInWorkflow": " " + "x" * 50},
            {("campaignInfo.optInWorkflow", "INVALID_FORMAT")},
            id="a blank at the beginning",
        ),
    ],
)
def test_conditions_and_forms_of_fields(kind: Kind, changes: dict[str, str], expected: set[tuple[str, str]]) -> None:
    assert complaints(kind, {**(BRAND if kind is Kind.BRAND else USE_CASE), **changes}) == expected


@pytest.mark.parametrize(
    ("use_case", "score", "per_second", "per_day"),
    [
        ("ACCOUNT_NOTIFICATION", 100, 75, 200_000),
        ("ACCOUNT_NOTIFICATION", 76, 75, 200_000),
        ("ACCOUNT_NOTIFICATION", 75, 40, 40_000),
        ("ACCOUNT_NOTIFICATION", 51, 40, 40_000),
        ("ACCOUNT_NOTIFICATION", 50, 4, 10_000),
        ("ACCOUNT_NOTIFICATION", 1, 4, 10_000),
        ("ACCOUNT_NOTIFICATION", 0, 0.2, 2_000),
        ("MARKETING", 86, 75, 200_000),
        ("MARKETING", 85, 40, 40_000),
        ("MIXED", 66, 40, 40_000),
        ("MIXED", 65, 4, 10_000),
        ("MIXED", 26, 4, 10_000),
        ("MIXED", 25, 0.2, 2_000),
        ("LOW_VOLUME", 100, 0.2, 2_000),
    ],
)
def test_the_allowance_is_the_table_of_the_carriers(use_case: str, score: int, per_second: float, per_day: int) -> None:
    granted = allowance(use_case, score)
    assert (granted.parts_per_second, granted.messages_per_day) == (per_second, per_day)
