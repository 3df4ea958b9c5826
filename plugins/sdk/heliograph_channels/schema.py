"""Settings against their JSON schema, for the part of draft 2020-12 that settings need.

The SDK depends on pluggy only, so this is a small checker for flat and nested objects, lists and scalars. A plugin with
a schema beyond these keywords overrides `check_settings` and uses a full validator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

__all__ = ["Problem", "problems_of", "secret_fields", "with_defaults"]

_ANNOTATIONS = {"$schema", "$id", "title", "description", "default", "examples", "writeOnly", "format"}
_CHECKED = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "enum",
    "items",
    "minItems",
    "maxItems",
    "minimum",
}
_CHECKED |= {"maximum", "exclusiveMinimum", "minLength", "maxLength", "pattern"}
_DOLLAR = re.compile(r"(\\.|\[(?:\\.|[^\]\\])*\])|\$", re.DOTALL)
_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a channel's settings: the field (dotted path, empty = the whole) and what to do about it."""

    field: str
    description: str


def problems_of(schema: Mapping[str, object], settings: Mapping[str, object]) -> list[Problem]:
    """List everything in `settings` that does not fit `schema`, in one go. No description repeats a value.

    Raises:
        ValueError: the schema uses a keyword this checker does not know.
    """
    return list(_check(schema, settings, ""))


def with_defaults(schema: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, object]:
    """Copy `settings`, with the schema's `default` for every top-level property that is missing."""
    filled = {name: item["default"] for name, item in _properties(schema).items() if "default" in item}
    return {**filled, **settings}


def secret_fields(schema: Mapping[str, object]) -> frozenset[str]:
    """Name the top-level properties marked `"writeOnly": true`: stored encrypted, never shown, never logged."""
    return frozenset(name for name, item in _properties(schema).items() if item.get("writeOnly") is True)


def _properties(schema: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    return cast("dict[str, Mapping[str, object]]", schema.get("properties", {}))


def _check(schema: Mapping[str, object], value: object, path: str) -> Iterator[Problem]:
    if stranger := set(schema) - _ANNOTATIONS - _CHECKED:
        raise ValueError(f"the settings schema uses {sorted(stranger)}; override check_settings to use these keywords")
    kind = schema.get("type")
    if isinstance(kind, str) and not _TYPES[kind](value):
        yield Problem(path, f"must be {'an' if kind[0] in 'aio' else 'a'} {kind}")
        return
    choices = schema.get("enum")
    if isinstance(choices, list | tuple) and value not in choices:
        yield Problem(path, "must be one of " + ", ".join(map(str, choices)))
    if isinstance(value, str):
        yield from _check_text(schema, value, path)
    elif isinstance(value, Mapping):
        yield from _check_object(schema, value, path)
    elif isinstance(value, list | tuple):
        yield from _check_list(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _check_number(schema, value, path)


def _check_text(schema: Mapping[str, object], value: str, path: str) -> Iterator[Problem]:
    if len(value) < cast(int, schema.get("minLength", 0)):
        yield Problem(path, f"must have at least {schema['minLength']} characters")
    if "maxLength" in schema and len(value) > cast(int, schema["maxLength"]):
        yield Problem(path, f"must have at most {schema['maxLength']} characters")
    if "pattern" in schema and not _compiled(cast(str, schema["pattern"])).search(value):
        yield Problem(path, f"must match {schema['pattern']}")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile with the `$` of JSON schemas, which Python's is not: that one lets a line break follow."""
    return re.compile(_DOLLAR.sub(lambda match: match[1] or r"\Z", pattern))


def _check_number(schema: Mapping[str, object], value: float, path: str) -> Iterator[Problem]:
    if "minimum" in schema and value < cast(float, schema["minimum"]):
        yield Problem(path, f"must be at least {schema['minimum']}")
    if "exclusiveMinimum" in schema and value <= cast(float, schema["exclusiveMinimum"]):
        yield Problem(path, f"must be more than {schema['exclusiveMinimum']}")
    if "maximum" in schema and value > cast(float, schema["maximum"]):
        yield Problem(path, f"must be at most {schema['maximum']}")


def _check_list(schema: Mapping[str, object], value: list[object] | tuple[object, ...], path: str) -> Iterator[Problem]:
    if len(value) < cast(int, schema.get("minItems", 0)):
        yield Problem(path, f"must have at least {schema['minItems']} items")
    if "maxItems" in schema and len(value) > cast(int, schema["maxItems"]):
        yield Problem(path, f"must have at most {schema['maxItems']} items")
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, item in enumerate(value):
            yield from _check(items, item, f"{path}[{index}]")


def _check_object(schema: Mapping[str, object], value: Mapping[str, object], path: str) -> Iterator[Problem]:
    known = _properties(schema)
    prefix = f"{path}." if path else ""
    for name in cast("list[str]", schema.get("required", [])):
        if name not in value:
            yield Problem(prefix + name, "is required")
    for name, item in value.items():
        if name in known:
            yield from _check(known[name], item, prefix + name)
        elif schema.get("additionalProperties") is False:
            yield Problem(prefix + str(name), "is not a setting of this channel")
