"""How many parts an SMS takes, and how long it may be (pinpoint-2 2.3).

The one measure of all who count parts: messaging paces and prices by it, the launch plan foresees by it, and the simulated
carriers count by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["GSM_BASIC", "GSM_EXTENDED", "MAX_GSM_CHARACTERS", "MAX_UCS2_UNITS", "SmsSize", "measure", "outside_gsm"]

GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = "^{}\\[]~|€"
MAX_GSM_CHARACTERS = 1600
MAX_UCS2_UNITS = 630

_OUTSIDE_BASIC = re.compile(f"[^{re.escape(GSM_BASIC)}]")
_OUTSIDE_GSM = re.compile(f"[^{re.escape(GSM_BASIC + GSM_EXTENDED)}]")
_EXTENDED = re.compile(f"[{re.escape(GSM_EXTENDED)}]")


@dataclass(frozen=True, slots=True)
class SmsSize:
    """What a text costs: GSM-7 or UCS-2, septets or UTF-16 units, parts of 140 bytes, and whether it is too long."""

    encoding: str
    units: int
    parts: int
    too_long: bool


def measure(body: str) -> SmsSize:
    """Measure a text. An empty one has 0 parts.

    GSM-7 when every character is in GSM 03.38, at most 1,600 characters; else UCS-2, at most 630 UTF-16 units. An
    extended character (two septets) or a surrogate pair is never cut in two, as gateways pad instead, so a text made of
    pairs can take one part more than the plain division says.
    """
    if not _OUTSIDE_BASIC.search(body):
        units = len(body)
        return SmsSize("GSM-7", units, _parts(units, [], 160, 153), units > MAX_GSM_CHARACTERS)
    if not _OUTSIDE_GSM.search(body):
        wide = [match.start() for match in _EXTENDED.finditer(body)]
        units = len(body) + len(wide)
        return SmsSize("GSM-7", units, _parts(units, wide, 160, 153), len(body) > MAX_GSM_CHARACTERS)
    wide = [at for at, character in enumerate(body) if ord(character) > 0xFFFF]
    units = len(body) + len(wide)
    return SmsSize("UCS-2", units, _parts(units, wide, 70, 67), units > MAX_UCS2_UNITS)


def outside_gsm(body: str) -> str:
    """Return the characters, each once, that keep a text out of GSM-7; empty when none does."""
    return "".join(dict.fromkeys(_OUTSIDE_GSM.findall(body)))


def _parts(units: int, wide: list[int], single: int, each: int) -> int:
    """Count parts of `each` units; `wide` are the indexes of characters that take two."""
    if units <= single:
        return 1 if units else 0
    if not wide:
        return -(-units // each)
    padding = 0
    for before, at in enumerate(wide):
        # The first half would be the last unit of a part: the gateway leaves that unit empty.
        if (at + before + padding) % each == each - 1:
            padding += 1
    return -(-(units + padding) // each)
