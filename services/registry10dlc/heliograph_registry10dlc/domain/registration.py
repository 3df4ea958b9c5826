"""What is kept of a registration, and one line of its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from heliograph_registry10dlc.domain.states import Actor, Event, Kind, NumberType, State

SCORE_AT_SUBMISSION = -1
"""Score of a use case that came with imported papers, before its brand was verified: the one at its submission counts."""
MAX_EXTERNAL_REFERENCE = 256
"""Characters of the id a company or use case has elsewhere."""
# Told to the collector of violations: field path, what to do, reason.
Complain = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Finding:
    """One thing to mend: the form's field (empty: all of it), a word of pinpoint-2 4.7, the registry's own words."""

    field: str
    cause: str
    words: str = ""


@dataclass(frozen=True)
class Registration:
    """A brand, a vetting, a use case, a number or a toll-free registration. Times are of the installation's clock."""

    project: str
    id: str
    kind: Kind
    state: State
    fields: Mapping[str, str]
    create_time: datetime
    update_time: datetime
    # The brand of a vetting or use case; the use case or the toll-free registration of a number; the number of a toll-free
    # registration; empty otherwise.
    parent_id: str = ""
    state_cause: str = ""
    state_field: str = ""
    findings: tuple[Finding, ...] = ()
    # A change of a verified brand that is not in force.
    draft_fields: Mapping[str, str] = field(default_factory=dict)
    # Of a brand: its score now. Of a use case: the brand's score when it was created. Of a vetting: its result.
    vetting_score: int = 0
    vetting_time: datetime | None = None
    expire_time: datetime | None = None
    # Counts every change; announced with it, so that a reader can tell which of two announcements is newer.
    revision: int = 1
    # The registrar's reference of the present submission; empty until it was handed in.
    reference: str = ""
    submitted_at: datetime | None = None
    # The registry's lasting id of it, once it told one.
    registered_id: str = ""
    # What the submission before the present one was answered with.
    earlier_reference: str = ""
    external_reference: str = ""

    @property
    def number(self) -> str:
        """The number of a NUMBER, E.164 or a short code; empty while it is being bought."""
        return self.fields.get("number", "")

    @property
    def number_type(self) -> NumberType:
        """What a NUMBER is."""
        return NumberType(self.fields.get("number_type") or NumberType.TEN_DLC)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What a NUMBER can do: SMS, VOICE or both."""
        return tuple((self.fields.get("capabilities") or "SMS,VOICE").split(","))


@dataclass(frozen=True)
class Entry:
    """One line of the history. `move_id` grows within a project; 0 before it is stored."""

    project: str
    registration_id: str
    kind: Kind
    event: Event | None
    from_state: State | None
    to_state: State
    actor: Actor
    time: datetime
    cause: str = ""
    field: str = ""
    words: str = ""
    # Makes a repeated decision of the registrar the same move.
    key: str = ""
    move_id: int = 0
