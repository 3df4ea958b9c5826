"""What can never work: kept with its reason in the stream DEAD, for operators to read and to send again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import nats.errors
import nats.js.errors
from nats.js.api import RawStreamMsg

from heliograph_kit.bus import Bus, BusMessage
from heliograph_kit.streams import dead_subject

_REASON, _DETAIL, _SUBJECT, _DURABLE, _ATTEMPT, _ORIGINAL = (
    "heliograph-dead-reason",
    "heliograph-dead-detail",
    "heliograph-dead-subject",
    "heliograph-dead-consumer",
    "heliograph-dead-attempt",
    "heliograph-dead-id",
)
_MAX_DETAIL = 500


@dataclass(frozen=True)
class DeadLetter:
    """One message that was given up; `sequence` is its place in the stream DEAD and its name for `replay`."""

    sequence: int
    service: str
    consumer: str
    id: str
    type: str
    subject: str
    project: str
    reason: str
    detail: str
    attempt: int
    time: datetime | None
    payload: bytes


class DeadLetters:
    """Writes, reads and replays dead letters of one service."""

    def __init__(self, bus: Bus, service: str) -> None:
        """Take the service whose letters these are."""
        self._bus = bus
        self._service = service
        self._subject = dead_subject(service)

    async def add(
        self,
        *,
        consumer: str,
        id: str,
        type: str,
        subject: str,
        project: str,
        payload: bytes,
        headers: Mapping[str, str],
        reason: str,
        detail: str,
        attempt: int,
        within: timedelta = timedelta(seconds=10),
    ) -> None:
        """Store a message with the reason why it was given up; safe to repeat.

        Raises:
            Unavailable: the stream did not confirm it; the message must stay where it is.
        """
        letter = {
            _REASON: reason,
            # Header values cannot hold every character a failure's text can.
            _DETAIL: " ".join(detail.split())[:_MAX_DETAIL].encode("ascii", "replace").decode(),
            _SUBJECT: subject,
            _DURABLE: consumer,
            _ATTEMPT: str(attempt),
            _ORIGINAL: id,
        }
        kept = {key: headers[key] for key in ("traceparent", "ce-time") if key in headers}
        await self._bus.send(
            BusMessage(self._subject, payload, f"dead-{consumer}-{id}", type, project, None, {**kept, **letter}),
            within=within,
        )

    async def list(self, *, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        """Return up to `limit` letters of this service behind the given sequence, oldest first."""
        found: list[DeadLetter] = []
        sequence = after + 1
        while len(found) < limit:
            try:
                raw = await self._bus.jetstream.get_msg("DEAD", sequence, subject=self._subject, next=True)
            except nats.js.errors.NotFoundError:
                break
            letter = _letter(self._service, raw)
            found.append(letter)
            sequence = letter.sequence + 1
        return found

    async def replay(self, sequence: int) -> None:
        """Publish a dead letter to its old subject again and remove it from the dead letters.

        Every consumer of that subject sees it; those that applied it before drop it by their inbox.

        Raises:
            LookupError: there is no dead letter of this service with that sequence.
        """
        try:
            letter = _letter(self._service, await self._bus.jetstream.get_msg("DEAD", sequence))
        except nats.js.errors.NotFoundError:
            raise LookupError(f"there is no dead letter {sequence}") from None
        again = BusMessage(
            letter.subject,
            letter.payload,
            letter.id,
            letter.type,
            letter.project,
            letter.time,
            # A fresh key: the stream still remembers the old one and would drop the replay.
            publish_id=f"{letter.id}#replay-{sequence}-{random.getrandbits(32):08x}",
        )
        await self._bus.send(again)
        await self._bus.jetstream.delete_msg("DEAD", sequence)


def _letter(service: str, raw: RawStreamMsg) -> DeadLetter:
    headers = raw.headers or {}
    if raw.subject != dead_subject(service) or _ORIGINAL not in headers:
        raise LookupError(f"dead letter {raw.seq} is not one of {service}")
    return DeadLetter(
        sequence=int(raw.seq or 0),
        service=service,
        consumer=headers.get(_DURABLE, ""),
        id=headers[_ORIGINAL],
        type=headers.get("ce-type", ""),
        subject=headers.get(_SUBJECT, ""),
        project=headers.get("ce-project", ""),
        reason=headers.get(_REASON, ""),
        detail=headers.get(_DETAIL, ""),
        attempt=int(headers.get(_ATTEMPT, "0")),
        time=raw.time,
        payload=raw.data or b"",
    )
