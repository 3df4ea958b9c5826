"""Where a path of a template leads, decided when it is compiled: to variables, or to what a block holds at that place.

There are no objects to look into when a message is rendered, so a path can lead nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeAlias

from heliograph_messaging.domain.handlebars.tree import Inline, Name, Path
from heliograph_messaging.domain.paths import OBJECTS, PathProblem, Variable, variable_of


class Kind(Enum):
    """What a Python expression of the generated code gives."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    ANY = auto()


@dataclass(frozen=True, slots=True)
class OfVariables:
    """The first of some variables that has a value. More than one only inside of `#with` on an object."""

    candidates: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class OfCode:
    """The value of a Python expression: one of our names, or a constant. `optional`: it may be None."""

    code: str
    kind: Kind
    optional: bool = False
    constant: bool = False


@dataclass(frozen=True, slots=True)
class OfObject:
    """Not a value, but what holds some: the root (empty), `User`, `Attributes` ..."""

    names: tuple[str, ...]


Reference: TypeAlias = OfVariables | OfCode | OfObject
ROOT = OfObject(())


@dataclass(frozen=True, slots=True)
class Frame:
    """One `#each` around a place: the expressions of the index and of the last index."""

    index: str
    last: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What surrounds a place: contexts and frames from the inside to the outside, names of block parameters, partials.

    `given`: what the call of a partial hands over, which belongs to the context that was `given_at` contexts deep.
    `hidden`: block parameters around an inline partial, which it cannot see.
    """

    contexts: tuple[Reference, ...] = (ROOT,)
    frames: tuple[Frame, ...] = ()
    names: Mapping[str, Reference] = field(default_factory=dict)
    given: Mapping[str, Reference] = field(default_factory=dict)
    given_at: int = 1
    partials: Mapping[str, Definition] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def inside(
        self, context: Reference, frame: Frame | None = None, names: Mapping[str, Reference] | None = None
    ) -> Scope:
        """Return the scope of a block's body."""
        return replace(
            self,
            contexts=(context, *self.contexts),
            frames=(frame, *self.frames) if frame else self.frames,
            names={**self.names, **names} if names else self.names,
        )

    def resolve(self, path: Path) -> Reference:
        """Return what a path leads to.

        A name that the innermost context does not have is looked for in those around it, as handlebars.js does in its
        mode `compat` and its port to Java always; not so behind `this`, a dot or `../`.

        Raises:
            PathProblem: nothing can ever stand there; the text says why.
        """
        if path.data:
            return self._data(path)
        if not path.names:
            return self._context(path.depth)
        first = path.names[0].text
        if not path.scoped and first in self.names:
            return _into(self.names[first], path.names[1:], path)
        if first in self.given and (not path.scoped or len(self.contexts) - path.depth == self.given_at):
            return _into(self.given[first], path.names[1:], path)
        if not path.scoped and first in self.hidden:
            raise PathProblem(f"is a block parameter that a partial does not see; hand it over as {first}=...")
        contexts = [self._context(path.depth)] if path.scoped else self.contexts
        found: list[Variable] = []
        for context in contexts:
            try:
                reference = _find(context, path.names)
            except PathProblem:
                if found:  # the root could never have it, what is inside of it may
                    break
                raise
            if isinstance(reference, OfVariables):
                found += [variable for variable in reference.candidates if variable not in found]
            elif reference is not None and not found:
                return reference
        if not found:
            raise PathProblem("leads nowhere: the value there is a text and has no parts")
        return OfVariables(tuple(found))

    def _context(self, depth: int) -> Reference:
        if depth >= len(self.contexts):
            raise PathProblem("leads out of the template: there are not so many blocks around it")
        return self.contexts[depth]

    def _data(self, path: Path) -> Reference:
        name, *rest = path.names or (Name(""),)
        if name.text == "root":
            if not rest:
                return ROOT
            if (found := _find(ROOT, rest)) is not None:
                return found
        elif not rest and name.text in ("index", "key", "first", "last"):
            if path.depth >= len(self.frames):
                raise PathProblem("stands outside of {{#each}}")
            frame = self.frames[path.depth]
            if name.text in ("index", "key"):
                return OfCode(frame.index, Kind.NUMBER)
            return OfCode(f"({frame.index} == {frame.last if name.text == 'last' else 0})", Kind.FLAG)
        raise PathProblem("is unknown; there are @index, @key, @first, @last and @root")

    def rename(self, name: Callable[[str], str]) -> Scope:
        """Return the scope with other Python names, for the body of a partial, which is a function of its own."""

        def renamed(reference: Reference) -> Reference:
            if isinstance(reference, OfCode) and not reference.constant:
                return replace(reference, code=name(reference.code))
            return reference

        return replace(
            self,
            contexts=tuple(renamed(context) for context in self.contexts),
            frames=tuple(Frame(name(frame.index), name(frame.last)) for frame in self.frames),
            names={key: renamed(reference) for key, reference in self.names.items()},
            given={key: renamed(reference) for key, reference in self.given.items()},
        )

    def key(self) -> object:
        """Return what tells scopes apart in which the body of a partial would be compiled to different code."""
        return (
            tuple(_key(context) for context in self.contexts),
            len(self.frames),
            tuple(sorted((name, _key(reference)) for name, reference in self.given.items())),
            self.given_at,
        )


@dataclass(frozen=True, eq=False)
class Definition:
    """An inline partial and what it sees: the partials defined around it, itself among them; no block parameters."""

    node: Inline
    partials: Mapping[str, Definition]
    hidden: frozenset[str]


def _key(reference: Reference) -> tuple[str, ...]:
    if isinstance(reference, OfVariables):
        return ("variables", *(repr(variable) for variable in reference.candidates))
    if isinstance(reference, OfObject):
        return ("object", *reference.names)
    return ("code", reference.kind.name, str(reference.optional), reference.code if reference.constant else "")


def _find(context: Reference, names: Sequence[Name]) -> Reference | None:
    """Return what names lead to within a context; None when it has no such thing and another one may.

    Raises:
        PathProblem: the context would have it, and can never.
    """
    if not isinstance(context, OfObject):
        return _element(context, names) if names[0].bracketed else None
    written = [*context.names, *(name.text for name in names)]
    known = OBJECTS.get(context.names)
    if known is not None and names[0].text not in known:
        return None
    if tuple(written) in OBJECTS:
        return OfObject(tuple(written))
    bracketed = [False] * len(context.names) + [name.bracketed for name in names]
    try:
        return OfVariables((variable_of(written, bracketed),))
    except PathProblem:
        if context.names:
            return None  # such as `Location.City` inside of `{{#with Attributes}}`: it belongs to the root
        raise


def _into(reference: Reference, names: Sequence[Name], path: Path) -> Reference:
    """Return what names lead to behind a block parameter."""
    if not names:
        return reference
    found = _find(reference, names)
    if found is None:
        raise PathProblem(f"leads nowhere: {path.names[0].text} is a text and has no parts")
    return found


def _element(reference: OfVariables | OfCode, names: Sequence[Name]) -> Reference | None:
    """Return one item of a list: `[0]`."""
    digits = names[0].text
    if len(names) > 1 or not (digits.isascii() and digits.isdigit() and len(digits) <= 2):
        return None
    if not isinstance(reference, OfVariables) or any(variable.index is not None for variable in reference.candidates):
        return None
    return OfVariables(tuple(replace(variable, index=int(digits)) for variable in reference.candidates))
