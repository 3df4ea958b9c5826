"""What generated code calls while a message is rendered: escaping, counting, and failures with their places."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heliograph_messaging.domain.handlebars.limits import MAX_OUTPUT
from heliograph_messaging.domain.handlebars.mistakes import Failure, RenderingFailed, Site
from heliograph_messaging.domain.handlebars.values import Value, before, same

ESCAPES = (
    ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"), ("`", "&#x60;"), ("=", "&#x3D;"),
)  # fmt: skip
_ESCAPES = str.maketrans(dict(ESCAPES))
needs_escape = re.compile(r"""[&<>"'`=]""").search
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a rendering depends on beside the values: the instant, and the message, whose UUIDs never change."""

    now: datetime
    message_id: str


class Run:
    """One rendering: what it may still cost, and how many UUIDs it has given out."""

    __slots__ = ("message_id", "now", "sites", "strict", "uuids", "work")

    def __init__(self, occasion: Occasion, sites: Sequence[Site], *, strict: bool, work: int) -> None:
        """Take what it may depend on and the units of work it may do."""
        self.now = occasion.now
        self.message_id = occasion.message_id
        self.sites = sites
        self.strict = strict
        self.work = work
        self.uuids = 0


def spend(run: Run, units: int) -> None:
    """Take units of work off the budget.

    Raises:
        RenderingFailed: there are not so many left.
    """
    run.work -= units
    if run.work < 0:
        raise RenderingFailed(Failure.TOO_MUCH_WORK, "the template does more work than one message may cost")


def escape(value: str) -> str:
    """Escape a value for HTML text and quoted attributes, as Handlebars does."""
    return value.translate(_ESCAPES) if needs_escape(value) else value


def one_line(value: str) -> str:
    """Replace line breaks and other control characters by a blank: a subject must not start another header."""
    return _CONTROL.sub(" ", value)


def json_string(value: str) -> str:
    """Return what stands for a value between the quotes of a JSON string."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


# -- called by generated code, under one letter each ------------------------------------------------------------------


def escaped(run: Run, value: str) -> str:
    """Escape a value that is known only here."""
    spend(run, len(value))
    return escape(value)


def lined(run: Run, value: str) -> str:
    """Make a value one line that is known only here."""
    spend(run, len(value))
    return one_line(value)


def quoted(run: Run, value: str) -> str:
    """Escape a value for a JSON string that is known only here."""
    spend(run, len(value))
    return json_string(value)


def present(run: Run, value: Value, site: int) -> Value:
    """Return a value that must not be missing.

    Raises:
        RenderingFailed: it is.
    """
    if value is None:
        raise missing(run.sites[site])
    return value


def missing(site: Site) -> RenderingFailed:
    """Return the failure of a variable without a value."""
    problem = f"the variable {site.shown} has no value and no default"
    return RenderingFailed(Failure.MISSING_VARIABLE, problem, site)


def equal(run: Run, left: Value, right: Value) -> bool:
    """Compare two values."""
    _charge(run, left, right)
    return same(left, right)


def less(run: Run, left: Value, right: Value, or_equal: bool) -> bool:
    """Tell whether the left value is smaller, or equal when that is enough. With what is missing there is no order."""
    _charge(run, left, right)
    if left is None or right is None:
        return False
    return before(left, right) or (or_equal and same(left, right))


def _charge(run: Run, *values: Value) -> None:
    for value in values:
        if isinstance(value, str) and len(value) > 100:
            spend(run, len(value))


def filled(value: Value) -> bool:
    """Tell whether `#with` and blocks of helpers have something to work with: all but missing and empty."""
    return value is not None and value is not False and value != "" and value != []


def joined(part: str, pieces: list[str]) -> str:
    """Put a part together.

    Raises:
        RenderingFailed: it would be too long.
    """
    if sum(map(len, pieces)) > MAX_OUTPUT:
        raise too_long(part)
    return "".join(pieces)


def too_long(part: str) -> RenderingFailed:
    """Return the failure of a part that would be too long."""
    return RenderingFailed(Failure.TOO_MUCH_OUTPUT, f"{part} would be longer than {MAX_OUTPUT:,} characters")


def indented(run: Run, part: str, pieces: list[str], indent: str) -> str:
    """Put the text of a partial together and indent its lines, as one that stands alone on an indented line."""
    text = joined(part, pieces)
    spend(run, len(text) + len(indent) * text.count("\n"))
    lines = text.split("\n")
    last = lines.pop() if not lines[-1] else None
    return "\n".join([indent + line for line in lines] + ([last] if last is not None else []))


def element(items: Sequence[str] | None, index: int) -> str | None:
    """Return one of a list's items, None when there is none."""
    return items[index] if items and index < len(items) else None
