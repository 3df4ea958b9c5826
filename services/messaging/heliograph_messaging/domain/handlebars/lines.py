"""The lines of a generated function while they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_DEEPEST = 80
"""Levels of indentation of the generated code; Python's own bound is 100."""


class Lines:
    """Lines of code, and the pieces of text that are not written into them yet."""

    def __init__(self) -> None:
        """Begin with nothing, inside of a function."""
        self.lines: list[str] = []
        self.pieces: list[str] = []
        self.fixed = 0
        """Characters of fixed text so far."""
        self._level = 1
        self._text: list[str] = []

    def text(self, text: str) -> None:
        """Add fixed text; several in a row become one constant."""
        self._text.append(text)
        self.fixed += len(text)

    def piece(self, code: str) -> None:
        """Add an expression that gives a text."""
        self._settle()
        self.pieces.append(code)

    def take(self) -> list[str]:
        """Return the pieces not written yet, and forget them."""
        self._settle()
        pieces, self.pieces = self.pieces, []
        return pieces

    def flush(self) -> None:
        """Write the pieces: they go into the list `o`."""
        if pieces := self.take():
            self.lines.append(f"{' ' * self._level}o += ({''.join(f'{piece}, ' for piece in pieces)})")

    def line(self, code: str) -> None:
        """Add a line."""
        self.flush()
        self.lines.append(" " * self._level + code)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Add a line that ends with a colon; what is added meanwhile stands below it."""
        self.line(head)
        self._level += 1
        before = len(self.lines)
        try:
            yield
            self.flush()
            if len(self.lines) == before:
                self.line("pass")
        finally:
            self._level -= 1

    @property
    def deep(self) -> bool:
        """Whether no other block fits below this place."""
        return self._level > _DEEPEST

    def _settle(self) -> None:
        if self._text:
            self.pieces.append(repr("".join(self._text)))
            self._text.clear()
