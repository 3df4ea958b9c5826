"""Signed tokens (JWT, RFC 7519) by which a channel proves to a provider who it is.

Needs the extra `jwt` (`heliograph-channel-sdk[jwt]`). It only makes tokens: nothing here reads one, so none of the traps
of reading them are here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

__all__ = ["SigningKey", "base64url", "signed", "signing_key"]

SigningKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
"""RS256 with a key for RSA, ES256 with one on the curve P-256."""
_SMALLEST_RSA_BITS = 2048


def signing_key(pem: str) -> SigningKey | None:
    """Return the key of a PEM text without a password; None when it is none, or too weak, or of another kind."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        return None
    if isinstance(key, rsa.RSAPrivateKey):
        return key if key.key_size >= _SMALLEST_RSA_BITS else None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def signed(claims: Mapping[str, object], key: SigningKey, *, key_id: str = "") -> str:
    """Return the token that carries `claims`. The same claims and key give the same token, wherever it is made.

    `key_id` goes into the header as `kid`. An ES256 signature takes its random number from claims and key (RFC 6979), so
    workers that sign the same claims need not agree on a token.
    """
    header: dict[str, object] = {"alg": "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256", "typ": "JWT"}
    if key_id:
        header["kid"] = key_id
    text = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{text}.{base64url(_signature(text.encode(), key))}"


def base64url(data: bytes) -> str:
    """Return Base64 for addresses, without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _signature(text: bytes, key: SigningKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
