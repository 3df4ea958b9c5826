"""What goes wrong with a template: mistakes found when it is compiled, failures of one rendering. Both have places."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from heliograph_messaging.domain.handlebars.limits import MAX_ERRORS


@dataclass(frozen=True, slots=True)
class CompileError:
    """One mistake: the part it is in, the line and column (both from 1) and what to do."""

    part: str
    line: int
    column: int
    problem: str

    def __str__(self) -> str:
        """Tell place and problem."""
        return f"line {self.line}, column {self.column}: {self.problem}"


class DoesNotCompile(ValueError):
    """The template has mistakes; `errors` lists them (at most 50), part by part from top to bottom."""

    def __init__(self, errors: Sequence[CompileError]) -> None:
        """Take the mistakes."""
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{error.part} {error}" for error in self.errors[:3]))


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a template that may fail when it is rendered. `shown`: the variable or helper there."""

    part: str
    line: int
    column: int
    shown: str


class Failure(StrEnum):
    """Why a message cannot be rendered."""

    MISSING_VARIABLE = "MISSING_VARIABLE"
    """A variable is rendered that has no value and no default, and the template is strict."""
    BAD_VALUE = "BAD_VALUE"
    """A helper cannot work with a value, such as a date that is none, and the template is strict."""
    TOO_MUCH_OUTPUT = "TOO_MUCH_OUTPUT"
    """A part would become longer than 1,000,000 characters."""
    TOO_MUCH_WORK = "TOO_MUCH_WORK"
    """Loops, partials or helpers do more than a message may cost."""


class RenderingFailed(ValueError):
    """One recipient's message cannot be rendered; the text says why and where. Others of the batch may well be."""

    def __init__(self, failure: Failure, problem: str, site: Site | None = None) -> None:
        """Take the kind of failure, words for people, and the place as far as there is one."""
        self.failure = failure
        self.site = site
        place = f" ({site.part}, line {site.line}, column {site.column})" if site else ""
        super().__init__(problem + place)

    @property
    def variable(self) -> str:
        """The variable without a value; empty for other failures."""
        return self.site.shown if self.site and self.failure is Failure.MISSING_VARIABLE else ""


class Mistakes:
    """Collects the mistakes of one part; all parts of a template share the list."""

    def __init__(self, part: str, text: str, errors: list[CompileError]) -> None:
        """Take the part's name and text, and where mistakes go."""
        self.part = part
        self._errors = errors
        self._text = text
        self._breaks: list[int] | None = None
        self.stopped = False

    def add(self, at: int, problem: str) -> None:
        """Note a mistake at an offset; those past the fiftieth are dropped, as are repetitions."""
        if not self.full:
            error = CompileError(self.part, *self.place(at), problem)
            if error not in self._errors:
                self._errors.append(error)

    def stop(self, at: int, problem: str) -> None:
        """Note that a bound is passed: the part is not looked at any further."""
        self.add(at, problem)
        self.stopped = True

    @property
    def full(self) -> bool:
        """Whether there are so many that looking for more is in vain."""
        return len(self._errors) >= MAX_ERRORS

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column of an offset, both from 1."""
        if self._breaks is None:
            self._breaks = [match.start() for match in re.finditer("\n", self._text)]
        line = bisect_right(self._breaks, at - 1) if at else 0
        start = self._breaks[line - 1] + 1 if line else 0
        return line + 1, at - start + 1

    def site(self, at: int, shown: str) -> Site:
        """Return a place that may fail later."""
        return Site(self.part, *self.place(at), shown)


def shorten(written: str) -> str:
    """Return what the author wrote on one line of at most 40 characters, to be quoted in a message."""
    flat = " ".join(written[:200].split())
    return flat if len(flat) <= 40 else f"{flat[:37]}..."
