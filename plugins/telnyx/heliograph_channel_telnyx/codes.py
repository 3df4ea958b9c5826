"""Telnyx's error codes as reasons (Telnyx's "Messaging Error Code Reference" and "API Error Codes")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from heliograph_channels import RejectReason
from heliograph_channels.meanings import Listed, Meaning, meanings

__all__ = ["TelnyxError", "errors_of", "meaning_of"]


class TelnyxError(NamedTuple):
    """One error of an answer or a webhook. `pointer` names the field of the request that is wrong, like `/to`."""

    code: str
    title: str
    detail: str = ""
    pointer: str = ""

    def __str__(self) -> str:
        """Return Telnyx's words."""
        return f"{self.code} {self.title}" + (f": {self.detail}" if self.detail else "")


_FINAL: Listed[str] = {
    RejectReason.INVALID_ADDRESS: ("40001", "40012", "40310"),
    RejectReason.INVALID_CONTENT: ("40009", "40301", "40302", "40304", "40316", "40317", "40319", "40328"),
    RejectReason.INVALID_ORIGINATION: (
        "40010", "40013", "40100", "40150", "40151",  # not registered, not usable, not enabled for messages
        "40305", "40306", "40308", "40312", "40315", "40321", "40329",  # not on the profile, unhealthy, none, not verified
    ),
    RejectReason.BLOCKED: ("10038", "10039", "40003", "40015", "40017", "40309", "40322"),
    RejectReason.QUOTA_EXCEEDED: ("20100",),
    RejectReason.CREDENTIALS: ("10009", "10010", "40311", "40313", "40314"),
}  # fmt: skip
_LATER: Listed[str] = {
    RejectReason.THROTTLED: ("10011", "40011", "40014", "40018", "40318"),
    RejectReason.QUOTA_EXCEEDED: ("40016",),  # T-Mobile's day of a 10DLC brand
    RejectReason.UNAVAILABLE: ("10007",),
    RejectReason.INVALID_ORIGINATION: ("40320",),  # the number's purchase is still under way
    RejectReason.BLOCKED: ("40002",),  # a spam filter that says it is for now
    RejectReason.REFUSED: ("40004", "40005", "40006", "40007", "40008"),  # the carrier; not for good
}
_MEANINGS = meanings(final=_FINAL, later=_LATER)
# General codes ("invalid value", "not found") say only with the field they point to what is meant.
_POINTED = {
    "to": RejectReason.INVALID_ADDRESS,
    "from": RejectReason.INVALID_ORIGINATION,
    "messaging_profile_id": RejectReason.INVALID_ORIGINATION,
    "text": RejectReason.INVALID_CONTENT,
    "media_urls": RejectReason.INVALID_CONTENT,
    "subject": RejectReason.INVALID_CONTENT,
}
_ACCOUNT = ("200",)


def errors_of(told: Mapping[str, object]) -> Iterator[TelnyxError]:
    """Return the errors of an answer's body or of a message in a webhook; whatever is no error is passed over."""
    listed = told.get("errors")
    for one in listed if isinstance(listed, list) else ():
        code = one.get("code") if isinstance(one, dict) else None
        if not isinstance(code, str | int) or not str(code):
            continue
        source = one.get("source")
        pointer = source.get("pointer", "") if isinstance(source, dict) else ""
        yield TelnyxError(
            str(code)[:16], str(one.get("title") or "")[:200], str(one.get("detail") or "")[:300], str(pointer)[:100]
        )


def meaning_of(error: TelnyxError) -> Meaning | None:
    """Return what an error means, None when its code says nothing.

    40300 has two: "Blocked due to STOP message" is the person's word, any other title a carrier's.
    """
    if error.code == "40300":
        words = f"{error.title} {error.detail}".lower()
        stopped = "stop" in words or "block rule" in words or "opt" in words
        return Meaning(RejectReason.OPTED_OUT if stopped else RejectReason.BLOCKED, retryable=False)
    if known := _MEANINGS.get(error.code):
        return known
    if error.code.startswith(_ACCOUNT):
        return Meaning(RejectReason.CREDENTIALS, retryable=False)
    if error.code.startswith("10") and (reason := _POINTED.get(error.pointer.strip("/").partition("/")[0])):
        return Meaning(reason, retryable=False)
    return None
