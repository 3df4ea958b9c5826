"""What happens to a message: a pure function of the settings, the message id and the address."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import Literal, cast

from heliograph_channels import SIMULATOR_NUMBERS, OutgoingMessage, ReceiptKind, RejectReason

__all__ = ["Answer", "Fate", "Follow", "Script"]

_INVALID = "INVALID (simulated)"
"""What the original reports of its failing simulator numbers."""


class Answer(Enum):
    """What the simulated provider answers to the send."""

    ACCEPT = "accepted"
    REJECT = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Follow:
    """A receipt that follows: its kind, after how many seconds, whether a bounce is a hard one, and words of its own."""

    kind: ReceiptKind
    delay: float
    permanent: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """Everything that happens to one message. `arrived` is False for an unknown one the provider never saw."""

    answer: Answer
    reason: RejectReason = RejectReason.REFUSED
    retryable: bool = False
    arrived: bool = True
    follows: tuple[Follow, ...] = ()


@dataclass(frozen=True)
class Script:
    """The settings of the simulator as one value. Shares are 0..1, delays are seconds.

    `reject_share` and `unknown_share` are shares of all messages, `delivered_share` and `bounced_share` of the arrived
    ones, `soft_bounce_share` of the bounced, `complained_share`, `opened_share` and `opted_out_share` of the delivered,
    `clicked_share` of the opened.
    """

    seed: str = "heliograph"
    choose_by: Literal["message", "address"] = "message"
    reject_share: float = 0.0
    reject_reasons: Sequence[str] = (RejectReason.INVALID_ADDRESS,)
    reject_retryable_share: float = 0.0
    unknown_share: float = 0.0
    unknown_arrived_share: float = 0.5
    delivered_share: float = 1.0
    bounced_share: float = 0.0
    soft_bounce_share: float = 0.0
    complained_share: float = 0.0
    opened_share: float = 0.0
    clicked_share: float = 0.0
    opted_out_share: float = 0.0
    delivered_delay: float = 0.0
    bounced_delay: float = 0.0
    complained_delay: float = 0.0
    opened_delay: float = 0.0
    clicked_delay: float = 0.0
    opted_out_delay: float = 0.0

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Script:
        """Build the script from checked channel settings; what is not said takes the default."""
        names = {item.name for item in fields(cls)}
        return cls(**cast("Mapping[str, str]", {key: value for key, value in settings.items() if key in names}))  # type: ignore[arg-type]

    @property
    def is_plain(self) -> bool:
        """Whether every message fares the same, so that no hash is needed."""
        return not (self.reject_share or self.unknown_share or self.bounced_share or self._splits_delivered)

    @property
    def _splits_delivered(self) -> float:
        return (0 < self.delivered_share < 1) or self.complained_share or self.opened_share or self.opted_out_share

    def plain_fate(self) -> Fate:
        """Return the fate that all messages share when the script `is_plain`."""
        follows = (Follow(ReceiptKind.DELIVERED, self.delivered_delay),) if self.delivered_share else ()
        return Fate(Answer.ACCEPT, follows=follows)

    def fixed_fate(self, address: str) -> Fate | None:
        """Return the fate of an address with a fixed one, or None.

        Names before `@simulator.` behave like the mailbox simulator people know from SES (a `+label` is allowed);
        the telephone numbers are the simulator numbers of pinpoint-2 2.4.
        """
        if address in SIMULATOR_NUMBERS:
            if SIMULATOR_NUMBERS[address]:
                return self._delivered()
            return Fate(Answer.ACCEPT, follows=(Follow(ReceiptKind.FAILED, self.bounced_delay, detail=_INVALID),))
        name, at, domain = address.partition("@")
        if not at or not (domain.startswith("simulator.") or domain == "simulator"):
            return None
        return self._named(name.partition("+")[0])

    def fate(self, message: OutgoingMessage) -> Fate:
        """Decide by the hash of seed and message id (or address): the same message always fares the same."""
        key = message.address if self.choose_by == "address" else message.message_id
        digest = hashlib.blake2b(f"{self.seed}\0{key}".encode("utf-8", "replace"), digest_size=40).digest()
        draws = [number / 4294967296 for number in struct.unpack("<10I", digest)]
        if draws[0] < self.reject_share:
            reason = RejectReason(self.reject_reasons[int(draws[1] * len(self.reject_reasons))])
            return Fate(Answer.REJECT, reason, retryable=draws[2] < self.reject_retryable_share)
        if draws[0] < self.reject_share + self.unknown_share:
            arrived = draws[1] < self.unknown_arrived_share
            return Fate(Answer.UNKNOWN, arrived=arrived, follows=self._follows(draws) if arrived else ())
        return Fate(Answer.ACCEPT, follows=self._follows(draws))

    def _follows(self, draws: Sequence[float]) -> tuple[Follow, ...]:
        if draws[3] < self.bounced_share:
            return (Follow(ReceiptKind.BOUNCED, self.bounced_delay, permanent=draws[4] >= self.soft_bounce_share),)
        if draws[3] >= self.bounced_share + self.delivered_share:
            return ()
        opened = draws[5] < self.opened_share
        return self._delivered(
            complained=draws[7] < self.complained_share,
            opened=opened,
            clicked=opened and draws[6] < self.clicked_share,
            opted_out=draws[8] < self.opted_out_share,
        ).follows

    def _delivered(
        self, *, opened: bool = False, clicked: bool = False, complained: bool = False, opted_out: bool = False
    ) -> Fate:
        base = self.delivered_delay
        follows = [Follow(ReceiptKind.DELIVERED, base)]
        if opened:
            follows.append(Follow(ReceiptKind.OPENED, base + self.opened_delay))
        if clicked:
            follows.append(Follow(ReceiptKind.CLICKED, base + self.opened_delay + self.clicked_delay))
        if complained:
            follows.append(Follow(ReceiptKind.COMPLAINED, base + self.complained_delay))
        if opted_out:
            follows.append(Follow(ReceiptKind.OPTED_OUT, base + self.opted_out_delay))
        return Fate(Answer.ACCEPT, follows=tuple(follows))

    def _named(self, name: str) -> Fate | None:
        bounce = Follow(ReceiptKind.BOUNCED, self.bounced_delay)
        fates = {
            "success": self._delivered(),
            "ooto": self._delivered(),
            "bounce": Fate(Answer.ACCEPT, follows=(bounce,)),
            "suppressionlist": Fate(Answer.ACCEPT, follows=(bounce,)),
            "softbounce": Fate(Answer.ACCEPT, follows=(Follow(bounce.kind, bounce.delay, permanent=False),)),
            "complaint": self._delivered(complained=True),
            "open": self._delivered(opened=True),
            "click": self._delivered(opened=True, clicked=True),
            "optout": self._delivered(opted_out=True),
            "reject": Fate(Answer.REJECT, RejectReason.INVALID_ADDRESS),
            "throttle": Fate(Answer.REJECT, RejectReason.THROTTLED, retryable=True),
            "unavailable": Fate(Answer.REJECT, RejectReason.UNAVAILABLE, retryable=True),
            "unknown": Fate(Answer.UNKNOWN, arrived=True),
            "lost": Fate(Answer.UNKNOWN, arrived=False),
        }
        return fates.get(name)
