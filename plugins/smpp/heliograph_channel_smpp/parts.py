"""Cutting a text into parts of 140 octets, and saying which part is which (pinpoint-2 2.3). Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from heliograph_channel_smpp.alphabets import Alphabet, fill_bits, fits_gsm, pack, to_gsm
from heliograph_channel_smpp.pdu import Tlv

__all__ = ["BadText", "Coding", "Concatenation", "Part", "cut"]

MOST_GSM_CHARACTERS = 1600
MOST_UCS2_UNITS = 630
_UDHI = 0x40


class BadText(Exception):
    """A text that can never be sent; the text says why."""


class Concatenation(StrEnum):
    """How the parts of a long text are told apart."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"


@dataclass(frozen=True, slots=True)
class Coding:
    """How texts become octets: data_coding of each alphabet, and the form of septets and of long texts."""

    packed: bool = False
    latin1: bool = False
    concatenation: Concatenation = Concatenation.UDH8
    gsm_coding: int = 0
    latin1_coding: int = 3
    ucs2_coding: int = 8


@dataclass(frozen=True, slots=True)
class Part:
    """What one submit_sm carries of a text."""

    short_message: bytes
    data_coding: int
    esm_class: int = 0
    tlvs: tuple[tuple[int, bytes], ...] = ()


def cut(text: str, coding: Coding, message_id: str) -> list[Part]:
    """Return the parts of a text.

    GSM 03.38 where every character is in it, then ISO 8859-1 where that is asked for, else UCS-2. With `udh8` and `sar`
    there are as many parts as Heliograph counts: 160 septets or 70 units in one, 153 or 67 in each of several. The
    header of `udh16` is an octet longer: 152 or 66. Neither an extended character nor a surrogate pair is cut in two.
    The reference of the parts follows from `message_id`, so a repeated message is shown once by the telephone.

    Raises:
        BadText: it is empty, longer than 1,600 characters in GSM 03.38 or 630 UTF-16 units, or no text at all.
    """
    if not text:
        raise BadText("the text is empty")
    alphabet, octets = _encoded(text, coding)
    width = 2 if alphabet is Alphabet.UCS2 else 1
    data_coding = {Alphabet.GSM: coding.gsm_coding, Alphabet.LATIN1: coding.latin1_coding}.get(
        alphabet, coding.ucs2_coding
    )
    single = 160 if alphabet is Alphabet.GSM else 140 // width
    if len(octets) <= single * width:
        return [Part(_packed(octets, alphabet, coding), data_coding)]
    if coding.concatenation is Concatenation.PAYLOAD:
        payload = (int(Tlv.MESSAGE_PAYLOAD), _packed(octets, alphabet, coding))
        return [Part(b"", data_coding, tlvs=(payload,))]
    header = 7 if coding.concatenation is Concatenation.UDH16 else 6
    each = (140 * 8 - header * 8) // 7 if alphabet is Alphabet.GSM else (140 - header) // width
    pieces = _pieces(octets, each * width, alphabet)
    digest = hashlib.blake2b(message_id.encode("utf-8", "replace"), digest_size=2).digest()
    return [
        _part(piece, number, len(pieces), digest, data_coding, alphabet, coding)
        for number, piece in enumerate(pieces, start=1)
    ]


def _encoded(text: str, coding: Coding) -> tuple[Alphabet, bytes]:
    if fits_gsm(text):
        if len(text) > MOST_GSM_CHARACTERS:
            raise BadText(f"the text has {len(text)} characters; at most {MOST_GSM_CHARACTERS} are allowed")
        return Alphabet.GSM, to_gsm(text)
    try:
        octets = text.encode("utf-16-be")
    except UnicodeEncodeError:
        raise BadText("the text holds half a character (a lone surrogate)") from None
    if len(octets) > 2 * MOST_UCS2_UNITS:
        raise BadText(
            f"the text needs UCS-2 and has {len(octets) // 2} units of UTF-16; at most {MOST_UCS2_UNITS} are allowed"
        )
    if coding.latin1 and max(text) <= "\xff":
        return Alphabet.LATIN1, text.encode("latin-1")
    return Alphabet.UCS2, octets


def _pieces(octets: bytes, each: int, alphabet: Alphabet) -> list[bytes]:
    pieces, at = [], 0
    while at < len(octets):
        end = at + each
        if end < len(octets) and (
            (alphabet is Alphabet.GSM and octets[end - 1] == 0x1B)
            or (alphabet is Alphabet.UCS2 and 0xD8 <= octets[end - 2] <= 0xDB)
        ):
            end -= 1 if alphabet is Alphabet.GSM else 2
        pieces.append(octets[at:end])
        at = end
    return pieces


def _part(
    piece: bytes, number: int, total: int, reference: bytes, data_coding: int, alphabet: Alphabet, coding: Coding
) -> Part:
    if coding.concatenation is Concatenation.SAR:
        tlvs = (
            (int(Tlv.SAR_MSG_REF_NUM), reference),
            (int(Tlv.SAR_TOTAL_SEGMENTS), bytes((total,))),
            (int(Tlv.SAR_SEGMENT_SEQNUM), bytes((number,))),
        )
        return Part(_packed(piece, alphabet, coding), data_coding, tlvs=tlvs)
    if coding.concatenation is Concatenation.UDH16:
        header = b"\x06\x08\x04" + reference + bytes((total, number))
    else:
        header = b"\x05\x00\x03" + reference[:1] + bytes((total, number))
    return Part(header + _packed(piece, alphabet, coding, len(header)), data_coding, esm_class=_UDHI)


def _packed(octets: bytes, alphabet: Alphabet, coding: Coding, header: int = 0) -> bytes:
    if alphabet is Alphabet.GSM and coding.packed:
        return pack(octets, fill_bits(header))
    return octets
