"""What the checker looks at, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class CapSeen:
    """A cap as a batch carried it. `scope`: SOURCE, PROJECT or JOURNEYS; `window_seconds` 0: for ever."""

    scope: str
    limit: int
    window_seconds: float


@dataclass(frozen=True)
class Planned:
    """One recipient as a campaign, journey or direct send handed it over. `ordinal` is -1 for a bare address."""

    message_id: str
    project: str
    batch_id: str
    run_id: str
    source: str
    message_class: str
    address: str
    ordinal: int
    time_zone: str
    caps: tuple[CapSeen, ...]
    quiet: tuple[str, str] | None
    pool: str = ""
    """The id of the pool it was to leave from, where no number was named beside it."""
    automatic: bool = False
    """The answer to a keyword, which goes to people who opted out too."""


@dataclass(frozen=True)
class LedgerRow:
    """One row of the ledger with its batch and the last call it was in (`call_state` empty: none)."""

    message_id: str
    project: str
    batch_id: str
    run_id: str
    source: str
    message_class: str
    channel: str
    address: str
    status: str
    reason: str
    accepted: bool
    created: datetime
    age: float
    """Seconds since its batch was first seen, by the database's clock."""
    finished: bool
    lease_left: float
    """Seconds until the lease of its batch ends; negative: so long ago."""
    call_state: str
    call_started: datetime | None
    provider: str
    origination: str = ""

    @property
    def way(self) -> tuple[str, str, str]:
        """Project, channel and provider."""
        return (self.project, self.channel, self.provider)


@dataclass(frozen=True)
class Told:
    """An outcome that was announced: ACCEPTED, FAILED, SKIPPED or IN_DOUBT of one message."""

    message_id: str
    outcome: str


@dataclass(frozen=True)
class Letter:
    """A message between services as the database keeps it: whose outbox, whose project it says and is addressed to.

    `kind`: the first part of its subject, such as `dispatch` or `messages`. Ages are seconds.
    """

    schema: str
    id: str
    kind: str
    project: str
    subject_project: str
    payload_project: str
    age: float
    published: bool
    refused: str


@dataclass(frozen=True)
class Stop:
    """An address that nothing may be sent to since an instant; `why` for people."""

    project: str
    channel: str
    address: str
    since: datetime
    why: str


@dataclass(frozen=True)
class Sender:
    """A number (`kind` originations) or a pool (`pools`) as it is set up now, and since when; None: since ever.

    `opt_out_list` is None where somebody else looks after opt-outs.
    """

    project: str
    kind: str
    id: str
    opt_out_list: str | None
    since: datetime | None


@dataclass(frozen=True)
class OptedOut:
    """A number that was on an opt-out list since an instant and until another one (None: it still is)."""

    project: str
    opt_out_list: str
    number: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class Evidence:
    """Everything that was found."""

    planned: Sequence[Planned] = ()
    rows: Sequence[LedgerRow] = ()
    told: Sequence[Told] = ()
    letters: Sequence[Letter] = ()
    stops: Sequence[Stop] = ()
    sent: Mapping[str, int] | None = None
    """How often a provider wrote each message down; None: no provider's log was given."""
    knows_ids: frozenset[tuple[str, str, str]] = frozenset()
    """Project, channel and provider where the provider promises to know our ids again."""
    in_log: frozenset[str] | None = None
    """Ids in the event log; None: it was not given."""
    funnels: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    """What campaigns counted, by (project, run) and outcome."""
    senders: Sequence[Sender] = ()
    opted_out: Sequence[OptedOut] = ()
