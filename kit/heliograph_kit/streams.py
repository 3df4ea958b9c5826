"""The streams of the bus, their subjects, and who must have applied what is in them (design.md section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

MessageClass = Literal["transactional", "campaign", "journey"]

DUPLICATE_WINDOW = timedelta(minutes=2)
"""How long a stream remembers message ids. Longer windows cost memory; the inbox is the real guard."""

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
"""Largest payload of one message; the server's `max_payload` must be above it (NATS defaults to 1 MiB)."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Stream:
    """One stream as it is declared to the server.

    `confirmed_by` names the services whose effect the reconciler asks for before it calls a message of this stream
    done; empty for streams whose loss costs nothing that is not also kept elsewhere.
    """

    name: str
    subjects: tuple[str, ...]
    max_age: timedelta
    description: str
    work_queue: bool = False
    confirmed_by: tuple[str, ...] = ()


STREAMS: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        # PutEvents accepts an event when the bus has it: no outbox, therefore nothing to reconcile with.
        Stream("EVENTS", ("events.*",), timedelta(days=7), "what applications report of their users"),
        Stream(
            "MESSAGES",
            ("messages.*",),
            timedelta(days=7),
            "what became of each message",
            confirmed_by=("analytics", "campaigns", "journeys"),
        ),
        # Applied messages leave a work queue, so its age limit only bounds what nobody ever took.
        Stream(
            "DISPATCH",
            ("dispatch.*.*",),
            timedelta(days=7),
            "pages of recipients to send to",
            work_queue=True,
            confirmed_by=("messaging",),
        ),
        # Caches start from the owner's answer and only follow from here: a lost change costs one refresh.
        Stream("CHANGES", ("changes.>",), timedelta(days=1), "what changed in the services' own tables"),
        Stream("DEAD", ("dead.*",), timedelta(days=30), "what can never work, with the reason"),
    )
}


def events_subject(project: str) -> str:
    """Return the subject for events of one project.

    Raises:
        ValueError: the project id is not a subject token.
    """
    return f"events.{_token(project)}"


def messages_subject(project: str) -> str:
    """Return the subject for outcomes of messages of one project; raises ValueError like `events_subject`."""
    return f"messages.{_token(project)}"


def dispatch_subject(message_class: str, project: str) -> str:
    """Return the subject for pages to send: class is transactional, campaign or journey.

    Raises:
        ValueError: unknown class, or the project id is not a subject token.
    """
    if message_class not in ("transactional", "campaign", "journey"):
        raise ValueError(f"message class {message_class!r} is none of transactional, campaign, journey")
    return f"dispatch.{message_class}.{_token(project)}"


def changes_subject(service: str, project: str, kind: str) -> str:
    """Return the subject for changes of one kind of thing; raises ValueError like `events_subject`."""
    return f"changes.{_token(service)}.{_token(project)}.{_token(kind)}"


def dead_subject(service: str) -> str:
    """Return the subject for dead letters of one service; raises ValueError like `events_subject`."""
    return f"dead.{_token(service)}"


def stream_of(subject: str) -> Stream | None:
    """Return the declared stream that stores this subject, None when there is none."""
    return next((s for s in STREAMS.values() if any(covers(f, subject) for f in s.subjects)), None)


def covers(subject_filter: str, subject: str) -> bool:
    """Tell whether a filter with `*` (one token) and `>` (one or more) matches the subject."""
    wanted, given = subject_filter.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(given) > position
        if position >= len(given) or (token != "*" and token != given[position]):
            return False
    return len(wanted) == len(given)


def overlap(one: str, other: str) -> bool:
    """Tell whether some subject matches both filters; a work queue refuses consumers whose filters do."""
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if ">" in (left, right):
            return True
        if "*" not in (left, right) and left != right:
            return False
    return len(one.split(".")) == len(other.split("."))


def template_of(subject: str) -> str:
    """Return the subject with the project left out, as span and metric names must not grow with tenants."""
    match subject.split("."):
        case [("events" | "messages") as kind, _]:
            return f"{kind}.{{project}}"
        case ["dispatch", message_class, _]:
            return f"dispatch.{message_class}.{{project}}"
        case ["changes", service, _, kind]:
            return f"changes.{service}.{{project}}.{kind}"
        case ["dead", service]:
            return f"dead.{service}"
        case ["applied", service]:
            return f"applied.{service}"
        case [first, *_]:
            return f"{first}.{{other}}"
        case _:
            return "{other}"


def project_of_subject(subject: str) -> str:
    """Return the project a subject belongs to, "" when it belongs to none."""
    match subject.split("."):
        case ["events" | "messages", project] | ["dispatch", _, project] | ["changes", _, project, _]:
            return project
        case _:
            return ""


def _token(text: str) -> str:
    # A dot, a wildcard or a space in an id would publish to somebody else's subject.
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} cannot be part of a bus subject: 1 to 64 letters, digits, '-' and '_'")
    return text
