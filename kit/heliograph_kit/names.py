"""Resource names: `projects/{project}` and `projects/{project}/{collection}/{id}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from heliograph_kit.errors import InvalidArgument, Violation

# A project id is a token of bus subjects too, so it must hold no dot, star, angle bracket or blank.
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# Other ids may be the caller's own (an endpoint id is often an address): anything printable but a slash, 1..256 long.
_ID = re.compile(r"[^/\x00-\x20\x7f]{1,256}")
_VARIABLE = re.compile(r"\{([a-z_]+)\}")


class InvalidName(InvalidArgument):
    """A field that must hold a resource name holds something else."""

    reason: ClassVar[str] = "INVALID_NAME"

    def __init__(self, field: str, pattern: str) -> None:
        """Take the field and the shape its value must have; the value itself is not repeated to the caller."""
        super().__init__([Violation(field, f"must have the form {pattern}", "INVALID_NAME")])


@dataclass(frozen=True)
class ResourceName:
    """The parts of `projects/{project}/{collection}/{id}`."""

    project: str
    collection: str
    id: str

    def __str__(self) -> str:
        """Return the whole name."""
        return f"projects/{self.project}/{self.collection}/{self.id}"


def project_of(name: str, *, field: str = "name") -> str:
    """Return the project id of a name that begins with `projects/{project}`.

    Raises:
        InvalidName: it does not begin so; `field` is named in the violation.
    """
    parts = name.split("/", 2)
    if len(parts) < 2 or parts[0] != "projects" or not _PROJECT.fullmatch(parts[1]):
        raise InvalidName(field, "projects/{project}")
    return parts[1]


def parse_name(name: str, collection: str, *, field: str = "name") -> ResourceName:
    """Take `projects/{project}/{collection}/{id}` apart.

    Raises:
        InvalidName: the name has another shape or names another collection.
    """
    parts = name.split("/")
    good = len(parts) == 4 and parts[0] == "projects" and parts[2] == collection
    if not good or not _PROJECT.fullmatch(parts[1]) or not _ID.fullmatch(parts[3]):
        raise InvalidName(field, f"projects/{{project}}/{collection}/{{id}}")
    return ResourceName(parts[1], collection, parts[3])


def parse_pattern(name: str, pattern: str, *, field: str = "name") -> dict[str, str]:
    """Take a deeper name apart: `projects/{project}/campaigns/{campaign}/runs/{run}` gives the three ids by variable.

    Raises:
        InvalidName: the name does not have the shape of the pattern.
    """
    values: dict[str, str] = {}
    parts, shape = name.split("/"), pattern.split("/")
    if len(parts) != len(shape):
        raise InvalidName(field, pattern)
    for part, expected in zip(parts, shape, strict=True):
        variable = _VARIABLE.fullmatch(expected)
        if variable is None:
            good = part == expected
        else:
            good = (_PROJECT if variable[1] == "project" else _ID).fullmatch(part) is not None
            values[variable[1]] = part
        if not good:
            raise InvalidName(field, pattern)
    return values


def format_name(project: str, collection: str, id: str) -> str:
    """Put a name together; the parts come from us and are not checked again."""
    return f"projects/{project}/{collection}/{id}"
