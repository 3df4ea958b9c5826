"""Compiles the parts of a template to one Python closure.

Safe by construction: the author's text reaches the generated source only as the repr() of a string or a number, variables
only as positions in a row. There is no attribute access, no call and no name of the author's in that source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_messaging.domain.handlebars import runtime
from heliograph_messaging.domain.handlebars.calls import callable_of
from heliograph_messaging.domain.handlebars.code import Shared
from heliograph_messaging.domain.handlebars.compiled import Bound, Compiled, Slot
from heliograph_messaging.domain.handlebars.compiler import PartCompiler
from heliograph_messaging.domain.handlebars.limits import MAX_CHARACTERS, MAX_ERRORS
from heliograph_messaging.domain.handlebars.mistakes import CompileError, DoesNotCompile, Mistakes
from heliograph_messaging.domain.handlebars.parser import parse
from heliograph_messaging.domain.handlebars.table import ABSENT, HELPERS
from heliograph_messaging.domain.handlebars.values import Value, number_of, text_of
from heliograph_messaging.domain.handlebars.whitespace import strip_whitespace


@dataclass(frozen=True, slots=True)
class Part:
    """One text to compile.

    `html`: values are escaped. `one_line`: values lose line breaks (an e-mail subject). `json`: values are escaped as in
    JSON strings, with three braces too (a raw push payload).
    """

    name: str
    text: str
    html: bool = False
    one_line: bool = False
    json: bool = False

    @property
    def form(self) -> str:
        """The form its values are rendered in."""
        return "json" if self.json else "line" if self.one_line else "html" if self.html else "raw"


def compile_parts(parts: Sequence[Part], *, strict: bool = True) -> Compiled:
    """Compile all parts of one template into one closure.

    `strict`: a variable that is rendered and has no value fails the message; otherwise it is left out (pinpoint-1 6.4).

    Raises:
        DoesNotCompile: with every mistake in every part, at most 50.
    """
    source, shared, bounds = _generate(parts, strict=strict)
    namespace = _namespace(shared.helpers)
    exec(compile(source, "<template>", "exec"), namespace)  # noqa: S102 (see the module's first lines)
    variables = list(dict.fromkeys(variable for variable, _ in shared.slots))
    positions = {variable: position for position, variable in enumerate(variables)}
    return Compiled(
        parts=tuple(part.name for part in parts),
        variables=tuple(variables),
        strict=strict,
        uses=tuple(shared.uses.values()),
        slots=tuple(Slot(positions[one], "list" if one.many else form) for one, form in shared.slots),
        sites=tuple(shared.sites),
        required=dict(shared.required),
        bounds=tuple(bounds),
        uses_run=shared.uses_run,
        function=namespace["render"],
    )


def source_of(parts: Sequence[Part], *, strict: bool = True) -> str:
    """Return the Python source that a template becomes, to look at.

    Raises:
        DoesNotCompile: with every mistake in every part, at most 50.
    """
    return _generate(parts, strict=strict)[0]


def _generate(parts: Sequence[Part], *, strict: bool) -> tuple[str, Shared, list[Bound]]:
    errors: list[CompileError] = []
    shared = Shared(strict)
    body: list[str] = []
    bounds: list[Bound] = []
    for number, part in enumerate(parts):
        mistakes = Mistakes(part.name, part.text, errors)
        lines, length = _compile(part, f"r{number}", PartCompiler(shared, mistakes, part.form), mistakes)
        body += lines
        if length is not None:
            bounds.append(Bound(part.name, *length))
    if errors:
        order = {part.name: index for index, part in enumerate(parts)}
        errors.sort(key=lambda error: (order[error.part], error.line, error.column))
        raise DoesNotCompile(errors[:MAX_ERRORS])
    results = "".join(f"r{number}, " for number in range(len(parts)))
    return "\n".join([*shared.functions, "def render(v, c):", *body, f" return ({results})", ""]), shared, bounds


def _compile(
    part: Part, name: str, compiler: PartCompiler, mistakes: Mistakes
) -> tuple[list[str], tuple[int, Mapping[int, int]] | None]:
    text = part.text
    if len(text) > MAX_CHARACTERS:
        mistakes.stop(0, f"it has {len(text):,} characters, at most {MAX_CHARACTERS:,} fit")
        return [], None
    broken = next((index for index, one in enumerate(text) if one == "\0" or "\ud800" <= one <= "\udfff"), None)
    if broken is not None:
        mistakes.stop(broken, "this character belongs to no text")
        return [], None
    program = parse(text, mistakes)
    if mistakes.stopped:
        return [], None
    strip_whitespace(program)
    return compiler.compile(program, name)


def _namespace(helpers: Mapping[str, str]) -> dict[str, Any]:
    names: dict[str, Any] = {
        "__builtins__": {},
        "e": runtime.escaped,
        "en": enumerate,
        "eq": runtime.equal,
        "f": runtime.filled,
        "ind": runtime.indented,
        "j": runtime.joined,
        "js": runtime.quoted,
        "l": runtime.lined,
        "lt": runtime.less,
        "n": len,
        "nu": _numeric,
        "q": runtime.present,
        "s": text_of,
        "t": runtime.spend,
        "tz": _present_or_zero,
        "z": ABSENT,
    }
    for helper, alias in helpers.items():
        names[alias] = callable_of(HELPERS[helper])
    return names


def _numeric(value: str | None) -> Value:
    """Return the number that a metric is, so that 0 counts as nothing."""
    number = number_of(value)
    return value if number is None else number


def _present_or_zero(value: Value) -> bool:
    """Test with `includeZero=true`."""
    return bool(value) or (value == 0 and value is not False)
