"""Template paths: `User.UserAttributes.first`, `Attributes.[Last Name].[0]`; what they mean and where values come from.

The list of paths and the bracket notation are those of pinpoint-1 6.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BARE = r"""[^\s!"#%&'()*+,./;<=>@\[\\\]^`{|}~]+"""
_BRACKETS = r"\[[^\[\]\r\n]{1,126}\]"
_PATH = re.compile(rf"(?:{_BARE}|{_BRACKETS})(?:\.(?:{_BARE}|{_BRACKETS}))*")
_SEGMENT = re.compile(rf"{_BRACKETS}|{_BARE}")
_INDEX = re.compile(r"\[([0-9]{1,2})\]")

FIXED = frozenset(
    {"Address", "ChannelType", "CreationDate", "EffectiveDate", "EndpointStatus", "Id", "OptOut", "RequestId"}
)
DEMOGRAPHIC = frozenset(
    {"AppVersion", "Locale", "Make", "Model", "ModelVersion", "Platform", "PlatformVersion", "Timezone"}
)
LOCATION = frozenset({"City", "Country", "Latitude", "Longitude", "PostalCode", "Region"})
_RESERVED = frozenset({"this", "else", "true", "false", "null", "undefined", "as"})


class PathProblem(ValueError):
    """A path that no value can ever stand behind; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Variable:
    """One variable of a template: the path without brackets, and which of several values is wanted (None: all)."""

    path: str
    index: int | None = None

    @property
    def is_endpoint_field(self) -> bool:
        """Whether the audience projects it into a column of its own (beside the fixed columns of a page)."""
        root = self.path.partition(".")[0]
        return root in ("Attributes", "Metrics", "Demographic", "Location") or self.path.startswith(
            "User.UserAttributes."
        )


def parse_variable(written: str) -> Variable:
    """Read a path as it stands between the braces.

    Raises:
        PathProblem: it is no path, or one that this product has no values for.
    """
    if not _PATH.fullmatch(written):
        raise PathProblem("is not a path; write names joined by dots, names with blanks in [brackets]")
    raw = _SEGMENT.findall(written)
    index: int | None = None
    # `Attributes.[0]` is the attribute named 0; an index only follows a complete name.
    if len(raw) > _names_needed(raw) and (match := _INDEX.fullmatch(raw[-1])):
        index = int(match[1])
        raw = raw[:-1]
    names = [part[1:-1] if part.startswith("[") else part for part in raw]
    _check(names)
    return Variable(".".join(names), index)


def _names_needed(raw: list[str]) -> int:
    if raw[:2] == ["User", "UserAttributes"]:
        return 3
    return 2 if raw[0] in ("Attributes", "Metrics", "User", "Demographic", "Location") else 1


def _check(names: list[str]) -> None:
    root, rest = names[0], names[1:]
    if root in _RESERVED or root.startswith("@"):
        raise PathProblem(f"{root} belongs to blocks, which are not supported yet")
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
