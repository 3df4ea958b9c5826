"""One batch in the hands of one worker."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_channels import OutgoingMessage
from heliograph_kit.consumer import Delivery
from heliograph_kit.database import Database
from heliograph_kit.telemetry import counter
from heliograph_messaging.domain.outcomes import Outcome, Status
from heliograph_messaging.domain.recipients import Recipients
from heliograph_messaging.events import CLASSES
from heliograph_messaging.pipeline.door import Passing, Refusal
from heliograph_messaging.pipeline.lanes import Lane
from heliograph_messaging.pipeline.leases import Hold
from heliograph_messaging.store.allowances import Slot
from heliograph_messaging.store.records import Row


@dataclass
class Run:
    """One batch under one lease."""

    delivery: Delivery
    consumer: str
    batch: dispatch_pb2.DispatchBatch
    recipients: Recipients
    hold: Hold
    erased: frozenset[int]
    """Ordinals of recipients whose users were erased."""
    database: Database
    """With the share of the connections that it may hold."""
    rest: Callable[[], Awaitable[None]]
    """Awaited before about a millisecond of work, so that others of the event loop come in between."""
    version: int = 0
    finished: bool = False
    handed_at: dict[int, datetime] = field(default_factory=dict)
    """When chunks were handed over, by number."""
    failed: dict[int, int] = field(default_factory=dict)
    """Failed attempts so far, by position; absent: none."""
    counted: dict[int, tuple[Row, Sequence[Slot]]] = field(default_factory=dict)
    """Messages that count against what may be sent in a day, with the windows they count in, by position."""
    handed: set[int] = field(default_factory=set)
    """Positions of messages that a provider was handed and did not certainly refuse."""
    left_over: int = 0
    """The highest number of failed attempts among messages that are to be tried again; 0: there are none."""
    waits_for: str = ""
    """Why some of it waits, for a provider that is away or for the turn of its number; empty: none does."""
    wait_seconds: float = math.inf
    """When to look again, if some of it waits."""
    paced_seconds: float = 0.0
    """How long some of it waits for its number, which is no fault of a provider; 0: nothing does."""

    @property
    def transactional(self) -> bool:
        """Whether its messages are direct sends."""
        return self.batch.message_class == dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL

    def wait(self, why: str, seconds: float) -> None:
        """Note that some of it waits, and for how long at the least."""
        self.waits_for = why
        self.wait_seconds = min(self.wait_seconds, seconds)

    def passing(self, rows: Sequence[Row], now: datetime, *, first: bool) -> Passing:
        """Return rows as the door sees them."""
        return Passing(self.hold.lease.key.project, self.batch, self.recipients, rows, now, first)

    def count(self, done: Sequence[Outcome]) -> None:
        """Count outcomes in the metrics."""
        tally: dict[tuple[str, str], int] = {}
        for outcome in done:
            if outcome.status is not Status.CLAIMED:
                label = (str(outcome.status), outcome.reason)
                tally[label] = tally.get(label, 0) + 1
        for (status, reason), number in tally.items():
            counter("heliograph.messaging.messages").add(
                number,
                {
                    "heliograph.channel": self.batch.channel,
                    "heliograph.message_class": CLASSES[self.batch.message_class],
                    "heliograph.outcome": status,
                    "heliograph.reason": reason,
                },
            )


@dataclass(frozen=True)
class Chunk:
    """Rows that go to the provider of one lane in one call. `moved`: they were in another chunk before, or in none."""

    number: int
    lane: Lane
    rows: Sequence[Row]
    moved: bool


def chunks_of(rows: Sequence[Row], lanes: Mapping[int, Lane], *, first_number: int, moved: bool) -> list[Chunk]:
    """Cut rows into chunks, lane by lane, as large as each provider takes; `lanes` is by position, all can be called."""
    by_lane: dict[int, tuple[Lane, list[Row]]] = {}
    for row in rows:
        lane = lanes[row.position]
        by_lane.setdefault(id(lane), (lane, []))[1].append(row)
    chunks: list[Chunk] = []
    for lane, mine in by_lane.values():
        assert lane.opened is not None
        size = lane.opened.capabilities.batch_size
        for start in range(0, len(mine), size):
            chunks.append(Chunk(first_number + len(chunks), lane, mine[start : start + size], moved))
    return chunks


def outcome_of_row(row: Row) -> Outcome:
    """Return what a row that is not sent came to."""
    return Outcome(Status(row.status), row.reason, row.detail)


def refused_row(row: Row, refusal: Refusal) -> Row:
    """Return a row as the door leaves it."""
    return row._replace(
        status=Status.SKIPPED, reason=refusal.reason, detail=refusal.detail, chunk=None, origination="", use_case="",
        part_count=0, cost=0,
    )  # fmt: skip


def doubled_row(row: Row) -> Row:
    """Return a row whose address was used up already."""
    if row.status != Status.CLAIMED:
        return row
    return refused_row(row, Refusal("DUPLICATE_ADDRESS"))._replace(address_key="")


def messages_of(chunk: Chunk, messages: Mapping[int, OutgoingMessage]) -> list[OutgoingMessage]:
    """Return the rendered messages of a chunk, in the order of its rows."""
    return [messages[row.position] for row in chunk.rows]
