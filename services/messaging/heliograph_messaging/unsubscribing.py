"""The installation's own links for unsubscribing: they name one message, and nobody else can make them."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

from pydantic import SecretStr

_SIGNATURE = 16


class UnsubscribeLinks:
    """Makes and reads the links.

    A link is `<public url>/unsubscribe/<token>`; the token holds the message's id, its project and a signature. Whoever
    answers it must take the POST of RFC 8058 alone: mail scanners follow links with GET.
    """

    def __init__(self, public_url: str, key: SecretStr) -> None:
        """Take the address the installation is reached under, and its secret key."""
        self._base = f"{public_url.rstrip('/')}/unsubscribe/"
        secret = key.get_secret_value().encode()
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"heliograph-unsu").digest()

    def of(self, project: str, message_id: str) -> str:
        """Return the link of a message (32 hexadecimal digits)."""
        told = bytes.fromhex(message_id) + project.encode()
        return self._base + urlsafe_b64encode(self._sign(told) + told).decode().rstrip("=")

    def read(self, token: str) -> tuple[str, str] | None:
        """Return project and message id of a token, None when it is not one of ours."""
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            signature, told = raw[:_SIGNATURE], raw[_SIGNATURE:]
            project = told[16:].decode()
        except (Error, ValueError):
            return None
        if len(told) <= 16 or not hmac.compare_digest(signature, self._sign(told)):
            return None
        return project, told[:16].hex()

    def _sign(self, told: bytes) -> bytes:
        return hmac.digest(self._key, told, hashlib.sha256)[:_SIGNATURE]
