"""The attribute names of a project: how many there may be, and which are dropped (pinpoint-1 2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

from heliograph_segments.domain.endpoints import MAX_NAMES, EndpointUpdate, check_name
from heliograph_segments.domain.problems import Problem

V = TypeVar("V")


class Kind(StrEnum):
    """Which attributes are meant; the values are the members of `EndpointUpdate`."""

    ATTRIBUTES = "attributes"
    METRICS = "metrics"
    USER_ATTRIBUTES = "user_attributes"


Names = Mapping[Kind, frozenset[str]]
NO_NAMES: Names = {kind: frozenset() for kind in Kind}


@dataclass(frozen=True)
class Vocabulary:
    """The names in use, and the patterns of names that are not captured."""

    names: Names = field(default_factory=lambda: NO_NAMES)
    denied: Mapping[Kind, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(Kind, ()))

    @property
    def count(self) -> int:
        """How many names there are of all kinds: what the quota counts."""
        return sum(map(len, self.names.values()))

    def knows(self, updates: Iterable[EndpointUpdate]) -> bool:
        """Tell whether updates bring no name that is not in use; quick, for it is asked of every write."""
        attributes, metrics, of_users = (self.names[kind] for kind in Kind)
        return all(
            update.attributes.keys() <= attributes
            and update.metrics.keys() <= metrics
            and update.user_attributes.keys() <= of_users
            for update in updates
        )

    def with_names(self, added: Names) -> Vocabulary:
        """Return this with more names in use."""
        return Vocabulary({kind: self.names[kind] | added[kind] for kind in Kind}, self.denied)

    def without(self, kind: Kind, patterns: Sequence[str]) -> tuple[Vocabulary, list[str]]:
        """Return this with patterns that are dropped from now on, and the names in use that go, sorted."""
        gone = sorted(name for name in self.names[kind] if _matches(name, patterns))
        names = {**self.names, kind: self.names[kind] - set(gone)}
        denied = {**self.denied, kind: tuple(dict.fromkeys([*self.denied[kind], *patterns]))}
        return Vocabulary(names, denied), gone

    def allowing(self, kind: Kind, patterns: Iterable[str]) -> Vocabulary:
        """Return this without some patterns that are dropped; what is not among them is passed over."""
        again = set(patterns)
        return Vocabulary(
            self.names, {**self.denied, kind: tuple(pattern for pattern in self.denied[kind] if pattern not in again)}
        )

    def drops(self, kind: Kind, name: str) -> bool:
        """Tell whether a name is not captured; case matters."""
        return _matches(name, self.denied[kind])

    def captured(self, updates: Sequence[EndpointUpdate]) -> Sequence[EndpointUpdate]:
        """Return updates without the names that are dropped; the same object when nothing is dropped at all."""
        if not any(self.denied.values()):
            return updates
        return [
            update._replace(
                attributes=self._captured(Kind.ATTRIBUTES, update.attributes),
                metrics=self._captured(Kind.METRICS, update.metrics),
                user_attributes=self._captured(Kind.USER_ATTRIBUTES, update.user_attributes),
            )
            for update in updates
        ]

    def _captured(self, kind: Kind, given: Mapping[str, V]) -> Mapping[str, V]:
        return {name: held for name, held in given.items() if not _matches(name, self.denied[kind])}


def names_in(updates: Iterable[EndpointUpdate]) -> Names:
    """Return the names that updates bring; a name that is only removed is none of them."""
    attributes: set[str] = set()
    metrics: set[str] = set()
    of_users: set[str] = set()
    for update in updates:
        attributes.update(name for name, held in update.attributes.items() if held)
        metrics.update(update.metrics)
        of_users.update(name for name, held in update.user_attributes.items() if held)
    return {
        Kind.ATTRIBUTES: frozenset(attributes),
        Kind.METRICS: frozenset(metrics),
        Kind.USER_ATTRIBUTES: frozenset(of_users),
    }


def unknown(names: Names, vocabulary: Vocabulary) -> Names:
    """Return those of the names that are not in use."""
    return {kind: names[kind] - vocabulary.names[kind] for kind in Kind}


def admit(
    updates: Sequence[EndpointUpdate], vocabulary: Vocabulary, limit: int
) -> tuple[Vocabulary, dict[int, Problem]]:
    """Return the vocabulary with the new names of updates, and by place the updates that find no room, in their order."""
    refused: dict[int, Problem] = {}
    for place, update in enumerate(updates):
        added = unknown(names_in([update]), vocabulary)
        wider = vocabulary.with_names(added)
        if wider.count > limit and any(added.values()):
            words = f"the project may have {limit} attribute names and has {vocabulary.count}; remove some first"
            refused[place] = Problem("attributes", "TOO_MANY_ATTRIBUTE_NAMES", words)
        else:
            vocabulary = wider
    return vocabulary, refused


def check_patterns(kind: Kind | None, patterns: Sequence[str]) -> list[Problem]:
    """Say what is wrong with a request to drop names: 1 to 250 patterns of 1 to 50 characters."""
    found = [] if kind else [Problem("kind", "REQUIRED", "is required")]
    if not 1 <= len(patterns) <= MAX_NAMES:
        found.append(Problem("patterns", "OUT_OF_RANGE", f"must hold 1 to {MAX_NAMES} patterns"))
    for place, pattern in enumerate(patterns[: MAX_NAMES + 1]):
        found += check_name(f"patterns[{place}]", pattern)
    return found


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
