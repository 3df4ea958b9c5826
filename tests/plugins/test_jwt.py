"""Signed tokens, read by a library that is not ours."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from heliograph_channels.jwt import base64url, signed, signing_key

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"iss": "us", "iat": 1772366400, "sub": "h\u00e9 \u20ac"}


def pem(key: Any, *, password: bytes | None = None) -> str:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    text: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    return text.decode()


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (P256, "ES256")], ids=["RSA", "P-256"])
def test_a_token_is_read_by_others_and_the_same_every_time(key: Any, algorithm: str) -> None:
    token = signed(CLAIMS, key, key_id="k1")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    read = jwt.decode(token, key.public_key(), algorithms=[algorithm], options={"verify_iat": False})
    assert read == CLAIMS
    assert signed(CLAIMS, key, key_id="k1") == token
    assert signed({**CLAIMS, "iat": 1}, key, key_id="k1") != token
    assert "kid" not in jwt.get_unverified_header(signed(CLAIMS, key))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (pem(RSA), True),
        (pem(P256), True),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), False),
        (pem(ec.generate_private_key(ec.SECP384R1())), False),
        (pem(ed25519.Ed25519PrivateKey.generate()), False),
        (pem(P256, password=b"password"), False),
        (pem(P256)[:100], False),
        ("", False),
        ("\u20ac", False),
    ],
    ids=["RSA", "P-256", "weak", "another curve", "another kind", "locked", "half", "empty", "no key"],
)
def test_only_keys_that_providers_take_are_keys(text: str, good: bool) -> None:
    assert (signing_key(text) is not None) is good


@pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"\xff", "_w"), (b"\xfb\xef\xbe", "----"), (b"abcd", "YWJjZA")])
def test_base64url_has_no_padding(data: bytes, text: str) -> None:
    assert base64url(data) == text
