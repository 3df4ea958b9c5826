"""What a server's answer means for the message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from heliograph_channels import Rejected, RejectReason

__all__ = ["Command", "Reply", "rejection"]

Command = Literal["MAIL", "RCPT", "DATA", "content"]
_ENHANCED = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})\b")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]+")

_BY_DETAIL = {
    # RFC 3463, without the class: what is wrong, however permanent.
    "1.1": RejectReason.INVALID_ADDRESS,
    "1.2": RejectReason.INVALID_ADDRESS,
    "1.3": RejectReason.INVALID_ADDRESS,
    "1.6": RejectReason.ADDRESS_GONE,
    "1.7": RejectReason.INVALID_ORIGINATION,
    "1.8": RejectReason.INVALID_ORIGINATION,
    "1.10": RejectReason.INVALID_ADDRESS,
    "2.1": RejectReason.ADDRESS_GONE,
    "2.2": RejectReason.QUOTA_EXCEEDED,
    "2.3": RejectReason.INVALID_CONTENT,
    "3.4": RejectReason.INVALID_CONTENT,
    "7.0": RejectReason.BLOCKED,
    "7.1": RejectReason.BLOCKED,
    "7.8": RejectReason.CREDENTIALS,
    "7.9": RejectReason.CREDENTIALS,
}
_BY_CODE: dict[Command, dict[int, RejectReason]] = {
    "MAIL": {530: RejectReason.CREDENTIALS, 535: RejectReason.CREDENTIALS, 552: RejectReason.INVALID_CONTENT},
    "RCPT": {552: RejectReason.QUOTA_EXCEEDED, 554: RejectReason.BLOCKED, 530: RejectReason.CREDENTIALS},
    "DATA": {},
    "content": {552: RejectReason.INVALID_CONTENT, 550: RejectReason.BLOCKED, 554: RejectReason.BLOCKED},
}
_OTHERWISE: dict[Command, RejectReason] = {
    "MAIL": RejectReason.INVALID_ORIGINATION,
    "RCPT": RejectReason.INVALID_ADDRESS,
    "DATA": RejectReason.REFUSED,
    "content": RejectReason.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer: the code, and its lines without code and line ends."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The answer as one printable line of at most 400 characters."""
        return _UNPRINTABLE.sub(" ", f"{self.code} {' '.join(self.lines)}").strip()[:400]


def rejection(command: Command, reply: Reply) -> Rejected:
    """Map a 4xx or 5xx answer to a command. 4xx may be tried again, 5xx not (RFC 5321 4.2.1)."""
    retryable = reply.code < 500
    match = _ENHANCED.match(reply.lines[0]) if reply.lines else None
    if match and match[1].startswith("7.") and retryable:
        reason = RejectReason.THROTTLED  # greylisting and reputation limits say 4.7.x
    elif match and match[1] in _BY_DETAIL:
        reason = _BY_DETAIL[match[1]]
    elif retryable:
        reason = RejectReason.QUOTA_EXCEEDED if reply.code == 452 else RejectReason.UNAVAILABLE
    else:
        reason = _BY_CODE[command].get(reply.code, _OTHERWISE[command])
    where = "the message" if command == "content" else command
    return Rejected(reason, retryable=retryable, detail=f"{where} was answered {reply.text}")
