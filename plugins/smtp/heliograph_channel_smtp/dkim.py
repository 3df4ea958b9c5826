"""DKIM signatures (RFC 6376, RFC 8463): rsa-sha256 and ed25519-sha256, relaxed/relaxed, over finished octets.

Every recipient's body is another one, so its canonical form is made in passes that search for plain octets: an expression
such as `[ \\t]+`, which tries at each octet, takes 80 times as long as the hash itself.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

__all__ = ["BadKey", "Identity", "NoFrom", "PrivateKey", "canonical_body", "canonical_header", "dns_record", "load_key",
           "signatures"]  # fmt: skip

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_SMALLEST_RSA = 1024
_SIGNED = (
    b"from", b"reply-to", b"subject", b"date", b"to", b"cc", b"message-id", b"in-reply-to", b"references", b"mime-version",
    b"content-type", b"content-transfer-encoding", b"list-id", b"list-unsubscribe", b"list-unsubscribe-post",
)  # fmt: skip
# Named once more than they occur, so that none can be added on the way (RFC 6376 5.4.2).
_SEALED = frozenset({b"from", b"reply-to", b"subject", b"date", b"to", b"cc"})
_FIELD_ENDS = re.compile(rb"\r\n(?![ \t])")
_RUNS = re.compile(rb"  +")
_BLANKS = re.compile(rb"[ \t\r\n]+")
_LINE = 76


class BadKey(ValueError):
    """A key that cannot sign. The text says why and shows nothing of it."""


class NoFrom(ValueError):
    """A message without a From field, which a signature must cover (RFC 6376 5.4)."""


@dataclass(frozen=True, repr=False)
class Identity:
    """Who signs: the domain, the selector its public key is published under, and the key."""

    domain: str
    selector: str
    key: PrivateKey

    @property
    def algorithm(self) -> bytes:
        """The name of the algorithm in the signature."""
        return b"rsa-sha256" if isinstance(self.key, rsa.RSAPrivateKey) else b"ed25519-sha256"


def load_key(text: str) -> PrivateKey:
    """Read a private key: PEM (RSA of at least 1,024 bits, or Ed25519), or the 32 octets of an Ed25519 seed in base64.

    Raises:
        BadKey: it is anything else.
    """
    try:
        if "-----BEGIN" not in text:
            return ed25519.Ed25519PrivateKey.from_private_bytes(b64decode(text.strip(), validate=True))
        key = serialization.load_pem_private_key(text.strip().encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
        # What the library says may hold a piece of the key; TypeError means that it wants a password.
        raise BadKey(
            "must be an unencrypted private key: RSA or Ed25519 in PEM, or an Ed25519 seed in base64"
        ) from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BadKey("must be an RSA or an Ed25519 key")
    if key.key_size < _SMALLEST_RSA:
        raise BadKey(f"must have at least {_SMALLEST_RSA} bits, better 2048")  # RFC 8301 3.2
    return key


def dns_record(key: PrivateKey) -> str:
    """Return the text to publish as the TXT record of `<selector>._domainkey.<domain>`."""
    public = key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        octets = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={b64encode(octets).decode()}"
    octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={b64encode(octets).decode()}"


def canonical_body(body: bytes) -> bytes:
    """Return the body in the relaxed form (RFC 6376 3.4.4)."""
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    body = _RUNS.sub(b" ", body).replace(b" \r\n", b"\r\n")
    end = len(body)
    while body.endswith(b"\r\n\r\n", 0, end):
        end -= 2
    return b"" if body[:end] == b"\r\n" else body[:end]


def canonical_header(name: bytes, value: bytes) -> bytes:
    """Return a header field in the relaxed form, without the line end (RFC 6376 3.4.2)."""
    return name.strip(b" \t").lower() + b":" + _BLANKS.sub(b" ", value).strip(b" ")


def signatures(identities: Sequence[Identity], mail: bytes, when: int) -> bytes:
    """Return one DKIM-Signature field for each identity, to be put in front of `mail`.

    `mail` is what is sent without the doubled dots; `when` is the time of signing in seconds since 1970.

    Raises:
        NoFrom: there is no From field.
    """
    head, _, body = mail.partition(b"\r\n\r\n")
    names, fields = _covered(head.removesuffix(b"\r\n"))
    digest = b64encode(sha256(canonical_body(body)).digest())
    covered = b"".join(field + b"\r\n" for field in fields)
    return b"".join(_signature(identity, names, covered, digest, when) for identity in identities)


def _covered(head: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the names for h= and the canonical fields, of several with one name the last first (RFC 6376 5.4.2)."""
    present: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for field in _FIELD_ENDS.split(head):
        name, _, value = field.partition(b":")
        present.setdefault(name.strip(b" \t").lower(), []).append((name, value))
    if b"from" not in present:
        raise NoFrom("the message has no From field")
    names: list[bytes] = []
    fields: list[bytes] = []
    for name in _SIGNED:
        found = present.get(name, ())
        names += [name] * (len(found) + (name in _SEALED))
        fields += [canonical_header(*field) for field in reversed(found)]
    return names, fields


def _signature(identity: Identity, names: Sequence[bytes], covered: bytes, digest: bytes, when: int) -> bytes:
    start = _start(identity.algorithm, identity.domain, identity.selector, tuple(names))
    value = start % (when, digest)
    # Every blank in it is one blank or a fold of ours, which makes the relaxed form simple.
    signed = covered + b"dkim-signature:" + value[1:].replace(b"\r\n ", b" ")
    if isinstance(identity.key, rsa.RSAPrivateKey):
        seal = identity.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        seal = identity.key.sign(sha256(signed).digest())  # RFC 8463 3: the hash is what is signed
    encoded = b64encode(seal)
    cut = (encoded[at : at + _LINE - 3] for at in range(0, len(encoded), _LINE - 3))
    return b"DKIM-Signature:" + value + b"\r\n ".join(cut) + b"\r\n"


@lru_cache(maxsize=256)
def _start(algorithm: bytes, domain: str, selector: str, names: tuple[bytes, ...]) -> bytes:
    """Return the field's value with places for the time and the body's hash; most messages have the same names."""
    return b" v=1; a=%b; c=relaxed/relaxed; d=%b;\r\n s=%b; t=%%d;\r\n h=%b;\r\n bh=%%b;\r\n b=" % (
        algorithm,
        domain.encode("ascii"),
        selector.encode("ascii"),
        b"\r\n ".join(_lines(names)),
    )


def _lines(names: Sequence[bytes]) -> Iterator[bytes]:
    """Join names by colons, in lines that are not too long."""
    line = b""
    for place, name in enumerate(names):
        piece = name if place + 1 == len(names) else name + b":"
        if len(line) + len(piece) > _LINE - 4:
            yield line
            line = b""
        line += piece
    yield line
