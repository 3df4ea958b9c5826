"""Header fields: refusing what could end a header early, encoding the rest (RFC 5322, RFC 2047)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote

from heliograph_channels import email_problem

__all__ = [
    "BadHeader",
    "Mailbox",
    "check_one_click",
    "file_headers",
    "header_line",
    "mailbox",
    "phrase",
    "unstructured",
]

# Everything a server or a mail reader could take for the end of a line, plus what cannot be encoded. Tab is allowed.
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")
_NAME = re.compile(r"[!-9;-~]{1,126}")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}")
_NO_PATH = re.compile(r"[^/\\\t]+")
_ONE_CLICK = re.compile(r"(?:.*,[ \t]*)?<https://[!-;=?-~]+>(?:[ \t]*,.*)?")
_MAILBOX = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>]*?))[ \t]*<(?P<address>[^<>]*)>')
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_OURS = {"from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "mime-version", "received"}
_OURS |= {"return-path", "resent-from", "resent-to", "resent-cc", "resent-bcc", "resent-sender", "resent-date"}
_OURS |= {"x-heliograph-message-id"}
_LONG_WORD = re.compile(r"[^ \t]{900}")
_LINE = 78
_LONGEST = 998


class BadHeader(ValueError):
    """A header field that must not be sent. The text names the field and never repeats the value."""


class Mailbox:
    """An address with the form it has in a header and in the envelope."""

    __slots__ = ("address", "domain", "envelope", "header", "needs_utf8")

    def __init__(self, name: str, address: str) -> None:
        """Build from a display name (may be empty) and a bare address.

        Raises:
            BadHeader: the address is malformed.
        """
        if problem := email_problem(address):
            raise BadHeader(f"an address {problem}")
        local, _, domain = address.rpartition("@")
        if not domain.isascii():
            try:
                domain = domain.encode("idna").decode("ascii")
            except UnicodeError:
                raise BadHeader("an address has a domain that is not allowed") from None
        self.address = f"{local}@{domain}"
        self.domain = domain
        self.needs_utf8 = not local.isascii()
        self.envelope = b"<" + self.address.encode() + b">"
        self.header = f"{phrase(name)} <{self.address}>" if name else self.address


@lru_cache(maxsize=256)
def mailbox(text: str) -> Mailbox:
    """Parse `ann@example.com` or `Ann Smith <ann@example.com>`; one address, no comments, no groups.

    Raises:
        BadHeader: it is anything else.
    """
    if len(text) > _LONGEST:
        raise BadHeader("an address is too long")
    if _UNSAFE.search(text):
        raise BadHeader("an address holds a line break or a control character")
    if "<" not in text:
        return Mailbox("", text)
    match = _MAILBOX.fullmatch(text.strip(" "))
    if match is None:
        raise BadHeader("an address is neither name@domain nor Name <name@domain>")
    quoted = match["quoted"]
    name = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["plain"]
    return Mailbox(name.strip(), match["address"])


def phrase(name: str) -> str:
    """Return a display name as a phrase: bare, quoted, or in encoded words."""
    if not name.isascii() or "=?" in name:
        return "\r\n ".join(_encoded_words(name))
    if _ATOMS.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unstructured(field: str, value: str) -> str:
    """Return a free-text value, folded, in encoded words when it is not plain ASCII.

    Raises:
        BadHeader: it holds a line break or control character, or is longer than 998 characters.
    """
    if _UNSAFE.search(value):
        raise BadHeader(f"{field} holds a line break or a control character")
    if len(value) > _LONGEST:
        raise BadHeader(f"{field} is longer than {_LONGEST} characters")
    if not value.isascii() or "=?" in value or _LONG_WORD.search(value):
        return "\r\n ".join(_encoded_words(value))
    if len(field) + 2 + len(value) <= _LINE:
        return value
    return _folded(value, len(field) + 2)


def header_line(name: str, value: str) -> str:
    """Return one further header field as a line.

    Raises:
        BadHeader: the name is malformed or one the channel sets itself, or the value cannot be sent.
    """
    if not _NAME.fullmatch(name):
        raise BadHeader("a header has a name that is not allowed")
    if name.lower() in _OURS or name.lower().startswith("content-"):
        raise BadHeader(f"header {name} is set by the channel")
    # Encoding it would break the link in a List-Unsubscribe.
    if _LONG_WORD.search(value):
        raise BadHeader(f"header {name} has a word too long for a line")
    if name.lower().startswith("list-") and ("=?" in value or not value.isascii()):
        raise BadHeader(f"header {name} holds characters that its links cannot have")
    return f"{name}: {unstructured(f'header {name}', value)}\r\n"


def check_one_click(headers: Mapping[str, str]) -> None:
    """Check that one-click unsubscribing is said in whole or not at all (RFC 8058 3.1).

    Raises:
        BadHeader: `List-Unsubscribe-Post` says something else, or there is no https address to post to.
    """
    named = {name.lower(): value for name, value in headers.items()}
    post = named.get("list-unsubscribe-post")
    if post is None:
        return
    if post != "List-Unsubscribe=One-Click":
        raise BadHeader("header List-Unsubscribe-Post must be List-Unsubscribe=One-Click")
    if not _ONE_CLICK.fullmatch(named.get("list-unsubscribe", "")):
        raise BadHeader("header List-Unsubscribe-Post needs an https address in List-Unsubscribe")


def file_headers(name: str, content_type: str) -> str:
    """Return the header of a part that holds a file, in base64.

    Raises:
        BadHeader: the name is empty, too long, or holds a path, a line break or a control character; or the type is
            malformed, or one that base64 is not allowed for.
    """
    if not _TYPE.fullmatch(content_type) or content_type.lower().startswith(("multipart/", "message/")):
        raise BadHeader("a file has a type that is not allowed")
    if not 1 <= len(name) <= 255 or _UNSAFE.search(name) or not _NO_PATH.fullmatch(name):
        raise BadHeader("a file has a name that is not allowed")
    return (
        f"Content-Type: {content_type}\r\n"
        f"Content-Disposition: attachment;{_file_name(name)}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
    )


def _file_name(name: str) -> str:
    """Return a parameter, or its pieces where it is long or not ASCII (RFC 2231)."""
    if _TOKEN.fullmatch(name):
        return f" filename={name}"
    if name.isascii() and len(name) <= 60:
        quoted = name.replace('"', '\\"')  # a backslash was refused before
        return f'\r\n filename="{quoted}"'
    pieces, piece = [], ""
    for character in name:
        encoded = quote(character, safe="")
        if len(piece) + len(encoded) > 50:
            pieces.append(piece)
            piece = ""
        piece += encoded
    pieces.append(piece)
    if len(pieces) == 1:
        return f"\r\n filename*=utf-8''{piece}"
    pieces[0] = f"utf-8''{pieces[0]}"
    return ";".join(f"\r\n filename*{index}*={text}" for index, text in enumerate(pieces))


def _folded(value: str, start: int) -> str:
    """Fold before blanks, so that a reader who unfolds gets the very same text."""
    lines: list[str] = []
    current = ""
    room = _LINE - start
    for word in re.findall(r"[ \t]*[^ \t]+|[ \t]+$", value):
        if current.strip(" \t") and len(current) + len(word) > room and word[0] in " \t" and word.strip(" \t"):
            lines.append(current)
            current, room = word, _LINE
        else:
            current += word
    return "\r\n".join([*lines, current])


def _encoded_words(text: str) -> Iterator[str]:
    """Cut at characters so that no word is longer than 75 (45 octets make 60 of base64 and 12 around it)."""
    chunk = b""
    for character in text:
        octets = character.encode()
        if len(chunk) + len(octets) > 45:
            yield f"=?utf-8?B?{b64encode(chunk).decode()}?="
            chunk = b""
        chunk += octets
    yield f"=?utf-8?B?{b64encode(chunk).decode()}?="
