"""What the caller of a direct send is told about one recipient: the table of pinpoint-2 1.6. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from heliograph_messaging.domain.outcomes import Status


class Delivery(StrEnum):
    """What became of a recipient, in Pinpoint's words, and QUEUED for what the provider has not answered yet."""

    QUEUED = "QUEUED"
    SUCCESSFUL = "SUCCESSFUL"
    THROTTLED = "THROTTLED"
    TEMPORARY_FAILURE = "TEMPORARY_FAILURE"
    PERMANENT_FAILURE = "PERMANENT_FAILURE"
    UNKNOWN_FAILURE = "UNKNOWN_FAILURE"
    OPT_OUT = "OPT_OUT"
    DUPLICATE = "DUPLICATE"


_CODES = {
    Delivery.QUEUED: 202, Delivery.SUCCESSFUL: 200, Delivery.THROTTLED: 429, Delivery.TEMPORARY_FAILURE: 500,
    Delivery.PERMANENT_FAILURE: 400, Delivery.UNKNOWN_FAILURE: 500, Delivery.OPT_OUT: 200, Delivery.DUPLICATE: 200,
}  # fmt: skip
_OF_REASON = {
    "ENDPOINT_OPT_OUT": Delivery.OPT_OUT,
    "DUPLICATE_ADDRESS": Delivery.DUPLICATE,
    "THROTTLED": Delivery.THROTTLED,
    "TRANSIENT_FAILURE": Delivery.TEMPORARY_FAILURE,
    # Too late this time, and welcome another.
    "EXPIRED": Delivery.TEMPORARY_FAILURE,
    "FAILURE": Delivery.UNKNOWN_FAILURE,
    "UNKNOWN": Delivery.UNKNOWN_FAILURE,
}
_ABSENT = frozenset({"ENDPOINT_NOT_FOUND", "ENDPOINT_ERASED"})


class Result(NamedTuple):
    """What is told: a delivery, its code as HTTP knows it, the reason, and words for people."""

    delivery: Delivery
    code: int
    reason: str = ""
    words: str = ""


QUEUED = Result(Delivery.QUEUED, _CODES[Delivery.QUEUED])


def refused(reason: str, words: str) -> Result:
    """Return the result of a recipient that was not taken or not sent, by its reason."""
    delivery = _OF_REASON.get(reason, Delivery.PERMANENT_FAILURE)
    return Result(delivery, 404 if reason in _ABSENT else _CODES[delivery], reason, words)


def result_of(message_id: str, status: str, reason: str, detail: str, *, accepted: bool) -> Result:
    """Return the result of a message by its row of the ledger; `accepted`: the provider took it at some time.

    What came back later was accepted all the same: the result is the answer of the downstream service, not delivery.
    """
    if accepted or status in (Status.ACCEPTED, Status.DELIVERED):
        return Result(Delivery.SUCCESSFUL, _CODES[Delivery.SUCCESSFUL], "", f"MessageId: {message_id}")
    if status == Status.IN_DOUBT:
        return Result(Delivery.UNKNOWN_FAILURE, _CODES[Delivery.UNKNOWN_FAILURE], reason, detail)
    if status in (Status.FAILED, Status.SKIPPED):
        return refused(reason, detail)
    words = f"it is tried again: {detail}" if detail else ""
    return Result(Delivery.QUEUED, _CODES[Delivery.QUEUED], reason, words)
