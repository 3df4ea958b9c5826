"""What numbers look like and what each kind is good for (pinpoint-2 3.2, 4.9, 4.10). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from heliograph_registry10dlc.domain.registration import Complain
from heliograph_registry10dlc.domain.states import NumberType

CAPABILITIES = ("SMS", "VOICE")
TOLL_FREE_PREFIXES = ("888", "877", "866", "855", "844", "833")
READY_AT_ONCE = frozenset({NumberType.SHORT_CODE, NumberType.TOLL_FREE, NumberType.LONG_CODE, NumberType.SIMULATOR})
"""Kinds that need no use case before they do what they may; a US long code is ready for voice only (S92)."""
TO_BE_BOUGHT = frozenset({NumberType.TEN_DLC, NumberType.TOLL_FREE, NumberType.LONG_CODE})
MAX_REGION = 64
_NANP = re.compile(r"\+1\d{10}")
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SHORT = re.compile(r"\d{5,6}")


def check_number(number: str, number_type: str, capabilities: Sequence[str], region: str, complain: Complain) -> None:
    """Tell `complain` everything that is wrong with a number that is entered; paths are those of PhoneNumber."""
    if number_type and number_type not in list(NumberType):
        complain("number_type", f"must be one of {', '.join(NumberType)}", "UNKNOWN_CHOICE")
    else:
        _check_form(number, NumberType(number_type or NumberType.TEN_DLC), complain)
    check_capabilities(capabilities, complain)
    if number_type == NumberType.SHORT_CODE and "VOICE" in capabilities:
        complain("capabilities", "a short code makes no calls", "NOT_ALLOWED")
    if len(region) > MAX_REGION:
        complain("region", f"must be at most {MAX_REGION} characters", "INVALID_LENGTH")


def check_capabilities(capabilities: Sequence[str], complain: Complain) -> None:
    """Tell `complain` which capabilities there are not."""
    for unknown in sorted(set(capabilities) - set(CAPABILITIES)):
        complain("capabilities", f"{unknown!r} is not one of {', '.join(CAPABILITIES)}", "UNKNOWN_CHOICE")


def toll_free(number: str) -> bool:
    """Tell whether a number (E.164) is a US toll-free one."""
    return number.startswith("+1") and number[2:5] in TOLL_FREE_PREFIXES


def _check_form(number: str, number_type: NumberType, complain: Complain) -> None:
    if number_type is NumberType.SHORT_CODE:
        if not _SHORT.fullmatch(number):
            complain("number", "a short code is five or six digits", "INVALID_FORMAT")
    elif number_type in (NumberType.LONG_CODE, NumberType.SIMULATOR):
        if not _E164.fullmatch(number):
            complain("number", "must be + and the digits with the country code", "INVALID_FORMAT")
    elif not _NANP.fullmatch(number):
        complain("number", "must be +1 and ten digits", "INVALID_FORMAT")
    elif toll_free(number) != (number_type is NumberType.TOLL_FREE):
        words = f"a toll-free number begins with one of {', '.join(TOLL_FREE_PREFIXES)}, others never do"
        complain("number_type", words, "WRONG_NUMBER_TYPE")
