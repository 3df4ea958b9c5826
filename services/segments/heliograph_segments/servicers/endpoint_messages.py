"""Names of endpoints and users, and endpoints as messages."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph.segments.v1 import endpoints_pb2
from heliograph_kit.instants import timestamp
from heliograph_kit.names import InvalidName, format_name, project_of
from heliograph_segments.domain.endpoints import Endpoint
from heliograph_segments.service.endpoint_reading import DEMOGRAPHIC, LOCATION


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
        held = {name: endpoint.demographic.get(member) for name, member in DEMOGRAPHIC.items()}
        message.demographic.MergeFrom(endpoints_pb2.Demographic(**held))
    if endpoint.location:
        names = LOCATION | {"latitude": "Latitude", "longitude": "Longitude"}
        for name, member in names.items():
            if (value := endpoint.location.get(member)) is not None:
                setattr(message.location, name, value)
    if endpoint.user_id:
        message.user.user_id = endpoint.user_id
        message.user.MergeFrom(endpoints_pb2.EndpointUser(attributes=_lists(endpoint.user_attributes)))
    return message


def _lists(attributes: Mapping[str, object]) -> dict[str, endpoints_pb2.StringList]:
    return {name: endpoints_pb2.StringList(values=held) for name, held in attributes.items() if isinstance(held, list)}
