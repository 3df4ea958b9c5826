"""Real handlebars.js, run inside of quickjs-ng, to compare our template language with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import quickjs

_DATA = Path(__file__).parent / "data"


@lru_cache
def _context() -> Any:
    context = quickjs.Context()
    context.eval((_DATA / "handlebars.min.js").read_text(encoding="utf-8"))
    context.eval((_DATA / "oracle.js").read_text(encoding="utf-8"))
    return context


def rendered(template: str, data: Mapping[str, Any], *, html: bool) -> str:
    """Return what handlebars.js makes of a template; values are lists of texts, in objects.

    Raises:
        ValueError: it refuses the template.
    """
    answer = json.loads(_context().get("render")(template, json.dumps(data), html))
    if "error" in answer:
        raise ValueError(answer["error"])
    text: str = answer["text"]
    return text


def tree(template: str) -> list[Any] | None:
    """Return the tree that handlebars.js reads, whitespace taken away; None when it refuses the template."""
    answer = json.loads(_context().get("tree")(template))
    found: list[Any] | None = answer.get("tree")
    return found
