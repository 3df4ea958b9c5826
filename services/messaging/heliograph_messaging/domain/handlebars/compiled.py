"""A compiled template: what it needs, and its rendering for one recipient or for a page of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from heliograph_messaging.domain.handlebars.code import Level, Use
from heliograph_messaging.domain.handlebars.columns import prepare
from heliograph_messaging.domain.handlebars.limits import FAIR_WORK, MAX_OUTPUT, MAX_PAGE_WORK, MAX_WORK
from heliograph_messaging.domain.handlebars.mistakes import Site
from heliograph_messaging.domain.handlebars.runtime import Occasion, Run, missing, too_long
from heliograph_messaging.domain.paths import Variable

Given: TypeAlias = str | Sequence[str] | None
"""What stands behind a variable: a text or None, of a variable that is `many` a sequence."""


@dataclass(frozen=True)
class Slot:
    """One entry of the row that generated code reads: the position of its variable, and the form of the value."""

    variable: int
    form: str


@dataclass(frozen=True)
class Bound:
    """What the length of a part is made of: its fixed text, and how often each slot occurs at most."""

    part: str
    fixed: int
    occurrences: Mapping[int, int]


@dataclass(frozen=True)
class Missing:
    """A variable that a template renders and nobody provides. `always`: without it no message is sent at all."""

    variable: Variable
    part: str
    line: int
    column: int
    always: bool


@dataclass(frozen=True)
class Compiled:
    """A template ready to render: `variables` says for what values are needed, in which order."""

    parts: tuple[str, ...]
    variables: tuple[Variable, ...]
    strict: bool
    uses: tuple[Use, ...]
    slots: tuple[Slot, ...]
    sites: tuple[Site, ...]
    required: Mapping[int, int]
    """Slots without whose values no message can be rendered, and where each is first rendered."""
    bounds: tuple[Bound, ...]
    uses_run: bool
    function: Callable[[Sequence[Given], Run | None], tuple[str, ...]]

    def fields(self) -> list[str]:
        """Return the endpoint fields a page must carry as columns, sorted."""
        return sorted({variable.path for variable in self.variables if variable.is_endpoint_field})

    def names(self) -> list[str]:
        """Return the other variables, sorted: substitutions, and values of a page's fixed columns."""
        return sorted({variable.path for variable in self.variables if not variable.is_endpoint_field})

    def render(self, values: Sequence[Given], occasion: Occasion) -> tuple[str, ...]:
        """Render for one recipient; `values` has one entry for each of `variables`. Returns one text per part.

        Raises:
            RenderingFailed: a value is missing or no helper can work with it, or a bound is passed.
        """
        return self.page([[value] for value in values], 1).render(0, occasion)

    def page(self, columns: Sequence[list[Any]], count: int) -> Page:
        """Prepare a page of `count` recipients; `columns` holds a list for each of `variables`."""
        return Page(self, columns, count)


class Page:
    """Values of a page, escaped column by column, ready to be put into each recipient's text."""

    def __init__(self, compiled: Compiled, columns: Sequence[list[Any]], count: int) -> None:
        """Take the columns, each with `count` entries."""
        self._compiled = compiled
        self._work = MAX_PAGE_WORK
        prepared = [prepare(columns[slot.variable], slot.form) for slot in compiled.slots]
        rows = zip(*(column.values for column in prepared), strict=True)
        self._rows: Sequence[tuple[Any, ...]] = list(rows) if prepared else [()] * count
        # Who lacks a value that is always rendered, found column by column: almost always nobody.
        self._lacking: dict[int, int] = {}
        if compiled.strict:
            for slot, site in compiled.required.items():
                if not prepared[slot].complete:
                    for position, value in enumerate(prepared[slot].values):
                        if value is None:
                            self._lacking.setdefault(position, site)
        # Parts that could be too long for somebody: those are looked at one by one.
        self._long = [
            bound
            for bound in compiled.bounds
            if bound.fixed + sum(prepared[slot].size * times for slot, times in bound.occurrences.items()) > MAX_OUTPUT
        ]

    def render(self, position: int, occasion: Occasion) -> tuple[str, ...]:
        """Render for the recipient at a position of the page. Returns one text per part.

        Raises:
            RenderingFailed: a value is missing or no helper can work with it, or a bound is passed.
        """
        compiled = self._compiled
        if position in self._lacking:
            raise missing(compiled.sites[self._lacking[position]])
        row = self._rows[position]
        for bound in self._long:
            if (
                bound.fixed + sum(len(row[slot] or "") * times for slot, times in bound.occurrences.items())
                > MAX_OUTPUT
            ):
                raise too_long(bound.part)
        if not compiled.uses_run:
            return compiled.function(row, None)
        # A page whose recipients all cost the most must not hold up the process: the later ones may do less.
        work = max(min(MAX_WORK, self._work), FAIR_WORK)
        run = Run(occasion, compiled.sites, strict=compiled.strict, work=work)
        try:
            return compiled.function(row, run)
        finally:
            self._work -= work - run.work


def missing_variables(compiled: Compiled, available: Collection[str | Variable]) -> list[Missing]:
    """Return the variables that a template renders and that are not among the available ones, in their order.

    `available` holds paths, or variables where it matters which of several values there is. Variables that are only
    tested or gone through are none of those returned: `{{#if}}` and `{{#each}}` work without. Of those looked up in several
    contexts one is enough. Positions are those of the first place.
    """
    found: dict[Variable, Missing] = {}
    for use in compiled.uses:
        if use.level is Level.TESTED:
            continue
        if any(variable in available or variable.path in available for variable in use.variables):
            continue
        first, site = use.variables[0], use.site
        always = use.level is Level.ALWAYS
        if first not in found or (always and not found[first].always):
            found[first] = Missing(first, site.part, site.line, site.column, always)
    return list(found.values())
