"""Apple's reasons as ours (Apple: "Handling notification responses from APNs"; dead tokens: pinpoint-2 2.5)."""

from __future__ import annotations

from datetime import UTC, datetime

from heliograph_channels import Accepted, Rejected, RejectReason, SendResult
from heliograph_channels.http_client import Answer, refusal
from heliograph_channels.meanings import meanings

__all__ = ["is_expired_token", "outcome", "reason_of"]

_MEANINGS = meanings(
    final={
        RejectReason.ADDRESS_GONE: ("BadDeviceToken", "DeviceTokenNotForTopic", "ExpiredToken", "Unregistered"),
        RejectReason.INVALID_ADDRESS: ("MissingDeviceToken",),
        RejectReason.INVALID_CONTENT: (
            "BadCollapseId",
            "BadExpirationDate",
            "BadMessageId",
            "BadPriority",
            "InvalidPushType",
            "PayloadEmpty",
            "PayloadTooLarge",
        ),
        RejectReason.INVALID_ORIGINATION: ("BadTopic", "MissingTopic", "TopicDisallowed"),
        RejectReason.CREDENTIALS: (
            "BadCertificate",
            "BadCertificateEnvironment",
            "BadEnvironmentKeyIdInToken",
            "ExpiredProviderToken",
            "Forbidden",
            "InvalidProviderToken",
            "MissingProviderToken",
            "UnrelatedKeyIdInToken",
        ),
        RejectReason.REFUSED: ("BadPath", "DuplicateHeaders", "MethodNotAllowed"),
    },
    later={
        RejectReason.THROTTLED: ("TooManyRequests", "TooManyProviderTokenUpdates"),
        RejectReason.UNAVAILABLE: ("IdleTimeout", "InternalServerError", "ServiceUnavailable", "Shutdown"),
    },
)
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
    if meaning := _MEANINGS.get(reason):
        return meaning.rejected(words)
    if answer.status == 410:
        return Rejected(RejectReason.ADDRESS_GONE, retryable=False, detail=words)
    return refusal(answer.status, reason)


def _since(answer: Answer) -> str:
    """Return since when a token is dead, where Apple says it: milliseconds since 1970."""
    told = answer.json().get("timestamp")
    if not isinstance(told, int) or isinstance(told, bool) or not 0 < told < 1 << 43:
        return ""
    return f" since {datetime.fromtimestamp(told / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
