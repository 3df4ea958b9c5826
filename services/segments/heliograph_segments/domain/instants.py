"""ISO 8601 instants as attribute values and segment conditions hold them (pinpoint-1 3.3).

The SQL function `segments.instant_of` (first migration) reads the same grammar; a property test holds them together.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

# Years are limited so that no offset leads out of what Python and PostgreSQL can both hold.
_INSTANT = re.compile(
    r"([12][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(?:T([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?(Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?"
)


def instant_of(text: str) -> datetime | None:
    """Return the instant in UTC, or None when the text is none.

    `2026-11-23` is midnight UTC; a time without an offset is UTC; digits behind the microsecond are cut off.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    zone: timezone = UTC
    if offset and offset != "Z":
        shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))
        zone = timezone(-shift if offset[0] == "-" else shift)
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "").ljust(6, "0")[:6]),
            tzinfo=zone,
        )
    except ValueError:  # the 30th of February
        return None
    return local.astimezone(UTC)
