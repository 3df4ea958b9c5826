"""Registrations and their history as text of 80 columns, and as JSON. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from heliograph_suite.tendlc.next_steps import next_step

WIDTH = 80


@dataclass(frozen=True)
class Finding:
    """What somebody must mend."""

    field: str
    cause: str
    words: str = ""


@dataclass(frozen=True)
class Moved:
    """One line of the history."""

    move_id: int
    resource: str
    kind: str
    event: str
    from_state: str
    to_state: str
    actor: str
    time: datetime
    cause: str = ""
    field: str = ""
    words: str = ""


@dataclass(frozen=True)
class Standing:
    """Where one registration stands. `moves` are oldest first."""

    resource: str
    kind: str
    title: str
    state: str
    update_time: datetime
    cause: str = ""
    findings: tuple[Finding, ...] = ()
    expire_time: datetime | None = None
    moves: tuple[Moved, ...] = ()

    @property
    def since(self) -> datetime:
        """When it came to its state."""
        for move in reversed(self.moves):
            if move.from_state != move.to_state:
                return move.time
        return self.update_time


def picture(standing: Standing) -> str:
    """Return the whole timeline of a registration; lines of at most 80 columns, but for its name, which is copied."""
    step = next_step(standing.kind, standing.state)
    lines = [plain(standing.resource), *_wrapped(f"{standing.kind}  {standing.title}", "  ", "  ")]
    lines += _wrapped(f"{standing.state} since {instant(standing.since)}", "  now   ")
    if standing.cause and not standing.findings:
        lines += _wrapped(standing.cause, "  why   ")
    lines += _wrapped(step.what, "  next  ")
    lines += _wrapped(step.who, "  who   ")
    if standing.expire_time is not None:
        lines += _wrapped(f"runs out at {instant(standing.expire_time)}; renew it before", "  until ")
    for finding in standing.findings:
        told = " ".join(part for part in (finding.field or "all of it", finding.cause) if part)
        lines += _wrapped(f"{told}: {finding.words}" if finding.words else told, "  mend  ")
    lines += [line for move in standing.moves for line in _move_lines(move)]
    return "\n".join(lines)


def move_picture(move: Moved) -> str:
    """Return one move as it happens, with what comes next."""
    step = next_step(move.kind, move.to_state)
    lines = [plain(move.resource), *_move_lines(move), *_wrapped(f"{step.what} ({step.who})", "  next  ")]
    return "\n".join(lines)


def as_json(standing: Standing) -> dict[str, object]:
    """Return all of it for machines; times are RFC 3339 in UTC."""
    step = next_step(standing.kind, standing.state)
    return {
        "resource": standing.resource,
        "kind": standing.kind,
        "title": standing.title,
        "state": standing.state,
        "since": _machine(standing.since),
        "cause": standing.cause,
        "next": {"what": step.what, "who": step.who},
        "findings": [vars(finding) for finding in standing.findings],
        "expire_time": _machine(standing.expire_time) if standing.expire_time else None,
        "moves": [move_json(move) for move in standing.moves],
    }


def move_json(move: Moved) -> dict[str, object]:
    """Return a move for machines."""
    return {**vars(move), "time": _machine(move.time)}


def instant(time: datetime) -> str:
    """Return a time for people."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as labelled lines, one blank line between rows: a table of long names fits no 80 columns."""
    width = max(map(len, head))
    blocks = []
    for row in rows:
        lines: list[str] = []
        for label, value in zip(head, row, strict=True):
            if value:
                # The first is what is copied.
                lines += [plain(value)] if not lines else _wrapped(value, f"  {label:<{width}}  ")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def plain(text: str) -> str:
    """Return text that cannot steer a terminal: words of registrars come from outside."""
    return "".join(character if character.isprintable() else " " for character in text)


def _move_lines(move: Moved) -> Iterator[str]:
    states = f"{move.from_state} -> {move.to_state}" if move.from_state else move.to_state
    if move.from_state == move.to_state:
        states = move.to_state
    head = f"  {move.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}  {move.actor:<9}  "
    yield from _wrapped(f"{move.event or 'created'}: {states}", head, " " * len(head))
    detail = " ".join(part for part in (move.cause, move.field) if part)
    told = f"{detail}: {move.words}" if detail and move.words else detail or move.words
    if told:
        yield from _wrapped(told, " " * len(head), " " * len(head))


def _wrapped(text: str, first: str, later: str | None = None) -> list[str]:
    indent = " " * len(first) if later is None else later
    wrapped = textwrap.wrap(plain(text), WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return wrapped or [first.rstrip()]


def _machine(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
