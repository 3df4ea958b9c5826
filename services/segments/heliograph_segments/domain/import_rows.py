"""What all import formats share: rows that fail, columns, numbers (pinpoint-1 3.5)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from heliograph_segments.domain.endpoints import (
    CHANNELS,
    DEMOGRAPHIC_FIELDS,
    LOCATION_TEXTS,
    EndpointUpdate,
    check_update,
)
from heliograph_segments.domain.instants import instant_of
from heliograph_segments.domain.problems import Problem

MAX_LINE_BYTES = 256 * 1024
MAX_FAILURES = 100

# How the id of a row without one is made from its channel and address: the same row is the same endpoint each time.
Derive = Callable[[str, str], str]


class RowFailure(NamedTuple):
    """One row that was not imported. `line` counts from 1, the header included; `object` is empty when there is but one."""

    line: int
    reason: str
    field: str
    message: str
    object: str = ""


class UserRow(NamedTuple):
    """A row that names users and nothing else: for a segment, all their endpoints are meant."""

    user_ids: tuple[str, ...]


class BadRow(Exception):
    """A row cannot be imported."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        """Take the reason for code, the column and words for people."""
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.message = message

    def at(self, line: int) -> RowFailure:
        """Return the failure of the row on that line."""
        return RowFailure(line, self.reason, self.field, self.message)


class UnusableFile(Exception):
    """The file as a whole cannot be imported; the job fails with this reason."""

    def __init__(self, reason: str, message: str) -> None:
        """Take the reason for code and words for people."""
        super().__init__(message)
        self.reason = reason
        self.message = message


class OtherFormat(UnusableFile):
    """The file is of another format than the job; among others of the right one it is passed over (pinpoint-1 3.5)."""


OTHER_FORMAT = "WRONG_FORMAT"
ENDPOINT_COLUMNS = ("Id", "Address", "ChannelType", "OptOut", "EffectiveDate", "RequestId", "User.UserId")
# In exports, ours and the old ones, but decided by the service: read and left alone.
IGNORED_COLUMNS = frozenset({"EndpointStatus", "CohortId", "CreationDate", "ApplicationId"})
DEMOGRAPHIC_COLUMNS = {f"Demographic.{member}": member for member in DEMOGRAPHIC_FIELDS}
LOCATION_COLUMNS = {f"Location.{member}": member for member in LOCATION_TEXTS}
COORDINATES = {"Location.Latitude": "Latitude", "Location.Longitude": "Longitude"}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


def number(column: str, text: str) -> float:
    """Return the number a cell holds; words such as `nan`, blanks and underscores are no numbers.

    Raises:
        BadRow: it holds none, or one too large to keep.
    """
    digits = text.replace(".", "", 1)
    # Most are digits and a point, and looking is three times as fast as matching.
    if not (digits.isdigit() and digits.isascii()) and _NUMBER.fullmatch(text) is None:
        raise BadRow("NOT_A_NUMBER", column, f"{shown(text)} is not a number")
    value = float(text)
    if not math.isfinite(value):
        raise BadRow("OUT_OF_RANGE", column, f"{shown(text)} is too large")
    return value


def effective_time(text: str) -> datetime:
    """Return the instant of an EffectiveDate.

    Raises:
        BadRow: it is none.
    """
    instant = instant_of(text)
    if instant is None:
        raise BadRow("MALFORMED", "EffectiveDate", f"{shown(text)} is not an ISO 8601 date or date-time")
    return instant


def opted_out(text: str) -> bool:
    """Return what an OptOut says.

    Raises:
        BadRow: it is neither ALL nor NONE.
    """
    if text not in ("ALL", "NONE"):
        raise BadRow("UNKNOWN_VALUE", "OptOut", f"{shown(text)} is neither ALL nor NONE")
    return text == "ALL"


def known_channel(text: str) -> str:
    """Return the channel type.

    Raises:
        BadRow: there is no such channel type.
    """
    if text not in CHANNELS:
        raise BadRow("UNKNOWN_VALUE", "ChannelType", f"{shown(text)} is no channel type")
    return text


def identity(endpoint_id: str | None, channel: str | None, address: str | None, derive: Derive) -> str:
    """Return the id of a row: its own, or the one that belongs to its channel and address.

    Raises:
        BadRow: there is neither an id nor both of the others.
    """
    if endpoint_id:
        return endpoint_id
    if not channel or not address:
        raise BadRow("REQUIRED", "Id", "a row without Id needs ChannelType and Address")
    return derive(channel, address)


def checked(update: EndpointUpdate) -> EndpointUpdate:
    """Return the update of a row when it keeps every limit.

    Raises:
        BadRow: with the first limit that it breaks.
    """
    if update.user_attributes and not update.user_id:
        raise BadRow("REQUIRED", "User.UserId", "a row with user attributes needs User.UserId")
    problems = check_update(update)
    if problems:
        raise bad_row(problems[0])
    return update


def bad_row(problem: Problem) -> BadRow:
    """Return a problem of an endpoint as the failure of a row, with the column where the proto path was."""
    head, bracket, rest = problem.field.partition("[")
    column = _COLUMNS.get(head, head)
    if bracket:
        column = f"{column}.{rest.split(']', 1)[0]}"
    return BadRow(problem.reason, column, problem.description)


_COLUMNS = {
    "endpoint_id": "Id",
    "address": "Address",
    "channel_type": "ChannelType",
    "request_id": "RequestId",
    "attributes": "Attributes",
    "metrics": "Metrics",
    "user.attributes": "User.UserAttributes",
    "user.user_id": "User.UserId",
    "location": "Location",
    "location.latitude": "Location.Latitude",
    "location.longitude": "Location.Longitude",
    "location.postal_code": "Location.PostalCode",
    "location.city": "Location.City",
    "location.country": "Location.Country",
    "location.region": "Location.Region",
    "demographic.app_version": "Demographic.AppVersion",
    "demographic.model_version": "Demographic.ModelVersion",
    "demographic.platform_version": "Demographic.PlatformVersion",
    "demographic.time_zone": "Demographic.Timezone",
    "demographic.locale": "Demographic.Locale",
    "demographic.make": "Demographic.Make",
    "demographic.model": "Demographic.Model",
    "demographic.platform": "Demographic.Platform",
}


def shown(text: str) -> str:
    """Return a cell as a message may show it: quoted and short."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
