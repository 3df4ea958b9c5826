"""Puts the pieces of a template together to a tree: which block holds what, as the grammar of handlebars.js says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from heliograph_messaging.domain.handlebars.expressions import Unreadable, read_call
from heliograph_messaging.domain.handlebars.lexer import Remark, Tag, Text, Token, pieces_of
from heliograph_messaging.domain.handlebars.limits import MAX_BLOCKS, MAX_BRANCHES
from heliograph_messaging.domain.handlebars.mistakes import Mistakes, shorten
from heliograph_messaging.domain.handlebars.tree import (
    Block,
    Call,
    Comment,
    Content,
    Inline,
    Literal,
    Mustache,
    Node,
    PartialCall,
    Path,
    Program,
    Strip,
)

_NOTHING = Call(Literal(None, 0), (), MappingProxyType({}), (), 0)


@dataclass(slots=True)
class _Branch:
    """What begins with the block's head, with `{{else if ...}}` or with `{{else}}` (`call` is None)."""

    call: Call | None
    strip: Strip
    program: Program = field(default_factory=Program)


@dataclass(slots=True)
class _Open:
    """A block that is not closed yet. `broken`: its head is a mistake, so only its end is looked for."""

    kind: str
    name: str
    tag: Tag
    branches: list[_Branch]
    broken: bool = False


def parse(text: str, mistakes: Mistakes) -> Program:
    """Read a whole part; whitespace is not touched yet. When there are mistakes the tree is not complete."""
    parser = _Parser(mistakes)
    for piece in pieces_of(text, mistakes):
        if isinstance(piece, Text):
            parser.add(Content(piece.text))
        elif isinstance(piece, Remark):
            parser.add(Comment(piece.strip))
        else:
            parser.tag(piece)
    return parser.end()


class _Parser:
    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._root = Program()
        self._open: list[_Open] = []
        self._branches = 0

    def add(self, node: Node) -> None:
        program = self._open[-1].branches[-1].program if self._open else self._root
        program.body.append(node)
        program.size += 1

    def tag(self, tag: Tag) -> None:
        match tag.kind:
            case "value" | "unescaped" | "ampersand":
                if (call := self._call(tag)) is not None:
                    self.add(Mustache(call, tag.kind == "value", tag.strip))
            case "block" | "inverse":
                self._begin(tag)
            case "decorator":
                self._begin_inline(tag)
            case "else" | "else chain":
                self._else(tag)
            case "end":
                self._end(tag)
            case "partial":
                self._partial(tag)
            case "partial block":
                self._told(tag, "partials with a block are not supported; write {{#if}} or an inline partial")
                self._enter(_Open("block", _name_of(tag.tokens), tag, [_Branch(None, tag.strip)], broken=True))
            case "decoration":
                self._told(tag, 'the only decorator is {{#*inline "name"}}...{{/inline}}')
            case _:
                pass  # a raw block, told by the lexer

    def end(self) -> Program:
        while self._open:
            block = self._open[-1]
            end = f"{{{{/{block.name}}}}}" if block.name else "its end"
            self._mistakes.add(block.tag.at, f"{shorten(block.tag.written)} is never closed by {end}")
            self._close(Strip())
        return self._root

    # -- tags -------------------------------------------------------------------------------------------------------

    def _begin(self, tag: Tag) -> None:
        call = self._call(tag)
        name = _original(call) if call else _name_of(tag.tokens)
        self._enter(_Open(tag.kind, name, tag, [_Branch(call or _NOTHING, tag.strip)], broken=call is None))

    def _begin_inline(self, tag: Tag) -> None:
        call = self._call(tag)
        name = ""
        if call is not None:
            first = call.arguments[0] if len(call.arguments) == 1 and not call.options else None
            if _original(call) == "inline" and isinstance(first, Literal) and isinstance(first.value, str):
                name = first.value
            else:
                self._told(tag, 'an inline partial is written {{#*inline "name"}}...{{/inline}}')
        opened = _Open("decorator", "inline", tag, [_Branch(call or _NOTHING, tag.strip)], broken=not name)
        self._enter(opened)

    def _enter(self, block: _Open) -> None:
        if len(self._open) == MAX_BLOCKS:
            self._mistakes.stop(block.tag.at, f"more than {MAX_BLOCKS} blocks stand inside of each other")
        self._open.append(block)

    def _else(self, tag: Tag) -> None:
        if not self._open:
            self._told(tag, "it stands outside of any block")
            return
        block = self._open[-1]
        if block.kind == "decorator":
            self._told(tag, "an inline partial has no else")
        elif block.branches[-1].call is None and not block.broken:
            self._told(tag, "the block has its {{else}} already")
        elif tag.kind == "else chain":
            if block.kind == "inverse":
                self._told(tag, "a block that begins with ^ has no {{else if}}")
            self._branches += 1
            if self._branches > MAX_BRANCHES:
                self._mistakes.stop(tag.at, f"there are more than {MAX_BRANCHES} {{{{else if}}}} around this place")
            call = self._call(tag)
            block.branches.append(_Branch(call or _NOTHING, tag.strip))
        else:
            block.branches.append(_Branch(None, tag.strip))

    def _end(self, tag: Tag) -> None:
        name = _name_of(tag.tokens)
        call = self._call(tag)
        if call is not None and (not call.bare or call.block_params):
            self._told(tag, "behind / there is only the name of the block")
        if not self._open:
            self._told(tag, "no block is open here")
            return
        block = self._open[-1]
        name = _original(call) if call is not None else name
        if name != block.name and not (block.broken and not block.name):
            line, _ = self._mistakes.place(block.tag.at)
            self._told(tag, f"does not close {shorten(block.tag.written)} of line {line}")
            if all(name != other.name for other in self._open):
                return
            while self._open[-1].name != name:
                self._close(tag.strip)
        self._close(tag.strip)

    def _close(self, strip: Strip) -> None:
        """Make a node of the innermost open block. One with a broken head is left out, with all that is in it."""
        block = self._open.pop()
        self._branches -= sum(1 for branch in block.branches[1:] if branch.call is not None)
        if not block.broken:
            self.add(self._closed(block, strip))
            parent = self._open[-1].branches[-1].program if self._open else self._root
            parent.size += sum(branch.program.size for branch in block.branches)

    def _closed(self, block: _Open, close: Strip) -> Node:
        first = block.branches[0]
        if block.kind == "decorator":
            name = first.call.arguments[0] if first.call else None
            if not isinstance(name, Literal):
                raise AssertionError("an inline partial that is not broken has a name")
            return Inline(str(name.value), first.program, block.tag.strip, close, block.tag.at)
        # From the last branch to the first: each `{{else if}}` is a block in the inverse of the one before.
        inverse: Program | None = None
        strip: Strip | None = None
        for branch in reversed(block.branches[1:]):
            if branch.call is None:
                inverse = branch.program
            else:
                inner = Block(branch.call, branch.program, inverse, branch.strip, strip, strip)
                _hand_down(inverse, strip)
                size = branch.program.size + 1 + (inverse.size if inverse else 0)
                inverse = Program([inner], chained=True, size=size)
            strip = branch.strip
        _hand_down(inverse, close)
        call = first.call or _NOTHING
        program: Program | None = first.program
        if block.kind == "inverse":
            program, inverse = inverse, program
        return Block(call, program, inverse, block.tag.strip, strip, close)

    def _partial(self, tag: Tag) -> None:
        call = self._call(tag)
        if call is None:
            return
        if len(call.arguments) > 1:
            self._told(tag, "a partial takes one context at most")
        elif call.block_params:
            self._told(tag, "block parameters belong to blocks")
        else:
            context = call.arguments[0] if call.arguments else None
            self.add(PartialCall(_original(call), context, call.options, tag.strip, tag.at))

    # -- mistakes ---------------------------------------------------------------------------------------------------

    def _call(self, tag: Tag) -> Call | None:
        """Read a tag's expression, or note why it is none."""
        if tag.bad:
            return None
        if not tag.tokens:
            self._told(tag, "a name is missing" if tag.kind != "value" else "{{}} names no variable")
            return None
        try:
            call = read_call(tag.tokens, tag.at)
        except Unreadable as error:
            self._mistakes.add(error.at, f"{shorten(tag.written)}: {error}")
            return None
        if call.block_params and tag.kind not in ("block", "inverse", "else chain"):
            self._told(tag, "block parameters belong to blocks")
            return None
        return call

    def _told(self, tag: Tag, problem: str) -> None:
        self._mistakes.add(tag.at, f"{shorten(tag.written)}: {problem}" if problem[:2] != "{{" else problem)


def _hand_down(inverse: Program | None, strip: Strip | None) -> None:
    """The end of a chain is also the end of the block in it; handlebars.js hands it down one step."""
    if inverse is not None and inverse.chained:
        inner = inverse.body[0]
        if isinstance(inner, Block):
            inner.close_strip = strip


def _original(call: Call) -> str:
    target = call.target
    if isinstance(target, Path):
        return target.original
    # A text may end a block of that name; what is no text equals only itself.
    return target.value if isinstance(target.value, str) else f"\0{target.value!r}"


def _name_of(tokens: Sequence[Token]) -> str:
    """Return what a tag that cannot be read seems to name, to find its end by."""
    return tokens[0].text if tokens else ""
