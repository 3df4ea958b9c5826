"""The alphabets of text messages: GSM 03.38 as septets, packed and not, ISO 8859-1 and UCS-2. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = ["Alphabet", "alphabet_of", "decode", "fill_bits", "fits_gsm", "from_gsm", "pack", "to_gsm", "unpack"]

_ESCAPE = 0x1B
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_EXTENDED = {septet: character for character, septet in _EXTENSION.items()}
# Form feed can be read and is not written: a text that holds one is counted as UCS-2 (pinpoint-2 2.3).
_SENDABLE = (_BASIC.replace("\x1b", "") + "".join(_EXTENSION)).replace("\f", "")
_OUTSIDE = re.compile(f"[^{re.escape(_SENDABLE)}]")
_TO_SEPTETS = str.maketrans(
    {character: chr(septet) for septet, character in enumerate(_BASIC) if septet != _ESCAPE}
    | {character: f"\x1b{chr(septet)}" for character, septet in _EXTENSION.items() if character != "\f"}
)


class Alphabet(StrEnum):
    """How the octets of a message are read."""

    GSM = "gsm"
    GSM_PACKED = "gsm-packed"
    ASCII = "ascii"
    LATIN1 = "latin1"
    UCS2 = "ucs2"
    BINARY = "binary"


def fits_gsm(text: str) -> bool:
    """Whether every character is in GSM 03.38 or its extension."""
    return not _OUTSIDE.search(text)


def to_gsm(text: str) -> bytes:
    """Return a text that `fits_gsm` as septets, one in each octet; extended characters take two."""
    return text.translate(_TO_SEPTETS).encode("latin-1")


def from_gsm(septets: bytes) -> str:
    """Read septets, one in each octet. What the extension does not know is read from the basic table (3GPP 23.038, 6.2.1.1)."""
    if _ESCAPE not in septets:
        return "".join([_BASIC[septet & 0x7F] for septet in septets])
    read, escaped = [], False
    for septet in septets:
        septet &= 0x7F
        if escaped:
            escaped = False
            read.append(_EXTENDED.get(septet) or (" " if septet == _ESCAPE else _BASIC[septet]))
        elif septet == _ESCAPE:
            escaped = True
        else:
            read.append(_BASIC[septet])
    return "".join(read)


def fill_bits(octets: int) -> int:
    """Return how many bits (0 to 6) lie between a header of so many octets and the first septet."""
    return -octets * 8 % 7


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Put septets into octets, low bits first, after `fill` bits.

    Seven bits that are left over hold a CR, as zeros would be read as one more `@` (3GPP 23.038, 6.1.2.3.1).
    """
    bits, held, packed = 0, fill, bytearray()
    if (fill + 7 * len(septets)) % 8 == 1:
        septets += b"\r"
    for septet in septets:
        bits |= septet << held
        held += 7
        while held >= 8:
            packed.append(bits & 0xFF)
            bits >>= 8
            held -= 8
    if held:
        packed.append(bits)
    return bytes(packed)


def unpack(octets: bytes, fill: int = 0) -> bytes:
    """Take septets out of octets after `fill` bits; a CR that fills the last octet up is dropped."""
    bits, held, septets = 0, -fill, bytearray()
    for octet in octets:
        if held < 0:
            bits, held = octet >> -held, held + 8
        else:
            bits |= octet << held
            held += 8
        while held >= 7:
            septets.append(bits & 0x7F)
            bits >>= 7
            held -= 7
    if septets and held == 0 and septets[-1] == 0x0D:
        septets.pop()
    return bytes(septets)


def alphabet_of(data_coding: int, default: Alphabet) -> Alphabet:
    """Say how a message with this data_coding is read (SMPP 3.4, 5.2.19, and the classes of 3GPP 23.038, 4).

    `default` is what the SMSC means by 0. Codings for Japanese, Cyrillic, Hebrew and the like are BINARY here.
    """
    plain = {0: default, 1: Alphabet.ASCII, 3: Alphabet.LATIN1, 8: Alphabet.UCS2}
    if data_coding < 0x10:
        return plain.get(data_coding, Alphabet.BINARY)
    if data_coding < 0x40:  # bit 5 = compressed, which nobody unpacks; bits 3 and 2 = alphabet
        kinds = (default, Alphabet.BINARY, Alphabet.UCS2, Alphabet.BINARY)
        return Alphabet.BINARY if data_coding & 0x20 else kinds[data_coding >> 2 & 3]
    if data_coding >= 0xF0:
        return Alphabet.BINARY if data_coding & 0x04 else default
    return Alphabet.BINARY


def decode(octets: bytes, alphabet: Alphabet, fill: int = 0) -> str:
    """Read octets; what cannot be read becomes U+FFFD, and BINARY hexadecimal digits. `fill` matters to packed septets."""
    match alphabet:
        case Alphabet.GSM:
            return from_gsm(octets)
        case Alphabet.GSM_PACKED:
            return from_gsm(unpack(octets, fill))
        case Alphabet.ASCII:
            return octets.decode("ascii", "replace")
        case Alphabet.LATIN1:
            return octets.decode("latin-1")
        case Alphabet.UCS2:
            return octets.decode("utf-16-be", "replace")
        case Alphabet.BINARY:
            return octets.hex()
