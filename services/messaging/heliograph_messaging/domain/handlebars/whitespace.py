"""Whitespace around tags: `~`, and tags that stand alone on their lines; the rules of handlebars.js, step by step.

Recursion is bounded by MAX_BLOCKS and MAX_BRANCHES, which the parser has checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph_messaging.domain.handlebars.lexer import BLANKS
from heliograph_messaging.domain.handlebars.tree import (
    Block,
    Comment,
    Content,
    Inline,
    Mustache,
    Node,
    PartialCall,
    Program,
    Strip,
)

_LINE_END = re.compile(r"[ \t]*\r?\n?")


def strip_whitespace(root: Program) -> None:
    """Take away the whitespace that tags of a tree ask for."""
    _program(root, root=True)


@dataclass(frozen=True, slots=True)
class _Around:
    """What a node asks of the text around it."""

    open: bool
    close: bool
    open_standalone: bool = False
    close_standalone: bool = False
    inline_standalone: bool = False


def _program(program: Program | None, *, root: bool = False) -> None:
    if program is None:
        return
    body = program.body
    for index, node in enumerate(body):
        around = _around(node)
        if around is None:
            continue
        before, after = _blank_before(body, index, root=root), _blank_after(body, index, root=root)
        if around.close:
            _omit_right(body, index + 1, everything=True)
        if around.open:
            _omit_left(body, index - 1, everything=True)
        if around.inline_standalone and before and after:
            _omit_right(body, index + 1)
            if _omit_left(body, index - 1) and isinstance(node, PartialCall):
                previous = body[index - 1]
                if isinstance(previous, Content):
                    node.indent = previous.original[len(previous.original.rstrip(" \t")) :]
        if around.open_standalone and before:
            _omit_right(_first_of(node).body, 0)
            _omit_left(body, index - 1)
        if around.close_standalone and after:
            _omit_right(body, index + 1)
            last = _last_of(node).body
            _omit_left(last, len(last) - 1)


def _around(node: Node) -> _Around | None:
    if isinstance(node, Mustache):
        return _Around(node.strip.open, node.strip.close)
    if isinstance(node, PartialCall | Comment):
        return _Around(node.strip.open, node.strip.close, inline_standalone=True)
    if isinstance(node, Inline):
        _program(node.program)
        return _block(node.program, None, node.open_strip, None, node.close_strip)
    if isinstance(node, Block):
        _program(node.program)
        _program(node.inverse)
        first = node.program or node.inverse
        if first is None:
            raise AssertionError("a block has a program or an inverse")
        inverse = node.inverse if node.program is not None else None
        return _block(first, inverse, node.open_strip, node.inverse_strip, node.close_strip)
    return None


def _block(
    program: Program, inverse: Program | None, opened: Strip, between: Strip | None, closed: Strip | None
) -> _Around:
    first_inverse = last_inverse = inverse
    if inverse is not None and inverse.chained:
        first_inverse = _program_of(inverse.body[0])
        while last_inverse is not None and last_inverse.chained:
            last_inverse = _program_of(last_inverse.body[-1])
    close = closed or Strip()
    around = _Around(
        opened.open,
        close.close,
        open_standalone=_blank_after(program.body, -1),
        close_standalone=_blank_before((first_inverse or program).body, None),
    )
    body = program.body
    if opened.close:
        _omit_right(body, 0, everything=True)
    if inverse is not None:
        strip = between or Strip()
        if strip.open:
            _omit_left(body, len(body) - 1, everything=True)
        if strip.close and first_inverse is not None:
            _omit_right(first_inverse.body, 0, everything=True)
        if close.open and last_inverse is not None:
            _omit_left(last_inverse.body, len(last_inverse.body) - 1, everything=True)
        if first_inverse is not None and _blank_before(body, None) and _blank_after(first_inverse.body, -1):
            _omit_left(body, len(body) - 1)
            _omit_right(first_inverse.body, 0)
    elif close.open:
        _omit_left(body, len(body) - 1, everything=True)
    return around


def _program_of(node: Node) -> Program | None:
    return node.program if isinstance(node, Block) else None


def _first_of(node: Node) -> Program:
    """Return the program that follows the opening tag."""
    if isinstance(node, Inline):
        return node.program
    if isinstance(node, Block) and (found := node.program or node.inverse) is not None:
        return found
    raise AssertionError("only blocks hold programs")


def _last_of(node: Node) -> Program:
    """Return the program that handlebars.js takes for the one before the closing tag."""
    if isinstance(node, Block) and node.inverse is not None:
        return node.inverse
    return _first_of(node)


def _blank_before(body: Sequence[Node], index: int | None, *, root: bool = False) -> bool:
    """Tell whether the line is blank up to the node at `index` (None: up to the end of the body)."""
    at = len(body) if index is None else index
    if at < 1:
        return root
    previous = body[at - 1]
    if not isinstance(previous, Content):
        return False
    text = previous.original
    blank = text[len(text.rstrip(BLANKS)) :]
    return "\n" in blank or (at < 2 and root and blank == text)


def _blank_after(body: Sequence[Node], index: int, *, root: bool = False) -> bool:
    """Tell whether the line is blank behind the node at `index` (-1: from the beginning of the body)."""
    if index + 1 >= len(body):
        return root
    following = body[index + 1]
    if not isinstance(following, Content):
        return False
    text = following.original
    blank = text[: len(text) - len(text.lstrip(BLANKS))]
    return "\n" in blank or (index + 2 >= len(body) and root and blank == text)


def _omit_right(body: Sequence[Node], index: int, *, everything: bool = False) -> None:
    """Take blanks from the beginning of the text at `index`: up to the end of the line, or all."""
    node = body[index] if 0 <= index < len(body) else None
    if not isinstance(node, Content) or (not everything and node.right_stripped):
        return
    before = node.value
    if everything:
        node.value = before.lstrip(BLANKS)
    elif found := _LINE_END.match(before):
        node.value = before[found.end() :]
    node.right_stripped = node.value != before


def _omit_left(body: Sequence[Node], index: int, *, everything: bool = False) -> bool:
    """Take blanks from the end of the text at `index`: of its last line, or all. Tells whether there were any."""
    node = body[index] if 0 <= index < len(body) else None
    if not isinstance(node, Content) or (not everything and node.left_stripped):
        return False
    before = node.value
    node.value = before.rstrip(BLANKS) if everything else before.rstrip(" \t")
    node.left_stripped = node.value != before
    return node.left_stripped
