"""Helpers that encode and digest; texts are taken as UTF-8."""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid

from heliograph_messaging.domain.handlebars.values import NoValue


def encode64(text: str) -> str:
    """Return Base64."""
    return base64.b64encode(_bytes(text)).decode("ascii")


def decode64(text: str) -> str:
    """Return the text that is written in Base64; bytes that are no UTF-8 become U+FFFD."""
    try:
        return base64.b64decode(_bytes(text), validate=True).decode("utf-8", "replace")
    except binascii.Error as error:
        raise NoValue("the value is not written in Base64") from error


def md5(text: str) -> str:
    """Return the MD5 digest in hexadecimal digits. It identifies, it protects nothing."""
    return hashlib.md5(_bytes(text), usedforsecurity=False).hexdigest()


def sha256(text: str) -> str:
    """Return the SHA-256 digest in hexadecimal digits."""
    return hashlib.sha256(_bytes(text)).hexdigest()


def sha512(text: str) -> str:
    """Return the SHA-512 digest in hexadecimal digits."""
    return hashlib.sha512(_bytes(text)).hexdigest()


def nth_uuid(message_id: str, number: int) -> str:
    """Return the n-th UUID of a message, in the form of a random one; a repeated rendering gives the same."""
    digest = hashlib.blake2b(f"{message_id}/{number}".encode("utf-8", "replace"), digest_size=16)
    return str(uuid.UUID(bytes=digest.digest(), version=4))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
