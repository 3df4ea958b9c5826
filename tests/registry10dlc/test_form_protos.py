"""The forms as clients get them."""

from __future__ import annotations

import pytest

from heliograph.registry10dlc.v1 import registry_pb2 as pb
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.form_protos import form_to_proto
from heliograph_registry10dlc.forms import FORM_VERSION, FORMS

pytestmark = pytest.mark.unit


def field(kind: Kind, path: str) -> pb.FormField:
    (found,) = (field for field in form_to_proto(kind).fields if field.path == path)
    return found


@pytest.mark.parametrize("kind", list(FORMS))
def test_a_form_is_written_whole_and_in_order(kind: Kind) -> None:
    written = form_to_proto(kind)
    assert written.kind == pb.RegistrationKind.Value(f"REGISTRATION_KIND_{kind}")
    assert written.version == FORM_VERSION
    assert [f.path for f in written.fields] == [f.path for f in FORMS[kind]]
    for described, known in zip(written.fields, FORMS[kind], strict=True):
        assert len(described.choices) == len(described.choice_descriptions)
        assert described.title
        assert described.description
        assert described.section == known.section
        assert described.example == known.example
        assert described.pattern == known.pattern
        assert (described.min_length, described.max_length) == (known.min_length, known.max_length)
        # A client can tell by these alone what must be filled.
        assert known.required == (described.required or bool(described.condition_path))


def test_a_required_text() -> None:
    assert field(Kind.BRAND, "contactInfo.supportPhoneNumber") == pb.FormField(
        path="contactInfo.supportPhoneNumber",
        title="Support phone",
        section="contactInfo",
        description="Begins with +, without spaces or hyphens",
        example="+12065550100",
        required=True,
        min_length=7,
        max_length=30,
        pattern=r"\+[0-9]{6,29}",
        changeable_when_approved=True,
    )


def test_a_field_that_is_required_beside_several_values_tells_all_of_them() -> None:
    tax_id = field(Kind.TOLL_FREE, "companyInfo.taxId")
    assert not tax_id.required
    assert tax_id.condition_path == "companyInfo.businessType"
    assert tax_id.condition_value == "PRIVATE_PROFIT"
    assert list(tax_id.condition_values) == ["PRIVATE_PROFIT", "PUBLIC_PROFIT", "NON_PROFIT", "GOVERNMENT"]


def test_several_choices() -> None:
    several = field(Kind.USE_CASE, "campaignUseCase.subUseCases")
    assert (several.min_choices, several.max_choices, len(several.choices)) == (1, 5, 10)
    one = field(Kind.USE_CASE, "campaignUseCase.useCase")
    assert (one.min_choices, one.max_choices, len(one.choices)) == (0, 0, 13)
    assert (one.min_length, one.max_length) == (0, 0)


def test_what_is_locked_in_force_is_told() -> None:
    assert not field(Kind.BRAND, "companyInfo.taxId").changeable_when_approved
    assert field(Kind.USE_CASE, "campaignInfo.helpMessage").changeable_when_approved


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.VETTING])
def test_there_is_no_form_for_the_others(kind: Kind) -> None:
    with pytest.raises(KeyError):
        form_to_proto(kind)
