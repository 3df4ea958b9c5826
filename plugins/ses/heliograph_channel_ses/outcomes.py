"""What an answer of SES means for the message.

SES takes no idempotency key. So an answer counts as a refusal only when SES says so itself; whatever a gateway in between
may have written (500, 502, 504) leaves the message in doubt (reliability P10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from heliograph_channels import Accepted, Rejected, RejectReason, SendResult, Unknown

__all__ = ["outcome", "words_of"]

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]+")
_BY_TYPE: dict[str, tuple[RejectReason, bool]] = {
    "TooManyRequestsException": (RejectReason.THROTTLED, True),
    "ThrottlingException": (RejectReason.THROTTLED, True),
    "Throttling": (RejectReason.THROTTLED, True),
    "RequestThrottled": (RejectReason.THROTTLED, True),
    "LimitExceededException": (RejectReason.QUOTA_EXCEEDED, True),
    "SendingPausedException": (RejectReason.UNAVAILABLE, True),
    "AccountSuspendedException": (RejectReason.CREDENTIALS, False),
    "MailFromDomainNotVerifiedException": (RejectReason.INVALID_ORIGINATION, False),
    "NotFoundException": (RejectReason.REFUSED, False),
    # Whoever mends the credentials gets the messages that came in between: they may be tried again.
    "AccessDeniedException": (RejectReason.CREDENTIALS, True),
    "AccessDenied": (RejectReason.CREDENTIALS, True),
    "UnrecognizedClientException": (RejectReason.CREDENTIALS, True),
    "InvalidClientTokenId": (RejectReason.CREDENTIALS, True),
    "InvalidSignatureException": (RejectReason.CREDENTIALS, True),
    "SignatureDoesNotMatch": (RejectReason.CREDENTIALS, True),
    "IncompleteSignatureException": (RejectReason.CREDENTIALS, True),
    "MissingAuthenticationTokenException": (RejectReason.CREDENTIALS, True),
    "ExpiredTokenException": (RejectReason.CREDENTIALS, True),
    "RequestExpired": (RejectReason.CREDENTIALS, True),
    "NotAuthorized": (RejectReason.CREDENTIALS, True),
    "OptInRequired": (RejectReason.CREDENTIALS, True),
    "ServiceUnavailable": (RejectReason.UNAVAILABLE, True),
    "ServiceUnavailableException": (RejectReason.UNAVAILABLE, True),
}
_BY_STATUS: dict[int, tuple[RejectReason, bool]] = {
    401: (RejectReason.CREDENTIALS, True),
    403: (RejectReason.CREDENTIALS, True),
    413: (RejectReason.INVALID_CONTENT, False),
    429: (RejectReason.THROTTLED, True),
    503: (RejectReason.UNAVAILABLE, True),
}
_REJECTIONS = (
    (re.compile(r"daily (?:message )?quota|sending quota|maximum.{0,30}24.?hour", re.IGNORECASE), RejectReason.QUOTA_EXCEEDED, True),
    (re.compile(r"sending rate|rate exceeded", re.IGNORECASE), RejectReason.THROTTLED, True),
    (re.compile(r"not verified", re.IGNORECASE), RejectReason.INVALID_ORIGINATION, False),
    (re.compile(r"suppress", re.IGNORECASE), RejectReason.BLOCKED, False),
    (
        re.compile(r"illegal address|final '@domain'|local address|(?:missing|invalid|illegal).{0,20}domain|domain contains|"
                   r"invalid email address|address.{0,20}(?:blank|empty)", re.IGNORECASE),
        RejectReason.INVALID_ADDRESS, False,
    ),
    (re.compile(r"virus|attachment|message length|too (?:large|long)|size|header|malformed|invalid (?:mime|content)", re.IGNORECASE),
     RejectReason.INVALID_CONTENT, False),
)  # fmt: skip
_IDENTITIES = re.compile(r"identit(?:y|ies) failed the check[^:]*:\s*(.*)", re.IGNORECASE | re.DOTALL)


def outcome(status: int, headers: Mapping[str, str], body: bytes, *, recipient: str) -> SendResult:
    """Map an answer to SendEmail. `headers` are in lower case; `recipient` is the address the message was for."""
    told = _object(body)
    if status == 200:
        message_id = told.get("MessageId") or headers.get("x-amzn-requestid")
        if isinstance(message_id, str) and message_id:
            return Accepted(message_id)  # events name our own id as well
        return Unknown("200 was answered without a MessageId, so perhaps not by SES")
    kind, words = _kind(headers, told), words_of(told)
    detail = f"SES answered {status} {kind}{': ' + words if words else ''}".replace("  ", " ").strip()[:500]
    if kind in ("Throttling", "ThrottlingException") and (found := _matched(words)):
        return Rejected(found[0], found[1], detail)
    if kind in _BY_TYPE:
        return Rejected(*_BY_TYPE[kind], detail)
    if status >= 500 and status not in _BY_STATUS:
        return Unknown(detail)
    if kind in ("MessageRejected", "BadRequestException", "ValidationException", "InvalidParameterValue"):
        return _refused(kind, words, detail, recipient)
    return Rejected(*_BY_STATUS.get(status, (RejectReason.REFUSED, False)), detail)


def words_of(told: Mapping[str, object]) -> str:
    """Return the message of an error as one printable line of at most 400 characters."""
    words = told.get("message") or told.get("Message") or ""
    return _UNPRINTABLE.sub(" ", words).strip()[:400] if isinstance(words, str) else ""


def _refused(kind: str, words: str, detail: str, recipient: str) -> Rejected:
    if unverified := _IDENTITIES.search(words):
        # In the sandbox the recipient must be verified as well: that is our account's fault and not the address's.
        others = [item.strip().lower() for item in unverified[1].split(",")]
        reason = RejectReason.BLOCKED if others == [recipient.lower()] else RejectReason.INVALID_ORIGINATION
        return Rejected(reason, retryable=False, detail=detail)
    if found := _matched(words):
        return Rejected(found[0], found[1], detail)
    otherwise = RejectReason.BLOCKED if kind == "MessageRejected" else RejectReason.REFUSED
    return Rejected(otherwise, retryable=False, detail=detail)


def _matched(words: str) -> tuple[RejectReason, bool] | None:
    return next(((reason, again) for pattern, reason, again in _REJECTIONS if pattern.search(words)), None)


def _kind(headers: Mapping[str, str], told: Mapping[str, object]) -> str:
    """Return the name of the error: `x-amzn-errortype` may have an address behind a colon, `__type` a prefix before #."""
    name = headers.get("x-amzn-errortype", "") or told.get("__type") or told.get("code") or ""
    return str(name).partition(":")[0].rpartition("#")[2][:100]


def _object(body: bytes) -> dict[str, object]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
