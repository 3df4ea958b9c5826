"""How registrations move: one transition table for each kind. Pure.

The words are those of pinpoint-2 section 4. Every legal move is a row here, with who may make it and what follows from it;
everything else is refused. An event that changes nothing but what is written (EDIT, AMEND, SCORED of a brand) is a row, too:
it is in the history like the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Flag, auto

from heliograph_registry10dlc.domain.states import Actor, Event, Kind, State

MAX_NUMBERS_OF_USE_CASE = 49

_USER = frozenset({Actor.USER, Actor.OPERATOR})
_OPERATOR = frozenset({Actor.OPERATOR})
_DECIDER = frozenset({Actor.REGISTRAR, Actor.OPERATOR})
_CLOCK = frozenset({Actor.CLOCK})
_ENDER = _DECIDER | _CLOCK


class Follows(Flag):
    """What a move leads to besides its line in the history and its announcement."""

    NOTHING = 0
    HAND_IN = auto()
    """The registrar gets papers, and decides."""
    NUMBERS = auto()
    """The numbers that send for it stop, or may send again."""


@dataclass(frozen=True)
class Move:
    """One legal move."""

    to: State
    actors: frozenset[Actor]
    follows: Follows = Follows.NOTHING


Machine = Mapping[tuple[State, Event], Move]


def _rows(
    froms: str, event: Event, to: State | None, actors: frozenset[Actor], follows: Follows = Follows.NOTHING
) -> Iterator[tuple[tuple[State, Event], Move]]:
    """Write one row for each of the states; `to` None: it stays where it is."""
    for word in froms.split():
        yield (State(word), event), Move(to or State(word), actors, follows)


_BRAND: Machine = dict(
    [
        *_rows("DRAFT REQUIRES_UPDATE VERIFIED", Event.EDIT, None, _USER),
        *_rows("DRAFT REQUIRES_UPDATE", Event.SUBMIT, State.PENDING, _USER, Follows.HAND_IN),
        *_rows("VERIFIED", Event.SUBMIT, State.UPDATE_PENDING, _USER, Follows.HAND_IN),
        *_rows("PENDING", Event.NEEDS_AUTHENTICATION, State.REQUIRES_AUTHENTICATION, _DECIDER),
        *_rows("PENDING REQUIRES_AUTHENTICATION UPDATE_PENDING", Event.VERIFIED, State.VERIFIED, _DECIDER),
        *_rows("SUSPENDED", Event.VERIFIED, State.VERIFIED, _DECIDER, Follows.NUMBERS),
        *_rows("PENDING REQUIRES_AUTHENTICATION", Event.REJECTED, State.REQUIRES_UPDATE, _DECIDER),
        *_rows("UPDATE_PENDING RENEWAL_PENDING", Event.REJECTED, State.VERIFIED, _DECIDER),
        *_rows("PENDING REQUIRES_AUTHENTICATION", Event.DECLINED, State.REJECTED, _DECIDER),
        *_rows("REQUIRES_AUTHENTICATION", Event.LAPSED, State.REQUIRES_UPDATE, _CLOCK),
        *_rows("VERIFIED UPDATE_PENDING RENEWAL_PENDING SUSPENDED EXPIRED", Event.SCORED, None, _DECIDER),
        *_rows("VERIFIED UPDATE_PENDING", Event.RENEWAL_DUE, None, _CLOCK),
        *_rows("VERIFIED", Event.RENEW, State.RENEWAL_PENDING, _USER, Follows.HAND_IN),
        *_rows("EXPIRED", Event.RENEW, State.PENDING, _USER, Follows.HAND_IN),
        *_rows("RENEWAL_PENDING", Event.RENEWED, State.VERIFIED, _DECIDER),
        *_rows(
            "VERIFIED UPDATE_PENDING RENEWAL_PENDING", Event.SUSPENDED, State.SUSPENDED, _DECIDER, Follows.NUMBERS
        ),
        *_rows(
            "VERIFIED UPDATE_PENDING RENEWAL_PENDING SUSPENDED",
            Event.EXPIRED, State.EXPIRED, _ENDER, Follows.NUMBERS,
        ),
        *_rows("DRAFT", Event.DELETE, State.DELETED, _USER),
        *_rows("REQUIRES_UPDATE REJECTED VERIFIED SUSPENDED EXPIRED", Event.DELETE, State.DELETED, _OPERATOR),
    ]
)  # fmt: skip
_VETTING: Machine = dict(
    [
        *_rows("PENDING", Event.SCORED, State.SCORED, _DECIDER),
        *_rows("PENDING", Event.FAILED, State.FAILED, _DECIDER),
    ]
)
_USE_CASE: Machine = dict(
    [
        *_rows("DRAFT REQUIRES_UPDATE", Event.EDIT, None, _USER),
        *_rows("APPROVED RENEWAL_PENDING", Event.AMEND, None, _USER),
        *_rows("DRAFT REQUIRES_UPDATE", Event.SUBMIT, State.PENDING, _USER, Follows.HAND_IN),
        *_rows("PENDING", Event.APPROVED, State.APPROVED, _DECIDER, Follows.NUMBERS),
        *_rows("SUSPENDED", Event.APPROVED, State.APPROVED, _DECIDER, Follows.NUMBERS),
        *_rows("PENDING", Event.REJECTED, State.REQUIRES_UPDATE, _DECIDER),
        *_rows("PENDING", Event.DECLINED, State.REJECTED, _DECIDER),
        *_rows("APPROVED", Event.RENEWAL_DUE, None, _CLOCK),
        *_rows("APPROVED", Event.RENEW, State.RENEWAL_PENDING, _USER, Follows.HAND_IN),
        *_rows("EXPIRED", Event.RENEW, State.PENDING, _USER, Follows.HAND_IN),
        *_rows("RENEWAL_PENDING", Event.RENEWED, State.APPROVED, _DECIDER),
        *_rows("RENEWAL_PENDING", Event.REJECTED, State.APPROVED, _DECIDER),
        *_rows("APPROVED RENEWAL_PENDING", Event.SUSPENDED, State.SUSPENDED, _DECIDER, Follows.NUMBERS),
        *_rows("APPROVED RENEWAL_PENDING SUSPENDED", Event.EXPIRED, State.EXPIRED, _ENDER, Follows.NUMBERS),
        *_rows(
            "DRAFT REQUIRES_UPDATE REJECTED APPROVED SUSPENDED EXPIRED", Event.DELETE, State.DELETED, _USER
        ),
    ]
)  # fmt: skip
_TOLL_FREE: Machine = dict(
    [
        *_rows("DRAFT REQUIRES_UPDATE", Event.EDIT, None, _USER),
        *_rows("DRAFT REQUIRES_UPDATE", Event.SUBMIT, State.PENDING, _USER, Follows.HAND_IN),
        *_rows("PENDING SUSPENDED", Event.APPROVED, State.APPROVED, _DECIDER, Follows.NUMBERS),
        *_rows("PENDING", Event.REJECTED, State.REQUIRES_UPDATE, _DECIDER),
        *_rows("PENDING", Event.DECLINED, State.REJECTED, _DECIDER),
        *_rows("APPROVED", Event.SUSPENDED, State.SUSPENDED, _DECIDER, Follows.NUMBERS),
        *_rows("DRAFT PENDING REQUIRES_UPDATE REJECTED APPROVED SUSPENDED", Event.CLOSE, State.CLOSED, _USER),
        *_rows("DRAFT CLOSED", Event.DELETE, State.DELETED, _USER),
    ]
)
_NUMBER: Machine = dict(
    [
        *_rows("ORDERED", Event.BOUGHT, State.UNASSOCIATED, _DECIDER),
        *_rows("ORDERED", Event.FAILED, State.FAILED, _DECIDER),
        *_rows("UNASSOCIATED", Event.ACTIVATE, State.READY, _USER | _DECIDER),
        *_rows("UNASSOCIATED", Event.ASSOCIATE, State.PENDING, _USER | _DECIDER, Follows.HAND_IN),
        # A long code is READY for voice from the beginning, and again when it cannot be converted.
        *_rows("READY", Event.CONVERT, State.CONVERTING, _USER, Follows.HAND_IN),
        *_rows("PENDING CONVERTING", Event.READY, State.READY, _DECIDER),
        *_rows("PENDING CONVERTING", Event.REJECTED, State.UNASSOCIATED, _DECIDER),
        *_rows(
            "PENDING CONVERTING READY SUSPENDED",
            Event.DISASSOCIATE, State.DISASSOCIATING, _USER, Follows.HAND_IN,
        ),
        *_rows("DISASSOCIATING", Event.DETACHED, State.UNASSOCIATED, _DECIDER),
        *_rows("READY", Event.STOPPED, State.SUSPENDED, _ENDER),
        *_rows("SUSPENDED", Event.RESUMED, State.READY, _ENDER),
        *_rows(
            "UNASSOCIATED PENDING CONVERTING READY SUSPENDED DISASSOCIATING", Event.RELEASE, State.RELEASED, _USER
        ),
    ]
)  # fmt: skip
MACHINES: Mapping[Kind, Machine] = {
    Kind.BRAND: _BRAND,
    Kind.VETTING: _VETTING,
    Kind.USE_CASE: _USE_CASE,
    Kind.NUMBER: _NUMBER,
    Kind.TOLL_FREE: _TOLL_FREE,
}
FIRST_STATES: Mapping[Kind, frozenset[State]] = {
    Kind.BRAND: frozenset({State.DRAFT}),
    Kind.VETTING: frozenset({State.PENDING}),
    Kind.USE_CASE: frozenset({State.DRAFT}),
    Kind.NUMBER: frozenset({State.ORDERED, State.UNASSOCIATED}),
    Kind.TOLL_FREE: frozenset({State.DRAFT}),
}
IN_FORCE: Mapping[Kind, frozenset[State]] = {
    Kind.BRAND: frozenset({State.VERIFIED, State.UPDATE_PENDING, State.RENEWAL_PENDING}),
    Kind.USE_CASE: frozenset({State.APPROVED, State.RENEWAL_PENDING}),
    Kind.TOLL_FREE: frozenset({State.APPROVED}),
}
"""Where a registration counts for what hangs on it."""
GONE = frozenset({State.DELETED, State.RELEASED})


def states_of(kind: Kind) -> frozenset[State]:
    """Return the states a kind knows."""
    return FIRST_STATES[kind] | {state for state, _ in MACHINES[kind]} | {move.to for move in MACHINES[kind].values()}


def move(kind: Kind, state: State, event: Event, actor: Actor) -> Move | None:
    """Return the move, or None when it is not legal for this actor."""
    found = MACHINES[kind].get((state, event))
    return found if found is not None and actor in found.actors else None


def events_of(kind: Kind, state: State, actor: Actor) -> list[Event]:
    """Return what this actor may do now, in the order of the table."""
    return [event for (source, event), found in MACHINES[kind].items() if source is state and actor in found.actors]
