"""Whether a failure is for good: the delivery status of a bounce as permanent or passing (pinpoint-2 2.2).

Permanent means that the address is not worth another message: it does not exist, or its server blocks us. Everything
that lies with this one message (too large, content refused) or with this moment (full, overloaded, expired on the way) is
a soft bounce, whatever class the server gave it.
"""

from __future__ import annotations

import re

__all__ = ["is_permanent", "status_in"]

_SOFT = frozenset(
    {
        # Not 4.1: as 5.4.1 it is how Exchange refuses an address it does not know.
        "2.2",  # mailbox full
        "2.3",  # longer than the mailbox allows
        "3.1", "3.2", "3.4", "3.5",  # the system is full, closed for now, allows less, is misconfigured
        "4.2", "4.3", "4.5", "4.6", "4.7",  # bad connection, directory away, congestion, loop, expired
        "5.3",  # too many recipients
        "7.4", "7.5", "7.7", "7.10", "7.11",  # encryption and integrity
        "7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27", "7.28", "7.29",  # our own papers
    }
)  # fmt: skip
_ENHANCED = re.compile(r"(?<![\d.])([245]\.[0-7]\.\d{1,2})(?![\d.]*\d)")
# After "smtp;", at the start of a line, or behind a word of a dialogue: anything looser finds house numbers and prices.
_REPLY = re.compile(
    r"(?:^|smtp;|said:?|error:?|answered:?|response:?|returned|host [^\n]{1,200}?:)[ \t<#(]*([45]\d\d)(?=[ \t-])",
    re.IGNORECASE | re.MULTILINE,
)
_BY_REPLY = {
    "421": "4.3.2", "450": "4.2.0", "451": "4.3.0", "452": "4.2.2", "550": "5.1.1", "551": "5.1.6", "552": "5.2.2",
    "553": "5.1.3", "554": "5.0.0", "521": "5.1.10", "556": "5.1.10", "571": "5.7.1",
}  # fmt: skip
# Servers that give no code at all, in their own words.
_PHRASES = (
    (re.compile(r"over ?quota|quota exceeded|mailbox (?:is )?full|exceeded (?:its|the) storage", re.IGNORECASE), "5.2.2"),
    (
        re.compile(
            r"user unknown|unknown user|no such (?:user|mailbox|recipient|person)|no mailbox here by that name|"
            r"(?:mailbox|user|account|recipient|address)\b[^.\n]{0,30}? (?:not found|does(?: not|n't) exist|unavailable)|"
            r"unrouteable address|invalid recipient",
            re.IGNORECASE,
        ),
        "5.1.1",
    ),
    (re.compile(r"domain (?:name )?not found|no such domain|host(?: name)? (?:or domain name )?not found", re.IGNORECASE),
     "5.1.2"),
    (re.compile(r"account (?:is |has been )?(?:disabled|inactive|suspended)", re.IGNORECASE), "5.2.1"),
    (re.compile(r"(?:retry|delivery) time(?:out)? (?:exceeded|not reached|expired)|retry timeout", re.IGNORECASE), "4.4.7"),
)  # fmt: skip


def is_permanent(status: str) -> bool:
    """Say whether a delivery status (`5.1.1`) makes a hard bounce. Anything but class 5 is soft, and so is 5.6: content."""
    return status.startswith("5.") and not status.startswith("5.6.") and status[2:] not in _SOFT


def status_in(text: str, *, phrases: bool = False) -> str:
    """Return the first delivery status told in `text`, empty when there is none.

    An enhanced code is preferred, else the code of an SMTP reply, else (with `phrases`) what well-known words mean.
    """
    if match := _ENHANCED.search(text):
        return match[1]
    if match := _REPLY.search(text):
        return _BY_REPLY.get(match[1], f"{match[1][0]}.0.0")
    if phrases:
        for pattern, status in _PHRASES:
            if pattern.search(text):
                return status
    return ""
