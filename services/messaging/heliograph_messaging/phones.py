"""What the published numbering plans say about a telephone number (pinpoint-2 1.8).

Plans know ranges, not lines: a number that was ported keeps type and carrier of its range, and in North America mobile and
fixed lines share their ranges, so the type is a guess there. A carrier's look-up service would know; none is asked.

The names of places take 190 MB of memory, which no worker is to carry for a call that hardly anybody makes: this module is also
a program that answers questions, one JSON document a line, and `service.phone_numbers` runs it while it is asked.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType


class PhoneType(StrEnum):
    """Pinpoint's kinds of lines."""

    MOBILE = "MOBILE"
    LANDLINE = "LANDLINE"
    VOIP = "VOIP"
    INVALID = "INVALID"
    OTHER = "OTHER"
    PREPAID = "PREPAID"

    @property
    def code(self) -> int:
        """The type in Pinpoint's counting, 0 to 5."""
        return list(PhoneType).index(self)


_TYPES = {
    PhoneNumberType.MOBILE: PhoneType.MOBILE,
    # The guess: most people that one writes to are reached by a mobile.
    PhoneNumberType.FIXED_LINE_OR_MOBILE: PhoneType.MOBILE,
    PhoneNumberType.FIXED_LINE: PhoneType.LANDLINE,
    PhoneNumberType.VOIP: PhoneType.VOIP,
}
_FILLING = re.compile(r"[\s.()/\u2010-\u2015-]+")
_FICTION = re.compile(r"[2-9][0-9]{2}555[0-9]{4}|555[0-9]{7}")
_MOST_DIGITS = 15


@dataclass(frozen=True)
class KnownNumber:
    """What is known; the rest is empty."""

    phone_type: PhoneType
    e164: str = ""
    national: str = ""
    country: str = ""
    region: str = ""
    country_code: str = ""
    carrier: str = ""
    city: str = ""
    time_zone: str = ""


def is_country(region: str) -> bool:
    """Tell whether there is a numbering plan for two letters of ISO 3166."""
    return region.upper() in phonenumbers.SUPPORTED_REGIONS


def look_up(written: str, region: str) -> KnownNumber:
    """Return what the plans say about a number as somebody wrote it; `region`: whose plan it is written by, may be empty.

    The first call loads the names of places, zones and carriers, which takes about half a second.
    """
    number = _parsed(written, region.upper())
    if number is None:
        digits = re.sub(r"[^0-9]", "", written)[:_MOST_DIGITS]
        code = phonenumbers.country_code_for_region(region.upper()) if region else 0
        if not code:
            return KnownNumber(PhoneType.INVALID, f"+{digits}" if digits else "", digits)
        rest = digits.removeprefix(str(code)) if digits else ""
        return _named(KnownNumber(PhoneType.INVALID, f"+{code}{rest}" if rest else "", rest), region.upper(), code)
    country_code = number.country_code or 0
    home = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(country_code)
    known = KnownNumber(
        _type(number),
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164),
        phonenumbers.national_significant_number(number),
    )
    known = _named(known, "" if home in ("ZZ", "001") else home, country_code)
    if known.phone_type in (PhoneType.INVALID, PhoneType.OTHER):
        return known
    return _placed(known, number)


def _parsed(written: str, region: str) -> PhoneNumber | None:
    bare = _FILLING.sub("", written)
    # "with country code" is asked for, and half of the world leaves the plus out (pinpoint-2 1.8).
    tries = [(bare, region or None)] if bare.startswith("+") or region else [(f"+{bare}", None)]
    if region and not bare.startswith("+"):
        tries.append((f"+{bare}", None))
    first: PhoneNumber | None = None
    for text, home in tries:
        try:
            number = phonenumbers.parse(text, home)
        except phonenumbers.NumberParseException:
            continue
        if _type(number) is not PhoneType.INVALID:
            return number
        first = first or number
    return first


def _type(number: PhoneNumber) -> PhoneType:
    national = phonenumbers.national_significant_number(number)
    if number.country_code == 1 and _FICTION.fullmatch(national):
        return PhoneType.OTHER
    if phonenumbers.is_valid_number(number):
        return _TYPES.get(phonenumbers.number_type(number), PhoneType.OTHER)
    # Of the right shape, in a range that nobody has: an area code that is not in service, for example.
    return PhoneType.OTHER if phonenumbers.is_possible_number(number) else PhoneType.INVALID


def _named(known: KnownNumber, region: str, country_code: int) -> KnownNumber:
    from phonenumbers.geocoder import _region_display_name

    name = _region_display_name(region, "en") if region else ""
    return KnownNumber(known.phone_type, known.e164, known.national, name, region, str(country_code or ""))


def _placed(known: KnownNumber, number: PhoneNumber) -> KnownNumber:
    """Add carrier, place and zone, from tables of some megabytes that are loaded when they are first asked for."""
    from phonenumbers import carrier, geocoder, timezone

    zones = timezone.time_zones_for_number(number)
    city = ""
    if known.phone_type is not PhoneType.VOIP:
        city = geocoder.description_for_valid_number(number, "en")
    return KnownNumber(
        known.phone_type, known.e164, known.national, known.country, known.region, known.country_code,
        carrier.safe_display_name(number, "en"),
        "" if city == known.country else city,
        zones[0] if len(zones) == 1 and zones[0] != timezone.UNKNOWN_TIMEZONE else "",
    )  # fmt: skip


def main() -> None:
    """Answer [id, number, region] with [id, fields of `KnownNumber`], line by line, until the input ends."""
    for line in sys.stdin:
        id, written, region = json.loads(line)
        print(json.dumps([id, asdict(look_up(written, region))]), flush=True)  # noqa: T201 (the answer)


if __name__ == "__main__":
    main()
