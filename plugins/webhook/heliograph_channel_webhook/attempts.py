"""What an attempt of a call leads to, and when the next one is made. Pure (pinpoint-2 2.7)."""

from __future__ import annotations

from heliograph_channels import Accepted, Rejected, RejectReason, SendResult, Unknown

__all__ = ["combined", "of_status", "pause_after"]

_REASONS = {
    401: RejectReason.CREDENTIALS,
    403: RejectReason.CREDENTIALS,
    413: RejectReason.INVALID_CONTENT,
    429: RejectReason.THROTTLED,
}
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 8.0


def of_status(status: int) -> SendResult:
    """Say what an answer means by its status: 2xx is taken, 429 and 5xx may be tried again, all else is final."""
    if 200 <= status < 300:
        return Accepted("call")
    detail = f"the call was answered {status}" + (" (redirects are not followed)" if 300 <= status < 400 else "")
    if status >= 500:
        return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=detail)
    return Rejected(_REASONS.get(status, RejectReason.REFUSED), retryable=status == 429, detail=detail)


def pause_after(attempt: int, jitter: float, asked: float = 0.0) -> float:
    """Return the seconds between the `attempt`-th attempt (from 1) and the next: 1, 2, 4, 8 less up to half of it.

    `jitter` in [0, 1). `asked` are the seconds the receiver wants to be left alone; it is never called earlier.
    """
    whole = min(_FIRST_PAUSE * float(2 ** (attempt - 1)), _LONGEST_PAUSE)
    return max(whole * (0.5 + jitter / 2), asked)


def combined(outcomes: list[SendResult]) -> SendResult:
    """Return what all attempts of a call mean together, the last of which is the newest.

    Whatever was taken is taken. An attempt without an answer leaves a doubt that no later refusal ends: the receiver may
    have it from that one.
    """
    last = outcomes[-1]
    if isinstance(last, Accepted):
        return last
    doubts = [outcome for outcome in outcomes if isinstance(outcome, Unknown)]
    times = f" ({len(outcomes)} attempts)" if len(outcomes) > 1 else ""
    if doubts:
        return Unknown(doubts[-1].detail + times)
    if isinstance(last, Rejected):
        return Rejected(last.reason, last.retryable, last.detail + times)
    return last
