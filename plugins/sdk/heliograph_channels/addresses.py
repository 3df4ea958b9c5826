"""Syntax of addresses by kind. Syntax only: whether an address exists is for the provider to say."""

from __future__ import annotations

import re

from heliograph_channels.messages import Kind

__all__ = ["address_problem", "email_problem", "phone_problem"]

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff]")
# RFC 5321 dot-string; quoted local parts are legal there and refused by most receivers, so we refuse them as well.
_LOCAL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+)*"
)
_LABEL = re.compile(r"[A-Za-z0-9\u00a1-\U0010ffff]([A-Za-z0-9\u00a1-\U0010ffff-]{0,61}[A-Za-z0-9\u00a1-\U0010ffff])?")
_PLAIN_EMAIL = re.compile(
    r"[A-Za-z0-9_+-]{1,64}(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)


def email_problem(address: str) -> str | None:
    """Say why `address` is no bare e-mail address (`ann@example.com`), or None when it is one.

    At most 254 octets, 64 before the @ (RFC 5321 4.5.3.1). Non-ASCII letters are allowed on both sides of the @.
    """
    if len(address) <= 64 and _PLAIN_EMAIL.fullmatch(address):
        return None
    if not address:
        return "is empty"
    if _UNSAFE.search(address):
        return "holds a blank or a control character"
    if len(address.encode("utf-8")) > 254:
        return "is longer than 254 octets"
    local, at, domain = address.rpartition("@")
    if not at or not local:
        return "is not of the form name@domain"
    if len(local.encode("utf-8")) > 64:
        return "has more than 64 octets before the @"
    if not _LOCAL.fullmatch(local):
        return "has a name before the @ that is not allowed"
    labels = domain.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        return "has a domain that is not allowed"
    return None


def phone_problem(address: str) -> str | None:
    """Say why `address` is no telephone number in E.164 form (`+12065550100`), or None when it is one."""
    if _PHONE.fullmatch(address):
        return None
    return "is not a telephone number in E.164 form: +, country code, 7 to 15 digits, no blanks"


def address_problem(kind: Kind, address: str) -> str | None:
    """Say why `address` cannot be an address of this kind, or None: e-mail, telephone number, or any printable token.

    Tokens (PUSH, CUSTOM, IN_APP) have 1 to 4,096 characters and neither blanks nor control characters.
    """
    if kind is Kind.EMAIL:
        return email_problem(address)
    if kind is Kind.SMS or kind is Kind.VOICE:
        return phone_problem(address)
    if not address:
        return "is empty"
    if len(address) > 4096:
        return "is longer than 4,096 characters"
    if _UNSAFE.search(address):
        return "holds a blank or a control character"
    return None
