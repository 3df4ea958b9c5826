"""What registrations are and how they move. Pure."""

from heliograph_registry10dlc.domain.machines import (
    FIRST_STATES,
    GONE,
    IN_FORCE,
    MACHINES,
    MAX_NUMBERS_OF_USE_CASE,
    Follows,
    Machine,
    Move,
    events_of,
    move,
    states_of,
)
from heliograph_registry10dlc.domain.registration import (
    MAX_EXTERNAL_REFERENCE,
    SCORE_AT_SUBMISSION,
    Complain,
    Entry,
    Finding,
    Registration,
)
from heliograph_registry10dlc.domain.states import Actor, Event, Kind, NumberType, State

__all__ = [
    "FIRST_STATES",
    "GONE",
    "IN_FORCE",
    "MACHINES",
    "MAX_EXTERNAL_REFERENCE",
    "MAX_NUMBERS_OF_USE_CASE",
    "SCORE_AT_SUBMISSION",
    "Actor",
    "Complain",
    "Entry",
    "Event",
    "Finding",
    "Follows",
    "Kind",
    "Machine",
    "Move",
    "NumberType",
    "Registration",
    "State",
    "events_of",
    "move",
    "states_of",
]
