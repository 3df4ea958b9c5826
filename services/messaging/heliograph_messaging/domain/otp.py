"""One-time passwords: ranges, the code, its keyed hash, the text (pinpoint-2 1.7). Pure; randomness is passed in."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

CODE_LENGTHS = range(5, 9)
ATTEMPTS = range(1, 6)
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(minutes=60)
DEFAULT_LENGTH, DEFAULT_ATTEMPTS, DEFAULT_VALIDITY, DEFAULT_LANGUAGE = 6, 3, timedelta(minutes=15), "en-US"
MAX_BRAND, MAX_REFERENCE = 20, 48
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]{1,11}")
_BLOCK_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field."""

    field: str
    words: str


@dataclass(frozen=True, slots=True)
class Wish:
    """How a code is to be, defaults filled in."""

    brand: str
    reference: str
    length: int = DEFAULT_LENGTH
    validity: timedelta = DEFAULT_VALIDITY
    attempts: int = DEFAULT_ATTEMPTS
    language: str = DEFAULT_LANGUAGE


def problems(wish: Wish, texts: Mapping[str, str]) -> list[Problem]:
    """Return everything that is out of range; `texts` is by language."""
    found: list[Problem] = []
    if not 1 <= len(wish.brand) <= MAX_BRAND or _CONTROL.search(wish.brand):
        found.append(Problem("brand_name", f"must have 1 to {MAX_BRAND} characters on one line"))
    if not 1 <= len(wish.reference) <= MAX_REFERENCE or "\x00" in wish.reference:
        found.append(Problem("reference_id", f"must have 1 to {MAX_REFERENCE} characters"))
    if wish.length not in CODE_LENGTHS:
        found.append(Problem("code_length", "must be 5 to 8"))
    if not SHORTEST <= wish.validity <= LONGEST or wish.validity % timedelta(minutes=1):
        found.append(Problem("validity_period", "must be 5 to 60 whole minutes"))
    if wish.attempts not in ATTEMPTS:
        found.append(Problem("allowed_attempts", "must be 1 to 5"))
    if wish.language not in texts:
        found.append(Problem("language", f"must be one of {', '.join(sorted(texts))}"))
    return found


def is_sender_id(origination: str) -> bool:
    """Tell whether an origination is an alphanumeric sender id."""
    return _SENDER_ID.fullmatch(origination) is not None


def new_code(length: int, below: Callable[[int], int]) -> str:
    """Return so many digits, leading zeros included; `below(n)` gives a secret number of 0 to n - 1."""
    return f"{below(10**length):0{length}d}"


def hashed(pepper: bytes, *, project: str, destination: str, reference: str, code: str) -> bytes:
    """Return the keyed hash of a code, 32 bytes, bound to the project, the destination and the reference.

    A code alone has at most 10^8 values: without the pepper, which is not in the database, its hash tells nothing.
    """
    digest = hmac.new(pepper, digestmod=hashlib.sha256)
    for part in (project, destination, reference, code):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()


def text_of(template: str, *, code: str, brand: str) -> str:
    """Return the text of the SMS; the brand cannot bring in a code of its own."""
    before, behind = template.split("{otp}")
    return f"{before.replace('{brand}', brand)}{code}{behind.replace('{brand}', brand)}"


def block_of(destination: str) -> str:
    """Return the block of 10,000 numbers that a destination (E.164) lies in.

    Who earns by texts to numbers of his own (SMS pumping) has them in a row: he runs out of his block, where people that
    ask for codes are spread over many.
    """
    return f"{destination[:-_BLOCK_DIGITS]}{'x' * _BLOCK_DIGITS}"
