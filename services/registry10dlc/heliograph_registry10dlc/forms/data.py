"""Reads the forms, and what their checks go by, from `data/forms`; once, when this module is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.forms.form import Choice, Condition, Field, FieldType, Form, Lock, Section

_DATA = files("heliograph_registry10dlc") / "data" / "forms"
_NAMES = ("brand", "use_case", "toll_free")


def read(name: str) -> Any:
    """Return a file of `data/forms`."""
    return json.loads((_DATA / f"{name}.json").read_text("utf-8"))


def _form(data: Mapping[str, Any]) -> Form:
    return Form(
        Kind(data["form"]),
        data["version"],
        tuple(Section(**section) for section in data["sections"]),
        tuple(_field(entry) for entry in data["fields"]),
    )


def _field(entry: Mapping[str, Any]) -> Field:
    condition = entry.get("condition")
    return Field(
        path=entry["path"],
        section=entry["section"],
        title=entry["title"],
        description=entry["description"],
        type=FieldType(entry["type"]),
        example=entry.get("example", ""),
        required=entry["requirement"] != "OPTIONAL",
        when=Condition(condition["path"], tuple(condition["values"])) if condition else None,
        min_length=entry.get("min_length", 0),
        max_length=entry.get("max_length", 0),
        pattern=entry.get("pattern", ""),
        pattern_description=entry.get("pattern_description", ""),
        choices=tuple(Choice(**choice) for choice in entry.get("choices", ())),
        min_choices=entry.get("min_choices", 0),
        max_choices=entry.get("max_choices", 0),
        counts={count["value"]: (count["min"], count["max"]) for count in entry.get("counts", ())},
        locked_after=Lock(entry["locked_after"]),
    )


FORMS: Mapping[Kind, Form] = {form.kind: form for form in map(_form, map(read, _NAMES))}
(FORM_VERSION,) = {form.version for form in FORMS.values()}
"""The version of the forms; all have the same."""
STANDARD_USE_CASES: tuple[str, ...] = FORMS[Kind.USE_CASE]["campaignUseCase.subUseCases"].values
"""What MIXED and LOW_VOLUME may be made of (pinpoint-2 4.5)."""
