"""What became of a message: the answer to a send, and the receipts that follow later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

__all__ = ["Accepted", "Receipt", "ReceiptKind", "RejectReason", "Rejected", "SendResult", "Unknown", "Unsupported"]


class RejectReason(StrEnum):
    """Why a provider did not take a message. Heliograph acts on the reason and shows the detail."""

    INVALID_ADDRESS = "INVALID_ADDRESS"
    """The address cannot exist, or does not exist at this provider."""
    ADDRESS_GONE = "ADDRESS_GONE"
    """The address was good once and never will be again (an uninstalled app): the endpoint becomes inactive."""
    INVALID_CONTENT = "INVALID_CONTENT"
    """The content cannot be sent as it is: too large, a control character in a header, not encodable."""
    INVALID_ORIGINATION = "INVALID_ORIGINATION"
    """The address or number to send from is malformed or not ours to use."""
    BLOCKED = "BLOCKED"
    """The provider or the receiver refuses to carry it: spam, policy, a suppression list."""
    OPTED_OUT = "OPTED_OUT"
    """The provider knows that the person wants no messages."""
    THROTTLED = "THROTTLED"
    """Too fast: the same message is welcome later."""
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    """An allowance (day, month, money) is used up."""
    CREDENTIALS = "CREDENTIALS"
    """The provider does not accept our credentials; every message would fare the same."""
    UNAVAILABLE = "UNAVAILABLE"
    """The provider cannot be reached or is out of order, and certainly did not take the message."""
    REFUSED = "REFUSED"
    """Any other refusal; the detail says more."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took responsibility for the message. It says nothing about delivery: receipts do.

    `provider_message_id` is the provider's own id, not empty. `attributes` are what the provider told about the
    recipient, for journeys to branch on: at most 5 pairs, name and value at most 128 characters (pinpoint-1 4.8).
    `new_address`: the provider replaced the address (a renewed push token); the endpoint is changed to it.
    """

    provider_message_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    new_address: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider certainly did not take the message.

    `retryable` tells whether the very same message may succeed later. `detail` is shown to the operator: the provider's
    own words, never a secret, at most 500 characters are kept.
    """

    reason: RejectReason
    retryable: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The message asks for something this channel cannot express; `feature` names it (`"headers"`, `"SMTPUTF8"`)."""

    feature: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider may have the message and may not: the connection broke between the request and the answer.

    Never answer `Rejected` in this case: it would be sent twice (reliability P10). The message class decides what is
    done about it, or the same `message_id` is sent again when the channel declares `idempotency_key`.
    """

    detail: str = ""


SendResult: TypeAlias = Accepted | Rejected | Unsupported | Unknown
"""The answer for one message."""


class ReceiptKind(StrEnum):
    """What a provider reports after it accepted a message."""

    DELIVERED = "DELIVERED"
    BOUNCED = "BOUNCED"
    COMPLAINED = "COMPLAINED"
    OPENED = "OPENED"
    CLICKED = "CLICKED"
    OPTED_OUT = "OPTED_OUT"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing that happened to an accepted message.

    It names the message by `message_id` (better) or by `provider_message_id`; one of them is not empty. `receipt_id` is
    the same each time the same occurrence is reported: receipts are deduplicated by it. `time` is aware UTC.
    `permanent` matters for BOUNCED and FAILED: False is a soft bounce. `attributes` may hold `link` of a CLICKED,
    and `carrier`, the recipient's, where the provider of an SMS names it.

    Raises:
        ValueError: neither id is given, `receipt_id` is empty, or `time` has no zone.
    """

    receipt_id: str
    kind: ReceiptKind
    time: datetime
    message_id: str = ""
    provider_message_id: str = ""
    detail: str = ""
    permanent: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a receipt nobody could match or deduplicate."""
        if not (self.message_id or self.provider_message_id):
            raise ValueError("a receipt needs a message_id or a provider_message_id")
        if not self.receipt_id:
            raise ValueError("a receipt needs a receipt_id")
        if self.time.tzinfo is None:
            raise ValueError("a receipt's time needs a zone")
