"""Cuts a template into fixed text, comments and tags, as the lexer of handlebars.js 4.7 does.

Each tag is cut into tokens by itself, so that a mistake in one does not hide those in others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from heliograph_messaging.domain.handlebars.limits import MAX_TAGS
from heliograph_messaging.domain.handlebars.mistakes import Mistakes, shorten
from heliograph_messaging.domain.handlebars.tree import Strip

BLANK = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
"""What JavaScript's `\\s` matches, for use inside of a character class."""
BLANKS = "".join(
    map(chr, [*range(9, 14), 32, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF])
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a tag. `kind` names it; `text` is the name, the string without quotes, or as written."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Text:
    """Fixed text."""

    text: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment."""

    strip: Strip


@dataclass(frozen=True, slots=True)
class Tag:
    """What stands between braces. `kind` is one of OPENINGS; `written` is the whole of it; `bad`: told already."""

    kind: str
    tokens: tuple[Token, ...]
    strip: Strip
    at: int
    written: str
    bad: bool = False


Piece: TypeAlias = Text | Remark | Tag

# In the order in which handlebars.js tries them; the first that matches wins.
OPENINGS = (
    ("raw block", re.compile(r"\{\{\{\{")),
    ("partial", re.compile(r"\{\{~?>")),
    ("partial block", re.compile(r"\{\{~?#>")),
    ("decorator", re.compile(r"\{\{~?#\*")),
    ("block", re.compile(r"\{\{~?#")),
    ("end", re.compile(r"\{\{~?/")),
    ("else", re.compile(rf"\{{\{{~?\^[{BLANK}]*~?\}}\}}")),
    ("else", re.compile(rf"\{{\{{~?[{BLANK}]*else[{BLANK}]*~?\}}\}}")),
    ("inverse", re.compile(r"\{\{~?\^")),
    ("else chain", re.compile(rf"\{{\{{~?[{BLANK}]*else(?![0-9A-Za-z_])")),
    ("unescaped", re.compile(r"\{\{~?\{")),
    ("ampersand", re.compile(r"\{\{~?&")),
    ("decoration", re.compile(r"\{\{~?\*")),
    ("value", re.compile(r"\{\{~?")),
)
_PLAIN = re.compile(rf"\{{\{{(?![{BLANK}{{~>#/^&*e])")
_AHEAD = rf"(?=[~}}{BLANK})])"
_LITERALS = (
    ("boolean", re.compile(rf"(?:true|false){_AHEAD}")),
    ("nothing", re.compile(rf"(?:undefined|null){_AHEAD}")),
    ("number", re.compile(rf"-?[0-9]+(?:\.[0-9]+)?{_AHEAD}")),
    ("as", re.compile(rf"as[{BLANK}]+\|")),
)
_SIGNS = {"(": "(", ")": ")", "=": "=", "/": "separator", "@": "@", "|": "|"}
_DOT = re.compile(rf"\.(?=[=~}}{BLANK}/.)|])")
_SPACE = re.compile(rf"[{BLANK}]+")
_NAME = re.compile(rf"[^{BLANK}!\"#%-,./;->@\[-\^`{{-~]+(?=[=~}}{BLANK}/.)|])")
_SEGMENT = re.compile(r"\[((?:[^\]\\]|\\\]|\\)*)\]")
# Braces behind the two that close are text: JSON has them behind values. handlebars.js refuses them.
_CLOSE = re.compile(r"(~)?\}\}")
_CLOSE_THREE = re.compile(r"\}(~)?\}\}")
_COMMENT = re.compile(r"\{\{~?!")


def pieces_of(text: str, mistakes: Mistakes) -> Iterator[Piece]:
    """Cut a text into pieces; mistakes are noted and the rest goes on behind them."""
    position, tags = 0, 0
    while position < len(text):
        start = text.find("{{", position)
        before = text[position : start if start >= 0 else len(text)]
        if start < 0:
            yield Text(before)
            return
        # One backslash before the braces keeps them as text, two stand for one.
        escaped = before.endswith("\\")
        if escaped:
            before = before[:-1]
        if before:
            yield Text(before)
        if escaped and not before.endswith("\\"):
            position = _end_of_escaped(text, start)
            yield Text(text[start:position])
            continue
        tags += 1
        if tags > MAX_TAGS:
            mistakes.stop(start, f"there are more than {MAX_TAGS:,} expressions in this part")
            return
        if mistakes.full:
            return
        piece, position = _comment(text, start, mistakes) or _tag(text, start, mistakes)
        yield piece


def _end_of_escaped(text: str, start: int) -> int:
    following = text.find("{{", start + 2)
    if following < 0:
        return len(text)
    for back in (2, 1):
        if following - back >= start + 2 and text.startswith("\\" * back, following - back):
            return following - back
    return following


def _comment(text: str, start: int, mistakes: Mistakes) -> tuple[Piece, int] | None:
    opening = _COMMENT.match(text, start)
    if opening is None:
        return None
    inside = opening.end()
    if text.startswith("--", inside):
        ends = [(found, ending) for ending in ("--}}", "--~}}") if (found := text.find(ending, inside)) >= 0]
        end = min(found + len(ending) for found, ending in ends) if ends else -1
        missing = "--}}"
    else:
        found = text.find("}}", inside)
        end, missing = (found + 2 if found >= 0 else -1), "}}"
    if end < 0:
        mistakes.add(start, f"{opening[0]} is never closed by {missing}")
        end = len(text)
    return Remark(Strip(text[start + 2] == "~", end - start >= 3 and text[end - 3] == "~")), end


def _tag(text: str, start: int, mistakes: Mistakes) -> tuple[Tag, int]:
    kind, opening = "value", _PLAIN.match(text, start)
    if opening is None:
        kind, opening = next((kind, found) for kind, pattern in OPENINGS if (found := pattern.match(text, start)))
    before = text.startswith("~", start + 2)
    if kind == "raw block":
        mistakes.add(start, "{{{{ }}}} is not supported; use two or three braces")
        end = text.find("}}}}", start)
        end = end + 4 if end >= 0 else len(text)
        return Tag(kind, (), Strip(), start, text[start:end], bad=True), end
    if kind == "else":
        strip = Strip(before, text[opening.end() - 3] == "~")
        return Tag(kind, (), strip, start, opening[0]), opening.end()
    tokens: list[Token] = []
    position = opening.end()
    while True:
        if close := (_CLOSE_THREE if kind == "unescaped" else _CLOSE).match(text, position):
            end = close.end()
            strip = Strip(before, close[1] == "~")
            return Tag(kind, tuple(tokens), strip, start, text[start:end]), end
        if text.startswith("}}", position):
            mistakes.add(start, f"{{{{{{ is to be closed by }}}}}}: {shorten(text[start : position + 2])}")
            return Tag(kind, (), Strip(), start, text[start : position + 2], bad=True), position + 2
        token, position = _token(text, position)
        if token is None:
            continue
        if token.kind == "invalid":
            return _broken(text, start, token, kind, mistakes)
        tokens.append(token)


def _broken(text: str, start: int, token: Token, kind: str, mistakes: Mistakes) -> tuple[Tag, int]:
    """Note what stops a tag and go on behind its end, or at the next opening braces."""
    close, following = text.find("}}", token.at), text.find("{{", start + 2)
    if close < 0 or 0 <= following < close:
        end = following if following >= 0 else len(text)
        mistakes.add(start, f"{'{{{' if kind == 'unescaped' else '{{'} is never closed: {shorten(text[start:end])}")
    else:
        end = close + 2
        while text.startswith("}", end):
            end += 1
        mistakes.add(start, f"{shorten(text[start:end])}: {shorten(token.text)} cannot stand here")
    return Tag(kind, (), Strip(), start, text[start:end], bad=True), end


def _token(text: str, at: int) -> tuple[Token | None, int]:
    """Return the token at an offset, None for blanks, and where it ends."""
    if at >= len(text) or text.startswith("{{", at):
        return Token("invalid", text[at : at + 1], at), at
    sign = text[at]
    if sign == ".":
        if text.startswith("..", at):
            return Token("name", "..", at), at + 2
        return Token("name" if _DOT.match(text, at) else "separator", ".", at), at + 1
    if kind := _SIGNS.get(sign):
        return Token(kind, sign, at), at + 1
    if blank := _SPACE.match(text, at):
        return None, blank.end()
    if sign in "\"'":
        return _string(text, at, sign)
    for kind, pattern in _LITERALS:
        if found := pattern.match(text, at):
            return Token(kind, found[0], at), found.end()
    if found := _NAME.match(text, at):
        return Token("name", found[0], at), found.end()
    if found := _SEGMENT.match(text, at):
        return Token("segment", re.sub(r"\\([\\\]])", r"\1", found[1]), at), found.end()
    return Token("invalid", sign, at), at + 1


def _string(text: str, at: int, quote: str) -> tuple[Token, int]:
    end, last = at, -1
    while (end := text.find(quote, end + 1)) >= 0:
        if text[end - 1] != "\\" or end - 1 == at:
            break
        last = end
    if end < 0:
        end = last  # the last quote may end the string although a backslash stands before it
    if end < 0:
        return Token("invalid", text[at : at + 20], at), len(text)
    return Token("string", text[at + 1 : end].replace(f"\\{quote}", quote), at), end + 1
