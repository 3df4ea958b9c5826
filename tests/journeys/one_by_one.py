"""The slow reference of how participants move: one person, one step at a time, straight from the journey's text.

Shares nothing with the table and the sets but the draw of a number for a person.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from heliograph_journeys.domain.journey import ConditionalSplit, Draft, Holdout, Message, RandomSplit, Wait
from heliograph_journeys.domain.moving import draws

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Walker:
    """One participant."""

    id: str
    at: str = ""
    arrived: datetime = _NEVER
    sent: bool = False
    state: str = "ACTIVE"
    reason: str = ""
    happened: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class OneByOne:
    """Walks people through a journey."""

    draft: Draft
    run_id: str
    window: timedelta
    walkers: dict[str, Walker] = field(default_factory=dict)
    arrived: Counter[str] = field(default_factory=Counter)
    left: Counter[tuple[str, str]] = field(default_factory=Counter)

    def enter(self, id_: str, now: datetime) -> None:
        """Let one person in."""
        self.walkers[id_] = walker = Walker(id_)
        self._arrive(walker, self.draft.start_activity, now)
        self.walk(walker, now)

    def send(self, id_: str, now: datetime) -> None:
        """Hand over the message of one person who waits for that."""
        walker = self.walkers[id_]
        walker.sent = True
        self.walk(walker, now)

    def walk(self, walker: Walker, now: datetime) -> None:
        """Walk as far as one can go at that instant."""
        while walker.state == "ACTIVE" and (way := self._way(walker, now)) is not None:
            branch, next_, reason = way
            self.left[walker.at, branch] += 1
            if next_:
                self._arrive(walker, next_, now)
            else:
                walker.state, walker.reason = ("EXITED", reason) if reason else ("COMPLETED", "")

    def _arrive(self, walker: Walker, id_: str, now: datetime) -> None:
        walker.at, walker.arrived, walker.sent = id_, now, False
        self.arrived[id_] += 1

    def _way(self, walker: Walker, now: datetime) -> tuple[str, str, str] | None:
        match self.draft.activities[walker.at].does:
            case Message(next=next_):
                return ("NEXT", next_, "") if walker.sent else None
            case Wait(wait_for=span, wait_until=until, next=next_):
                over = now >= until if until else now >= walker.arrived + (span or timedelta())
                return ("NEXT", next_, "") if over else None
            case ConditionalSplit() as split:
                answers = [(c.message_activity, c.event) in walker.happened for c in split.conditions if c]
                if any(answers) if split.any_of else all(answers):
                    return ("YES", split.yes, "")
                span = self.window if split.evaluation_wait_for is None else split.evaluation_wait_for
                end = split.evaluation_wait_until or walker.arrived + span
                return ("NO", split.no, "") if now >= end else None
            case RandomSplit(branches=branches):
                number, bound = draws((self.run_id, walker.at), [walker.id])[0], 0
                for i, branch in enumerate(branches, 1):
                    bound += branch.percentage
                    if number < bound:
                        return (f"BRANCH_{i}", branch.next, "")
                raise AssertionError("the shares of a random split are 100 together")
            case Holdout(percentage=share, next=next_):
                held = draws((self.run_id, walker.at), [walker.id])[0] < share
                return ("HELD_OUT", "", "HOLDOUT") if held else ("PASSED", next_, "")
        raise AssertionError("an activity that does nothing is not walked through")
