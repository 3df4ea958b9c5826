"""What a form is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from heliograph_registry10dlc.domain import Kind


class FieldType(StrEnum):
    """What a field holds. A value of CHOICES is one text: the choices with commas between."""

    TEXT = "TEXT"
    CHOICE = "CHOICE"
    CHOICES = "CHOICES"


class Lock(StrEnum):
    """From when on a field cannot change (pinpoint-2 4.2 and 4.8)."""

    NEVER = "NEVER"
    SUBMISSION = "SUBMISSION"
    """Since it was handed in for the first time."""
    APPROVAL = "APPROVAL"
    """Since it is in force."""


@dataclass(frozen=True)
class Choice:
    """A value a field may have, and what it means."""

    value: str
    description: str


@dataclass(frozen=True)
class Condition:
    """Holds when another field of the form has one of some values."""

    path: str
    values: tuple[str, ...]

    def holds(self, values: Mapping[str, str]) -> bool:
        """Tell whether it holds of a filled form."""
        return values.get(self.path, "") in self.values


@dataclass(frozen=True)
class Field:
    """One field of a form. Lengths are in characters, both ends allowed; 0 is none."""

    path: str
    section: str
    title: str
    description: str
    type: FieldType
    example: str = ""
    # Whether it must be filled before submitting; with `when`, only while that holds.
    required: bool = False
    when: Condition | None = None
    min_length: int = 0
    max_length: int = 0
    # What the whole of a TEXT must look like, and that in words; empty: anything will do. A dot matches a line break, too.
    pattern: str = ""
    pattern_description: str = ""
    choices: tuple[Choice, ...] = ()
    min_choices: int = 0
    max_choices: int = 0
    # Of CHOICES: fewest and most by the value of the field that `when` looks at; beside other values it must be empty.
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    locked_after: Lock = Lock.APPROVAL

    @property
    def values(self) -> tuple[str, ...]:
        """The values of its choices."""
        return tuple(choice.value for choice in self.choices)

    @property
    def changeable_when_approved(self) -> bool:
        """Whether it may change while the registration is in force."""
        return self.locked_after is Lock.NEVER

    def required_in(self, values: Mapping[str, str]) -> bool:
        """Tell whether a filled form must have it."""
        return self.required and (self.when is None or self.when.holds(values))


@dataclass(frozen=True)
class Section:
    """A part of a form."""

    path: str
    title: str
    description: str


@dataclass(frozen=True)
class Form:
    """A form: its fields in the order to show them. Iterating gives the fields."""

    kind: Kind
    version: str
    sections: tuple[Section, ...]
    fields: tuple[Field, ...]

    def __iter__(self) -> Iterator[Field]:
        """Give the fields."""
        return iter(self.fields)

    def __len__(self) -> int:
        """Count the fields."""
        return len(self.fields)

    def __getitem__(self, path: str) -> Field:
        """Return a field by its path. Raises KeyError."""
        for one in self.fields:
            if one.path == path:
                return one
        raise KeyError(path)
