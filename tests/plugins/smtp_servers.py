"""SMTP servers for the tests: a real one, and one that can be told to misbehave."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "heliograph", "correct-horse-battery-staple"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and localhost; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    alternatives = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@dataclass
class RealServer:
    """aiosmtpd in a thread. Recipients `gone@`, `full@`, `later@`, `spam@`, `toobig@` are answered accordingly."""

    certificate: tuple[Path, Path] | None = None
    implicit_tls: bool = False
    login: bool = False
    utf8: bool = False
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    logins: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        context = None
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
        starttls = bool(context) and not self.implicit_tls
        self._controller = _Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            ssl_context=context if self.implicit_tls else None,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=self._authenticate if self.login else None,
            auth_required=self.login and context is not None,  # it warns of a login in the clear
            auth_require_tls=bool(context),
            enable_SMTPUTF8=self.utf8,
        )
        self._controller.start()
        self.port: int = self._controller.port
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        self.logins.append(mechanism)
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good or False)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: object
    ) -> str:
        answers = {
            "gone": "550 5.1.1 No such user",
            "later": "451 4.3.0 Try again later",
            "full": "452 4.2.2 Mailbox full",
            "greylisted": "450 4.7.1 Greylisted",
        }
        if answer := answers.get(address.partition("@")[0]):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        name = envelope.rcpt_tos[0].partition("@")[0]
        if name == "spam":
            return "554 5.7.1 Spam"
        if name == "toobig":
            return "552 5.3.4 Too big"
        self.sessions.add(id(session))
        self.envelopes.append(envelope)
        return "250 2.0.0 queued"

    def mails(self) -> list[Message]:
        """Parse what arrived with the standard library."""
        return [BytesParser(policy=SMTP_POLICY).parsebytes(content_of(envelope)) for envelope in self.envelopes]


def content_of(envelope: Envelope) -> bytes:
    """Return the octets a server took."""
    assert isinstance(envelope.content, bytes)
    return envelope.content


class _Controller(Controller):
    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]  # the base class would connect to the port it was told: 0
        super()._trigger_server()  # type: ignore[no-untyped-call]


@dataclass
class UglyServer:
    """Answers from a script. `script(command, number)` returns octets to answer, or None to drop the connection.

    Commands are GREETING, EHLO, MAIL, RCPT, DATA, DOT, RSET, NOOP, QUIT; `number` counts connections from 0.
    """

    script: Callable[[str, int], bytes | None]
    taken: list[bytes] = field(default_factory=list)
    said: list[tuple[int, str]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    writes: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[UglyServer]:
        """Serve on a free loopback port."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            for writer in self.writers:  # a task cancelled before its first step closes nothing
                writer.transport.abort()
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.tasks.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        try:
            if not self._answer(writer, "GREETING", number):
                return
            while line := await reader.readline():
                word = line[:4].decode().upper().strip()
                self.said.append((number, word))
                self.lines.append(line)
                if not self._answer(writer, word, number):
                    return
                if word == "QUIT":
                    return
                if (
                    word == "DATA"
                    and self.script("DATA", number) is not None
                    and (self.script("DATA", number) or b"").startswith(b"354")
                ):
                    content = await reader.readuntil(b"\r\n.\r\n") if not await _is_empty(reader) else b""
                    self.said.append((number, "DOT"))
                    if content and (self.script("DOT", number) or b"").startswith(b"250"):
                        self.taken.append(content)
                    if not self._answer(writer, "DOT", number):
                        return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()

    def _answer(self, writer: asyncio.StreamWriter, word: str, number: int) -> bool:
        answer = self.script(word, number)
        if answer is None:
            return False
        writer.write(answer)
        return True


async def _is_empty(reader: asyncio.StreamReader) -> bool:
    """Consume a content that is nothing but the final dot."""
    first = await reader.readexactly(3)
    if first == b".\r\n":
        return True
    reader._buffer[:0] = first  # type: ignore[attr-defined]
    return False


def good(word: str, _: int = 0) -> bytes | None:
    """Answer as a good server with PIPELINING does."""
    if word == "GREETING":
        return b"220 ugly\r\n"
    if word == "EHLO":
        return b"250-ugly\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
    if word == "DATA":
        return b"354 go\r\n"
    return b"250 ok\r\n"
