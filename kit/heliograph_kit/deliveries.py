"""One message as a handler sees it, and what a handler may say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nats.aio.msg import Msg

from heliograph_kit.bus import MESSAGE_ID
from heliograph_kit.streams import project_of_subject


@dataclass(frozen=True)
class Delivery:
    """One message as a handler sees it.

    `id` is the producer's id, the same however often and through whatever generation the message comes; `attempt`
    counts from 1; `time` is when it happened by the producer's clock.
    """

    id: str
    type: str
    subject: str
    project: str
    payload: bytes
    attempt: int
    time: datetime
    headers: Mapping[str, str]


class CannotEverWork(Exception):
    """Raised by a handler: this message is wrong and goes to the dead letters with the sentence given."""


class Retry(Exception):
    """Raised by a handler: not now. Comes back after `delay` (by policy when None) and does not count as a failure."""

    def __init__(self, reason: str, delay: timedelta | None = None) -> None:
        """Take why, for the log, and how long to wait."""
        super().__init__(reason)
        self.reason = reason
        self.delay = delay


@dataclass(frozen=True)
class Held:
    """A delivery together with the broker's message that has to be answered."""

    message: Msg
    delivery: Delivery


def read(message: Msg, stream: str, excused: Mapping[str, int]) -> Delivery:
    """Return the delivery in a message; `excused` says how many earlier deliveries of an id were no attempts."""
    headers = message.headers or {}
    place = message.metadata
    # A foreign publisher may leave our headers out: its place in the stream is as good a name.
    name = headers.get("ce-id") or headers.get(MESSAGE_ID) or f"{stream}-{place.sequence.stream}"
    return Delivery(
        id=name,
        type=headers.get("ce-type", ""),
        subject=message.subject,
        project=headers.get("ce-project") or project_of_subject(message.subject),
        payload=message.data,
        attempt=max(1, place.num_delivered - excused.get(name, 0)),
        time=_instant(headers.get("ce-time", ""), place.timestamp.astimezone(UTC)),
        headers=headers,
    )


def _instant(text: str, otherwise: datetime) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
