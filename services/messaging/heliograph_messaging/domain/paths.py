"""Template paths: `User.UserAttributes.first`, `Attributes.[Last Name].[0]`; what they mean and where values come from.

The list of paths and the bracket notation are those of pinpoint-1 6.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BARE = r"""[^\s!"#%&'()*+,./;<=>@\[\\\]^`{|}~]+"""
_BRACKETS = r"\[[^\[\]\r\n]{1,126}\]"
_PATH = re.compile(rf"(?:{_BARE}|{_BRACKETS})(?:\.(?:{_BARE}|{_BRACKETS}))*")
_SEGMENT = re.compile(rf"{_BRACKETS}|{_BARE}")
_INDEX = re.compile(r"[0-9]{1,2}")
_NAME = re.compile(r"[^\r\n\0]{1,126}")

FIXED = frozenset(
    {"Address", "ChannelType", "CreationDate", "EffectiveDate", "EndpointStatus", "Id", "OptOut", "RequestId"}
)
DEMOGRAPHIC = frozenset(
    {"AppVersion", "Locale", "Make", "Model", "ModelVersion", "Platform", "PlatformVersion", "Timezone"}
)
LOCATION = frozenset({"City", "Country", "Latitude", "Longitude", "PostalCode", "Region"})
OBJECTS: dict[tuple[str, ...], frozenset[str] | None] = {
    ("Attributes",): None,
    ("Metrics",): None,
    ("User",): frozenset({"UserId", "UserAttributes"}),
    ("User", "UserAttributes"): None,
    ("Demographic",): DEMOGRAPHIC,
    ("Location",): LOCATION,
}
"""Paths that hold others, with the names below them; None: names of the project's own."""
_RESERVED = frozenset({"this", "else", "true", "false", "null", "undefined", "as"})


class PathProblem(ValueError):
    """A path that no value can ever stand behind; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Variable:
    """One variable of a template: the path without brackets, and which of several values is wanted (None: all).

    `many`: the values are wanted as a list, not as one text.
    """

    path: str
    index: int | None = None
    many: bool = False

    @property
    def is_endpoint_field(self) -> bool:
        """Whether the audience projects it into a column of its own (beside the fixed columns of a page)."""
        root = self.path.partition(".")[0]
        return root in ("Attributes", "Metrics", "Demographic", "Location") or self.path.startswith(
            "User.UserAttributes."
        )

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, so that 0 counts as nothing in `#if`."""
        return self.path.startswith("Metrics.") or self.path in ("Location.Latitude", "Location.Longitude")


def parse_variable(written: str) -> Variable:
    """Read a path as it stands between the braces.

    Raises:
        PathProblem: it is no path, or one that this product has no values for.
    """
    if not _PATH.fullmatch(written):
        raise PathProblem("is not a path; write names joined by dots, names with blanks in [brackets]")
    raw = _SEGMENT.findall(written)
    if raw[0] in _RESERVED:
        raise PathProblem(f"{raw[0]} is a word of the template language; write [{raw[0]}]")
    bracketed = [part.startswith("[") for part in raw]
    return variable_of([part[1:-1] if inside else part for part, inside in zip(raw, bracketed, strict=True)], bracketed)


def variable_of(names: Sequence[str], bracketed: Sequence[bool]) -> Variable:
    """Return the variable of a path whose segments are known, and whether they stood in brackets.

    Raises:
        PathProblem: this product has no values for such a path.
    """
    index: int | None = None
    # `Attributes.[0]` is the attribute named 0; an index only follows a complete name.
    if len(names) > _names_needed(names) and bracketed[-1] and _INDEX.fullmatch(names[-1]):
        index = int(names[-1])
        names = names[:-1]
    _check(names)
    return Variable(".".join(names), index)


def _names_needed(names: Sequence[str]) -> int:
    if list(names[:2]) == ["User", "UserAttributes"]:
        return 3
    return 2 if names[0] in ("Attributes", "Metrics", "User", "Demographic", "Location") else 1


def _check(names: Sequence[str]) -> None:
    root, rest = names[0], list(names[1:])
    if not all(_NAME.fullmatch(name) for name in names):
        raise PathProblem("holds a name that is empty, longer than 126 characters or more than one line")
    if root in ("Recommendations", "RecommendationItems"):
        raise PathProblem("recommendations are not supported")
    if root in ("Attributes", "Metrics"):
        if len(rest) != 1:
            raise PathProblem(f"{root} needs one name behind it, as in {root}.plan")
    elif root == "User":
        good = rest == ["UserId"] or (len(rest) == 2 and rest[0] == "UserAttributes")
        if not good:
            raise PathProblem("of User there is UserId and UserAttributes.<name>")
    elif root in ("Demographic", "Location"):
        known = DEMOGRAPHIC if root == "Demographic" else LOCATION
        if len(rest) != 1 or rest[0] not in known:
            raise PathProblem(f"of {root} there is {', '.join(sorted(known))}")
    elif root in FIXED and rest:
        raise PathProblem(f"{root} has no parts")
