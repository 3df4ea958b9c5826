"""Reads what stands between the braces of one tag: a path, or a helper with arguments, hash and nested calls."""

from __future__ import annotations

from collections.abc import Sequence

from heliograph_messaging.domain.handlebars.lexer import Token
from heliograph_messaging.domain.handlebars.limits import MAX_ARGUMENTS, MAX_NUMBER, MAX_SEGMENTS, MAX_SUBEXPRESSIONS
from heliograph_messaging.domain.handlebars.tree import Call, Constant, Expression, Literal, Name, Path

_NAMES = ("name", "segment")
_STARTS = (*_NAMES, "@", "string", "number", "boolean", "nothing", "(")


class Unreadable(ValueError):
    """The tokens are no expression; `at` is the place."""

    def __init__(self, at: int, problem: str) -> None:
        """Take the place and what is wrong."""
        super().__init__(problem)
        self.at = at


def read_call(tokens: Sequence[Token], at: int) -> Call:
    """Read a whole tag; `at` is its beginning.

    Raises:
        Unreadable: with the first mistake.
    """
    reader = _Reader(tokens, at)
    call = reader.call(at, nested=0)
    reader.end()
    return call


class _Reader:
    def __init__(self, tokens: Sequence[Token], at: int) -> None:
        self._tokens = tokens
        self._position = 0
        self._at = at

    def call(self, at: int, *, nested: int) -> Call:
        if nested > MAX_SUBEXPRESSIONS:
            raise Unreadable(at, f"more than {MAX_SUBEXPRESSIONS} parentheses stand inside of each other")
        if self._peek("("):
            raise Unreadable(self._next().at, "a helper's name cannot be an expression in parentheses")
        target = self._value(nested)
        if isinstance(target, Call):
            raise AssertionError("a value that does not begin with a parenthesis is no call")
        arguments: list[Expression] = []
        options: dict[str, Expression] = {}
        while self._more() and self._tokens[self._position].kind in _STARTS and not self._option():
            arguments.append(self._value(nested))
        while self._more() and self._option():
            key = self._next()
            self._next()
            if key.text in options:
                raise Unreadable(key.at, f"{key.text}= is given twice")
            options[key.text] = self._value(nested)
        if len(arguments) + len(options) > MAX_ARGUMENTS:
            raise Unreadable(at, f"a helper takes at most {MAX_ARGUMENTS} arguments")
        params = self._block_params() if not nested and self._peek("as") else ()
        return Call(target, tuple(arguments), options, params, at)

    def end(self) -> None:
        if self._more():
            token = self._next()
            problem = "arguments stand before key=value" if token.kind in _STARTS else f"{token.text} cannot stand here"
            raise Unreadable(token.at, problem)

    def _value(self, nested: int) -> Expression:
        if not self._more():
            raise Unreadable(self._at, "a name or value is missing")
        token = self._next()
        if token.kind in _NAMES:
            return self._path([token], data=False, at=token.at)
        if token.kind == "@":
            if not self._peek(*_NAMES):
                raise Unreadable(token.at, "behind @ there is a name, as in @index")
            return self._path([self._next()], data=True, at=token.at)
        if token.kind == "(":
            call = self.call(token.at, nested=nested + 1)
            if not self._peek(")"):
                raise Unreadable(token.at, "( is never closed by )")
            self._next()
            return call
        if token.kind in ("string", "number", "boolean", "nothing"):
            return Literal(_constant(token), token.at)
        raise Unreadable(token.at, f"{token.text} cannot stand here")

    def _path(self, first: list[Token], *, data: bool, at: int) -> Path:
        segments, original = first, ("@" if data else "") + first[0].text
        while self._peek("separator"):
            separator = self._next()
            if not self._peek(*_NAMES):
                raise Unreadable(separator.at, f"a name is missing behind {original}{separator.text}")
            if len(segments) == MAX_SEGMENTS:
                raise Unreadable(at, f"a path has at most {MAX_SEGMENTS} segments")
            segment = self._next()
            original += separator.text + segment.text
            segments.append(segment)
        names: list[Name] = []
        depth, scoped = 0, False
        for segment in segments:
            if segment.kind == "name" and segment.text in ("..", ".", "this"):
                if names:
                    raise Unreadable(segment.at, f"{original}: {segment.text} stands only in front of names")
                depth += segment.text == ".."
                scoped = True
            else:
                names.append(Name(segment.text, segment.kind == "segment"))
        return Path(tuple(names), depth, data, scoped, original, at)

    def _block_params(self) -> tuple[str, ...]:
        at = self._next().at
        names: list[str] = []
        while self._peek("name"):
            names.append(self._next().text)
        if not names or not self._peek("|"):
            raise Unreadable(at, "block parameters are written as |item index|")
        self._next()
        return tuple(names)

    def _option(self) -> bool:
        following = self._tokens[self._position : self._position + 2]
        return len(following) == 2 and following[0].kind in _NAMES and following[1].kind == "="

    def _peek(self, *kinds: str) -> bool:
        return self._more() and self._tokens[self._position].kind in kinds

    def _more(self) -> bool:
        return self._position < len(self._tokens)

    def _next(self) -> Token:
        token = self._tokens[self._position]
        self._position += 1
        return token


def _constant(token: Token) -> Constant:
    if token.kind == "string":
        return token.text
    if token.kind == "boolean":
        return token.text == "true"
    if token.kind == "nothing":
        return None
    number = float(token.text)
    if abs(number) > MAX_NUMBER:
        raise Unreadable(token.at, f"numbers go from -{MAX_NUMBER:,} to {MAX_NUMBER:,}")
    return int(number) if number.is_integer() else number
