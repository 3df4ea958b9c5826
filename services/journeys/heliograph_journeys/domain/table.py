"""A journey compiled to a table of steps, the form in which participants are moved, dry run and tested.

Steps are numbered so that every way leads to a higher number: one pass over the table in order moves a whole set of
participants as far as it can go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from heliograph_journeys.domain.journey import (
    EVENT_BITS,
    Activity,
    ConditionalSplit,
    Draft,
    Holdout,
    Message,
    Nothing,
    RandomSplit,
    Wait,
    in_order,
)

Position = int
"""Number of a step in its table, from 0."""


@dataclass(frozen=True)
class Due:
    """When something is over: at `until`, or `after` from arrival."""

    after: timedelta = timedelta()
    until: datetime | None = None

    def at(self, arrived_at: datetime) -> datetime:
        """Return the instant for a participant who arrived then."""
        return self.until if self.until is not None else arrived_at + self.after


@dataclass(frozen=True)
class MessageStep:
    """Holds participants until their message is handed to messaging."""

    activity_id: str
    message: Message
    next: Position | None


@dataclass(frozen=True)
class WaitStep:
    """Holds participants until they are due."""

    activity_id: str
    due: Due
    next: Position | None


@dataclass(frozen=True)
class SplitStep:
    """Yes when the needed bits are there, No when they are not at evaluation time.

    `needs` holds, for each message step asked about, the bits asked for.
    """

    activity_id: str
    needs: Mapping[Position, int]
    any_of: bool
    due: Due
    yes: Position | None
    no: Position | None

    def holds(self, happened: Mapping[Position, int]) -> bool:
        """Tell whether the conditions hold for somebody to whose messages this happened (bits by message step)."""
        if self.any_of:
            return any(happened.get(position, 0) & bits for position, bits in self.needs.items())
        return all(happened.get(position, 0) & bits == bits for position, bits in self.needs.items())


@dataclass(frozen=True)
class ChanceStep:
    """Sends the share below each bound (percent, ascending) down its branch. `outcome` is the reason to leave for."""

    activity_id: str
    type: str
    branches: tuple[ChanceBranch, ...]


@dataclass(frozen=True)
class ChanceBranch:
    """A branch for draws below `bound` that no earlier branch took; leaves the journey when `exit_reason` is set."""

    name: str
    bound: int
    next: Position | None
    exit_reason: str = ""


Step = MessageStep | WaitStep | SplitStep | ChanceStep


@dataclass(frozen=True)
class StepTable:
    """All steps of a journey in order, and where it starts."""

    steps: tuple[Step, ...]
    start: Position
    positions: Mapping[str, Position]
    watched: Mapping[Position, int]
    """For each message step that some split asks about: all bits asked for."""

    def last_split(self) -> Position:
        """Return the last step that asks about messages; -1 when none does."""
        return max((i for i, step in enumerate(self.steps) if isinstance(step, SplitStep)), default=-1)

    def splits_on(self, position: Position, bits: int) -> list[Position]:
        """Return the splits that ask about any of these bits of that message step."""
        return [
            i for i, step in enumerate(self.steps) if isinstance(step, SplitStep) and step.needs.get(position, 0) & bits
        ]


def type_of(step: Step) -> str:
    """Return the activity type of pinpoint-1 5.11."""
    match step:
        case MessageStep():
            return "MESSAGE"
        case WaitStep():
            return "WAIT"
        case SplitStep():
            return "CONDITIONAL_SPLIT"
        case ChanceStep(type=type_):
            return type_


def compile_journey(draft: Draft, *, implicit_window: timedelta) -> StepTable:
    """Compile a journey whose review found no error.

    `implicit_window` is how long a split without evaluation time stays undecided (pinpoint-1 5.8).

    Raises:
        ValueError: the journey was not reviewed: it runs in a circle, or is incomplete.
    """
    order = in_order(draft)
    if order is None or draft.start_activity not in draft.activities:
        raise ValueError("only a reviewed journey can be compiled")
    positions = {id_: i for i, id_ in enumerate(order)}
    steps = tuple(_step(id_, draft.activities[id_], positions, implicit_window) for id_ in order)
    watched: dict[Position, int] = {}
    for step in steps:
        if isinstance(step, SplitStep):
            for position, bits in step.needs.items():
                watched[position] = watched.get(position, 0) | bits
    return StepTable(steps, positions[draft.start_activity], positions, watched)


def _step(id_: str, activity: Activity, positions: Mapping[str, Position], window: timedelta) -> Step:
    match activity.does:
        case Message() as message:
            return MessageStep(id_, message, positions.get(message.next))
        case Wait() as wait:
            return WaitStep(id_, Due(wait.wait_for or timedelta(), wait.wait_until), positions.get(wait.next))
        case ConditionalSplit() as split:
            needs: dict[Position, int] = {}
            for condition in split.conditions:
                if condition is None:
                    raise ValueError("only a reviewed journey can be compiled")
                position = positions[condition.message_activity]
                needs[position] = needs.get(position, 0) | EVENT_BITS[condition.event]
            after = window if split.evaluation_wait_for is None else split.evaluation_wait_for
            due = Due(after, split.evaluation_wait_until)
            return SplitStep(id_, needs, split.any_of, due, positions.get(split.yes), positions.get(split.no))
        case RandomSplit(branches=branches):
            bound, ways = 0, []
            for i, branch in enumerate(branches, 1):
                bound += branch.percentage
                ways.append(ChanceBranch(f"BRANCH_{i}", bound, positions.get(branch.next)))
            return ChanceStep(id_, "RANDOM_SPLIT", tuple(ways))
        case Holdout() as holdout:
            out = ChanceBranch("HELD_OUT", holdout.percentage, None, exit_reason="HOLDOUT")
            return ChanceStep(id_, "HOLDOUT", (out, ChanceBranch("PASSED", 100, positions.get(holdout.next))))
        case Nothing():
            raise ValueError("only a reviewed journey can be compiled")
