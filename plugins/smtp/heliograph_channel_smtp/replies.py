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
    # The registry of enhanced status codes (RFC 5248), without the class: what is wrong, however permanent. Subjects that
    # say nothing (x.0.0, 2.0 and the like) are left to the code of the reply.
    "1.1": RejectReason.INVALID_ADDRESS,  # no such mailbox
    "1.2": RejectReason.INVALID_ADDRESS,  # no such system
    "1.3": RejectReason.INVALID_ADDRESS,  # syntax
    "1.4": RejectReason.INVALID_ADDRESS,  # ambiguous
    "1.6": RejectReason.ADDRESS_GONE,  # moved without a new address
    "1.7": RejectReason.INVALID_ORIGINATION,  # the sender's syntax
    "1.8": RejectReason.INVALID_ORIGINATION,  # the sender's system
    "1.10": RejectReason.INVALID_ADDRESS,  # the domain takes no mail (null MX)
    "2.1": RejectReason.ADDRESS_GONE,  # disabled
    "2.2": RejectReason.QUOTA_EXCEEDED,  # mailbox full
    "2.3": RejectReason.INVALID_CONTENT,  # longer than the mailbox allows
    "3.1": RejectReason.UNAVAILABLE,  # the system's disks are full
    "3.2": RejectReason.UNAVAILABLE,  # takes no messages now
    "3.4": RejectReason.INVALID_CONTENT,  # longer than the system allows
    "3.5": RejectReason.UNAVAILABLE,  # misconfigured
    "4.2": RejectReason.UNAVAILABLE,  # bad connection
    "4.3": RejectReason.UNAVAILABLE,  # directory away
    "4.4": RejectReason.INVALID_ADDRESS,  # no route: the domain does not exist
    "4.5": RejectReason.THROTTLED,  # congestion
    "4.6": RejectReason.UNAVAILABLE,  # loop
    "4.7": RejectReason.UNAVAILABLE,  # expired on the way
    "5.3": RejectReason.THROTTLED,  # too many recipients
    "6.1": RejectReason.INVALID_CONTENT,
    "6.2": RejectReason.INVALID_CONTENT,
    "6.3": RejectReason.INVALID_CONTENT,
    "6.6": RejectReason.INVALID_CONTENT,
    "6.7": RejectReason.INVALID_ADDRESS,  # non-ASCII addresses are not carried
    "6.9": RejectReason.INVALID_CONTENT,
    "7.0": RejectReason.BLOCKED,
    "7.1": RejectReason.BLOCKED,  # delivery not authorised
    "7.2": RejectReason.BLOCKED,  # may not post to the list
    "7.3": RejectReason.BLOCKED,
    "7.4": RejectReason.BLOCKED,
    "7.7": RejectReason.BLOCKED,  # changed on the way
    "7.8": RejectReason.CREDENTIALS,
    "7.9": RejectReason.CREDENTIALS,
    "7.10": RejectReason.CREDENTIALS,  # encryption needed
    "7.11": RejectReason.CREDENTIALS,
    "7.12": RejectReason.CREDENTIALS,
    "7.13": RejectReason.CREDENTIALS,  # our account is disabled
    "7.14": RejectReason.CREDENTIALS,
    "7.17": RejectReason.ADDRESS_GONE,  # the mailbox has another owner now
    "7.18": RejectReason.ADDRESS_GONE,
    # The sender's papers: DKIM, SPF, reverse name, DMARC and ARC (RFC 7372, RFC 8617).
    "7.20": RejectReason.INVALID_ORIGINATION,
    "7.21": RejectReason.INVALID_ORIGINATION,
    "7.22": RejectReason.INVALID_ORIGINATION,
    "7.23": RejectReason.INVALID_ORIGINATION,
    "7.24": RejectReason.INVALID_ORIGINATION,
    "7.25": RejectReason.INVALID_ORIGINATION,
    "7.26": RejectReason.INVALID_ORIGINATION,
    "7.27": RejectReason.INVALID_ORIGINATION,
    "7.28": RejectReason.THROTTLED,  # mail flood
    "7.29": RejectReason.INVALID_ORIGINATION,
}
_ABOUT_ADDRESSES = frozenset({RejectReason.INVALID_ADDRESS, RejectReason.ADDRESS_GONE})
# "Authentication required", "mechanism too weak", "credentials invalid", "encryption required": RFC 4954 6. They often come
# with 5.7.0 or 5.7.1, which mean something else everywhere else.
_OF_LOGIN = frozenset({530, 534, 535, 538})
_BLOCKING = re.compile(
    r"\b(spam\w*|block\w*|blacklist\w*|denylist\w*|reputation|policy|dnsbl|rbl|banned)\b", re.IGNORECASE
)
_BY_CODE: dict[Command, dict[int, RejectReason]] = {
    "MAIL": {552: RejectReason.INVALID_CONTENT},
    "RCPT": {552: RejectReason.QUOTA_EXCEEDED, 554: RejectReason.BLOCKED},
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
    where = "the message" if command == "content" else command
    retryable = reply.code < 500
    reason = _passing(reply) if retryable else _lasting(command, reply)
    return Rejected(reason, retryable=retryable, detail=f"{where} was answered {reply.text}")


def _passing(reply: Reply) -> RejectReason:
    detail = _detail(reply)
    if detail.startswith("7."):
        return RejectReason.THROTTLED  # greylisting and reputation limits say 4.7.x
    reason = _BY_DETAIL.get(detail)
    if reason is None:
        return RejectReason.QUOTA_EXCEEDED if reply.code == 452 else RejectReason.UNAVAILABLE
    # 4.1.1 is a look-up that failed for now: nothing is wrong with the address as long as nobody says 5.
    return RejectReason.UNAVAILABLE if reason in _ABOUT_ADDRESSES else reason


def _lasting(command: Command, reply: Reply) -> RejectReason:
    if reply.code in _OF_LOGIN:
        return RejectReason.CREDENTIALS
    reason = _BY_DETAIL.get(_detail(reply)) or _BY_CODE[command].get(reply.code)
    if reason is None and command == "RCPT" and _BLOCKING.search(reply.text):
        return RejectReason.BLOCKED  # a refusal of us must not make the address look dead
    return reason or _OTHERWISE[command]


def _detail(reply: Reply) -> str:
    match = _ENHANCED.match(reply.lines[0]) if reply.lines else None
    return match[1] if match else ""
