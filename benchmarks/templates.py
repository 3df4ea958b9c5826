"""Figures of the template language: letters rendered, a page of 500 at a time, and compiled; all in this process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.figures import Figure, figure
from benchmarks.letters import HTML, SIZE, VARIABLES, values_of
from heliograph_messaging.domain.handlebars import Compiled, Occasion, Part, compile_parts
from heliograph_messaging.domain.handlebars.limits import MAX_TAGS
from heliograph_messaging.domain.handlebars.runtime import escape

ROUNDS = 60

_MORE = {"Code": "X-17", "Shop": "Corner & Co", "Attributes.Since": "2020-09-19", "Attributes.Card": "blue"}
_NAMES = (*VARIABLES, *_MORE)
_PLAIN = HTML.replace("</body>", "".join(f"<p>{{{{{name}}}}}</p>" for name in _MORE) + "</body>")
_BLOCKS = _PLAIN.replace(
    "</body>",
    "{{#if Attributes.Plan}}<p>You are on {{Attributes.Plan}}</p>{{else}}<p>Pick a plan</p>{{/if}}"
    "<ul>{{#each Attributes.Items}}<li>{{this}}</li>{{/each}}</ul></body>",
)
_HELPERS = _BLOCKS.replace("<li>{{this}}</li>", "<li>{{capitalize this}}</li>").replace(
    "{{Attributes.Since}}", "{{dateFormat Attributes.Since 'long'}}"
)
_ITEMS = ["shoe", "hat & co", "bag"]


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    rows = [[*values_of(n), *_MORE.values()] for n in range(SIZE)]
    one_by_one = _rate(_bare(_PLAIN, rows))
    against = "the same pieces joined for one recipient after the other, each value searched and escaped by itself"
    figures = [
        figure(f"letters of 3 kB with 12 variables{words}", _rate(_pages(text, rows)), "letters/s", bare=one_by_one,
               against=against, target=target)
        for text, words, target in (
            (_PLAIN, "", "as many"), (_BLOCKS, ", an #if and an #each over three items", ""),
            (_HELPERS, ", the same and two helpers", ""),
        )
    ]  # fmt: skip
    large = "{{Code}}<p>" * MAX_TAGS
    compiling = _milliseconds(lambda: compile_parts([Part("html", _HELPERS, html=True)]))
    largest = _milliseconds(lambda: compile_parts([Part("html", large, html=True)]), times=3)
    source = f"def render(v):\n return ''.join(({'v[0], ' * MAX_TAGS}))"
    python = _milliseconds(lambda: compile(source, "bare", "exec"), times=3)
    words = f"Python compiles a join of {MAX_TAGS:,} values"
    return [
        *figures,
        figure("compiling that letter", compiling, "ms", bare=python, against=words),
        figure(f"compiling {MAX_TAGS:,} variables, the most there may be", largest, "ms", bare=python, against=words),
    ]


def _pages(text: str, rows: list[list[str]]) -> Callable[[], object]:
    compiled = compile_parts([Part("html", text, html=True)])
    columns = [_column(compiled, position, rows) for position in range(len(compiled.variables))]
    occasion = Occasion(datetime.now(UTC), "bench")

    def render() -> list[tuple[str, ...]]:
        page = compiled.page(columns, SIZE)
        return [page.render(position, occasion) for position in range(SIZE)]

    return render


def _column(compiled: Compiled, position: int, rows: list[list[str]]) -> list[Any]:
    variable = compiled.variables[position]
    if variable.many:
        return [_ITEMS] * SIZE
    place = _NAMES.index(variable.path)
    return [row[place] for row in rows]


def _bare(text: str, rows: list[list[str]]) -> Callable[[], object]:
    """Return what renders a page by the closure that templates were compiled to before there was a language."""
    pieces = re.split(r"\{\{(.*?)\}\}", text)
    code = ", ".join(f"e(v[{_NAMES.index(one)}])" if place % 2 else repr(one) for place, one in enumerate(pieces))
    names: dict[str, Any] = {"e": escape}
    exec(f"def render(v):\n return (''.join(({code})),)", names)
    render = names["render"]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return lambda: [render([column[position] for column in columns]) for position in range(SIZE)]


def _rate(render: Callable[[], object]) -> float:
    """Return letters per second in the best of many rounds: what the machine does beside it only slows rounds down."""
    return SIZE / min(_seconds(render) for _ in range(ROUNDS))


def _milliseconds(work: Callable[[], object], *, times: int = 20) -> float:
    return 1000 * min(_seconds(work) for _ in range(times))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
