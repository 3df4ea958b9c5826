"""Which country a number belongs to, as far as it decides what an SMS may leave from."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers

# 10DLC and toll-free numbers reach these too (pinpoint-2 3.1).
_US = frozenset({"US", "PR", "VI", "GU", "AS", "MP"})


def is_us(address: str) -> bool:
    """Tell whether a number (E.164) counts as one of the United States.

    Every number behind +1 whose area code belongs to no other country does, fictional ones (+1-555) included: the rule is
    there to keep unregistered traffic out of US networks, so what is unknown is treated as the US.
    """
    if not address.startswith("+1"):
        return False
    return _area_is_us(address[2:5])


@lru_cache(maxsize=1000)
def _area_is_us(area: str) -> bool:
    if len(area) != 3 or not area.isascii() or not area.isdigit():
        return True
    # The plan is assigned by area code, so one well-formed number stands for all of them; asking costs 50 us.
    number = phonenumbers.PhoneNumber(country_code=1, national_number=int(f"{area}2345678"))
    region = phonenumbers.region_code_for_number(number)
    return region is None or region in _US
