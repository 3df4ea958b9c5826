"""Short ways to render templates in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from heliograph_messaging.domain.handlebars import Compiled, Occasion, Part, compile_parts

OCCASION = Occasion(datetime(2020, 9, 19, 18, 30, tzinfo=UTC), "m1")


def row_of(compiled: Compiled, values: Mapping[str, str | Sequence[str]]) -> list[Any]:
    """Return a value for each variable of a template, out of texts and lists of texts by path."""
    row: list[Any] = []
    for variable in compiled.variables:
        given = values.get(variable.path, [])
        cell = [given] if isinstance(given, str) else list(given)
        if variable.many:
            row.append(cell)
        elif variable.index is not None:
            row.append(cell[variable.index] if variable.index < len(cell) else None)
        else:
            row.append(", ".join(cell) if cell else None)
    return row


def render(
    text: str,
    values: Mapping[str, str | Sequence[str]] | None = None,
    *,
    html: bool = False,
    one_line: bool = False,
    strict: bool = True,
    occasion: Occasion = OCCASION,
) -> str:
    """Render a template of one part."""
    compiled = compile_parts([Part("text", text, html=html, one_line=one_line)], strict=strict)
    (rendered,) = compiled.render(row_of(compiled, values or {}), occasion)
    return rendered
