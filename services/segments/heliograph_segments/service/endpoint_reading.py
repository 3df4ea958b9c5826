"""`Endpoint` messages to updates, for requests and for endpoints that come over the bus."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from heliograph.segments.v1 import endpoints_pb2
from heliograph_segments.domain.endpoints import EndpointUpdate, Place, rounded
from heliograph_segments.domain.problems import Problem

DEMOGRAPHIC = {
    "app_version": "AppVersion",
    "locale": "Locale",
    "make": "Make",
    "model": "Model",
    "model_version": "ModelVersion",
    "platform": "Platform",
    "platform_version": "PlatformVersion",
    "time_zone": "Timezone",
}
LOCATION = {"city": "City", "country": "Country", "postal_code": "PostalCode", "region": "Region"}
_STATUSES = frozenset(endpoints_pb2.Endpoint.Status.values())
_OPT_OUTS = frozenset(endpoints_pb2.Endpoint.OptOut.values())


def read_update(message: endpoints_pb2.Endpoint) -> tuple[EndpointUpdate, list[Problem]]:
    """Return what a message asks for, and what could not be read of it."""
    problems: list[Problem] = []
    if message.status not in _STATUSES:
        problems.append(Problem("status", "UNKNOWN_VALUE", "is unknown"))
    if message.opt_out not in _OPT_OUTS:
        problems.append(Problem("opt_out", "UNKNOWN_VALUE", "is unknown"))
    effective: datetime | None = None
    if message.HasField("effective_time"):
        try:
            effective = message.effective_time.ToDatetime(UTC)
        except ValueError:
            problems.append(Problem("effective_time", "OUT_OF_RANGE", "is no time"))
    user = message.user
    update = EndpointUpdate(
        endpoint_id=message.endpoint_id,
        channel=message.channel_type if message.HasField("channel_type") else None,
        address=message.address if message.HasField("address") else None,
        attributes={name: list(held.values) for name, held in message.attributes.items()},
        metrics=dict(message.metrics),
        demographic=_demographic(message.demographic) if message.HasField("demographic") else {},
        location=_location(message.location) if message.HasField("location") else {},
        user_id=user.user_id if user.HasField("user_id") else None,
        user_attributes={name: list(held.values) for name, held in user.attributes.items()},
        active=message.status != endpoints_pb2.Endpoint.STATUS_INACTIVE,
        opted_out=_OPTED_OUT.get(message.opt_out),
        effective_time=effective,
        request_id=message.request_id or None,
    )
    return update, problems


_OPTED_OUT: Mapping[int, bool] = {endpoints_pb2.Endpoint.OPT_OUT_ALL: True, endpoints_pb2.Endpoint.OPT_OUT_NONE: False}


def _demographic(message: endpoints_pb2.Demographic) -> dict[str, str | None]:
    given = {field.name for field, _ in message.ListFields()}
    return {member: getattr(message, name) or None for name, member in DEMOGRAPHIC.items() if name in given}


def _location(message: endpoints_pb2.Location) -> dict[str, Place]:
    given = {field.name for field, _ in message.ListFields()}
    place: dict[str, Place] = {
        member: getattr(message, name) or None for name, member in LOCATION.items() if name in given
    }
    if message.HasField("latitude"):
        place["Latitude"] = rounded(message.latitude)
    if message.HasField("longitude"):
        place["Longitude"] = rounded(message.longitude)
    return place
