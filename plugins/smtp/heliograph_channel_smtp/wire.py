"""One connection to an SMTP server: lines, replies, TLS, greeting and login."""

from __future__ import annotations

import asyncio
import binascii
import hmac
import ssl
from base64 import b64decode, b64encode
from collections import deque
from dataclasses import dataclass
from typing import Literal, cast

from heliograph_channel_smtp.replies import Reply

__all__ = ["Account", "BadCredentials", "Lost", "Wire", "connect"]

_MOST_UNREAD = 64 * 1024
_MOST_LINES = 200
_LONGEST_LINE = 4096


class Lost(Exception):
    """The connection is gone, or the server speaks no SMTP; the text says what happened."""


class BadCredentials(Exception):
    """The server does not accept the login, or offers none we know."""


@dataclass(frozen=True)
class Account:
    """Where and how to connect. Times are seconds. The password never shows in a repr.

    `security`: `starttls` encrypts or does not send, `opportunistic` encrypts when the server offers it, `tls` from the
    start. `notices` are the delivery status notifications to ask for, where the server offers them (RFC 3461).
    """

    host: str
    port: int
    security: Literal["none", "opportunistic", "starttls", "tls"]
    helo_name: str
    username: str
    password: str
    tls: ssl.SSLContext | None
    connect_timeout: float
    command_timeout: float
    content_timeout: float
    notices: Literal["", "failure", "delivery"] = ""

    def __repr__(self) -> str:
        """Name the server only."""
        return f"<Account at {self.host}:{self.port}>"


class Wire(asyncio.Protocol):
    """Octets to replies. After any error it is lost for good and every read says so."""

    def __init__(self) -> None:
        """Wait for `connection_made`."""
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._lines: list[str] = []
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self.lost: str | None = None
        self.encrypted = False
        self.extensions: dict[str, str] = {}
        self.sent = 0
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called again after STARTTLS with the encrypted one)."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Cut lines and gather them to replies."""
        self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            code, mark = line[:3], line[3:4].rstrip(b"\r") or b" "
            if not code.isdigit() or code[0] not in b"2345" or mark not in b" -" or len(line) > _LONGEST_LINE:
                self.abort("the server's answer is not SMTP")
                return
            self._lines.append(line[4:].rstrip(b"\r").decode("utf-8", "replace"))
            if mark == b" ":
                self._replies.append(Reply(int(code), tuple(self._lines)))
                self._lines = []
        if len(self._unread) > _MOST_UNREAD or len(self._lines) > _MOST_LINES or len(self._replies) > _MOST_LINES:
            self.abort("the server's answer has no end")
            return
        if self._replies:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why."""
        self._closed.set()
        self._lose("the server closed the connection" if exc is None else f"the connection broke: {exc}")

    def pause_writing(self) -> None:
        """Stop `drain` until the server has read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        self._writable.set()

    def write(self, data: bytes) -> None:
        """Queue octets.

        Raises:
            Lost: the connection is gone.
        """
        if self.lost is not None or self._transport is None:
            raise Lost(self.lost or "not connected")
        self._transport.write(data)

    async def drain(self, timeout: float) -> None:
        """Wait until little is left to be written, at most `timeout` seconds.

        Raises:
            Lost: the connection went, or the time is up.
        """
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._writable.wait()
            except TimeoutError:
                self.abort(f"the server read nothing for {timeout:g} s")
        if self.lost is not None:
            raise Lost(self.lost)

    async def read(self, timeout: float) -> Reply:
        """Return the next reply.

        Raises:
            Lost: the connection went before it, or no reply came within `timeout` seconds.
        """
        while not self._replies:
            if self.lost is not None:
                raise Lost(self.lost)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._waiter
            except TimeoutError:
                self.abort(f"the server did not answer within {timeout:g} s")
            finally:
                self._waiter = None
        return self._replies.popleft()

    async def command(self, line: str, timeout: float) -> Reply:
        """Send one command and return its reply."""
        self.write(line.encode() + b"\r\n")
        return await self.read(timeout)

    @property
    def has_unread(self) -> bool:
        """Whether the server said something nobody asked for."""
        return bool(self._replies or self._unread or self._lines)

    def usable(self) -> bool:
        """Whether it can carry another message: not lost, and the server said nothing unasked (421, say)."""
        return self.lost is None and not self.has_unread

    async def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> None:
        """Encrypt the connection.

        Raises:
            Lost: no agreement, or octets came before the encryption began (they could be anybody's).
        """
        if self.has_unread or self._transport is None:
            self.abort("the server spoke between STARTTLS and the encryption")
            raise Lost(self.lost or "")
        loop = asyncio.get_running_loop()
        encrypted = await loop.start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout
        )
        self._transport = cast(asyncio.Transport, encrypted)
        self.encrypted = True

    def quit(self) -> None:
        """Take leave politely and close; does not wait."""
        if self.lost is None and self._transport is not None:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
            self._lose("closed")

    def abort(self, why: str) -> None:
        """Drop the connection at once, with everything the server said that nobody has read."""
        self._replies.clear()
        if self._transport is not None:
            self._transport.abort()
        self._lose(why)

    async def wait_closed(self, timeout: float) -> None:
        """After `quit` or `abort`, wait until the socket is closed; drop it when that takes longer than `timeout`."""
        try:
            async with asyncio.timeout(timeout):
                await self._closed.wait()
        except TimeoutError:
            self.abort("closing took too long")
            await asyncio.sleep(0)

    def _lose(self, why: str) -> None:
        if self.lost is None:
            self.lost = why
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def connect(account: Account) -> Wire:
    """Connect, greet, encrypt and log in.

    Raises:
        Lost: the server is not there, or refuses us, or does not offer the encryption the settings ask for.
        BadCredentials: the login is not accepted.
    """
    loop = asyncio.get_running_loop()
    wire = Wire()
    implicit = account.tls if account.security == "tls" else None
    why = f"no connection within {account.connect_timeout:g} s"
    try:
        async with asyncio.timeout(account.connect_timeout):
            await loop.create_connection(
                lambda: wire,
                account.host,
                account.port,
                ssl=implicit,
                server_hostname=account.host if implicit else None,
            )
            wire.encrypted = implicit is not None
            await _greet(wire, account)
        return wire
    except TimeoutError:
        wire.abort(why)
    except (OSError, UnicodeError) as error:
        why = f"no connection: {type(error).__name__}: {error}"
        wire.abort(why)
    except (Lost, BadCredentials):
        wire.quit()
        await wire.wait_closed(0.5)
        raise
    except BaseException:
        wire.abort("not needed")
        raise
    await asyncio.sleep(0)
    raise Lost(why)


async def _greet(wire: Wire, account: Account) -> None:
    time = account.command_timeout
    hello = await wire.read(time)
    if hello.code != 220:
        raise Lost(f"the server greeted with {hello.text}")
    await _ehlo(wire, account)
    offered = "STARTTLS" in wire.extensions
    if account.security == "starttls" and not offered:
        raise Lost("the server does not offer STARTTLS, which the settings ask for")
    if account.security in ("starttls", "opportunistic") and offered and account.tls is not None:
        # A failure here is no reason to go on in the clear, not even when encryption was only wished for.
        reply = await wire.command("STARTTLS", time)
        if reply.code != 220:
            raise Lost(f"STARTTLS was answered {reply.text}")
        await wire.start_tls(account.tls, account.host, account.connect_timeout)
        await _ehlo(wire, account)  # what was offered in the clear does not count
    if account.username:
        await _log_in(wire, account)


async def _ehlo(wire: Wire, account: Account) -> None:
    reply = await wire.command(f"EHLO {account.helo_name}", account.command_timeout)
    wire.extensions = {}
    if reply.code == 250:
        for line in reply.lines[1:]:
            name, _, more = line.strip().partition(" ")
            wire.extensions[name.upper()] = more.strip()
        return
    reply = await wire.command(f"HELO {account.helo_name}", account.command_timeout)
    if reply.code != 250:
        raise Lost(f"HELO was answered {reply.text}")


async def _log_in(wire: Wire, account: Account) -> None:
    time = account.command_timeout
    offered = wire.extensions.get("AUTH", "").upper().split()
    user, password = account.username.encode(), account.password.encode()
    # CRAM-MD5 hides the password from whoever listens, and wants the server to know it in the clear: the last choice on
    # an encrypted connection, the first on another.
    order = ("PLAIN", "LOGIN", "CRAM-MD5") if wire.encrypted else ("CRAM-MD5", "PLAIN", "LOGIN")
    mechanism = next((name for name in order if name in offered), None)
    if mechanism == "PLAIN":
        reply = await wire.command("AUTH PLAIN " + b64encode(b"\0" + user + b"\0" + password).decode(), time)
    elif mechanism == "LOGIN":
        reply = await wire.command("AUTH LOGIN", time)
        for secret in (user, password):
            if reply.code == 334:
                reply = await wire.command(b64encode(secret).decode(), time)
    elif mechanism == "CRAM-MD5":
        reply = await wire.command("AUTH CRAM-MD5", time)
        if reply.code == 334:
            reply = await wire.command(_challenged(reply, user, password), time)
    else:
        raise BadCredentials("the server offers none of AUTH PLAIN, LOGIN and CRAM-MD5")
    if reply.code == 235:
        return
    # Only the code is told: some servers repeat in their answer what they were given.
    if reply.code >= 500:
        raise BadCredentials(f"the login was answered {reply.code}")
    raise Lost(f"the login was answered {reply.code}")


def _challenged(reply: Reply, user: bytes, password: bytes) -> str:
    try:
        challenge = b64decode(reply.lines[0], validate=True)
    except (binascii.Error, IndexError):
        raise Lost("the challenge of CRAM-MD5 is not base64") from None
    return b64encode(user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()).decode()
