"""What is wrong with a journey: `check` refuses what can never be right, `review` what cannot be published yet.

Rules are those of pinpoint-1 5.2 (bounds), 5.7 (activities) and 5.9 (review, numbers E1 to E13, R1 to R10).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from heliograph_journeys.domain.journey import (
    EVENT_BITS,
    ConditionalSplit,
    Doing,
    Draft,
    Holdout,
    Message,
    MessageEvent,
    Nothing,
    RandomSplit,
    Wait,
    circles,
    reachable,
    successors,
    ways_out,
)

MOST_ACTIVITIES = 40
MOST_CONDITIONS = 10
LONGEST_WAIT = timedelta(days=365)
CHANNELS = ("EMAIL", "SMS")
# An SMS can neither be opened nor complained about (pinpoint-1 5.8).
_NOT_OF_SMS = frozenset({"OPENED", "COMPLAINED"})
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_ID = re.compile(r"[A-Za-z0-9]{1,100}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}")
_DOES = {
    "MESSAGE": "message",
    "WAIT": "wait",
    "CONDITIONAL_SPLIT": "conditional_split",
    "RANDOM_SPLIT": "random_split",
    "HOLDOUT": "holdout",
}


@dataclass(frozen=True)
class Finding:
    """One thing to mend (`error`) or to think about, with the path of its field."""

    field: str
    reason: str
    description: str
    error: bool = True


def check(draft: Draft, project: str) -> list[Finding]:
    """Return everything that is malformed, out of range or contradicts itself; such a draft is not stored.

    `project` is the id of the project; names of other projects' resources are refused.
    """
    found = [*_outside(draft, project), *_limits(draft)]
    if len(draft.activities) > MOST_ACTIVITIES:
        words = f"has {len(draft.activities)} activities; at most {MOST_ACTIVITIES} are allowed"
        found.append(Finding("activities", "TOO_MANY_ACTIVITIES", words))
    for id_, activity in draft.activities.items():
        path = f"activities[{id_}]"
        if not _ID.fullmatch(id_):
            found.append(Finding(path, "INVALID_ID", "the id must be 1 to 100 letters and digits"))
        if len(activity.description) > 1000:
            found.append(Finding(f"{path}.description", "TOO_LONG", "must have at most 1,000 characters"))
        found += _activity(activity.does, field_of(id_, activity.does), draft, project)
    for id_ in circles(draft):
        words = "leads back to itself; a journey must not run in a circle"
        found.append(Finding(f"activities[{id_}]", "CYCLE", words))
    return found


def review(draft: Draft, project: str) -> list[Finding]:
    """Return what the review finds without asking anybody: all of `check`, what is missing, and recommendations."""
    found = check(draft, project)
    if not draft.segment:
        words = "choose the segment that takes part"
        found.append(Finding("start_condition.segment.segment", "START_CONDITION_MISSING", words))
    if not draft.activities:
        found.append(Finding("activities", "NO_ACTIVITIES", "add at least one activity"))
    elif not draft.start_activity:
        found.append(Finding("start_activity", "START_ACTIVITY_MISSING", "name the first activity"))
    elif draft.start_activity in draft.activities:
        seen = reachable(draft, draft.start_activity)
        for id_ in draft.activities:
            if id_ not in seen:
                words = "no way leads here from the start; connect it or remove it"
                found.append(Finding(f"activities[{id_}]", "UNREACHABLE", words))
    for id_, activity in draft.activities.items():
        found += _complete(id_, activity.does, draft)
        found += _recommended(id_, activity.does, draft)
    return sorted(found, key=lambda finding: not finding.error)


def field_of(id_: str, does: Doing) -> str:
    """Return the path of what an activity does, for example `activities[welcome].message`."""
    name = _DOES.get(does.type)
    return f"activities[{id_}].{name}" if name else f"activities[{id_}]"


def _limits(draft: Draft) -> Iterator[Finding]:
    limits = draft.limits
    for name, most in (("daily", 100), ("total", 100), ("timeframe", 100), ("timeframe_days", 30)):
        if not 0 <= getattr(limits, name) <= most:
            yield Finding(f"limits.{name}", "OUT_OF_RANGE", f"must be 0 to {most}")
    if bool(limits.timeframe) != bool(limits.timeframe_days):
        words = "must be set together with timeframe, or both be 0"
        yield Finding("limits.timeframe_days", "TIMEFRAME_INCOMPLETE", words)
    for name in ("start", "end") if draft.quiet_time else ():
        if not _CLOCK.fullmatch(getattr(draft.quiet_time, name)):
            words = "must be a time of day of the form HH:MM, from 00:00 to 23:59"
            yield Finding(f"quiet_time.{name}", "NOT_A_CLOCK_TIME", words)


def _outside(draft: Draft, project: str) -> Iterator[Finding]:
    if not 1 <= len(draft.display_name) <= 150:
        yield Finding("display_name", "OUT_OF_RANGE", "must have 1 to 150 characters")
    if len(draft.description) > 1000:
        yield Finding("description", "TOO_LONG", "must have at most 1,000 characters")
    if draft.segment and not _is_name(draft.segment, project, "segments"):
        words = "must have the form projects/{project}/segments/{id}, in the project of the journey"
        yield Finding("start_condition.segment.segment", "INVALID_NAME", words)
    if draft.segment_version < 0:
        yield Finding("start_condition.segment.segment_version", "OUT_OF_RANGE", "must not be negative")
    if draft.start_activity and draft.start_activity not in draft.activities:
        yield Finding("start_activity", "UNKNOWN_ACTIVITY", "there is no such activity")


def _activity(does: Doing, path: str, draft: Draft, project: str) -> Iterator[Finding]:
    for name, next_ in ways_out(does):
        if next_ and next_ not in draft.activities:
            yield Finding(f"{path}.{name}", "UNKNOWN_ACTIVITY", "there is no such activity")
    match does:
        case Nothing():
            yield Finding(path, "ACTIVITY_TYPE_MISSING", "set what the activity does")
        case Message():
            yield from _message(does, path, project)
        case Wait(wait_for=time) if time is not None and not timedelta() < time <= LONGEST_WAIT:
            yield Finding(f"{path}.wait_for", "OUT_OF_RANGE", "must be above 0 and at most 365 days")
        case ConditionalSplit():
            yield from _split(does, path, draft)
        case RandomSplit(branches=branches):
            if not 2 <= len(branches) <= 5:
                yield Finding(f"{path}.branches", "OUT_OF_RANGE", "a random split has 2 to 5 branches")
            for i, branch in enumerate(branches):
                if len(branches) > 1 and not 1 <= branch.percentage <= 99:
                    yield Finding(f"{path}.branches[{i}].percentage", "OUT_OF_RANGE", "must be 1 to 99")
            if (total := sum(branch.percentage for branch in branches)) != 100:
                yield Finding(f"{path}.branches", "SUM_NOT_100", f"the percentages sum up to {total}, not to 100")
        case Holdout(percentage=percentage) if not 0 <= percentage <= 100:
            yield Finding(f"{path}.percentage", "OUT_OF_RANGE", "must be 0 to 100")


def _message(does: Message, path: str, project: str) -> Iterator[Finding]:
    if does.channel not in CHANNELS:
        yield Finding(f"{path}.channel", "UNKNOWN_CHANNEL", "must be EMAIL or SMS")
    if does.template and not _is_name(does.template, project, "templates"):
        words = "must have the form projects/{project}/templates/{id}, in the project of the journey"
        yield Finding(f"{path}.template", "INVALID_NAME", words)
    if does.template_version < 0:
        yield Finding(f"{path}.template_version", "OUT_OF_RANGE", "must not be negative")
    if len(does.from_address) > 320:
        yield Finding(f"{path}.from_address", "TOO_LONG", "must have at most 320 characters")
    if does.origination_number and not _NUMBER.fullmatch(does.origination_number):
        words = "must be a number in E.164 form, +15550100, or a short code of 3 to 8 digits"
        yield Finding(f"{path}.origination_number", "INVALID_NUMBER", words)
    if does.origination_pool and not _is_name(does.origination_pool, project, "pools"):
        words = "must have the form projects/{project}/pools/{id}, in the project of the journey"
        yield Finding(f"{path}.origination_pool", "INVALID_NAME", words)


def _split(does: ConditionalSplit, path: str, draft: Draft) -> Iterator[Finding]:
    if len(does.conditions) > MOST_CONDITIONS:
        yield Finding(f"{path}.conditions", "TOO_MANY_CONDITIONS", f"at most {MOST_CONDITIONS} are allowed")
    time = does.evaluation_wait_for
    if time is not None and not timedelta() <= time <= LONGEST_WAIT:
        yield Finding(f"{path}.evaluation_wait_for", "OUT_OF_RANGE", "must be 0 to 365 days")
    for i, condition in enumerate(does.conditions):
        if condition is None:
            yield Finding(f"{path}.conditions[{i}]", "CONDITION_MISSING", "set what must hold")
        else:
            yield from _condition(condition, f"{path}.conditions[{i}].message_event", draft)


def _condition(condition: MessageEvent, path: str, draft: Draft) -> Iterator[Finding]:
    if condition.event not in EVENT_BITS:
        yield Finding(f"{path}.event", "UNKNOWN_EVENT", f"must be one of {', '.join(EVENT_BITS)}")
    named = draft.activities.get(condition.message_activity)
    if named is None:
        yield Finding(f"{path}.message_activity", "UNKNOWN_ACTIVITY", "there is no such activity")
    elif not isinstance(named.does, Message):
        yield Finding(f"{path}.message_activity", "NOT_A_MESSAGE", "must name a message activity")
    elif named.does.channel == "SMS" and condition.event in _NOT_OF_SMS:
        yield Finding(f"{path}.event", "EVENT_NOT_OF_CHANNEL", f"an SMS is never {condition.event}")


def _complete(id_: str, does: Doing, draft: Draft) -> Iterator[Finding]:
    path = field_of(id_, does)
    match does:
        case Message(template=""):
            yield Finding(f"{path}.template", "TEMPLATE_MISSING", "choose the template to send")
        case Wait(wait_for=None, wait_until=None):
            yield Finding(path, "WAIT_MISSING", "say how long, or until when")
        case ConditionalSplit(conditions=conditions):
            if not conditions:
                yield Finding(f"{path}.conditions", "NO_CONDITIONS", "add at least one condition")
            if not does.yes and not does.no:
                yield Finding(path, "NO_WAY_OUT", "connect Yes or No with an activity")
            for i, condition in enumerate(conditions):
                known = condition is not None and condition.message_activity in draft.activities
                if condition is not None and known and id_ not in reachable(draft, condition.message_activity):
                    words = "lies on no way to this split, so the condition can never hold"
                    field = f"{path}.conditions[{i}].message_event.message_activity"
                    yield Finding(field, "MESSAGE_NOT_BEFORE_SPLIT", words)


def _recommended(id_: str, does: Doing, draft: Draft) -> Iterator[Finding]:
    path = field_of(id_, does)
    match does:
        case Message():
            for next_ in successors(draft)[id_]:
                if isinstance(draft.activities[next_].does, Message):
                    words = f"sends right before {next_}; a wait in between spares the participants"
                    yield Finding(path, "MESSAGES_IN_A_ROW", words, error=False)
        case ConditionalSplit():
            if does.evaluation_wait_for is None and does.evaluation_wait_until is None:
                words = "set when No is decided; otherwise it is the window of the installation"
                yield Finding(path, "NO_EVALUATION_TIME", words, error=False)
            for name, next_ in ways_out(does):
                if not next_:
                    yield Finding(f"{path}.{name}", "EMPTY_BRANCH", "ends the way of everybody on it", error=False)


def _is_name(name: str, project: str, collection: str) -> bool:
    parts = name.split("/")
    return len(parts) == 4 and parts[:3] == ["projects", project, collection] and 1 <= len(parts[3]) <= 256
