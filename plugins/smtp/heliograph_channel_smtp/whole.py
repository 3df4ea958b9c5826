"""A whole message given by its author (RFC 5322): checked, and sent as it is."""

from __future__ import annotations

import re
from functools import lru_cache

from heliograph_channel_smtp.headers import BadHeader, mailbox

__all__ = ["BadMessage", "whole"]

_LONGEST_LINE = 998
# Vertical tabs and their like are ends of lines to some readers: headers hold printable ASCII and tabs alone.
_FIELD = re.compile(rb"([!-9;-~]{1,126})[ \t]*:([\t -~]*)")
_FOLDED = re.compile(rb"[ \t][\t -~]*[!-~][\t -~]*")
_ONCE = frozenset(
    {b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to", b"references", b"subject", b"date"}
)
"""Fields of which a message may have one (RFC 5322 3.6); readers differ in which of two they believe."""
_NEVER = frozenset({b"bcc", b"return-path", b"x-heliograph-message-id"})
"""Fields that would tell recipients what they must not know, or that only the last server or we may write."""


class BadMessage(ValueError):
    """A whole message that must not be sent. The text says what is wrong and never repeats the content."""


# The same message goes to everybody in a batch; a few are kept, as each may have 10 MB.
@lru_cache(maxsize=4)
def whole(raw: bytes) -> bytes:
    """Return the message with CRLF line ends.

    A message with bare LF alone gets CRLF; nothing else of it changes, so that signatures over it hold.

    Raises:
        BadMessage: it has mixed or bare line ends, lines above 998 octets, a header that is malformed or not ASCII, not
            exactly one From with one sender, a field twice that may come once, or one that it must not have.
    """
    if b"\0" in raw:
        raise BadMessage("the whole message holds a NUL")
    data = raw if b"\r" in raw else raw.replace(b"\n", b"\r\n")
    if not data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r"):
        # What one server takes for the end of a line and another does not is how messages are smuggled in.
        raise BadMessage("the whole message mixes line ends")
    lines = data.split(b"\r\n")
    if max(map(len, lines)) > _LONGEST_LINE:
        raise BadMessage(f"the whole message has a line above {_LONGEST_LINE} octets")
    fields = _fields(lines)
    names = [name for name, _ in fields]
    if found := sorted(_NEVER.intersection(names)):
        raise BadMessage(f"the whole message must not have the header {found[0].decode().title()}")
    if twice := sorted(name for name in _ONCE if names.count(name) > 1):
        raise BadMessage(f"the whole message has the header {twice[0].decode().title()} twice")
    sender = dict(fields).get(b"from")
    if sender is None:
        raise BadMessage("the whole message needs a From header")
    try:
        mailbox(sender.decode("ascii").strip())
    except BadHeader as error:
        raise BadMessage(f"the From header of the whole message: {error}") from None
    return data


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the header fields, unfolded, names in lower case."""
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if not line:
            return fields
        if match := _FIELD.fullmatch(line):
            fields.append((match[1].lower(), match[2]))
        elif fields and _FOLDED.fullmatch(line):
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
        else:
            raise BadMessage("the whole message has a malformed header")
    raise BadMessage("the whole message has no end of its headers")
