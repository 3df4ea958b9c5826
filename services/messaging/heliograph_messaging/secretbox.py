"""Secrets of channels at rest: AES-256-GCM under the installation's key, bound to the channel they belong to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from heliograph_messaging.errors import SecretKeyMissing

_NONCE = 12
_VERSION = b"\x01"


class SecretUnreadable(Exception):
    """Stored secrets cannot be opened: the installation's key is missing or another one."""


class SecretBox:
    """Seals and opens the secrets of channels."""

    def __init__(self, key: SecretStr | None) -> None:
        """Take the installation's key, None when it has none."""
        self._cipher: AESGCM | None = None
        if key is not None:
            # The setting is a passphrase of at least 32 characters of any kind; the cipher wants 32 bytes.
            digest = hashlib.blake2b(key.get_secret_value().encode(), digest_size=32, person=b"heliograph-chan")
            self._cipher = AESGCM(digest.digest())

    def seal(self, project: str, kind: str, secrets: Mapping[str, object]) -> bytes:
        """Return the sealed secrets of a channel; nothing for none.

        Raises:
            SecretKeyMissing: there are secrets and no key.
        """
        if not secrets:
            return b""
        if self._cipher is None:
            raise SecretKeyMissing
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, json.dumps(secrets).encode(), _owner(project, kind))

    def open(self, project: str, kind: str, sealed: bytes) -> dict[str, object]:
        """Return the secrets of a channel.

        Raises:
            SecretUnreadable: no key, another key, or secrets of another channel.
        """
        if not sealed:
            return {}
        if self._cipher is None:
            raise SecretUnreadable(
                "the secrets are stored under a key that HELIOGRAPH_MESSAGING_SECRET_KEY does not give"
            )
        try:
            plain = self._cipher.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], _owner(project, kind))
        except InvalidTag as error:
            raise SecretUnreadable(
                "HELIOGRAPH_MESSAGING_SECRET_KEY is not the key the secrets were stored under"
            ) from error
        opened: dict[str, object] = json.loads(plain)
        return opened


def _owner(project: str, kind: str) -> bytes:
    # Without it, sealed secrets could be copied into another tenant's row.
    return f"{project}/{kind}".encode()
