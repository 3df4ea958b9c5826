"""NDJSON imports: one endpoint as one JSON object a line, with the names of Pinpoint (pinpoint-1 3.5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from heliograph_segments.domain.endpoints import DEMOGRAPHIC_FIELDS, LOCATION_TEXTS, EndpointUpdate, rounded
from heliograph_segments.domain.import_rows import (
    IGNORED_COLUMNS,
    BadRow,
    Derive,
    UserRow,
    checked,
    effective_time,
    identity,
    known_channel,
    opted_out,
)

_TOP = frozenset({"Attributes", "Metrics", "Demographic", "Location", "User"}) | {
    "Id",
    "Address",
    "ChannelType",
    "OptOut",
    "EffectiveDate",
    "RequestId",
}


class NdjsonRows:
    """Reads the lines of one file."""

    def row(self, line: str, derive: Derive) -> EndpointUpdate | UserRow:
        """Return the update that a line asks for. Null counts as absent, an empty list removes an attribute. A line that
        holds nothing but a user id names a user.

        Raises:
            BadRow: the row cannot be imported.
        """
        document = _object("", _parsed(line))
        _only(document, "", _TOP | IGNORED_COLUMNS)
        user = _object("User", document.get("User"))
        _only(user, "User.", ("UserId", "UserAttributes"))
        if document.keys() == {"User"} and user.keys() == {"UserId"}:
            user_id = _text("UserId", user, "User.")
            return UserRow((user_id,) if user_id else ())
        channel, address = _text("ChannelType", document), _text("Address", document)
        effective, refused = _text("EffectiveDate", document), _text("OptOut", document)
        return checked(
            EndpointUpdate(
                endpoint_id=identity(
                    _text("Id", document), known_channel(channel) if channel else None, address, derive
                ),
                channel=channel,
                address=address,
                attributes=_lists("Attributes", document.get("Attributes")),
                metrics=_metrics(document.get("Metrics")),
                demographic=_demographic(document.get("Demographic")),
                location=_location(document.get("Location")),
                user_id=_text("UserId", user, "User."),
                user_attributes=_lists("User.UserAttributes", user.get("UserAttributes")),
                opted_out=opted_out(refused) if refused else None,
                effective_time=effective_time(effective) if effective else None,
                request_id=_text("RequestId", document),
                # As exports tell it; whatever else it says is left alone.
                active=document.get("EndpointStatus") != "INACTIVE",
            )
        )


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _parsed(line: str) -> Any:
    try:
        return json.loads(line, parse_constant=_no_number)
    except ValueError as error:
        raise BadRow("MALFORMED_ROW", "", f"is not JSON: {error}") from None
    except RecursionError:
        raise BadRow("MALFORMED_ROW", "", "is nested too deeply") from None


def _object(column: str, value: Any) -> Mapping[str, Any]:
    if value is None and column:
        return {}
    if not isinstance(value, dict):
        raise BadRow("WRONG_TYPE", column, "must be an object")
    return value


def _only(document: Mapping[str, Any], prefix: str, known: Iterable[str]) -> None:
    unknown = document.keys() - known
    if unknown:
        name = min(unknown)
        raise BadRow("UNKNOWN_FIELD", f"{prefix}{name}"[:200], "there is no such field")


def _text(name: str, document: Mapping[str, Any], prefix: str = "") -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRow("WRONG_TYPE", prefix + name, "must be a string")
    if value is not None:
        _encodable(prefix + name, value)
    return value


def _encodable(column: str, value: str) -> None:
    # JSON can spell half of a surrogate pair, which no text in UTF-8 holds.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRow("NOT_UTF8", column[:200].encode(errors="replace").decode(), "holds half a character") from None


def _lists(column: str, value: Any) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for name, held in _object(column, value).items():
        path = f"{column}.{name}"
        _encodable(path, name)
        if held is None:
            continue
        values = [held] if isinstance(held, str) else held
        if not isinstance(values, list) or not all(isinstance(entry, str) for entry in values):
            raise BadRow("WRONG_TYPE", path, "must be a list of strings")
        for entry in values:
            _encodable(path, entry)
        lists[name] = values
    return lists


def _number(column: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow("NOT_A_NUMBER", column, "must be a number")
    try:
        return float(value)
    except OverflowError:
        raise BadRow("OUT_OF_RANGE", column, "is too large") from None


def _metrics(value: Any) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, held in _object("Metrics", value).items():
        _encodable(f"Metrics.{name}", name)
        if held is not None:
            metrics[name] = _number(f"Metrics.{name}", held)
    return metrics


def _demographic(value: Any) -> dict[str, str | None]:
    document = _object("Demographic", value)
    _only(document, "Demographic.", DEMOGRAPHIC_FIELDS)
    texts = {member: _text(member, document, "Demographic.") for member in document}
    return {member: text or None for member, text in texts.items() if text is not None}


def _location(value: Any) -> dict[str, str | float | None]:
    document = _object("Location", value)
    _only(document, "Location.", (*LOCATION_TEXTS, "Latitude", "Longitude"))
    place: dict[str, str | float | None] = {}
    for member, held in document.items():
        if held is None:
            continue
        if member in LOCATION_TEXTS:
            place[member] = _text(member, document, "Location.") or None
        else:
            place[member] = rounded(_number(f"Location.{member}", held))
    return place
