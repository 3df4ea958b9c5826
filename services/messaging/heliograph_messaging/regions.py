"""Which country a number belongs to, as far as it decides what an SMS may leave from and what it costs."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers

US = "US"
# 10DLC and toll-free numbers reach these too (pinpoint-2 3.1).
_US = frozenset({"US", "PR", "VI", "GU", "AS", "MP"})
_NOWHERE = "001"


def country_of(address: str) -> str:
    """Return the country (ISO 3166) of a number in E.164, `US` for its territories; empty when it has none.

    Every number behind +1 whose area code belongs to no other country counts as the US, fictional ones (+1-555) included: the
    rule is there to keep unregistered traffic out of US networks, so what is unknown is treated as the US.
    """
    if address.startswith("+1"):
        return _of_area(address[2:5])
    digits = address[1:]
    if not address.startswith("+") or not (digits.isascii() and digits.isdigit()) or digits[0] == "0":
        return ""
    for length in (1, 2, 3):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length]))
        if regions:
            if len(regions) == 1:
                return "" if regions[0] == _NOWHERE else regions[0]
            return _of_shared(int(digits[:length]), digits[length:]) or regions[0]
    return ""


def is_us(address: str) -> bool:
    """Tell whether a number (E.164) counts as one of the United States."""
    return country_of(address) == US


@lru_cache(maxsize=1000)
def _of_area(area: str) -> str:
    if len(area) != 3 or not area.isascii() or not area.isdigit():
        return US
    # The plan is assigned by area code, so one well-formed number stands for all of them; asking costs 50 us.
    region = _region(1, f"{area}2345678")
    return US if not region or region in _US else region


@lru_cache(maxsize=10_000)
def _of_shared(code: int, national: str) -> str:
    """Return the country of a number whose calling code several have, such as +44 of Jersey; empty when it is none's."""
    return _region(code, national) if national else ""


def _region(code: int, national: str) -> str:
    # Italy's numbers keep their zero.
    zeros = len(national) - len(national.lstrip("0"))
    number = phonenumbers.PhoneNumber(
        country_code=code,
        national_number=int(national),
        italian_leading_zero=bool(zeros) or None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )
    return phonenumbers.region_code_for_number(number) or ""
