"""Time zones by the names that authors and devices write: `Europe/Paris`, `UTC`, `GMT+2`, `-08:00`."""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_LONGEST = 64


@lru_cache(maxsize=512)
def zone_of(name: str) -> tzinfo | None:
    """Return the zone of a name, None when there is none. Offsets go up to 18 hours."""
    if len(name) > _LONGEST:
        return None
    if found := _OFFSET.fullmatch(name):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        if offset > timedelta(hours=18) or int(found[3] or 0) > 59:
            return None
        return timezone(-offset if found[1] == "-" else offset)
    if not _NAME.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
