"""Moving sets of participants through a table of steps: pure, whole sets at a time.

Everybody in a call is moved as far as one can go at that instant. What a call returns is everything that is to be
written: where people rest, who left, and each move as a set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from heliograph_journeys.domain.table import ChanceStep, MessageStep, Position, SplitStep, StepTable, WaitStep

Happened = Mapping[int, Mapping[Position, int]]
"""What happened to messages: bits by message step, by ordinal."""


class Person(NamedTuple):
    """A participant at a step, or about to enter. `arrived_at` is when it arrived where it stands."""

    endpoint_id: str
    ordinal: int
    arrived_at: datetime


@dataclass
class Rest:
    """People who stay at a step until `wake_at`; None: until their message is handed over."""

    step: Position
    arrived_at: datetime
    wake_at: datetime | None
    people: list[Person]


@dataclass
class Leave:
    """People who left the journey from a step: completed when `exit_reason` is empty."""

    step: Position
    exit_reason: str
    people: list[Person]


@dataclass
class Move:
    """A set that left one step by one branch. `from_step` None: it entered. `to_step` None: it left the journey."""

    from_step: Position | None
    branch: str
    to_step: Position | None
    exit_reason: str
    people: list[Person]


@dataclass
class Moved:
    """What one pass did."""

    rests: list[Rest] = field(default_factory=list)
    leaves: list[Leave] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)


def draws(salt: Sequence[str], endpoint_ids: Iterable[str]) -> list[int]:
    """Return a number from 0 to 99 for each endpoint: always the same one for the same salt, evenly spread."""
    base = hashlib.blake2b(digest_size=8)
    for part in salt:
        raw = part.encode()
        base.update(len(raw).to_bytes(4, "big") + raw)
    numbers = []
    for id_ in endpoint_ids:
        digest = base.copy()
        digest.update(id_.encode("utf-8", "surrogatepass"))
        numbers.append(int.from_bytes(digest.digest(), "big") * 100 >> 64)
    return numbers


def advance(
    table: StepTable,
    run_id: str,
    *,
    entering: Sequence[Person] = (),
    leaving: Mapping[Position, Sequence[Person]] | None = None,
    happened: Happened,
    now: datetime,
) -> Moved:
    """Let people enter, and let those who are due at a step (for a message step: whose message is sent) go on.

    `happened` is asked about everybody who can reach a split. Somebody at a wait or split who is not due after all
    stays, with the instant it is due.
    """
    moved = Moved()
    arrived: dict[Position, list[Person]] = {}
    if entering:
        arrived[table.start] = list(entering)
        moved.moves.append(Move(None, "", table.start, "", list(entering)))
    for position, step in enumerate(table.steps):
        new = arrived.pop(position, [])
        due = list(leaving.get(position, ())) if leaving else []
        if not new and not due:
            continue
        match step:
            case MessageStep():
                if new:
                    moved.rests.append(Rest(position, now, None, new))
                _go(moved, arrived, position, "NEXT", step.next, due)
            case WaitStep():
                _go(moved, arrived, position, "NEXT", step.next, _over(moved, position, step, new, due, now))
            case SplitStep():
                _split(moved, arrived, position, step, new, due, happened, now)
            case ChanceStep():
                _chance(moved, arrived, position, step, run_id, [*due, *new])
    return moved


def _go(
    moved: Moved,
    arrived: dict[Position, list[Person]],
    position: Position,
    branch: str,
    to_step: Position | None,
    people: list[Person],
    exit_reason: str = "",
) -> None:
    if not people:
        return
    moved.moves.append(Move(position, branch, to_step, exit_reason, people))
    if to_step is None:
        moved.leaves.append(Leave(position, exit_reason, people))
    else:
        arrived.setdefault(to_step, []).extend(people)


def _over(
    moved: Moved, position: Position, step: WaitStep, new: list[Person], due: list[Person], now: datetime
) -> list[Person]:
    gone: list[Person] = []
    if new:
        wake_at = step.due.at(now)
        if wake_at <= now:
            gone += new
        else:
            moved.rests.append(Rest(position, now, wake_at, new))
    early: list[Person] = []
    for person in due:
        (gone if step.due.at(person.arrived_at) <= now else early).append(person)
    _stay(moved, position, step, early)
    return gone


def _split(
    moved: Moved,
    arrived: dict[Position, list[Person]],
    position: Position,
    step: SplitStep,
    new: list[Person],
    due: list[Person],
    happened: Happened,
    now: datetime,
) -> None:
    yes: list[Person] = []
    no: list[Person] = []
    nothing: Mapping[Position, int] = {}
    stay: list[Person] = []
    for person in new:
        (yes if step.holds(happened.get(person.ordinal, nothing)) else stay).append(person)
    if stay:
        wake_at = step.due.at(now)
        if wake_at <= now:
            no += stay
        else:
            moved.rests.append(Rest(position, now, wake_at, stay))
    early: list[Person] = []
    for person in due:
        if step.holds(happened.get(person.ordinal, nothing)):
            yes.append(person)
        elif step.due.at(person.arrived_at) <= now:
            no.append(person)
        else:
            early.append(person)
    _stay(moved, position, step, early)
    _go(moved, arrived, position, "YES", step.yes, yes)
    _go(moved, arrived, position, "NO", step.no, no)


def _stay(moved: Moved, position: Position, step: WaitStep | SplitStep, people: list[Person]) -> None:
    by_arrival: dict[datetime, list[Person]] = {}
    for person in people:
        by_arrival.setdefault(person.arrived_at, []).append(person)
    for arrived_at, together in by_arrival.items():
        moved.rests.append(Rest(position, arrived_at, step.due.at(arrived_at), together))


def _chance(
    moved: Moved,
    arrived: dict[Position, list[Person]],
    position: Position,
    step: ChanceStep,
    run_id: str,
    people: list[Person],
) -> None:
    groups: list[list[Person]] = [[] for _ in step.branches]
    bounds = [branch.bound for branch in step.branches]
    numbers = draws((run_id, step.activity_id), (person.endpoint_id for person in people))
    for person, number in zip(people, numbers, strict=True):
        for group, bound in zip(groups, bounds, strict=True):
            if number < bound:
                group.append(person)
                break
    for branch, group in zip(step.branches, groups, strict=True):
        _go(moved, arrived, position, branch.name, branch.next, group, branch.exit_reason)
