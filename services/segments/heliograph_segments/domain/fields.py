"""The fields of an endpoint that templates and steps may ask for, by template path (pinpoint-1 6.4)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from heliograph_segments.domain.endpoints import DEMOGRAPHIC_FIELDS, LOCATION_TEXTS, MAX_NAME
from heliograph_segments.domain.problems import Problem

MAX_FIELDS = 100


class Source(StrEnum):
    """Where a field is kept."""

    ATTRIBUTE = "attribute"
    USER_ATTRIBUTE = "user_attribute"
    METRIC = "metric"
    DEMOGRAPHIC = "demographic"
    LOCATION = "location"
    OWN = "own"


class Field(NamedTuple):
    """One field: where it is kept and under which name."""

    source: Source
    name: str


OWN_FIELDS = frozenset(
    {
        "Id",
        "Address",
        "ChannelType",
        "OptOut",
        "EndpointStatus",
        "EffectiveDate",
        "CreationDate",
        "CohortId",
        "RequestId",
    }
) | {"User.UserId"}
_PREFIXES = (
    ("Attributes.", Source.ATTRIBUTE),
    ("User.UserAttributes.", Source.USER_ATTRIBUTE),
    ("Metrics.", Source.METRIC),
)


def field_of(path: str) -> Field | None:
    """Return the field that a template path names, None when there is no such field."""
    for prefix, source in _PREFIXES:
        if path.startswith(prefix):
            name = path[len(prefix) :]
            return Field(source, name) if 1 <= len(name) <= MAX_NAME and "\x00" not in name else None
    head, _, member = path.partition(".")
    if head == "Demographic" and member in DEMOGRAPHIC_FIELDS:
        return Field(Source.DEMOGRAPHIC, member)
    if head == "Location" and member in (*LOCATION_TEXTS, "Latitude", "Longitude"):
        return Field(Source.LOCATION, member)
    return Field(Source.OWN, path) if path in OWN_FIELDS else None


def fields_of(paths: list[str]) -> tuple[list[Field], list[Problem]]:
    """Return the fields that exist, and what is wrong with the others."""
    problems: list[Problem] = []
    if len(paths) > MAX_FIELDS:
        problems.append(Problem("fields", "TOO_MANY", f"must name at most {MAX_FIELDS} fields"))
    fields: list[Field] = []
    for index, path in enumerate(paths):
        field = field_of(path)
        if field is None:
            problems.append(Problem(f"fields[{index}]", "UNKNOWN_FIELD", "there is no such field"))
        else:
            fields.append(field)
    return fields, problems


def spelled(value: float) -> str:
    """Return the shortest spelling of a number that reads back equal: 3.0 is `3`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
