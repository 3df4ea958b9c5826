"""How registrations move: one transition table per kind, and what each move needs. Pure.

The words are those of pinpoint-2 section 4; every legal move is a row here, everything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MAX_NUMBERS_OF_USE_CASE = 49

# Told to the collector of violations: field path, what to do, reason.
Complain = Callable[[str, str, str], None]


class Kind(StrEnum):
    """What is registered."""

    BRAND = "BRAND"
    USE_CASE = "USE_CASE"
    NUMBER = "NUMBER"


class State(StrEnum):
    """Where a registration is."""

    DRAFT = "DRAFT"
    PENDING = "PENDING"
    REQUIRES_UPDATE = "REQUIRES_UPDATE"
    VERIFIED = "VERIFIED"
    APPROVED = "APPROVED"
    SUSPENDED = "SUSPENDED"
    UNASSOCIATED = "UNASSOCIATED"
    READY = "READY"
    RELEASED = "RELEASED"


class Event(StrEnum):
    """What can happen to a registration."""

    SUBMIT = "SUBMIT"
    ASSOCIATE = "ASSOCIATE"
    RELEASE = "RELEASE"
    VERIFIED = "VERIFIED"
    APPROVED = "APPROVED"
    READY = "READY"
    REJECTED = "REJECTED"
    SUSPENDED = "SUSPENDED"


class Actor(StrEnum):
    """Who may make a move."""

    USER = "user"
    REGISTRAR = "registrar"


ACTOR_OF: Mapping[Event, Actor] = {
    Event.SUBMIT: Actor.USER,
    Event.ASSOCIATE: Actor.USER,
    Event.RELEASE: Actor.USER,
    Event.VERIFIED: Actor.REGISTRAR,
    Event.APPROVED: Actor.REGISTRAR,
    Event.READY: Actor.REGISTRAR,
    Event.REJECTED: Actor.REGISTRAR,
    Event.SUSPENDED: Actor.REGISTRAR,
}
FIRST_STATE: Mapping[Kind, State] = {
    Kind.BRAND: State.DRAFT,
    Kind.USE_CASE: State.DRAFT,
    Kind.NUMBER: State.UNASSOCIATED,
}
EDITABLE = frozenset({State.DRAFT, State.REQUIRES_UPDATE})
MOVES: Mapping[Kind, Mapping[tuple[State, Event], State]] = {
    Kind.BRAND: {
        (State.DRAFT, Event.SUBMIT): State.PENDING,
        (State.REQUIRES_UPDATE, Event.SUBMIT): State.PENDING,
        (State.PENDING, Event.VERIFIED): State.VERIFIED,
        (State.PENDING, Event.REJECTED): State.REQUIRES_UPDATE,
    },
    Kind.USE_CASE: {
        (State.DRAFT, Event.SUBMIT): State.PENDING,
        (State.REQUIRES_UPDATE, Event.SUBMIT): State.PENDING,
        (State.PENDING, Event.APPROVED): State.APPROVED,
        (State.PENDING, Event.REJECTED): State.REQUIRES_UPDATE,
        (State.APPROVED, Event.SUSPENDED): State.SUSPENDED,
        # A carrier that lifts its stop approves again.
        (State.SUSPENDED, Event.APPROVED): State.APPROVED,
    },
    Kind.NUMBER: {
        (State.UNASSOCIATED, Event.ASSOCIATE): State.PENDING,
        (State.PENDING, Event.READY): State.READY,
        (State.PENDING, Event.REJECTED): State.UNASSOCIATED,
        (State.UNASSOCIATED, Event.RELEASE): State.RELEASED,
        (State.PENDING, Event.RELEASE): State.RELEASED,
        (State.READY, Event.RELEASE): State.RELEASED,
    },
}


def after(kind: Kind, state: State, event: Event) -> State | None:
    """Return the state that follows, or None when the move is not legal."""
    return MOVES[kind].get((state, event))


@dataclass(frozen=True)
class Registration:
    """A brand, a use case or a number. Times are of the installation's clock."""

    project: str
    id: str
    kind: Kind
    state: State
    fields: Mapping[str, str]
    create_time: datetime
    update_time: datetime
    # The brand of a use case, the use case of a number; empty otherwise.
    parent_id: str = ""
    state_cause: str = ""
    state_field: str = ""
    vetting_score: int = 0
    # Counts every change; announced with it, so that a reader can tell which of two announcements is newer.
    revision: int = 1
    # The registrar's reference of the present submission; empty until it was handed in.
    reference: str = ""
    submitted_at: datetime | None = None

    @property
    def number(self) -> str:
        """The number of a NUMBER, E.164."""
        return self.fields.get("number", "")


@dataclass(frozen=True)
class Move:
    """One line of the history."""

    project: str
    registration_id: str
    kind: Kind
    from_state: State | None
    to_state: State
    actor: Actor
    time: datetime
    cause: str = ""
    field: str = ""
    # Makes a repeated decision of the registrar the same move.
    key: str = ""
