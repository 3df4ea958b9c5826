"""The tree of a template, close to the one that handlebars.js makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Constant: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """One segment of a path. `bracketed`: written as `[segment]`, which is always a name or an index."""

    text: str
    bracketed: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """A path such as `../User.UserAttributes.[Last Name].[0]`, `this` or `@index`.

    `depth` counts `../`; `data`: begins with @; `scoped`: begins with `this` or a dot, so only there it is looked up.
    `names` is empty for `this` and `..` alone.
    """

    names: tuple[Name, ...]
    depth: int
    data: bool
    scoped: bool
    original: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, `true`, `false`, `null` or `undefined` (the last two are both None)."""

    value: Constant
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """What stands in braces or parentheses: a path alone, or a helper with arguments."""

    target: Path | Literal
    arguments: tuple[Expression, ...]
    options: Mapping[str, Expression]
    block_params: tuple[str, ...]
    at: int

    @property
    def bare(self) -> bool:
        """Whether there are no arguments at all."""
        return not self.arguments and not self.options


Expression: TypeAlias = Path | Literal | Call


@dataclass(frozen=True, slots=True)
class Strip:
    """Which sides of a tag carry `~`."""

    open: bool = False
    close: bool = False


@dataclass(slots=True)
class Content:
    """Fixed text. `original` is as written; whitespace rules change `value` only."""

    original: str
    value: str = ""
    right_stripped: bool = False
    left_stripped: bool = False

    def __post_init__(self) -> None:
        """Begin with what was written."""
        self.value = self.original


@dataclass(slots=True)
class Comment:
    """A comment; it matters for whitespace only."""

    strip: Strip


@dataclass(slots=True)
class Mustache:
    """A value to be rendered."""

    call: Call
    escaped: bool
    strip: Strip


@dataclass(slots=True)
class PartialCall:
    """`{{> name context key=value}}`. `indent`: blanks before a call that stands alone on its line."""

    name: str
    context: Expression | None
    options: Mapping[str, Expression]
    strip: Strip
    at: int
    indent: str = ""


@dataclass(slots=True)
class Program:
    """A sequence of nodes. `size` counts those inside of it at any depth; `chained`: it is one `{{else if}}`."""

    body: list[Node] = field(default_factory=list)
    chained: bool = False
    size: int = 0


@dataclass(slots=True)
class Block:
    """`{{#head}}program{{else}}inverse{{/head}}`; for `{{^head}}` the parts have changed places already."""

    call: Call
    program: Program | None
    inverse: Program | None
    open_strip: Strip
    inverse_strip: Strip | None
    close_strip: Strip | None


@dataclass(slots=True)
class Inline:
    """`{{#*inline "name"}}program{{/inline}}`."""

    name: str
    program: Program
    open_strip: Strip
    close_strip: Strip
    at: int


Node: TypeAlias = Content | Comment | Mustache | PartialCall | Block | Inline
