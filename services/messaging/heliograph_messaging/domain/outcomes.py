"""What follows from the provider's answer, and from having none: statuses, reasons, retries. Pure policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Where a message stands in the ledger. DISPATCHING is CLAIMED with an intent of its chunk and no outcome yet."""

    CLAIMED = "CLAIMED"
    DISPATCHING = "DISPATCHING"
    ACCEPTED = "ACCEPTED"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    IN_DOUBT = "IN_DOUBT"


REASONS = frozenset(
    {
        "", "ENDPOINT_OPT_OUT", "ENDPOINT_INACTIVE", "ENDPOINT_MISSING_ADDRESS", "ENDPOINT_MISSING_CHANNEL",
        "ENDPOINT_CHANNEL_MISMATCH", "ENDPOINT_ERASED", "DUPLICATE_ADDRESS", "EXPIRED", "FAILURE", "FAILURE_PERMANENT",
        "TRANSIENT_FAILURE", "THROTTLED", "UNSUPPORTED_CHANNEL", "UNKNOWN", "CAMPAIGN_CAP", "DAILY_CAP", "QUIET_TIME",
        "JOURNEY_CAP", "TIMEFRAME_CAP", "SUPPRESSED", "SPEND_LIMIT",
    }
)  # fmt: skip
"""The reasons of pinpoint-1 4.5 that messaging itself writes, and of our own: the user was erased, a journey's caps, the
address is on the suppression list, the month has cost enough."""

DETAIL_LENGTH = 500


class Outcome(NamedTuple):
    """What one attempt leads to. CLAIMED means: try again later."""

    status: Status
    reason: str = ""
    detail: str = ""
    provider_message_id: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when an attempt is repeated: exponential with jitter, bounded in number and in pause.

    `attempts` counts the first one too (1..20); pauses grow from `first` by doubling up to `longest`.
    """

    attempts: int = 5
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(seconds=60)

    def delay(self, failed: int, jitter: float) -> timedelta | None:
        """Return the pause after the `failed`-th failed attempt (from 1), or None when it was the last.

        `jitter` in [0, 1) spreads the pause over its upper half, so that batches do not come back together.
        """
        if failed >= self.attempts:
            return None
        whole = min(self.first * int(2 ** (failed - 1)), self.longest)
        return whole * (0.5 + jitter / 2)


def rejected(reason: str, *, retryable: bool, detail: str, failed: int, policy: RetryPolicy) -> Outcome:
    """Return what a refusal leads to; `failed` counts this attempt."""
    if retryable and failed < policy.attempts:
        return Outcome(Status.CLAIMED, _reason(reason, retryable=True), _told(reason, detail))
    return Outcome(Status.FAILED, _reason(reason, retryable=retryable), _told(reason, detail))


def unknown(detail: str, *, idempotent: bool, transactional: bool, failed: int, policy: RetryPolicy) -> Outcome:
    """Return what an unknown fate leads to.

    A provider that knows our ids is asked again; a direct message is sent again (at least once); a campaign's or
    journey's is not (at most once) and stays in doubt (reliability 5). So does one whose attempts are used up.
    """
    if (idempotent or transactional) and failed < policy.attempts:
        return Outcome(Status.CLAIMED, "UNKNOWN", detail[:DETAIL_LENGTH])
    return Outcome(Status.IN_DOUBT, "UNKNOWN", detail[:DETAIL_LENGTH])


def _reason(reason: str, *, retryable: bool) -> str:
    if reason in ("THROTTLED", "QUOTA_EXCEEDED"):
        return "THROTTLED"
    if reason == "OPTED_OUT":
        return "ENDPOINT_OPT_OUT"
    return "TRANSIENT_FAILURE" if retryable else "FAILURE_PERMANENT"


def _told(reason: str, detail: str) -> str:
    return (f"{reason}: {detail}" if detail else reason)[:DETAIL_LENGTH]


def after_receipt(status: str, kind: str, *, permanent: bool, detail: str) -> Outcome | None:
    """Return where a receipt moves a message, None when it stays.

    Receipts come in any order: a bounce is not undone by a late delivery report, and whatever proves that the provider
    had the message ends a doubt about it.
    """
    if kind in ("BOUNCED", "FAILED"):
        if status in (Status.ACCEPTED, Status.DELIVERED, Status.IN_DOUBT):
            told = f"{'bounced' if kind == 'BOUNCED' else 'failed'}: {detail}" if detail else kind.lower()
            return Outcome(Status.FAILED, "FAILURE_PERMANENT" if permanent else "TRANSIENT_FAILURE", told)
        return None
    if status == Status.IN_DOUBT or (kind == "DELIVERED" and status == Status.ACCEPTED):
        return Outcome(Status.DELIVERED)
    return None
