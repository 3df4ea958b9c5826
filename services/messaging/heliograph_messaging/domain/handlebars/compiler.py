"""Compiles the tree of one part to the lines of a Python function that puts its text together.

Fixed text and values are gathered in a list of pieces. Loops and partials spend work for each round, so that what is
nested ends in time; each partial becomes a function for each kind of place it is used in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from heliograph_messaging.domain.handlebars.code import Coder, Nowhere, Problem, Shared, constant, helper_name, is_list
from heliograph_messaging.domain.handlebars.limits import MAX_ITEMS, MAX_PARTIALS, MAX_STATEMENTS, STEP
from heliograph_messaging.domain.handlebars.lines import Lines
from heliograph_messaging.domain.handlebars.mistakes import Mistakes, shorten
from heliograph_messaging.domain.handlebars.scopes import (
    Definition,
    Frame,
    Kind,
    OfCode,
    OfObject,
    OfVariables,
    Reference,
    Scope,
)
from heliograph_messaging.domain.handlebars.table import CONDITIONS, HELPERS, NAMES
from heliograph_messaging.domain.handlebars.tree import (
    Block,
    Call,
    Content,
    Expression,
    Inline,
    Literal,
    Mustache,
    PartialCall,
    Path,
    Program,
)


class _Stop(Exception):
    """A bound is passed; the mistake is noted."""


class PartCompiler:
    """Compiles one part."""

    def __init__(self, shared: Shared, mistakes: Mistakes, form: str) -> None:
        """Take what all parts share, the part's mistakes, and its form: `html`, `json`, `line` or `raw`."""
        self._shared = shared
        self._mistakes = mistakes
        self._coder = Coder(shared, mistakes, form)
        self._made: dict[tuple[Definition, object], str] = {}
        self._used: set[Definition] = set()
        self._active: list[Definition] = []
        self._guessing = False
        self._guessing = False

    def compile(self, program: Program, name: str) -> tuple[list[str], tuple[int, Mapping[int, int]] | None]:
        """Return lines that give the part's text to the local `name`, and what its length is made of.

        That is the length of the fixed text and how often each slot occurs at most; None when the code itself counts.
        """
        out = Lines()
        try:
            self._body(program, Scope(), out, top=True)
        except _Stop:
            return [], None
        coder = self._coder
        if not out.lines:
            pieces = out.take()
            joined = pieces[0] if len(pieces) == 1 else f"''.join(({''.join(f'{piece}, ' for piece in pieces)}))"
            lines = [f" {name} = {joined if pieces else repr('')}"]
            if not coder.counted:
                return lines, (out.fixed, coder.occurrences)
            out.pieces = pieces
        out.flush()
        if coder.counted:
            return [" o = []", *out.lines, f" {name} = j({self._mistakes.part!r}, o)"], None
        return [" o = []", *out.lines, f" {name} = ''.join(o)"], (out.fixed, coder.occurrences)

    # -- statements -------------------------------------------------------------------------------------------------

    def _body(self, program: Program, scope: Scope, out: Lines, *, top: bool) -> None:
        scope = self._with_partials(program, scope)
        for node in program.body:
            self._shared.statements += 1
            if self._shared.statements > MAX_STATEMENTS:
                self._mistakes.stop(0, f"it has more than {MAX_STATEMENTS:,} parts once its partials are put in")
            if self._mistakes.stopped or self._mistakes.full:
                raise _Stop
            try:
                if isinstance(node, Content):
                    out.text(node.value)
                elif isinstance(node, Mustache):
                    self._mustache(node, scope, out, top=top)
                elif isinstance(node, Block):
                    self._block(node, scope, out)
                elif isinstance(node, PartialCall):
                    self._partial(node, scope, out)
            except Nowhere as problem:
                if not self._guessing:
                    self._mistakes.add(problem.at, str(problem))
            except Problem as problem:
                self._mistakes.add(problem.at, str(problem))
        for node in program.body:
            if isinstance(node, Inline) and scope.partials[node.name] not in self._used:
                self._look_through(scope.partials[node.name], scope)

    def _with_partials(self, program: Program, scope: Scope) -> Scope:
        """Return the scope with the partials defined in a body; they are known in all of it, also before."""
        inlines = [node for node in program.body if isinstance(node, Inline)]
        if not inlines:
            return scope
        partials = dict(scope.partials)
        for node in inlines:
            if node.name in partials:
                self._mistakes.add(node.at, f"there is a partial {shorten(node.name)} here already")
            partials[node.name] = Definition(node, partials, scope.hidden | scope.names.keys())
        return replace(scope, partials=partials)

    def _mustache(self, node: Mustache, scope: Scope, out: Lines, *, top: bool) -> None:
        call = node.call
        target = call.target
        if isinstance(target, Literal):
            raise Problem(call.at, f"{target.value!r} alone is no variable; write a name, or the text without braces")
        name = helper_name(target)
        reference: Reference
        if not call.bare or (name in NAMES and name not in scope.names):
            reference = self._coder.helper(call, target, scope, top=top)
        else:
            reference = self._coder.reference(target, scope)
        out.piece(self._coder.shown(reference, call if not call.bare else target, escaped=node.escaped, top=top))

    def _block(self, node: Block, scope: Scope, out: Lines) -> None:
        """Write a block; `{{else if}}` after a test becomes another branch of the same `if`."""
        if out.deep:
            self._mistakes.stop(node.call.at, "too many blocks stand inside of each other")
            raise _Stop
        word = "if"
        while True:
            test = self._test_of(node.call, scope)
            if test is None:
                if word == "elif":
                    with out.block("else:"):
                        self._other_block(node, scope, out)
                else:
                    self._other_block(node, scope, out)
                return
            if node.program is None:
                test = f"not {test}"
            with out.block(f"{word} {test}:"):
                self._body(node.program or node.inverse or Program(), scope, out, top=False)
            inverse = node.inverse if node.program is not None else None
            if inverse is None:
                return
            following = inverse.body[0] if inverse.chained else None
            if not isinstance(following, Block):
                with out.block("else:"):
                    self._body(inverse, scope, out, top=False)
                return
            node, word = following, "elif"

    def _test_of(self, call: Call, scope: Scope) -> str | None:
        """Return the test of a block that only tests, None for any other block."""
        if not isinstance(call.target, Path):
            raise Problem(call.at, "a block begins with a name")
        name = helper_name(call.target)
        if name in scope.names or (name not in ("if", "unless") and name not in CONDITIONS):
            return None
        if call.block_params:
            raise Problem(call.at, "only {{#each}} and {{#with}} have block parameters")
        if (condition := CONDITIONS.get(name)) is not None:
            for option in call.options.keys() - {"yes", "no"}:
                raise Problem(call.at, f"{name} knows no {option}=")
            return self._coder.condition(condition, call, scope)
        if len(call.arguments) != 1:
            raise Problem(call.at, f"{{{{#{name}}}}} takes one value, not {len(call.arguments)}")
        code = self._coder.test(call.arguments[0], scope)
        for option, value in call.options.items():
            if option != "includeZero" or not isinstance(value, Literal) or not isinstance(value.value, bool):
                raise Problem(call.at, f"{{{{#{name}}}}} knows only includeZero=true and includeZero=false")
            if value.value:
                code = f"tz({code})"
        return code if name == "if" else f"(not {code})"

    def _other_block(self, node: Block, scope: Scope, out: Lines) -> None:
        call = node.call
        target = call.target
        if not isinstance(target, Path):
            raise Problem(call.at, "a block begins with a name")
        name = helper_name(target)
        if name in ("each", "with") and name not in scope.names:
            if len(call.arguments) != 1 or call.options:
                raise Problem(call.at, f"{{{{#{name}}}}} takes one value")
            write = self._each if name == "each" else self._with
            write(node, call.arguments[0], scope, out)
            return
        if call.block_params:
            raise Problem(call.at, "only {{#each}} and {{#with}} have block parameters")
        if not call.bare or name in HELPERS:
            reference: Reference = self._coder.helper(call, target, scope, top=False)
            self._with_value(node, reference, call, scope, out)
            return
        reference = self._coder.reference(target, scope)
        if is_list(reference):
            self._each(node, target, scope, out)
        elif isinstance(reference, OfCode) and reference.kind is Kind.FLAG:
            self._choice(node, reference.code, scope, scope, out)
        else:
            self._with(node, target, scope, out)

    # -- blocks -----------------------------------------------------------------------------------------------------

    def _choice(self, node: Block, test: str, inside: Scope, outside: Scope, out: Lines) -> None:
        """Write the two bodies of a block, the first of which belongs to the scope `inside`."""
        with out.block(f"if {test}:"):
            self._body(node.program or Program(), inside, out, top=False)
        if node.inverse is not None:
            with out.block("else:"):
                self._body(node.inverse, outside, out, top=False)

    def _each(self, node: Block, argument: Expression, scope: Scope, out: Lines) -> None:
        items = self._coder.list_of(self._coder.reference(argument, scope), argument)
        number = self._shared.number()
        self._coder.counted = self._shared.uses_run = True
        program = node.program or Program()
        out.line(f"l{number} = {items}[:{MAX_ITEMS}]")
        with out.block(f"if l{number}:"):
            out.line(f"n{number} = n(l{number}) - 1")
            with out.block(f"for i{number}, x{number} in en(l{number}):"):
                out.line(f"t(c, {STEP * (1 + program.size)})")
                item, index = OfCode(f"x{number}", Kind.TEXT), OfCode(f"i{number}", Kind.NUMBER)
                names = self._block_params(node.call, (item, index))
                frame = Frame(f"i{number}", f"n{number}")
                self._body(program, scope.inside(item, frame, names), out, top=False)
        if node.inverse is not None:
            with out.block("else:"):
                self._body(node.inverse, scope, out, top=False)

    def _with(self, node: Block, argument: Expression, scope: Scope, out: Lines) -> None:
        reference = self._coder.reference(argument, scope)
        if isinstance(reference, OfObject):
            names = self._block_params(node.call, (reference,))
            self._choice(node, "True", scope.inside(reference, None, names), scope, out)
        elif isinstance(reference, OfVariables) and is_list(reference):
            # What is inside may want the values as a list or as a text, so it is given the variable itself.
            names = self._block_params(node.call, (reference,))
            test = self._coder.list_of(reference, argument)
            self._choice(node, test, scope.inside(reference, None, names), scope, out)
        else:
            self._with_value(node, reference, argument, scope, out)

    def _with_value(self, node: Block, reference: Reference, argument: Expression, scope: Scope, out: Lines) -> None:
        if isinstance(reference, OfVariables):
            kind = Kind.ANY if any(one.is_number for one in reference.candidates) else Kind.TEXT
            local = OfCode(f"x{self._shared.number()}", kind)
            out.line(f"{local.code} = {self._coder.test(argument, scope)}")
        elif isinstance(reference, OfCode):
            local = OfCode(f"x{self._shared.number()}", reference.kind)
            out.line(f"{local.code} = {reference.code}")
        else:
            raise AssertionError("objects have no value")
        names = self._block_params(node.call, (local,))
        self._choice(node, f"f({local.code})", scope.inside(local, None, names), scope, out)

    def _block_params(self, call: Call, values: tuple[Reference, ...]) -> dict[str, Reference]:
        if len(call.block_params) > len(values):
            told = "an item and its index" if len(values) > 1 else "one value"
            raise Problem(call.at, f"this block has {told} to name")
        for name in call.block_params:
            if name in NAMES:
                raise Problem(call.at, f"{name} is the name of a helper; choose another one")
        return dict(zip(call.block_params, values, strict=False))

    # -- partials ---------------------------------------------------------------------------------------------------

    def _partial(self, node: PartialCall, scope: Scope, out: Lines) -> None:
        definition = scope.partials.get(node.name)
        if definition is None:
            raise Problem(node.at, f"there is no inline partial {shorten(node.name)} here")
        if definition in self._active:
            raise Problem(node.at, f"the partial {shorten(node.name)} would use itself without end")
        if len(self._active) >= MAX_PARTIALS:
            raise Problem(node.at, f"more than {MAX_PARTIALS} partials use each other, one inside the other")
        self._coder.counted = self._shared.uses_run = True
        inside = replace(scope, names={}, hidden=definition.hidden, partials=definition.partials)
        if node.context is not None:
            inside = inside.inside(self._handed(node.context, scope, out))
        if node.options:
            given = {name: self._handed(value, scope, out) for name, value in node.options.items()}
            inside = replace(inside, given={**inside.given, **given}, given_at=len(inside.contexts))
        arguments: dict[str, str] = {}
        local = inside.rename(lambda code: arguments.setdefault(code, f"p{len(arguments)}"))
        function = self._function(definition, local, list(arguments.values()))
        handed = "".join(f", {code}" for code in arguments)
        if not node.indent:
            out.line(f"{function}(c, v, o{handed})")
            return
        pieces = f"b{self._shared.number()}"
        out.line(f"{pieces} = []")
        out.line(f"{function}(c, v, {pieces}{handed})")
        out.piece(f"ind(c, {self._mistakes.part!r}, {pieces}, {node.indent!r})")

    def _handed(self, expression: Expression, scope: Scope, out: Lines) -> Reference:
        """Return what a partial is given: variables and constants as they are, the rest as the value of a local."""
        if isinstance(expression, Literal):
            return constant(expression)
        reference = self._coder.reference(expression, scope)
        if not isinstance(reference, OfCode) or reference.constant or reference.code.isidentifier():
            return reference
        name = f"x{self._shared.number()}"
        out.line(f"{name} = {reference.code}")
        return replace(reference, code=name)

    def _function(self, definition: Definition, scope: Scope, parameters: list[str]) -> str:
        key = (definition, scope.key())
        self._used.add(definition)
        if (name := self._made.get(key)) is not None:
            return name
        name = f"f{self._shared.number()}"
        out = Lines()
        out.line(f"t(c, {STEP * (1 + definition.node.program.size)})")
        self._active.append(definition)
        self._body(definition.node.program, scope, out, top=False)
        self._active.pop()
        out.flush()
        self._shared.functions += [f"def {name}(c, v, o{''.join(f', {p}' for p in parameters)}):", *out.lines]
        self._made[key] = name
        return name

    def _look_through(self, definition: Definition, scope: Scope) -> None:
        """Check the body of a partial that nothing uses; as nobody knows where it is meant for, paths may lead nowhere."""
        if definition in self._active or len(self._active) >= MAX_PARTIALS:
            return
        inside = replace(scope, names={}, hidden=definition.hidden, partials=definition.partials)
        before, self._guessing = self._guessing, True
        self._used.add(definition)
        self._active.append(definition)
        self._body(definition.node.program, inside, Lines(), top=False)
        self._active.pop()
        self._guessing = before
