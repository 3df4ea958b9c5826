"""Checks a filled form: each field by itself, then what its fields say together. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from heliograph_registry10dlc.domain import Complain, Kind
from heliograph_registry10dlc.forms.brand_checks import check_brand
from heliograph_registry10dlc.forms.data import FORMS
from heliograph_registry10dlc.forms.form import Field, FieldType, Form
from heliograph_registry10dlc.forms.toll_free_checks import check_toll_free
from heliograph_registry10dlc.forms.use_case_checks import check_use_case

_Together = Callable[[Mapping[str, str], Mapping[str, str] | None, Complain], None]
_TOGETHER: Mapping[Kind, _Together] = {
    Kind.BRAND: lambda values, _, complain: check_brand(values, complain),
    Kind.USE_CASE: check_use_case,
    Kind.TOLL_FREE: lambda values, _, complain: check_toll_free(values, complain),
}


def check(
    kind: Kind,
    values: Mapping[str, str],
    complain: Complain,
    *,
    complete: bool,
    brand: Mapping[str, str] | None = None,
) -> None:
    """Tell `complain` everything that is wrong with a filled form: path, words, reason.

    `complete`: it is about to be handed in, so what is missing is told and what its fields say together is looked at; a draft
    is only held to what is there. `brand` are the fields of a use case's brand; without them what needs them is not looked at.
    """
    form = FORMS[kind]
    for path in sorted(values.keys() - {field.path for field in form}):
        complain(path, f"the form {kind} has no such field", "UNKNOWN_FIELD")
    for field in form:
        if value := values.get(field.path, ""):
            _check_value(form, field, value, values, complain)
        elif complete and field.required_in(values):
            complain(field.path, f"is required: {field.description}", "REQUIRED")
    if complete:
        _TOGETHER[kind](values, brand, complain)


def _check_value(form: Form, field: Field, value: str, values: Mapping[str, str], complain: Complain) -> None:
    if field.type is FieldType.CHOICE:
        if value not in field.values:
            complain(field.path, f"must be one of {', '.join(field.values)}", "UNKNOWN_CHOICE")
    elif field.type is FieldType.CHOICES:
        _check_choices(form, field, value, values, complain)
    elif not field.min_length <= len(value) <= field.max_length:
        words = f"must be {field.min_length} to {field.max_length} characters"
        complain(field.path, words, "INVALID_LENGTH")
    elif field.pattern and not _compiled(field.pattern).fullmatch(value):
        complain(field.path, f"must be {field.pattern_description}", "INVALID_FORMAT")
    elif not value.strip():
        complain(field.path, f"must not be blank: {field.description}", "INVALID_FORMAT")


def _check_choices(form: Form, field: Field, value: str, values: Mapping[str, str], complain: Complain) -> None:
    given = [part.strip() for part in value.split(",") if part.strip()]
    if len(value) > field.max_length:
        complain(field.path, f"must be at most {field.max_length} characters", "INVALID_LENGTH")
        return
    for unknown in sorted(set(given) - set(field.values)):
        complain(field.path, f"{unknown} is none of {', '.join(field.values)}", "UNKNOWN_CHOICE")
    if len(set(given)) < len(given):
        complain(field.path, "names one of them more than once", "DUPLICATE_CHOICE")
    fewest, most = field.min_choices, field.max_choices
    if field.counts and field.when is not None:
        other = values.get(field.when.path, "")
        if other not in form[field.when.path].values:
            return
        if other not in field.counts:
            complain(field.path, f"{other} takes none", "NOT_ALLOWED")
            return
        fewest, most = field.counts[other]
    if not fewest <= len(given) <= most:
        complain(field.path, f"must be {fewest} to {most} of them", "OUT_OF_RANGE")


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)
