"""What a journey is: activities by id, where it starts, who takes part (pinpoint-1 5.2, 5.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

EVENT_BITS: dict[str, int] = {
    "ACCEPTED": 1 << 0,
    "FAILED": 1 << 1,
    "SKIPPED": 1 << 2,
    "DELIVERED": 1 << 3,
    "BOUNCED": 1 << 4,
    "COMPLAINED": 1 << 5,
    "OPENED": 1 << 6,
    "CLICKED": 1 << 7,
    "OPTED_OUT": 1 << 8,
}
"""What can happen to a message, as bits of the number a participant's message carries. Stored: only ever add."""


@dataclass(frozen=True)
class Message:
    """Sends a template on arrival and never holds anybody up."""

    channel: str
    template: str = ""
    template_version: int = 0
    from_address: str = ""
    origination_number: str = ""
    origination_pool: str = ""
    next: str = ""
    type: Literal["MESSAGE"] = "MESSAGE"


@dataclass(frozen=True)
class Wait:
    """Keeps participants for a time from arrival, or until an instant. One of both is set when it is complete."""

    wait_for: timedelta | None = None
    wait_until: datetime | None = None
    next: str = ""
    type: Literal["WAIT"] = "WAIT"


@dataclass(frozen=True)
class MessageEvent:
    """Holds when `event` (a key of `EVENT_BITS`) happened to the participant's message of that activity."""

    message_activity: str
    event: str


@dataclass(frozen=True)
class ConditionalSplit:
    """Yes as soon as the conditions hold, No at evaluation time."""

    conditions: tuple[MessageEvent | None, ...] = ()
    any_of: bool = False
    evaluation_wait_for: timedelta | None = None
    evaluation_wait_until: datetime | None = None
    yes: str = ""
    no: str = ""
    type: Literal["CONDITIONAL_SPLIT"] = "CONDITIONAL_SPLIT"


@dataclass(frozen=True)
class Branch:
    """One way out of a random split, with its share in percent."""

    percentage: int
    next: str = ""


@dataclass(frozen=True)
class RandomSplit:
    """Splits by chance that belongs to the participant."""

    branches: tuple[Branch, ...] = ()
    type: Literal["RANDOM_SPLIT"] = "RANDOM_SPLIT"


@dataclass(frozen=True)
class Holdout:
    """Takes a share out, in percent."""

    percentage: int
    next: str = ""
    type: Literal["HOLDOUT"] = "HOLDOUT"


@dataclass(frozen=True)
class Nothing:
    """An activity whose type was not given; never stored."""

    type: Literal["NOTHING"] = "NOTHING"


Doing = Message | Wait | ConditionalSplit | RandomSplit | Holdout | Nothing


@dataclass(frozen=True)
class Activity:
    """One activity: what it does, and words about it."""

    does: Doing
    description: str = ""


@dataclass(frozen=True)
class Limits:
    """Messages one endpoint may be the target of: in 24 hours, ever, and in so many days; 0 is no limit of one's own."""

    daily: int = 0
    total: int = 0
    timeframe: int = 0
    timeframe_days: int = 0


@dataclass(frozen=True)
class QuietTime:
    """From `start` to `end`, both `HH:MM` and inside."""

    start: str
    end: str


@dataclass(frozen=True)
class Inherited:
    """What the project's settings said when a journey was published; later changes of theirs do not reach it.

    `project_daily` limits the messages of all campaigns and journeys together (pinpoint-1 1.2).
    """

    limits: Limits = Limits()
    project_daily: int = 0
    quiet_time: QuietTime | None = None


@dataclass(frozen=True)
class Draft:
    """Everything an author decides about a journey. `segment` is a full name; empty while it is not chosen.

    `inherited` is filled in when the journey is published.
    """

    display_name: str
    description: str = ""
    activities: Mapping[str, Activity] = field(default_factory=dict)
    start_activity: str = ""
    segment: str = ""
    segment_version: int = 0
    start_time: datetime | None = None
    limits: Limits = Limits()
    quiet_time: QuietTime | None = None
    inherited: Inherited = Inherited()


def ways_out(does: Doing) -> list[tuple[str, str]]:
    """Return the ways out of an activity as (field that names the next one, its id or "")."""
    match does:
        case Message(next=next_) | Wait(next=next_) | Holdout(next=next_):
            return [("next_activity", next_)]
        case ConditionalSplit(yes=yes, no=no):
            return [("true_activity", yes), ("false_activity", no)]
        case RandomSplit(branches=branches):
            return [(f"branches[{i}].next_activity", branch.next) for i, branch in enumerate(branches)]
        case Nothing():
            return []


def successors(draft: Draft) -> dict[str, list[str]]:
    """Return for each activity the known activities it leads to, each once."""
    return {
        id_: list(dict.fromkeys(next_ for _, next_ in ways_out(activity.does) if next_ and next_ in draft.activities))
        for id_, activity in draft.activities.items()
    }


def reachable(draft: Draft, start: str) -> set[str]:
    """Return the activities on any way from `start`, itself included."""
    graph = successors(draft)
    found: set[str] = set()
    waiting = [start] if start in graph else []
    while waiting:
        id_ = waiting.pop()
        if id_ not in found:
            found.add(id_)
            waiting += graph[id_]
    return found


def in_order(draft: Draft) -> list[str] | None:
    """Return all activities so that each stands behind those that lead to it; None when they run in a circle.

    The order is the same for the same journey: where the ways leave a choice, the smaller id goes first.
    """
    graph = successors(draft)
    entries = dict.fromkeys(graph, 0)
    for nexts in graph.values():
        for next_ in nexts:
            entries[next_] += 1
    free = sorted(id_ for id_, count in entries.items() if count == 0)
    order: list[str] = []
    while free:
        id_ = free.pop(0)
        order.append(id_)
        for next_ in graph[id_]:
            entries[next_] -= 1
            if entries[next_] == 0:
                free = sorted([*free, next_])
    return order if len(order) == len(graph) else None


def circles(draft: Draft) -> list[str]:
    """Return the activities that lead back to themselves, sorted."""
    graph = successors(draft)
    found = []
    for id_ in graph:
        behind: set[str] = set()
        waiting = list(graph[id_])
        while waiting:
            next_ = waiting.pop()
            if next_ not in behind:
                behind.add(next_)
                waiting += graph[next_]
        if id_ in behind:
            found.append(id_)
    return sorted(found)
