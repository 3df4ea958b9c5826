"""Telephone numbers and sender ids as SMPP writes them, and back. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heliograph_channel_smpp.pdu import Address
from heliograph_channels import phone_problem

__all__ = ["Numbering", "as_number", "destination_of", "source_of", "source_problem"]

_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 .&_+-]{1,11}")
_DIGITS = re.compile(r"[0-9]{9,15}")
_INTERNATIONAL, _ALPHANUMERIC, _UNKNOWN = 1, 5, 0


@dataclass(frozen=True, slots=True)
class Numbering:
    """Type of number and numbering plan by the form of an address; `plus`: whether the + of E.164 is written."""

    international: tuple[int, int] = (1, 1)
    alphanumeric: tuple[int, int] = (5, 0)
    short_code: tuple[int, int] = (3, 0)
    plus: bool = False


def destination_of(number: str, numbering: Numbering) -> Address:
    """Write a telephone number in E.164 form."""
    return Address(*numbering.international, number if numbering.plus else number.removeprefix("+"))


def source_problem(origination: str) -> str | None:
    """Say why nothing can be sent from `origination`, or None. Empty is good: the SMSC chooses."""
    if not origination or not phone_problem(origination):
        return None
    if _SHORT_CODE.fullmatch(origination) or _SENDER_ID.fullmatch(origination):
        return None
    return "is neither a number in E.164 form, a short code of 3 to 8 digits, nor a sender id of 1 to 11 characters"


def source_of(origination: str, numbering: Numbering) -> Address:
    """Write a sender that has no `source_problem`: a number, a short code, a sender id (pinpoint-2 2.4), or nothing."""
    if not origination:
        return Address(_UNKNOWN, _UNKNOWN, "")
    if _SHORT_CODE.fullmatch(origination):
        return Address(*numbering.short_code, origination)
    if not phone_problem(origination):
        return destination_of(origination, numbering)
    return Address(*numbering.alphanumeric, origination)


def as_number(address: Address) -> str:
    """Read an address: E.164 where it is one, else as it is.

    Many SMSCs say "unknown" of international numbers as well; 9 to 15 digits are taken for one unless they begin with a
    zero, which no country code does.
    """
    text = address.text.strip()
    if text.startswith("+") or address.ton == _ALPHANUMERIC:
        return text
    if _DIGITS.fullmatch(text) and address.ton in (_INTERNATIONAL, _UNKNOWN) and text[0] != "0":
        return f"+{text}"
    return f"+{text}" if address.ton == _INTERNATIONAL and text.isdigit() and len(text) > 6 else text
