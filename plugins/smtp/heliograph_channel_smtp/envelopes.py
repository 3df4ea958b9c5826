"""What every frame gets at last: the return address of its own, our id as a header field, and the DKIM signatures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from heliograph_channel_smtp.dkim import Identity, NoFrom, signatures
from heliograph_channel_smtp.headers import mailbox
from heliograph_channel_smtp.mime import Frame
from heliograph_channels import Rejected, RejectReason, email_problem

__all__ = ["ID_HEADER", "Finish", "Verp"]

ID_HEADER = "X-Heliograph-Message-Id"
"""Carries the message id: servers that write a Message-ID of their own leave it alone, and bounces return it."""
_LONGEST_ID = 32


class Verp:
    """Variable envelope return paths: bounces for `bounces@example.com` go to `bounces+<message id>@example.com`."""

    def __init__(self, address: str, delimiter: str) -> None:
        """Take the address and what its server lets stand before a detail (`+`, or `-` with qmail).

        Raises:
            BadHeader: the address is malformed.
        """
        box = mailbox(address)
        self.needs_utf8 = box.needs_utf8
        self._local, _, self._domain = box.address.rpartition("@")
        self._delimiter = delimiter
        self._pattern = re.compile(
            rf"{re.escape(self._local + delimiter)}([0-9a-f]{{32}})@{re.escape(self._domain)}", re.IGNORECASE
        )

    @staticmethod
    def problem(address: str, delimiter: str) -> str | None:
        """Say why no id can be put into `address`, or None: a local part has at most 64 octets (RFC 5321 4.5.3.1)."""
        if not address or email_problem(address):
            return "must be name@domain for variable return paths"
        if len(address.rpartition("@")[0].encode()) + len(delimiter) + _LONGEST_ID > 64:
            return f"must leave {_LONGEST_ID + len(delimiter)} of 64 octets before the @ for the message id"
        return None

    def envelope(self, message_id: str) -> bytes:
        """Return the address for MAIL FROM, in its brackets."""
        return f"<{self._local}{self._delimiter}{message_id}@{self._domain}>".encode()

    def message_id(self, text: str) -> str:
        """Return the message id in the first of our addresses within `text`, empty when there is none."""
        match = self._pattern.search(text)
        return match[1].lower() if match else ""


class Finish:
    """Finishes frames. Without keys and variable return paths it adds one header field and nothing else."""

    def __init__(self, identities: Sequence[Identity], verp: Verp | None) -> None:
        """Take who signs (empty = nobody) and how return addresses vary (None = they do not)."""
        self._identities = identities
        self._verp = verp

    @property
    def is_costly(self) -> bool:
        """Whether a frame takes long enough (RSA: 0.2 ms and more) to be finished beside the event loop."""
        return any(identity.algorithm == b"rsa-sha256" for identity in self._identities)

    def all(self, frames: Sequence[tuple[str, Frame]], when: int) -> list[Frame | Rejected]:
        """Finish frames, each given with its message id; `when` is the time of signing in seconds since 1970."""
        return [self.one(message_id, frame, when) for message_id, frame in frames]

    def one(self, message_id: str, frame: Frame, when: int) -> Frame | Rejected:
        """Finish one frame, or say why it cannot be signed."""
        content = f"{ID_HEADER}: {message_id}\r\n".encode() + frame.content
        if self._identities:
            mail = content[:-3]  # the final dot is not part of the message, nor are the doubled ones
            if b"\r\n.." in mail:
                mail = mail.replace(b"\r\n..", b"\r\n.")
            try:
                content = signatures(self._identities, mail, when) + content
            except NoFrom as error:
                return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=str(error))
        if self._verp is None:
            return replace(frame, content=content)
        mail_from = self._verp.envelope(message_id)
        return replace(
            frame, content=content, mail_from=mail_from, needs_utf8=frame.needs_utf8 or self._verp.needs_utf8
        )
