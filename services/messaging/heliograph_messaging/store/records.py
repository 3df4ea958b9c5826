"""What the ledger takes and gives: batches, leases, rows and outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from heliograph_messaging.domain.outcomes import Outcome


@dataclass(frozen=True)
class BatchKey:
    """Which batch."""

    project: str
    batch_id: str

    def parameters(self) -> dict[str, Any]:
        """Return the two parameters every statement has."""
        return {"project": self.project, "batch": self.batch_id}


@dataclass(frozen=True)
class NewBatch:
    """What a batch is, the same for all its messages."""

    key: BatchKey
    message_class: str
    source_name: str
    run_id: str
    treatment_id: str
    activity_id: str
    channel: str
    template: str
    template_version: int
    create_time: datetime
    extras: str = ""
    """JSON of what its messages tell beside that; empty: nothing."""


@dataclass(frozen=True)
class Lease:
    """The right to work on a batch until it runs out.

    `claimed`: its rows are in the ledger already, sent through `provider` with `template_version`. `age_seconds` counts
    from when some of its messages last got an outcome, or it was first seen. `crashes` counts the workers in a row that
    never gave it back.
    """

    key: BatchKey
    token: int
    claimed: bool
    provider: str
    template_version: int
    age_seconds: float
    crashes: int


@dataclass(frozen=True)
class Held:
    """Another worker holds the lease for so many seconds more."""

    seconds: float


@dataclass(frozen=True)
class Finished:
    """The batch is done."""


class Row(NamedTuple):  # a tuple, because a frozen dataclass costs four times as much to make
    """A row as it is claimed. `address_key` empty: it does not use its address up. `chunk` None: nothing to send."""

    message_id: str
    position: int
    endpoint_id: str
    user_id: str
    address: str
    address_key: str
    status: str
    reason: str
    detail: str
    origination: str
    use_case: str
    part_count: int
    chunk: int | None
    cost: int = 0
    """What handing it over costs, in millionths."""


@dataclass(frozen=True)
class OpenRow:
    """A row that is not done: where it stands in the batch, the chunk it was last in, the way that chunk went, and from what.

    `in_flight`: that chunk was handed to the provider and nobody wrote down what became of it.
    """

    message_id: str
    position: int
    failed_attempts: int
    chunk: int | None
    in_flight: bool
    provider: str
    route: str
    origination: str = ""
    use_case: str = ""
    part_count: int = 0


class Settled(NamedTuple):
    """The outcome of one message."""

    message_id: str
    outcome: Outcome
    failed_attempts: int
