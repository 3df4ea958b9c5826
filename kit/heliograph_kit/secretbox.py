"""Secrets at rest: AES-256-GCM under a service's key, bound to what they belong to. Needs the extra `secrets`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from heliograph_kit.errors import FailedPrecondition

_NONCE = 12
_VERSION = b"\x01"


class SecretKeyMissing(FailedPrecondition):
    """A secret was given and there is no key to store it under."""

    reason: ClassVar[str] = "SECRET_KEY_MISSING"

    def __init__(self, service: str) -> None:
        """Say what the operator has to do."""
        super().__init__(f"secrets cannot be stored: set {_setting(service)} and restart {service}")


class SecretUnreadable(Exception):
    """Stored secrets cannot be opened: the key is missing or another one."""


class SecretBox:
    """Seals and opens the secrets of one service."""

    def __init__(self, key: SecretStr | None, *, service: str, person: bytes) -> None:
        """Take the setting `secret_key` of a service, None when it has none.

        `person`, at most 16 bytes, makes two keys of one passphrase that two services share; it cannot change later.
        """
        self._service = service
        self._cipher: AESGCM | None = None
        if key is not None:
            # The setting is a passphrase of at least 32 characters of any kind; the cipher wants 32 bytes.
            digest = hashlib.blake2b(key.get_secret_value().encode(), digest_size=32, person=person)
            self._cipher = AESGCM(digest.digest())

    def seal(self, project: str, owner: str, secrets: Mapping[str, object]) -> bytes:
        """Return the sealed secrets of an owner within a project; nothing for none.

        Raises:
            SecretKeyMissing: there are secrets and no key.
        """
        if not secrets:
            return b""
        if self._cipher is None:
            raise SecretKeyMissing(self._service)
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, json.dumps(secrets).encode(), _bound(project, owner))

    def open(self, project: str, owner: str, sealed: bytes) -> dict[str, object]:
        """Return the secrets of an owner.

        Raises:
            SecretUnreadable: no key, another key, or secrets of another owner.
        """
        if not sealed:
            return {}
        setting = _setting(self._service)
        if self._cipher is None:
            raise SecretUnreadable(f"the secrets are stored under a key that {setting} does not give")
        try:
            plain = self._cipher.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], _bound(project, owner))
        except InvalidTag as error:
            raise SecretUnreadable(f"{setting} is not the key the secrets were stored under") from error
        opened: dict[str, object] = json.loads(plain)
        return opened


def _bound(project: str, owner: str) -> bytes:
    # Without it, sealed secrets could be copied into another tenant's row.
    return f"{project}/{owner}".encode()


def _setting(service: str) -> str:
    return f"HELIOGRAPH_{service.upper()}_SECRET_KEY"
