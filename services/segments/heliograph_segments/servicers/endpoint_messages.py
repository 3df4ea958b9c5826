"""`Endpoint` messages to updates, and endpoints to messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from heliograph.segments.v1 import endpoints_pb2
from heliograph_kit.instants import timestamp
from heliograph_kit.names import InvalidName, format_name, project_of
from heliograph_segments.domain.endpoints import Endpoint, EndpointUpdate, Place, rounded
from heliograph_segments.domain.problems import Problem

_DEMOGRAPHIC = {
    "app_version": "AppVersion",
    "locale": "Locale",
    "make": "Make",
    "model": "Model",
    "model_version": "ModelVersion",
    "platform": "Platform",
    "platform_version": "PlatformVersion",
    "time_zone": "Timezone",
}
_LOCATION = {"city": "City", "country": "Country", "postal_code": "PostalCode", "region": "Region"}
_STATUSES = frozenset(endpoints_pb2.Endpoint.Status.values())
_OPT_OUTS = frozenset(endpoints_pb2.Endpoint.OptOut.values())


def endpoint_of(name: str) -> tuple[str, str]:
    """Take `projects/{project}/endpoints/{endpoint}` apart; the id is all that follows and may hold slashes.

    Raises:
        InvalidName: the name has another shape.
    """
    return _resource_of(name, "endpoints", "endpoint")


def user_of(name: str) -> tuple[str, str]:
    """Take `projects/{project}/users/{user}` apart; the id is all that follows and may hold slashes.

    Raises:
        InvalidName: the name has another shape.
    """
    return _resource_of(name, "users", "user")


def _resource_of(name: str, collection: str, resource: str) -> tuple[str, str]:
    project = project_of(name)
    parts = name.split("/", 3)
    if len(parts) != 4 or parts[2] != collection or not parts[3] or "\x00" in parts[3]:
        raise InvalidName("name", f"projects/{{project}}/{collection}/{{{resource}}}")
    return project, parts[3]


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
    return {member: getattr(message, name) or None for name, member in _DEMOGRAPHIC.items() if name in given}


def _location(message: endpoints_pb2.Location) -> dict[str, Place]:
    given = {field.name for field, _ in message.ListFields()}
    place: dict[str, Place] = {
        member: getattr(message, name) or None for name, member in _LOCATION.items() if name in given
    }
    if message.HasField("latitude"):
        place["Latitude"] = rounded(message.latitude)
    if message.HasField("longitude"):
        place["Longitude"] = rounded(message.longitude)
    return place


def write_endpoint(project: str, endpoint: Endpoint) -> endpoints_pb2.Endpoint:
    """Return an endpoint as a message."""
    message = endpoints_pb2.Endpoint(
        name=format_name(project, "endpoints", endpoint.endpoint_id),
        endpoint_id=endpoint.endpoint_id,
        channel_type=endpoint.channel or None,
        address=endpoint.address or None,
        attributes=_lists(endpoint.attributes),
        metrics=endpoint.metrics,
        status=endpoints_pb2.Endpoint.STATUS_ACTIVE if endpoint.active else endpoints_pb2.Endpoint.STATUS_INACTIVE,
        opt_out=endpoints_pb2.Endpoint.OPT_OUT_ALL if endpoint.opted_out else endpoints_pb2.Endpoint.OPT_OUT_NONE,
        effective_time=timestamp(endpoint.effective_at),
        request_id=endpoint.request_id,
        cohort=endpoint.cohort,
        ordinal=endpoint.ordinal,
        create_time=timestamp(endpoint.created_at),
        last_active_time=timestamp(endpoint.last_active_at),
    )
    if endpoint.demographic:
        held = {name: endpoint.demographic.get(member) for name, member in _DEMOGRAPHIC.items()}
        message.demographic.MergeFrom(endpoints_pb2.Demographic(**held))
    if endpoint.location:
        names = _LOCATION | {"latitude": "Latitude", "longitude": "Longitude"}
        for name, member in names.items():
            if (value := endpoint.location.get(member)) is not None:
                setattr(message.location, name, value)
    if endpoint.user_id:
        message.user.user_id = endpoint.user_id
        message.user.MergeFrom(endpoints_pb2.EndpointUser(attributes=_lists(endpoint.user_attributes)))
    return message


def _lists(attributes: Mapping[str, object]) -> dict[str, endpoints_pb2.StringList]:
    return {name: endpoints_pb2.StringList(values=held) for name, held in attributes.items() if isinstance(held, list)}
