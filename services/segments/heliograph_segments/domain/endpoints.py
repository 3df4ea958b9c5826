"""Endpoints and the updates that make them (pinpoint-1 section 2)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from heliograph_segments.domain.problems import Problem

MAX_BATCH = 100
MAX_ID = 128
MAX_ADDRESS = 4096
MAX_NAME = 50
MAX_VALUE = 100
MAX_VALUES = 50
MAX_NAMES = 250
# Of what is stored for an endpoint, and of what is stored for a user (pinpoint-1 2.6).
MAX_BYTES = 15 * 1024
COHORTS = 100

PUSH_CHANNELS = frozenset(
    {"PUSH", "GCM", "APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX", "ADM", "BAIDU", "WEB"},
)
# Which of them give way when a user has too many endpoints (pinpoint-1 2.5).
EVICTABLE_CHANNELS = PUSH_CHANNELS - {"PUSH"}
CHANNELS = PUSH_CHANNELS | {"SMS", "VOICE", "EMAIL", "CUSTOM", "IN_APP"}

DEMOGRAPHIC_FIELDS = (
    "AppVersion",
    "Locale",
    "Make",
    "Model",
    "ModelVersion",
    "Platform",
    "PlatformVersion",
    "Timezone",
)
LOCATION_TEXTS = ("City", "Country", "PostalCode", "Region")

Place = str | float | None


class EndpointUpdate(NamedTuple):
    """What one write says about one endpoint. None and missing names mean unchanged.

    An empty list removes an attribute, None in `demographic` or `location` removes the member, an empty `user_id` takes
    the endpoint from its user. A tuple and not a dataclass: imports make tens of thousands of them a second.
    """

    endpoint_id: str
    channel: str | None = None
    address: str | None = None
    attributes: Mapping[str, Sequence[str]] = {}
    metrics: Mapping[str, float] = {}
    demographic: Mapping[str, str | None] = {}
    location: Mapping[str, Place] = {}
    user_id: str | None = None
    user_attributes: Mapping[str, Sequence[str]] = {}
    active: bool = True
    opted_out: bool | None = None
    effective_time: datetime | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it is stored, with the attributes of its user."""

    endpoint_id: str
    ordinal: int
    cohort: int
    created_at: datetime
    effective_at: datetime
    last_active_at: datetime
    channel: str = ""
    address: str = ""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    demographic: Mapping[str, str] = field(default_factory=dict)
    location: Mapping[str, str | float] = field(default_factory=dict)
    user_id: str = ""
    user_attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    active: bool = True
    opted_out: bool = False
    request_id: str = ""


def endpoint_key(endpoint_id: str) -> str:
    """Return what two spellings of one endpoint id have in common (pinpoint-1 2.2: ids are case-insensitive)."""
    return endpoint_id.lower()


def fold(updates: Iterable[EndpointUpdate]) -> dict[str, EndpointUpdate]:
    """Return one update per endpoint key that does what the given ones do in their order; who is written last is last."""
    folded: dict[str, EndpointUpdate] = {}
    for update in updates:
        key = endpoint_key(update.endpoint_id)
        before = folded.pop(key, None)
        folded[key] = update if before is None else _then(before, update)
    return folded


def fold_users(updates: Iterable[EndpointUpdate]) -> dict[str, dict[str, Sequence[str]]]:
    """Return the attribute changes of every user named, in the order given; users without changes map to nothing."""
    users: dict[str, dict[str, Sequence[str]]] = {}
    for update in updates:
        if update.user_id:
            users.setdefault(update.user_id, {}).update(update.user_attributes)
    return users


def _then(first: EndpointUpdate, second: EndpointUpdate) -> EndpointUpdate:
    return EndpointUpdate(
        endpoint_id=first.endpoint_id,
        channel=first.channel if second.channel is None else second.channel,
        address=first.address if second.address is None else second.address,
        attributes={**first.attributes, **second.attributes},
        metrics={**first.metrics, **second.metrics},
        demographic={**first.demographic, **second.demographic},
        location={**first.location, **second.location},
        user_id=first.user_id if second.user_id is None else second.user_id,
        # Only folded per user, never through the endpoint: the two updates may name two users.
        user_attributes={},
        active=second.active,
        opted_out=first.opted_out if second.opted_out is None else second.opted_out,
        effective_time=second.effective_time or first.effective_time,
        request_id=second.request_id or first.request_id,
    )


def stored_bytes(update: EndpointUpdate) -> int:
    """Return how much is stored for an endpoint that an update creates: its documents as JSON, and metrics as names with
    eight bytes each. What MAX_BYTES bounds; the record counts the same of endpoints that it merges.
    """
    documents = (
        {name: held for name, held in update.attributes.items() if held},
        {member: held for member, held in update.demographic.items() if held is not None},
        {member: held for member, held in update.location.items() if held is not None},
    )
    # As PostgreSQL writes it: a blank behind each comma and colon, and only what must be escaped is.
    written = sum(len(json.dumps(document, ensure_ascii=False).encode()) for document in documents)
    return written + sum(len(name.encode()) + 8 for name in update.metrics)


def check_id(endpoint_id: str) -> list[Problem]:
    """Say what is wrong with an endpoint id: 1 to 128 characters, none of `$ { }`, no control characters."""
    if not endpoint_id:
        return [Problem("endpoint_id", "REQUIRED", "is required")]
    if len(endpoint_id) > MAX_ID:
        return [Problem("endpoint_id", "TOO_LONG", f"must have at most {MAX_ID} characters")]
    if not endpoint_id.isprintable() or not _FORBIDDEN.isdisjoint(endpoint_id):
        return [Problem("endpoint_id", "MALFORMED", "must not hold $, {, } or control characters")]
    return []


_FORBIDDEN = frozenset("${}")


def check_update(update: EndpointUpdate) -> list[Problem]:
    """Say everything that is wrong with an update; the paths are those of the proto `Endpoint`."""
    found = check_id(update.endpoint_id)
    if update.channel and update.channel not in CHANNELS:
        found.append(Problem("channel_type", "UNKNOWN_VALUE", f"must be one of {', '.join(sorted(CHANNELS))}"))
    if update.address:
        found += check_text("address", update.address, MAX_ADDRESS)
    if update.request_id:
        found += check_text("request_id", update.request_id, MAX_ID)
    if update.user_id:
        found += check_text("user.user_id", update.user_id, MAX_ID)
    found += check_lists("attributes", update.attributes)
    found += check_lists("user.attributes", update.user_attributes)
    for name, value in update.metrics.items():
        found += check_name(f"metrics[{name}]", name)
        if not math.isfinite(value):
            found.append(Problem(f"metrics[{name}]", "NOT_A_NUMBER", "must be a finite number"))
    for member, text in update.demographic.items():
        if text:
            found += check_text(f"demographic.{_snake(member)}", text, MAX_VALUE)
    found += check_location(update.location)
    if len(update.attributes) + len(update.metrics) + len(update.user_attributes) > MAX_NAMES:
        found.append(Problem("attributes", "TOO_MANY", f"at most {MAX_NAMES} names with metrics and user attributes"))
    return found


def check_lists(path: str, attributes: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Say what is wrong with attributes: names 1 to 50, values up to 100 characters, at most 50 values."""
    found: list[Problem] = []
    for name, values in attributes.items():
        found += check_name(f"{path}[{name}]", name)
        if len(values) > MAX_VALUES:
            found.append(Problem(f"{path}[{name}]", "TOO_MANY", f"must have at most {MAX_VALUES} values"))
        for index, value in enumerate(values):
            found += check_text(f"{path}[{name}].values[{index}]", value, MAX_VALUE)
    return found


def check_name(path: str, name: str) -> list[Problem]:
    """Say what is wrong with the name of an attribute or a metric: 1 to 50 characters."""
    if not name:
        return [Problem(path, "REQUIRED", "a name must not be empty")]
    return check_text(path, name, MAX_NAME)


def check_text(path: str, text: str, limit: int) -> list[Problem]:
    """Say what is wrong with a text: at most `limit` characters and no NUL, which PostgreSQL cannot keep."""
    if len(text) > limit:
        return [Problem(path, "TOO_LONG", f"must have at most {limit} characters")]
    if "\x00" in text:
        return [Problem(path, "MALFORMED", "must not hold a NUL character")]
    return []


def check_location(location: Mapping[str, Place]) -> list[Problem]:
    """Say what is wrong with a location: coordinates come in pairs and within the globe, texts have up to 100 characters."""
    found: list[Problem] = []
    if ("Latitude" in location) != ("Longitude" in location):
        found.append(Problem("location", "REQUIRED", "latitude and longitude are given together or not at all"))
    for member, limit in (("Latitude", 90), ("Longitude", 180)):
        value = location.get(member)
        if isinstance(value, float) and not -limit <= value <= limit:  # not a number fails this, too
            found.append(Problem(f"location.{member.lower()}", "OUT_OF_RANGE", f"must be from -{limit} to {limit}"))
    for member in LOCATION_TEXTS:
        text = location.get(member)
        if isinstance(text, str):
            found += check_text(f"location.{_snake(member)}", text, MAX_VALUE)
    return found


def rounded(degrees: float) -> float:
    """Return a coordinate as it is stored: to one decimal (pinpoint-1 2.2), and never minus zero."""
    return round(degrees, 1) + 0.0


def _snake(member: str) -> str:
    return {
        "AppVersion": "app_version",
        "ModelVersion": "model_version",
        "PlatformVersion": "platform_version",
        "Timezone": "time_zone",
        "PostalCode": "postal_code",
    }.get(member, member.lower())
