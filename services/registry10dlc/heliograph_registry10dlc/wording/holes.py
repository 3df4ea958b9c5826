"""What varies in a text: `{#var}` of registered samples (S116), `{{...}}` of the templates of messaging. Pure."""

from __future__ import annotations

import re

HOLE = "\ufffc"
"""Stands for a hole where its place matters; no text that people write holds it."""
_NAMED = re.compile(r"\{#\w{1,40}#?\}")
_REGISTERED = re.compile(r"\{#var\}")
_FOREIGN = re.compile(
    r"\{\{[^{}]{0,200}\}\}|\{#(?!var\})[^{}]{0,40}\}|\[[A-Za-z_][\w ]{0,30}\]|<[A-Za-z_][\w ]{0,30}>|\bX{3,}\b",
    re.DOTALL,
)


def with_holes(text: str) -> str:
    """Return a text with HOLE for each hole."""
    text = _NAMED.sub(HOLE, text.replace(HOLE, " "))
    pieces: list[str] = []
    position = 0
    # An expression of a regular expression would look from each `{{` to the end of a text that closes none.
    while (start := text.find("{{", position)) >= 0:
        closing = "}}}" if text.startswith("{{{", start) else "}}"
        end = text.find(closing, start + 2)
        if end < 0:
            break
        pieces += (text[position:start], HOLE)
        position = end + len(closing)
    return "".join((*pieces, text[position:]))


def beside_holes(text: str) -> str:
    """Return a text without its holes and without blanks at its ends."""
    return with_holes(text).replace(HOLE, "").strip()


def has_holes(text: str) -> bool:
    """Tell whether a sample marks what varies, as registries know it."""
    return _REGISTERED.search(text) is not None


def foreign_holes(text: str) -> list[str]:
    """Return what looks like a hole of a sample and is not `{#var}`: `[name]`, `<name>`, `{{name}}`, `XXXX`."""
    return [match[0] for match in _FOREIGN.finditer(text)]
