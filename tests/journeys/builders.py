"""Journeys for tests: a test says only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from heliograph_journeys.domain.journey import (
    Activity,
    Branch,
    ConditionalSplit,
    Doing,
    Draft,
    Holdout,
    Message,
    MessageEvent,
    RandomSplit,
    Wait,
)

SEGMENT = "projects/shop/segments/buyers"
TEMPLATE = "projects/shop/templates/welcome"


def a_message(next_: str = "", *, channel: str = "EMAIL", template: str = TEMPLATE) -> Message:
    """An e-mail."""
    return Message(channel=channel, template=template, next=next_)


def a_wait(next_: str = "", *, hours: float = 24) -> Wait:
    """A day."""
    return Wait(wait_for=timedelta(hours=hours), next=next_)


def a_split(
    yes: str = "", no: str = "", *, of: str = "hello", event: str = "OPENED", hours: float = 24
) -> ConditionalSplit:
    """Opened within a day?"""
    return ConditionalSplit(
        conditions=(MessageEvent(of, event),), evaluation_wait_for=timedelta(hours=hours), yes=yes, no=no
    )


def a_random(**shares: int) -> RandomSplit:
    """Branches by the id they lead to; `end` leads out."""
    return RandomSplit(tuple(Branch(share, "" if id_ == "end" else id_) for id_, share in shares.items()))


def a_draft(doings: Mapping[str, Doing] | None = None, *, start: str | None = None, segment: str = SEGMENT) -> Draft:
    """A journey of these activities that starts at the first of them; without any, the whole story of issue 2."""
    doings = the_story() if doings is None else doings
    activities = {id_: Activity(doing) for id_, doing in doings.items()}
    first = next(iter(activities), "") if start is None else start
    return Draft("Welcome", activities=activities, start_activity=first, segment=segment)


def the_story() -> dict[str, Doing]:
    """Holdout, e-mail, wait, opened? then an SMS, else a second e-mail."""
    return {
        "keep": Holdout(10, "hello"),
        "hello": a_message("pause"),
        "pause": a_wait("opened"),
        "opened": a_split("thanks", "again"),
        "thanks": a_message(channel="SMS", template="projects/shop/templates/thanks"),
        "again": a_message(),
    }
