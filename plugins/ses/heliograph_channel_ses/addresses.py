"""Senders and header fields in the form SES takes them: one line, ASCII, names in encoded words."""

from __future__ import annotations

import re
from email.header import Header

from heliograph_channels import email_problem

__all__ = ["BadField", "ascii_address", "header_field", "sender", "text_problem"]

# Everything a server or a mail reader could take for the end of a line, plus what cannot be encoded. Tab is allowed.
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")
_MAILBOX = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>]*?))[ \t]*<(?P<address>[^<>]*)>')
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_NAME = re.compile(r"[!-9;-?A-~]{1,126}")
_LONGEST_VALUE = 995
# SES writes these itself, or they belong to the request (SendEmail, MessageHeader).
_OURS = frozenset(
    "bcc cc from to subject reply-to sender return-path date message-id mime-version received "
    "content-type content-transfer-encoding content-disposition dkim-signature".split()
)


class BadField(ValueError):
    """A value that must not be sent. The text names the field and never repeats the value."""


def ascii_address(address: str) -> str:
    """Return a bare address with its domain in ASCII; the part before the @ stays as it is.

    Raises:
        BadField: it is no address.
    """
    if problem := email_problem(address):
        raise BadField(f"an address {problem}")
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        raise BadField("an address has a domain that is not allowed") from None


def sender(text: str) -> str:
    """Return `ann@example.com` or `Ann Smith <ann@example.com>` as SES takes it.

    Raises:
        BadField: it is anything else.
    """
    if len(text) > 998:
        raise BadField("an address is too long")
    if _UNSAFE.search(text):
        raise BadField("an address holds a line break or a control character")
    if "<" not in text:
        return ascii_address(text)
    match = _MAILBOX.fullmatch(text.strip(" "))
    if match is None:
        raise BadField("an address is neither name@domain nor Name <name@domain>")
    quoted = match["quoted"]
    name = (re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["plain"]).strip()
    address = ascii_address(match["address"])
    return f"{_phrase(name)} <{address}>" if name else address


def header_field(name: str, value: str) -> tuple[str, str]:
    """Return a further header field, its value in encoded words where it is not ASCII.

    Raises:
        BadField: the name is malformed or not ours to set, or the value cannot be sent.
    """
    if not _NAME.fullmatch(name):
        raise BadField("a header has a name that is not allowed")
    if name.lower() in _OURS or name.lower().startswith("resent-"):
        raise BadField(f"header {name} is set by the channel")
    if _UNSAFE.search(value):
        raise BadField(f"header {name} holds a line break or a control character")
    encoded = value.replace("\t", " ") if value.isascii() else _encoded(value)
    if not encoded.strip():
        raise BadField(f"header {name} is empty")
    if len(encoded) > _LONGEST_VALUE:
        raise BadField(f"header {name} is longer than {_LONGEST_VALUE} characters")
    return name, encoded


def text_problem(field: str, text: str) -> str:
    """Say why a line of text (the subject) cannot be sent, empty when it can."""
    if _UNSAFE.search(text):
        return f"{field} holds a line break or a control character"
    return f"{field} is longer than 998 characters" if len(text) > 998 else ""


def _phrase(name: str) -> str:
    if not name.isascii() or "=?" in name:
        return _encoded(name)
    if _ATOMS.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encoded(text: str) -> str:
    """Encode as words of RFC 2047 on one line."""
    return Header(text, "utf-8", maxlinelen=75).encode(linesep="\n").replace("\n", "")
