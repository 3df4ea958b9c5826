"""The forms as data, and every field at and past its limits."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest

from heliograph_channels import problems_of
from heliograph_registry10dlc import forms
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.forms import Field, FieldType, Lock
from tests.registry10dlc.complaints import CHOICES, LISTED, PAPERS, TEXTS, complaints, of_length
from tests.registry10dlc.papers import BRAND, USE_CASE

pytestmark = pytest.mark.unit
DATA = files("heliograph_registry10dlc") / "data" / "forms"
NAMES = ("brand", "use_case", "toll_free")


def read(name: str) -> Any:
    return json.loads((DATA / name).read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_of_the_form_of_its_schema(name: str) -> None:
    assert problems_of(read("form.schema.json"), read(f"{name}.json")) == []


@pytest.mark.parametrize("kind", list(forms.FORMS))
def test_the_members_of_a_field_belong_together(kind: Kind) -> None:
    form = forms.FORMS[kind]
    paths = [field.path for field in form]
    assert len(set(paths)) == len(paths)
    assert list(dict.fromkeys(field.section for field in form)) == [section.path for section in form.sections]
    for field in form:
        assert field.path.partition(".")[0] == field.section
        assert bool(field.choices) == (field.type is not FieldType.TEXT)
        assert bool(field.max_length) == (field.type is not FieldType.CHOICE)
        assert field.min_length <= field.max_length or field.type is FieldType.CHOICE
        assert field.type is not FieldType.TEXT or field.min_length >= 1
        assert bool(field.pattern) == bool(field.pattern_description)
        assert len(set(field.values)) == len(field.values)
        if field.when is not None:
            assert set(field.when.values) <= set(form[field.when.path].values)
        if field.counts:
            assert field.when is not None
            assert set(field.counts) == set(field.when.values)


def test_every_form_has_the_version_of_the_package() -> None:
    assert re.fullmatch(r"20\d\d-\d\d", forms.FORM_VERSION)
    assert set(forms.FORMS) == {Kind.BRAND, Kind.USE_CASE, Kind.TOLL_FREE}
    assert {form.version for form in forms.FORMS.values()} == {forms.FORM_VERSION}


def test_brand_and_use_case_know_the_same_trades() -> None:
    brand, use_case = forms.FORMS[Kind.BRAND], forms.FORMS[Kind.USE_CASE]
    assert brand["contactInfo.vertical"].choices == use_case["campaignInfo.vertical"].choices


@pytest.mark.parametrize("kind", list(PAPERS))
def test_complete_papers_pass(kind: Kind) -> None:
    assert complaints(kind, PAPERS[kind], brand=BRAND) == set()


def test_every_example_passes_as_a_draft() -> None:
    for kind, form in forms.FORMS.items():
        examples = {field.path: field.example for field in form if field.example and not field.counts}
        assert complaints(kind, examples, complete=False) == set()


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, papers in PAPERS.items() for path in sorted(papers)])
def test_every_required_field_is_asked_for_and_a_draft_may_leave_it_out(kind: Kind, path: str) -> None:
    values = {k: v for k, v in PAPERS[kind].items() if k != path}
    assert complaints(kind, values, brand=BRAND) >= {(path, "REQUIRED")}
    assert complaints(kind, values, complete=False) == set()


@pytest.mark.parametrize(("kind", "field"), [pytest.param(k, f, id=f"{k}-{f.path}") for k, f in TEXTS])
def test_lengths_hold_at_the_limits_and_fail_past_them(kind: Kind, field: Field) -> None:
    bad = {(field.path, "INVALID_LENGTH")}
    shortest = max(
        field.min_length, len(of_length(field, 0)) + (field.pattern.startswith("https") or "@" in field.example)
    )
    for length, expected in [
        (field.max_length, set()),
        (field.max_length + 1, bad),
        (shortest, set()),
        *([(field.min_length - 1, bad)] if field.min_length > 1 else []),
    ]:
        assert complaints(kind, {field.path: of_length(field, length)}, complete=False) == expected, length


@pytest.mark.parametrize(("kind", "field"), [pytest.param(k, f, id=f"{k}-{f.path}") for k, f in CHOICES])
def test_every_choice_passes_and_nothing_else(kind: Kind, field: Field) -> None:
    for value in field.values:
        assert complaints(kind, {field.path: value}, complete=False) == set()
    for value in ("NONESUCH", f" {field.values[0]}", field.values[0] + "s", field.values[0] + ","):
        assert complaints(kind, {field.path: value}, complete=False) == {(field.path, "UNKNOWN_CHOICE")}, value


def test_the_limits_are_those_of_the_reference() -> None:
    brand, use_case, toll_free = (forms.FORMS[kind] for kind in (Kind.BRAND, Kind.USE_CASE, Kind.TOLL_FREE))
    assert [(f.path.partition(".")[2], f.max_length) for f in brand if f.type is FieldType.TEXT] == [
        ("companyName", 100), ("taxIdIssuingCountry", 2), ("taxId", 21), ("stockSymbol", 10), ("businessContactEmail", 100),
        ("address", 100), ("city", 100), ("state", 50), ("zipCode", 20), ("isoCountryCode", 2), ("dbaName", 100),
        ("website", 100), ("supportEmail", 100), ("supportPhoneNumber", 30),
    ]  # fmt: skip
    assert {f.path.partition(".")[2]: (f.min_length, f.max_length) for f in use_case if f.type is FieldType.TEXT} == {
        "campaignName": (40, 4096), "termsAndConditionsLink": (1, 255), "privacyPolicyLink": (1, 255),
        "optInWorkflow": (40, 2048), "optInKeyword": (1, 255), "optInMessage": (20, 255), "helpMessage": (20, 255),
        "stopMessage": (20, 255), "embeddedLinkSample": (1, 255),
        **{f"messageSample{n}": (20, 1024) for n in range(1, 6)},
    }  # fmt: skip
    assert [f.max_length for f in toll_free if f.section == "messageSamples"] == [306] * 3
    assert len(brand["contactInfo.vertical"].choices) == 17
    assert len(brand["companyInfo.stockExchange"].choices) == 27
    assert len(use_case["campaignUseCase.useCase"].choices) == 13
    assert len(forms.STANDARD_USE_CASES) == 10
    assert len(toll_free["messagingUseCase.useCaseCategory"].choices) == 7
    assert not any(
        "File" in f.path or "Screenshot" in f.path or "Image" in f.path for form in forms.FORMS.values() for f in form
    )


def test_what_may_change_in_force_is_that_of_the_reference() -> None:
    changeable = {f.path for f in forms.FORMS[Kind.USE_CASE] if f.changeable_when_approved}
    assert changeable == {
        "campaignInfo.helpMessage",
        "campaignInfo.stopMessage",
        *(f"messageSamples.messageSample{n}" for n in range(1, 6)),
    }
    assert {f.path: f.locked_after for f in forms.FORMS[Kind.BRAND] if not f.changeable_when_approved} == {
        "companyInfo.companyName": Lock.SUBMISSION,
        "companyInfo.taxIdIssuingCountry": Lock.APPROVAL,
        "companyInfo.taxId": Lock.APPROVAL,
        "companyInfo.legalType": Lock.APPROVAL,
    }
    assert not any(f.changeable_when_approved for f in forms.FORMS[Kind.TOLL_FREE])


def locked(kind: Kind, before: dict[str, str], after: dict[str, str], *, in_force: bool = True) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    forms.locked(kind, before, after, lambda path, _, reason: found.add((path, reason)), in_force=in_force)
    return found


@pytest.mark.parametrize(
    ("kind", "field"), [pytest.param(k, f, id=f"{k}-{f.path}") for k, form in forms.FORMS.items() for f in form]
)
def test_a_locked_field_can_neither_change_nor_go(kind: Kind, field: Field) -> None:
    before = {f.path: f.example or "x" for f in forms.FORMS[kind]}
    for after in ({**before, field.path: "other"}, {p: v for p, v in before.items() if p != field.path}):
        expected = set() if field.changeable_when_approved else {(field.path, "FIELD_LOCKED")}
        assert locked(kind, before, after) == expected
        sent_back = expected if field.locked_after is Lock.SUBMISSION else set()
        assert locked(kind, before, after, in_force=False) == sent_back
    assert locked(kind, before, dict(before)) == set()


def sample(n: int) -> str:
    return f"messageSamples.messageSample{n}"


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param({sample(1): ""}, {}, id="an emptied sample keeps its text"),
        pytest.param({sample(1): "  \n"}, {}, id="one of blanks, too"),
        pytest.param({sample(1): "other"}, {sample(1): "other"}, id="a sample changes"),
        pytest.param(
            {sample(n): "more" for n in range(2, 6)}, {sample(n): "more" for n in range(2, 6)}, id="five samples"
        ),
        pytest.param({"campaignInfo.helpMessage": "other"}, {"campaignInfo.helpMessage": "other"}, id="the HELP reply"),
        pytest.param({"campaignUseCase.useCase": "MIXED"}, {}, id="what is locked stays"),
    ],
)
def test_an_amendment_changes_replies_and_samples(new: dict[str, str], expected: dict[str, str]) -> None:
    assert forms.amended(USE_CASE, {**USE_CASE, **new}) == {**USE_CASE, **expected}


def test_an_amendment_never_loses_a_sample() -> None:
    five = {**USE_CASE, **{sample(n): f"text {n}" for n in range(1, 6)}}
    assert forms.amended(five, USE_CASE) == {**five, sample(1): USE_CASE[sample(1)]}


def test_an_emptied_reply_is_missing_afterwards_and_told_by_the_check() -> None:
    values = forms.amended(USE_CASE, {**USE_CASE, "campaignInfo.stopMessage": ""})
    assert complaints(Kind.USE_CASE, values, brand=BRAND) == {("campaignInfo.stopMessage", "REQUIRED")}


def test_a_listed_company_passes() -> None:
    assert complaints(Kind.BRAND, LISTED) == set()
