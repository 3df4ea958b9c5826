"""The template compiler: text with `{{variables}}` becomes one Python closure that joins strings.

Safe by construction: the text of a template reaches the generated source only as the repr() of a string, variables
only as positions in a list. There is no attribute access, no call and no name of the author's in that source.
Blocks, helpers and partials of Handlebars (pinpoint-1 6.5) are refused with their place; they come later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heliograph_messaging.domain.paths import PathProblem, Variable, parse_variable

MAX_ERRORS = 50
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;"}
)
_NEEDS_ESCAPE = re.compile(r"""[&<>"'`=]""").search
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")

Render = Callable[[Sequence[str]], tuple[str, ...]]


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


@dataclass(frozen=True)
class Compiled:
    """A template ready to render.

    `render` takes one string per entry of `variables`, in that order, and returns one text per part.
    """

    parts: tuple[str, ...]
    variables: tuple[Variable, ...]
    render: Render

    def fields(self) -> list[str]:
        """Return the endpoint fields a page must carry as columns, sorted."""
        return sorted({variable.path for variable in self.variables if variable.is_endpoint_field})

    def names(self) -> list[str]:
        """Return the other variables, sorted: substitutions, and values of a page's fixed columns."""
        return sorted({variable.path for variable in self.variables if not variable.is_endpoint_field})


def compile_parts(parts: Sequence[Part]) -> Compiled:
    """Compile all parts of one template into one closure.

    Raises:
        DoesNotCompile: with every mistake in every part.
    """
    errors: list[CompileError] = []
    slots: dict[Variable, int] = {}
    texts: list[str] = []
    for part in parts:
        pieces = [_piece(token, slots, part) for token in _tokens(part, errors)]
        texts.append(f"''.join(({''.join(f'{piece}, ' for piece in pieces)}))" if pieces else "''")
    if errors:
        raise DoesNotCompile(errors[:MAX_ERRORS])
    source = f"def render(v):\n    return ({''.join(f'{text}, ' for text in texts)})\n"
    namespace: dict[str, object] = {"__builtins__": {}, "e": escape, "l": one_line, "j": json_string}
    exec(compile(source, "<template>", "exec"), namespace)  # noqa: S102 (see the module's first lines)
    render: Render = namespace["render"]  # type: ignore[assignment]
    return Compiled(tuple(part.name for part in parts), tuple(slots), render)


def escape(value: str) -> str:
    """Escape a value for HTML text and quoted attributes, as Handlebars does."""
    return value.translate(_ESCAPES) if _NEEDS_ESCAPE(value) else value


def one_line(value: str) -> str:
    """Replace line breaks and other control characters by a blank: a subject must not start another header."""
    return _CONTROL.sub(" ", value)


def json_string(value: str) -> str:
    """Return what stands for a value between the quotes of a JSON string."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


@dataclass(frozen=True, slots=True)
class _Value:
    variable: Variable
    raw: bool


def _piece(token: str | _Value, slots: dict[Variable, int], part: Part) -> str:
    if isinstance(token, str):
        return repr(token)
    slot = f"v[{slots.setdefault(token.variable, len(slots))}]"
    if part.json:
        return f"j({slot})"
    if part.html and not token.raw:
        return f"e({slot})"
    return f"l({slot})" if part.one_line else slot


def _tokens(part: Part, errors: list[CompileError]) -> list[str | _Value]:
    text, position = part.text, 0
    found: list[str | _Value] = []

    def mistake(at: int, problem: str) -> None:
        if len(errors) < MAX_ERRORS:
            line = text.count("\n", 0, at) + 1
            errors.append(CompileError(part.name, line, at - (text.rfind("\n", 0, at) + 1) + 1, problem))

    while (start := text.find("{{", position)) >= 0:
        if start > position:
            found.append(text[position:start])
        opening, closing = _braces(text, start)
        end = text.find(closing, start + len(opening))
        if end < 0:
            mistake(start, f"{opening} is never closed by {closing}")
            return found
        position = end + len(closing)
        if opening.startswith("{{!"):
            continue
        inner = text[start + len(opening) : end]
        problem = _refused(inner)
        if problem is None:
            try:
                found.append(_Value(parse_variable(inner.strip()), raw=opening == "{{{"))
            except PathProblem as error:
                problem = f"{{{{{_shown(inner)}}}}} {error}"
        if problem is not None:
            mistake(start, problem)
    if position < len(text):
        found.append(text[position:])
    return found


def _braces(text: str, start: int) -> tuple[str, str]:
    for opening, closing in (("{{!--", "--}}"), ("{{!", "}}"), ("{{{", "}}}")):
        if text.startswith(opening, start):
            return opening, closing
    return "{{", "}}"


_SIGNS: Mapping[str, str] = {
    "#": "blocks are not supported yet",
    "/": "blocks are not supported yet",
    "^": "blocks are not supported yet",
    ">": "partials are not supported yet",
    "&": "use three braces for a value that is not escaped",
    "*": "decorators are not supported",
    "@": "data variables belong to blocks, which are not supported yet",
    "~": "whitespace control is not supported",
    "{": "use two or three braces",
    ".": "paths start with a name",
}


def _refused(inner: str) -> str | None:
    """Tell why this expression is none of those we support, or None when it may be a variable."""
    body = inner.strip()
    if not body:
        return "{{}} names no variable"
    if body[0] in _SIGNS:
        return f"{{{{{_shown(inner)}}}}}: {_SIGNS[body[0]]}"
    if body.endswith("~"):
        return f"{{{{{_shown(inner)}}}}}: {_SIGNS['~']}"
    if body in ("else", "this"):
        return f"{{{{{body}}}}} belongs to blocks, which are not supported yet"
    outside = re.sub(r"\[[^\[\]]*\]", "", body)
    if re.search(r"\s|[()=\"']", outside):
        return f"{{{{{_shown(inner)}}}}}: helpers are not supported yet; write one variable"
    return None


def _shown(inner: str) -> str:
    flat = " ".join(inner.split())
    return flat if len(flat) <= 40 else f"{flat[:37]}..."
