"""Messages on their way to the SMSC, part by part, and what became of each (reliability P10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from heliograph_channel_smpp.links import Links, NoSession
from heliograph_channel_smpp.pdu import Malformed, Pdu, read_text
from heliograph_channel_smpp.receipts import IdForm
from heliograph_channel_smpp.session import NoAnswer, NotTaken
from heliograph_channel_smpp.statuses import is_throttling, rejection
from heliograph_channel_smpp.tracking import Group, Tracker
from heliograph_channels import Accepted, Rejected, RejectReason, SendResult, Unknown

__all__ = ["Prepared", "Receipts", "Submission"]

Receipts: TypeAlias = Literal["every", "last", "none"]
"""Which parts of a message bring receipts."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message as the bodies of its submit_sm, and which of them bring receipts."""

    message_id: str
    bodies: tuple[bytes, ...]
    receipts: Receipts


@dataclass(frozen=True, slots=True)
class _Taken:
    id: str


class Submission:
    """Submits over any connection that has room."""

    def __init__(
        self,
        links: Links,
        tracker: Tracker,
        *,
        id_form: IdForm,
        throttling: Collection[int],
        throttle_seconds: float,
        part_patience: float,
    ) -> None:
        """`throttle_seconds`: how long a connection rests when told to; `part_patience`: how long a part is tried again."""
        self._links = links
        self._tracker = tracker
        self._id_form = id_form
        self._throttling = throttling
        self._throttle_seconds = throttle_seconds
        self._part_patience = part_patience

    async def send(self, message: Prepared) -> SendResult:
        """Submit all parts, one after the other, so that a refusal of the first leaves none behind.

        Once a part was taken the message cannot be taken back: the next ones are tried again while the SMSC says "later",
        up to `part_patience` seconds. A message of which some parts were taken and others not is Unknown.
        """
        total = len(message.bodies)
        group = self._tracker.begin(message.message_id, total) if total > 1 and message.receipts == "every" else None
        taken = _Taken("")
        try:
            for place, body in enumerate(message.bodies):
                speaks = group is not None or (place + 1 == total and message.receipts != "none")
                late = self._late(message, group, place) if speaks else None
                outcome = await (self._part(body, late) if place == 0 else self._patiently(body, late))
                if not isinstance(outcome, _Taken):
                    return outcome if total == 1 else _partly(outcome, place, total)
                taken = outcome
                if group is not None:
                    self._tracker.learn(group, place, outcome.id)
        finally:
            if group is not None:
                self._tracker.end(group)
        return Accepted(taken.id or message.message_id)

    async def _part(self, body: bytes, late: Callable[[Pdu], None] | None) -> _Taken | Rejected | Unknown:
        for again in (True, False):
            try:
                session = await self._links.slot()
            except NoSession as error:
                return error.result
            try:
                answer = await session.submit(body, late)
            except NotTaken as error:
                if again:  # it cost nothing: there may be another connection
                    continue
                return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error))
            except NoAnswer as error:
                return Unknown(f"submit_sm was written, then: {error}")
            if answer.status == 0:
                return _Taken(self._id_of(answer))
            if is_throttling(answer.status, self._throttling):
                session.pause(self._throttle_seconds)
            return rejection(answer.status, further=self._throttling)
        raise AssertionError("unreachable")

    async def _patiently(self, body: bytes, late: Callable[[Pdu], None] | None) -> _Taken | Rejected | Unknown:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._part_patience, _FIRST_PAUSE
        while True:
            outcome = await self._part(body, late)
            if not isinstance(outcome, Rejected) or not outcome.retryable or loop.time() + pause > deadline:
                return outcome
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _late(self, message: Prepared, group: Group | None, place: int) -> Callable[[Pdu], None]:
        """Learn the id from an answer nobody waits for any more: the receipt of the message then ends the doubt about it."""

        def learn(answer: Pdu) -> None:
            if answer.status != 0:
                return
            own = group
            if own is None:
                own = self._tracker.begin(message.message_id, 1)
                self._tracker.end(own)
            self._tracker.learn(own, place, self._id_of(answer))

        return learn

    def _id_of(self, answer: Pdu) -> str:
        try:
            return self._id_form.normal(read_text(answer.body))
        except Malformed:
            return ""  # taken all the same


def _partly(outcome: Rejected | Unknown, place: int, total: int) -> SendResult:
    """Say what became of a message whose part at `place` was not taken for certain."""
    this = f"part {place + 1} of {total}"
    if place == 0:
        if isinstance(outcome, Rejected):
            return Rejected(outcome.reason, retryable=outcome.retryable, detail=f"{this}: {outcome.detail}")
        return Unknown(f"{this}: {outcome.detail}; no other part was sent")
    before = "part 1 was taken" if place == 1 else f"parts 1 to {place} were taken"
    said = "was not" if isinstance(outcome, Rejected) else "may have been"
    rest = total - place - 1
    later = f"; the last {rest} of {total} were not sent" if rest else ""
    return Unknown(f"{before}, {this} {said}: {outcome.detail}{later}")
