"""FCM's error codes as reasons ("ErrorCode" and "FcmError" of FCM's reference; dead tokens: pinpoint-2 2.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from heliograph_channels import Accepted, Rejected, RejectReason, SendResult, Unknown
from heliograph_channels.http_client import Answer, refusal
from heliograph_channels.meanings import meanings

__all__ = ["FcmError", "error_of", "outcome", "wants_another_token"]

_NAME = re.compile(r"projects/[^/]{1,100}/messages/([!-~]{1,200})")


class FcmError(NamedTuple):
    """An error of an answer. `code` is FCM's own (`UNREGISTERED`), `status` Google's (`NOT_FOUND`); either may be empty.

    `fields` are those of the request that are wrong.
    """

    code: str
    status: str
    message: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return FCM's words."""
        return f"{self.code or self.status}: {self.message}" if self.message else self.code or self.status


_MEANINGS = meanings(
    final={
        RejectReason.ADDRESS_GONE: ("UNREGISTERED", "NOT_FOUND", "SENDER_ID_MISMATCH"),
        RejectReason.CREDENTIALS: (
            "THIRD_PARTY_AUTH_ERROR",
            "UNAUTHENTICATED",
            "PERMISSION_DENIED",
            "FAILED_PRECONDITION",  # the API is not switched on for the project
        ),
    },
    later={
        RejectReason.THROTTLED: ("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"),
        RejectReason.UNAVAILABLE: ("UNAVAILABLE", "INTERNAL"),
    },
)


def error_of(told: Mapping[str, object]) -> FcmError | None:
    """Return the error of an answer's body; None when there is none in Google's form."""
    error = told.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("status"), str):
        return None
    code = ""
    fields: list[str] = []
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        if isinstance(detail.get("errorCode"), str):
            code = detail["errorCode"]
        violations = detail.get("fieldViolations")
        named = (
            [one.get("field") for one in violations if isinstance(one, dict)] if isinstance(violations, list) else []
        )
        fields.extend(name for name in named if isinstance(name, str))
    message = error.get("message")
    return FcmError(code, error["status"], message[:400] if isinstance(message, str) else "", tuple(fields))


def wants_another_token(answer: Answer) -> bool:
    """Tell whether it was the access token that was refused: the message was not looked at, another token may do."""
    if answer.status != 401:
        return False
    error = error_of(answer.json())
    return error is None or not error.code


def outcome(answer: Answer, message_id: str) -> SendResult:
    """Say what an answer to a message means.

    200 with JSON is FCM's word that it has the message, even if the rest of the answer is lost: it is accepted then,
    under our own id.
    """
    told = answer.json()
    if answer.status == 200:
        name = told.get("name")
        if isinstance(name, str) and (match := _NAME.fullmatch(name)):
            return Accepted(match[1])
        if answer.is_json:
            return Accepted(message_id)
        return Unknown("the call was answered 200, and the answer is not FCM's")
    error = error_of(told)
    if error is None:
        return refusal(answer.status)
    words = str(error)[:500]
    for word in (error.code, error.status):
        if word == "INVALID_ARGUMENT":
            return Rejected(_argument(error), retryable=False, detail=words)
        if meaning := _MEANINGS.get(word):
            return meaning.rejected(words)
    return refusal(answer.status, words)


def _argument(error: FcmError) -> RejectReason:
    """Tell a malformed token from malformed content; FCM has one code for both.

    The address is not called gone: the same words come when a whole request is malformed, and would then make every
    endpoint inactive.
    """
    if "message.token" in error.fields or "registration token" in error.message.lower():
        return RejectReason.INVALID_ADDRESS
    return RejectReason.INVALID_CONTENT
