"""Makes Python expressions out of the expressions of a template.

The author's text gets into them as the repr() of a string or number only; all names are our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from heliograph_messaging.domain.handlebars.calls import converted
from heliograph_messaging.domain.handlebars.mistakes import Mistakes, Site, shorten
from heliograph_messaging.domain.handlebars.scopes import Kind, OfCode, OfObject, OfVariables, Reference, Scope
from heliograph_messaging.domain.handlebars.table import (
    BLOCKS,
    CONDITIONS,
    HELPERS,
    Condition,
    Helper,
    Parameter,
    Type,
)
from heliograph_messaging.domain.handlebars.tree import Call, Expression, Literal, Path
from heliograph_messaging.domain.handlebars.values import NoValue
from heliograph_messaging.domain.paths import PathProblem, Variable

_SHAPES = {"html": "e", "json": "js", "line": "l"}
"""What brings a value into a form when it is known only while a message is rendered."""


class Problem(ValueError):
    """A mistake of the template; `at` is the place."""

    def __init__(self, at: int, problem: str) -> None:
        """Take the place and what is wrong."""
        super().__init__(problem)
        self.at = at


class Nowhere(Problem):
    """A path that leads nowhere from the place where it stands."""


class Level(IntEnum):
    """How much a template wants a variable's value."""

    TESTED = 0
    """It may be missing: it is only tested or gone through."""
    SOMETIMES = 1
    """It is rendered in a block or partial."""
    ALWAYS = 2
    """It is rendered whatever the other values are."""


@dataclass(frozen=True, slots=True)
class Use:
    """One place where variables are used; the first of `variables` that has a value is taken."""

    variables: tuple[Variable, ...]
    site: Site
    level: Level


@dataclass
class Shared:
    """What the parts of a template have in common while they are compiled."""

    strict: bool
    slots: dict[tuple[Variable, str], int] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    uses: dict[tuple[tuple[Variable, ...], Level], Use] = field(default_factory=dict)
    helpers: dict[str, str] = field(default_factory=dict)
    functions: list[str] = field(default_factory=list)
    required: dict[int, int] = field(default_factory=dict)
    """Slots that hold a value whenever a message is rendered, and the first place of each."""
    uses_run: bool = False
    statements: int = 0
    _last: int = 0

    def number(self) -> int:
        """Return a number for a local name that nobody else has."""
        self._last += 1
        return self._last

    def slot(self, variable: Variable, form: str) -> str:
        """Return the expression of a variable's value in a form: `raw`, `html`, `json` or `line`."""
        return f"v[{self.slots.setdefault((variable, form), len(self.slots))}]"


class Coder:
    """Makes code for the expressions of one part."""

    def __init__(self, shared: Shared, mistakes: Mistakes, form: str) -> None:
        """Take what all parts share, the part's mistakes, and the form its values are rendered in."""
        self.shared = shared
        self.mistakes = mistakes
        self.form = form
        self.counted = False
        """Whether rendering the part has to count its characters; else they are known from those of the variables."""
        self.occurrences: dict[int, int] = {}

    # -- references -------------------------------------------------------------------------------------------------

    def reference(self, expression: Expression, scope: Scope, *, top: bool = False) -> Reference:
        """Return what an argument is. `top`: it is looked at whatever the values are.

        Raises:
            Problem: it is nothing.
        """
        if isinstance(expression, Literal):
            return constant(expression)
        if isinstance(expression, Path):
            try:
                return scope.resolve(expression)
            except PathProblem as problem:
                raise Nowhere(expression.at, f"{shorten(expression.original)} {problem}") from problem
        if not isinstance(expression.target, Path):
            raise Problem(expression.at, "a helper is a name")
        return self.helper(expression, expression.target, scope, top=top)

    def helper(self, call: Call, target: Path, scope: Scope, *, top: bool) -> OfCode:
        """Return the result of a helper.

        Raises:
            Problem: there is none of that name, or its arguments are wrong.
        """
        name = helper_name(target)
        if (condition := CONDITIONS.get(name)) is not None:
            return self._condition_value(condition, call, scope)
        if (helper := HELPERS.get(name)) is not None:
            return self._call(helper, call, scope, top=top)
        if name in BLOCKS:
            raise Problem(call.at, f"{name} is a block; write {{{{#{name} ...}}}}...{{{{/{name}}}}}")
        raise Problem(call.at, f"there is no helper {shorten(target.original)}")

    # -- tests ------------------------------------------------------------------------------------------------------

    def test(self, expression: Expression, scope: Scope) -> str:
        """Return an expression that is true when a value is: not missing, false, 0, empty."""
        return self._plain(self.reference(expression, scope), expression, Level.TESTED)

    def condition(self, condition: Condition, call: Call, scope: Scope) -> str:
        """Return an expression of what a testing helper finds.

        Raises:
            Problem: the number of arguments is wrong.
        """
        count = len(call.arguments)
        if count < condition.least or (condition.most is not None and count > condition.most):
            wanted = str(condition.least) if condition.most else f"{condition.least} or more"
            raise Problem(call.at, f"{condition.name} takes {wanted} arguments, not {count}")
        self.shared.uses_run = True
        return condition.code(*(self.test(argument, scope) for argument in call.arguments))

    def _condition_value(self, condition: Condition, call: Call, scope: Scope) -> OfCode:
        for name in call.options.keys() - {"yes", "no"}:
            raise Problem(call.at, f"{condition.name} knows no {name}=, only yes= and no=")
        code = self.condition(condition, call, scope)
        if not call.options:
            return OfCode(f"(True if {code} else False)", Kind.FLAG)
        parts = {"yes": "True", "no": "False"}
        optional = False
        for name, expression in call.options.items():
            reference = self.reference(expression, scope)
            parts[name] = self._plain(reference, expression, Level.SOMETIMES)
            if may_miss(reference):
                optional = not self.shared.strict
                if self.shared.strict:
                    parts[name] = self.demanded(parts[name], reference, expression)
        return OfCode(f"({parts['yes']} if {code} else {parts['no']})", Kind.ANY, optional)

    # -- values -----------------------------------------------------------------------------------------------------

    def list_of(self, reference: Reference, expression: Expression) -> str:
        """Return an expression of a reference's list; of what is no list it is empty."""
        if isinstance(reference, OfVariables):
            self.use(reference, expression.at, Level.TESTED)
            many = [Variable(one.path, one.index, many=True) for one in reference.candidates if one.index is None]
            if len(many) < len(reference.candidates):
                return "()"
            slots = [self.shared.slot(variable, "raw") for variable in many]
            return slots[0] if len(slots) == 1 else f"({' or '.join(slots)})"
        if isinstance(reference, OfObject):
            raise _nothing(reference, expression, "list")
        return "()"

    def _plain(self, reference: Reference, expression: Expression, level: Level, *, exact: bool = False) -> str:
        """Return an expression of a value. `exact`: numbers stay as they are written."""
        if isinstance(reference, OfVariables):
            self.use(reference, expression.at, level)
            slots = [(self.shared.slot(variable, "raw"), variable.is_number) for variable in reference.candidates]
            return self._first([f"nu({slot})" if number and not exact else slot for slot, number in slots])
        if isinstance(reference, OfObject):
            raise _nothing(reference, expression, "value")
        return reference.code

    def _first(self, codes: list[str]) -> str:
        code = codes[-1]
        for earlier in reversed(codes[:-1]):
            code = f"({earlier} if {earlier} is not None else {code})"
        return code

    # -- calls ------------------------------------------------------------------------------------------------------

    def _call(self, helper: Helper, call: Call, scope: Scope, *, top: bool) -> OfCode:
        least = sum(1 for parameter in helper.parameters if parameter.required)
        most, count = len(helper.parameters), len(call.arguments)
        if not least <= count <= most:
            wanted = str(most) if least == most else f"{least} to {most}"
            told = f"; for a variable of that name write {{{{this.{helper.name}}}}}" if not count and most else ""
            raise Problem(call.at, f"{helper.name} takes {wanted} arguments, not {count}{told}")
        known = {option.name for option in helper.options}
        for name in call.options:
            if name not in known:
                there = f"only {', '.join(sorted(known))}" if known else "and no other key"
                raise Problem(call.at, f"{helper.name} knows no {name}=, {there}")
        site = self.site(call.at, f"{helper.name} ..." if count else helper.name)
        codes = []
        for index, parameter in enumerate(helper.parameters):
            written = call.arguments[index] if index < count else None
            codes.append(self._argument(helper, parameter, written, scope, top=top))
        codes += [
            self._argument(helper, option, call.options.get(option.name), scope, top=top) for option in helper.options
        ]
        self.shared.uses_run = True
        self.counted = True
        alias = self.shared.helpers.setdefault(helper.name, f"h{len(self.shared.helpers)}")
        optional = helper.name == "lookup" or not self.shared.strict
        return OfCode(f"{alias}({', '.join(['c', str(site), *codes])})", Kind.ANY, optional)

    def _argument(
        self, helper: Helper, parameter: Parameter, expression: Expression | None, scope: Scope, *, top: bool
    ) -> str:
        if expression is None:
            return "z"
        if isinstance(expression, Literal):
            self._check_literal(helper, parameter, expression)
        reference = self.reference(expression, scope, top=top)
        level = Level.TESTED if parameter.missing_too else Level.ALWAYS if top else Level.SOMETIMES
        if parameter.type is Type.LIST and not isinstance(reference, OfCode):
            code = self.list_of(reference, expression)
            if code != "()":
                if isinstance(reference, OfVariables):
                    self.use(reference, expression.at, level)
                    if self.shared.strict and not parameter.missing_too:
                        code = f"q(c, {code} or None, {self.site(expression.at, reference.candidates[0].path)})"
                return code
        exact = parameter.type not in (Type.ANY, Type.NUMBER, Type.WHOLE, Type.INTEGER)
        code = self._plain(reference, expression, level, exact=exact)
        if self.shared.strict and not parameter.missing_too and may_miss(reference):
            code = self.demanded(code, reference, expression)
        return code

    def _check_literal(self, helper: Helper, parameter: Parameter, literal: Literal) -> None:
        if parameter.type is Type.LIST:
            raise Problem(literal.at, f"{helper.name}: {parameter.name} is a list of values, not a text")
        if literal.value is None and not parameter.missing_too:
            raise Problem(literal.at, f"{helper.name}: {parameter.name} cannot be null")
        if literal.value is not None:
            try:
                value: Any = converted(literal.value, parameter.type)
            except NoValue as error:
                raise Problem(literal.at, f"{helper.name}: {parameter.name}: {error}") from error
            if helper.name == "abbreviate" and parameter.name == "length" and value < 4:
                raise Problem(literal.at, "abbreviate: length: at least 4 characters are needed")

    # -- rendering --------------------------------------------------------------------------------------------------

    def shown(self, reference: Reference, expression: Expression, *, escaped: bool, top: bool) -> str:
        """Return an expression of the text that is rendered for a reference."""
        form = self.form if escaped or self.form in ("json", "line") else "raw"
        if isinstance(reference, OfVariables):
            return self._shown_variable(reference, expression, form, top=top)
        code = self._plain(reference, expression, Level.SOMETIMES)
        if isinstance(reference, OfObject):
            raise AssertionError("an object has no text")
        if self.shared.strict and may_miss(reference):
            code = self.demanded(code, reference, expression)
        if reference.kind is not Kind.TEXT:
            code = f"s({code})"
        elif may_miss(reference) and not self.shared.strict:
            code = f"({code} or '')"
        if form != "raw" and reference.kind not in (Kind.NUMBER, Kind.FLAG):
            self.shared.uses_run = True
            code = f"{_SHAPES[form]}(c, {code})"
        self.counted = True
        return code

    def _shown_variable(self, reference: OfVariables, expression: Expression, form: str, *, top: bool) -> str:
        slots = [self.shared.slot(variable, form) for variable in reference.candidates]
        for variable in reference.candidates:
            slot = self.shared.slots[variable, form]
            self.occurrences[slot] = self.occurrences.get(slot, 0) + 1
        self.use(reference, expression.at, Level.ALWAYS if top else Level.SOMETIMES)
        code = self._first(slots)
        if not self.shared.strict:
            return f"({code} or '')"
        if top and len(slots) == 1:
            # Checked for all recipients at once, before any of them is rendered.
            site = self.site(expression.at, reference.candidates[0].path)
            self.shared.required.setdefault(self.shared.slots[reference.candidates[0], form], site)
            return code
        return self.demanded(code, reference, expression)

    def demanded(self, code: str, reference: Reference, expression: Expression) -> str:
        """Return an expression that fails when the value is missing."""
        self.shared.uses_run = True
        shown = reference.candidates[0].path if isinstance(reference, OfVariables) else _shown(expression)
        return f"q(c, {code}, {self.site(expression.at, shown)})"

    def site(self, at: int, shown: str) -> int:
        """Note a place that may fail and return its number."""
        self.shared.sites.append(self.mistakes.site(at, shown))
        return len(self.shared.sites) - 1

    def use(self, reference: OfVariables, at: int, level: Level) -> None:
        """Note that variables are used, once for each level."""
        key = (reference.candidates, level)
        if key not in self.shared.uses:
            site = self.mistakes.site(at, reference.candidates[0].path)
            self.shared.uses[key] = Use(reference.candidates, site, level)


def helper_name(target: Path) -> str:
    """Return the name when a path may name a helper: one name, not behind `this` or `../`; else an empty text."""
    return target.names[0].text if len(target.names) == 1 and not target.scoped and not target.data else ""


def is_list(reference: Reference) -> bool:
    """Tell whether a reference may have several values."""
    return isinstance(reference, OfVariables) and all(variable.index is None for variable in reference.candidates)


def constant(literal: Literal) -> OfCode:
    """Return the reference of a literal."""
    kinds: Mapping[type, Kind] = {str: Kind.TEXT, bool: Kind.FLAG, int: Kind.NUMBER, float: Kind.NUMBER}
    kind = kinds.get(type(literal.value), Kind.ANY)
    return OfCode(repr(literal.value), kind, optional=literal.value is None, constant=True)


def _nothing(reference: OfObject, expression: Expression, wanted: str) -> Problem:
    names = ".".join(reference.names)
    told = f"{_shown(expression)} is no {wanted}" + (f"; name one, as in {names}.x" if names else "")
    return Nowhere(expression.at, told)


def may_miss(reference: Reference) -> bool:
    """Tell whether there may be no value."""
    return isinstance(reference, OfVariables) or (isinstance(reference, OfCode) and reference.optional)


def _shown(expression: Expression) -> str:
    if isinstance(expression, Path):
        return shorten(expression.original)
    if isinstance(expression, Literal):
        return repr(expression.value)
    return f"({_shown(expression.target)} ...)"
