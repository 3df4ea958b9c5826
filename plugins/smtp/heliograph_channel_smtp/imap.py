"""A small IMAP client (RFC 3501) for one mailbox: find, fetch, mark, wait. No more than reading bounces needs.

On the event loop instead of the standard library's client in a thread: a thread that hangs on a dead server cannot be
taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Imap", "ImapAccount", "ImapError", "Letter", "LoginRefused"]

_LONGEST_LINE = 1024 * 1024  # the numbers of 150,000 unread mails
_LARGEST_LITERAL = 1024 * 1024
_FETCHED_OCTETS = 256 * 1024
_LITERAL = re.compile(rb"\{(\d{1,9})\}\r?\n\Z")
_UID = re.compile(rb"\bUID (\d+)", re.IGNORECASE)
_CONTENT = re.compile(rb'BODY\[\](?:<\d+>)? (?:\{(\d{1,9})\}\r?\n|""|NIL)', re.IGNORECASE)
_QUOTED_UNSAFE = re.compile(rb"[\x00\r\n\x80-\xff]")


class ImapError(Exception):
    """The mailbox cannot be read now; the text says what happened and holds no secret."""


class LoginRefused(ImapError):
    """The server does not accept the login."""


@dataclass(frozen=True)
class ImapAccount:
    """Where and how to read. `timeout` is seconds per command. The password never shows in a repr."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    username: str
    password: str
    folder: str
    tls: ssl.SSLContext | None
    timeout: float

    def __repr__(self) -> str:
        """Name the server only."""
        return f"<ImapAccount at {self.host}:{self.port}>"


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as it was fetched: its UID and its first 256 KiB."""

    uid: int
    octets: bytes


class Imap:
    """One logged-in connection with its folder selected. After any error it is done for; open another one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float) -> None:
        """Take a connection; `opened` makes one."""
        self._reader = reader
        self._writer = writer
        self._timeout = timeout
        self._number = 0
        self._capabilities: frozenset[bytes] = frozenset()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, account: ImapAccount) -> AsyncIterator[Imap]:
        """Connect, encrypt, log in, select the folder; log out at the end.

        Raises:
            LoginRefused: the login is not accepted.
            ImapError: anything else is in the way.
        """
        try:
            async with asyncio.timeout(account.timeout):
                reader, writer = await asyncio.open_connection(
                    account.host,
                    account.port,
                    limit=_LONGEST_LINE,
                    ssl=account.tls if account.security == "tls" else None,
                    server_hostname=account.host if account.security == "tls" else None,
                )
        except TimeoutError:
            raise ImapError(f"no connection within {account.timeout:g} s") from None
        except (OSError, UnicodeError) as error:
            raise ImapError(f"no connection: {type(error).__name__}: {error}") from None
        imap = cls(reader, writer, account.timeout)
        try:
            await imap._begin(account)
            yield imap
            with contextlib.suppress(ImapError):
                await imap._command(b"LOGOUT", timeout=2.0)
        finally:
            imap._writer.transport.abort()  # after LOGOUT nothing is left to be said
            # The transport tells its protocol in the next turn of the loop; until then the socket counts as open.
            await asyncio.sleep(0)

    async def unseen(self) -> list[int]:
        """Return the UIDs of mails nobody has marked as seen or deleted, oldest first."""
        found: list[int] = []
        for line in await self._command(b"UID SEARCH UNSEEN UNDELETED"):
            if line.upper().startswith(b"* SEARCH"):
                found += [int(word) for word in line.split()[2:] if word.isdigit()]
        return sorted(set(found))

    async def fetch(self, uids: Sequence[int]) -> list[Letter]:
        """Fetch mails without marking them; one that is gone by now is left out."""
        letters = []
        command = b"UID FETCH %b (UID BODY.PEEK[]<0.%d>)" % (_set_of(uids), _FETCHED_OCTETS)
        for line in await self._command(command):
            content = _CONTENT.search(line)
            if content is None:
                continue  # somebody changed flags meanwhile
            end = content.end() + int(content[1] or 0)
            # Not in between: the mail's own text may hold anything.
            uid = _UID.search(line, 0, content.start()) or _UID.search(line, end)
            if uid is not None:
                letters.append(Letter(int(uid[1]), line[content.end() : end]))
        return letters

    async def mark(self, uids: Sequence[int], *, deleted: bool) -> None:
        """Mark mails as seen, or remove them. Safe to repeat, and for mails that are gone."""
        if not uids:
            return
        chosen = _set_of(uids)
        flags = rb"(\Seen \Deleted)" if deleted else rb"(\Seen)"
        await self._command(b"UID STORE %b +FLAGS.SILENT %b" % (chosen, flags))
        if deleted:
            # Without UIDPLUS the server has only one way: away with all that is marked as deleted.
            await self._command(b"UID EXPUNGE " + chosen if b"UIDPLUS" in self._capabilities else b"EXPUNGE")

    async def wait(self, seconds: float) -> None:
        """Return when a mail may have come, at the latest after `seconds`. Uses IDLE (RFC 2177) where it is offered."""
        if b"IDLE" not in self._capabilities:
            await asyncio.sleep(seconds)
            await self._command(b"NOOP")
            return
        tag = self._tag()
        await self._write(tag + b" IDLE\r\n")
        try:
            async with asyncio.timeout(seconds):
                while not (line := await self._line(seconds + 1)).upper().rstrip().endswith((b" EXISTS", b" RECENT")):
                    if line.startswith(tag):
                        raise _Refused(line)
        except TimeoutError:
            pass
        await self._write(b"DONE\r\n")
        await self._answer(tag, self._timeout)

    async def _begin(self, account: ImapAccount) -> None:
        greeting = await self._line(self._timeout)
        if not greeting.upper().startswith((b"* OK", b"* PREAUTH")):
            raise ImapError(f"the server greeted with {_shown(greeting)}")
        await self._ask_capabilities()
        if account.security == "starttls":
            if b"STARTTLS" not in self._capabilities or account.tls is None:
                raise ImapError("the server does not offer STARTTLS, which the settings ask for")
            await self._command(b"STARTTLS")
            await self._encrypt(account.tls, account.host)
            await self._ask_capabilities()  # what was offered in the clear does not count
        if not greeting.upper().startswith(b"* PREAUTH"):
            await self._log_in(account)
            await self._ask_capabilities()
        await self._command(b"SELECT " + _quoted(_modified_utf7(account.folder)))

    async def _encrypt(self, context: ssl.SSLContext, host: str) -> None:
        if self._reader._buffer:  # type: ignore[attr-defined]
            raise ImapError("the server spoke between STARTTLS and the encryption")
        try:
            async with asyncio.timeout(self._timeout):
                await self._writer.start_tls(context, server_hostname=host)
        except (OSError, TimeoutError) as error:
            raise ImapError(f"no encryption: {type(error).__name__}: {error}") from None

    async def _ask_capabilities(self) -> None:
        for line in await self._command(b"CAPABILITY"):
            if line.upper().startswith(b"* CAPABILITY"):
                self._capabilities = frozenset(line.upper().split()[2:])

    async def _log_in(self, account: ImapAccount) -> None:
        user, password = account.username.encode(), account.password.encode()
        tag = self._tag()
        if b"AUTH=PLAIN" in self._capabilities:
            secret = b64encode(b"\0" + user + b"\0" + password)
            if b"SASL-IR" in self._capabilities:
                await self._write(tag + b" AUTHENTICATE PLAIN " + secret + b"\r\n")
            else:
                await self._write(tag + b" AUTHENTICATE PLAIN\r\n")
                if not (line := await self._line(self._timeout)).startswith(b"+"):
                    raise ImapError(f"AUTHENTICATE was answered {_shown(line)}")
                await self._write(secret + b"\r\n")
        elif b"LOGINDISABLED" in self._capabilities or _QUOTED_UNSAFE.search(user + password):
            raise ImapError("the server offers no way to log in that we know")
        else:
            await self._write(tag + b" LOGIN " + _quoted(user) + b" " + _quoted(password) + b"\r\n")
        try:
            await self._answer(tag, self._timeout)
        except _Refused as error:
            # Only the code in brackets is told: some servers repeat in their answer what they were given.
            code = re.search(rb"\[([A-Z-]{1,40})\]", error.line)
            raise LoginRefused(f"the login is not accepted{f' ({code[1].decode()})' if code else ''}") from None

    async def _command(self, command: bytes, *, timeout: float | None = None) -> list[bytes]:
        """Send a command and return its untagged answers, literals in place.

        Raises:
            ImapError: it was answered NO or BAD, not in time, or the connection is gone.
        """
        tag = self._tag()
        await self._write(tag + b" " + command + b"\r\n")
        return await self._answer(tag, timeout or self._timeout)

    async def _answer(self, tag: bytes, timeout: float) -> list[bytes]:
        lines: list[bytes] = []
        while True:
            line = await self._line(timeout)
            if line.startswith(tag + b" "):
                if line[len(tag) + 1 :].upper().startswith(b"OK"):
                    return lines
                raise _Refused(line)
            lines.append(line)

    async def _line(self, timeout: float) -> bytes:
        """Read one answer with its literals; `timeout` seconds for each piece of it."""
        try:
            async with asyncio.timeout(timeout):
                line = await self._reader.readuntil(b"\n")
            whole = line
            while match := _LITERAL.search(line):
                size = int(match[1])
                if size > _LARGEST_LITERAL:
                    raise ImapError(f"the server sends {size} octets at once")
                async with asyncio.timeout(timeout):
                    literal = await self._reader.readexactly(size)
                    line = await self._reader.readuntil(b"\n")
                whole += literal + line
        except TimeoutError:
            raise ImapError(f"the server did not answer within {timeout:g} s") from None
        except (OSError, EOFError) as error:
            raise ImapError(f"the connection broke: {type(error).__name__}") from None
        except asyncio.LimitOverrunError:
            raise ImapError("the server's answer has no end") from None
        return whole

    async def _write(self, octets: bytes) -> None:
        try:
            self._writer.write(octets)
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
        except TimeoutError:
            raise ImapError(f"the server read nothing for {self._timeout:g} s") from None
        except OSError as error:
            raise ImapError(f"the connection broke: {type(error).__name__}") from None

    def _tag(self) -> bytes:
        self._number += 1
        return b"h%d" % self._number


class _Refused(ImapError):
    """A command was answered NO or BAD."""

    def __init__(self, line: bytes) -> None:
        super().__init__(f"the server said {_shown(line)}")
        self.line = line


def _set_of(uids: Sequence[int]) -> bytes:
    return b",".join(b"%d" % uid for uid in uids)


def _quoted(octets: bytes) -> bytes:
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:200]


def _modified_utf7(name: str) -> bytes:
    """Encode a folder's name (RFC 3501 5.1.3)."""
    pieces: list[bytes] = []
    for part in re.findall(r"[\x20-\x7e]+|[^\x20-\x7e]+", name):
        if part.isascii() and part.isprintable():
            pieces.append(part.encode().replace(b"&", b"&-"))
        else:
            code = b64encode(part.encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
            pieces.append(b"&" + code + b"-")
    return b"".join(pieces)
