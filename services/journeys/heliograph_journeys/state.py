"""What is stored about journeys and runs, between the store and its users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import TypeAdapter

from heliograph_journeys.domain.journey import Draft
from heliograph_journeys.domain.table import StepTable, compile_journey
from heliograph_kit.names import format_name

_DRAFT: TypeAdapter[Draft] = TypeAdapter(Draft)


class JourneyState(StrEnum):
    """States of pinpoint-1 5.3."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    CLOSED = "CLOSED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class RunState(StrEnum):
    """States of pinpoint-1 5.1."""

    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Journey:
    """A journey as it is stored. `revision` grows with each change and is its etag."""

    project: str
    id: str
    draft: Draft
    revision: int
    state: JourneyState
    state_reason: str
    create_time: datetime
    update_time: datetime
    publish_time: datetime | None = None

    @property
    def name(self) -> str:
        """The full name."""
        return format_name(self.project, "journeys", self.id)


@dataclass(frozen=True)
class Run:
    """A run as it is stored; `draft` is the journey as it was published. `number` is given by the store, 0 before."""

    project: str
    id: str
    number: int
    journey_id: str
    draft: Draft
    implicit_window: timedelta
    state: RunState
    failure_reason: str
    start_time: datetime
    create_time: datetime
    end_time: datetime | None
    snapshot: str
    member_count: int
    cursor: int
    entered: int
    entry_done: bool
    lease_token: int
    traceparent: str

    @property
    def journey_name(self) -> str:
        """The full name of the journey."""
        return format_name(self.project, "journeys", self.journey_id)

    @property
    def name(self) -> str:
        """The full name of the run."""
        return f"{self.journey_name}/runs/{self.id}"

    def compiled(self) -> StepTable:
        """Return the table of steps of this run."""
        return compile_journey(self.draft, implicit_window=self.implicit_window)


def draft_to_json(draft: Draft) -> str:
    """Return a draft in the form it is stored in."""
    return _DRAFT.dump_json(draft).decode()


def draft_from_json(stored: object) -> Draft:
    """Read a stored draft."""
    return _DRAFT.validate_python(stored) if not isinstance(stored, str | bytes) else _DRAFT.validate_json(stored)
