"""Apple's reasons as ours (Apple: "Handling notification responses from APNs"; dead tokens: pinpoint-2 2.5)."""

from __future__ import annotations

from datetime import UTC, datetime

from heliograph_channels import Accepted, Rejected, RejectReason, SendResult
from heliograph_channels.http_client import Answer, refusal

__all__ = ["is_expired_token", "outcome", "reason_of"]

_FINAL = {
    "BadDeviceToken": RejectReason.ADDRESS_GONE,
    "DeviceTokenNotForTopic": RejectReason.ADDRESS_GONE,
    "ExpiredToken": RejectReason.ADDRESS_GONE,
    "Unregistered": RejectReason.ADDRESS_GONE,
    "MissingDeviceToken": RejectReason.INVALID_ADDRESS,
    "BadCollapseId": RejectReason.INVALID_CONTENT,
    "BadExpirationDate": RejectReason.INVALID_CONTENT,
    "BadMessageId": RejectReason.INVALID_CONTENT,
    "BadPriority": RejectReason.INVALID_CONTENT,
    "InvalidPushType": RejectReason.INVALID_CONTENT,
    "PayloadEmpty": RejectReason.INVALID_CONTENT,
    "PayloadTooLarge": RejectReason.INVALID_CONTENT,
    "BadTopic": RejectReason.INVALID_ORIGINATION,
    "MissingTopic": RejectReason.INVALID_ORIGINATION,
    "TopicDisallowed": RejectReason.INVALID_ORIGINATION,
    "BadCertificate": RejectReason.CREDENTIALS,
    "BadCertificateEnvironment": RejectReason.CREDENTIALS,
    "BadEnvironmentKeyIdInToken": RejectReason.CREDENTIALS,
    "ExpiredProviderToken": RejectReason.CREDENTIALS,
    "Forbidden": RejectReason.CREDENTIALS,
    "InvalidProviderToken": RejectReason.CREDENTIALS,
    "MissingProviderToken": RejectReason.CREDENTIALS,
    "UnrelatedKeyIdInToken": RejectReason.CREDENTIALS,
    "BadPath": RejectReason.REFUSED,
    "DuplicateHeaders": RejectReason.REFUSED,
    "MethodNotAllowed": RejectReason.REFUSED,
}
_LATER = {
    "TooManyRequests": RejectReason.THROTTLED,
    "TooManyProviderTokenUpdates": RejectReason.THROTTLED,
    "IdleTimeout": RejectReason.UNAVAILABLE,
    "InternalServerError": RejectReason.UNAVAILABLE,
    "ServiceUnavailable": RejectReason.UNAVAILABLE,
    "Shutdown": RejectReason.UNAVAILABLE,
}
_HINTS = {
    "BadDeviceToken": "a token of the other environment (sandbox, production) looks the same",
    "BadEnvironmentKeyIdInToken": "the key is for the other environment (sandbox, production)",
    "ExpiredProviderToken": "look whether the clock of this machine is right",
    "TooManyRequests": "too many to the same device",
}


def reason_of(answer: Answer) -> str:
    """Return Apple's reason, empty when the answer has none."""
    reason = answer.json().get("reason")
    return reason[:100] if isinstance(reason, str) else ""


def is_expired_token(answer: Answer) -> bool:
    """Tell whether the provider token was refused for its age: the message was not looked at, another token may do."""
    return answer.status == 403 and reason_of(answer) == "ExpiredProviderToken"


def outcome(answer: Answer, apns_id: str, *, own_topic: bool = True) -> SendResult:
    """Say what an answer to a message means.

    `own_topic` False: the topic is that of an extension, chosen by the message. A token that is not for it is good for
    the app all the same, so the address is not called gone.
    """
    if answer.status == 200:
        return Accepted(answer.headers.get("apns-id") or apns_id)
    reason = reason_of(answer)
    words = f"{answer.status} {reason}{_since(answer)}"
    if hint := _HINTS.get(reason):
        words += f" ({hint})"
    if reason == "DeviceTokenNotForTopic" and not own_topic:
        return Rejected(RejectReason.REFUSED, retryable=False, detail=words)
    if known := _FINAL.get(reason):
        return Rejected(known, retryable=False, detail=words)
    if known := _LATER.get(reason):
        return Rejected(known, retryable=True, detail=words)
    if answer.status == 410:
        return Rejected(RejectReason.ADDRESS_GONE, retryable=False, detail=words)
    return refusal(answer.status, reason)


def _since(answer: Answer) -> str:
    """Return since when a token is dead, where Apple says it: milliseconds since 1970."""
    told = answer.json().get("timestamp")
    if not isinstance(told, int) or isinstance(told, bool) or not 0 < told < 1 << 43:
        return ""
    return f" since {datetime.fromtimestamp(told / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
