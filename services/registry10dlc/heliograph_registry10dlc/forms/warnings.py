"""What is worth a look in a form before it is handed in, and stops nothing (pinpoint-2 4.5). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.forms.use_case_checks import USE_CASE, given_samples
from heliograph_registry10dlc.wording.holes import foreign_holes, has_holes


@dataclass(frozen=True)
class Warn:
    """One warning: the field, words for people, a reason for code."""

    path: str
    words: str
    reason: str


def warnings(kind: Kind, values: Mapping[str, str]) -> list[Warn]:
    """Return what a reviewer may stumble over in a use case; other forms have no warnings."""
    if kind is not Kind.USE_CASE:
        return []
    found = []
    if values.get(USE_CASE) == "CHARITY":
        words = "only a registered 501(c)(3) charity that is not religious passes; nothing here can look that up"
        found.append(Warn(USE_CASE, words, "CHARITY_IS_REVIEWED"))
    for path, sample in given_samples(values):
        if foreign := foreign_holes(sample):
            words = f"{foreign[0]} is taken for text of the message; mark what varies with {{#var}}"
            found.append(Warn(path, words, "UNKNOWN_PLACEHOLDER"))
        if has_holes(sample):
            words = "some reviewers want samples without {#var}; another sample with its values written out helps"
            found.append(Warn(path, words, "PLACEHOLDER"))
    return found
