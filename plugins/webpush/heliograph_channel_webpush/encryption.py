"""Messages that only the browser can read: aes128gcm (RFC 8188) with the keys of its subscription (RFC 8291).

Pure: the sender's key and the salt come from outside and must be new for every message.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["LARGEST_TEXT", "encrypted", "point_of"]

_RECORD = 4096
_OVERHEAD = 16 + 4 + 1 + 65 + 1 + 16  # salt, record size, length of the key, the key; the delimiter, the tag
LARGEST_TEXT = _RECORD - _OVERHEAD
"""Bytes of plain text in the 4,096 that every push service must carry (RFC 8030 7.2, RFC 8291 4)."""
_LAST_RECORD = b"\x02"


def encrypted(
    text: bytes,
    *,
    receiver: ec.EllipticCurvePublicKey,
    auth: bytes,
    sender: ec.EllipticCurvePrivateKey,
    salt: bytes,
) -> bytes:
    """Return the body of a push message: the header of RFC 8188 and one record.

    Raises:
        ValueError: `text` is larger than `LARGEST_TEXT`, or `salt` does not have 16 bytes.
    """
    if len(text) > LARGEST_TEXT or len(salt) != 16:
        raise ValueError(f"at most {LARGEST_TEXT} bytes are carried, with a salt of 16")
    ours, theirs = point_of(sender.public_key()), point_of(receiver)
    shared = sender.exchange(ec.ECDH(), receiver)
    secret = _derived(shared, auth, b"WebPush: info\x00" + theirs + ours, 32)
    key = _derived(secret, salt, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\x00", 12)
    record = AESGCM(key).encrypt(nonce, text + _LAST_RECORD, None)
    return salt + _RECORD.to_bytes(4, "big") + bytes([len(ours)]) + ours + record


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as 65 bytes, the form of subscriptions and VAPID."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)
