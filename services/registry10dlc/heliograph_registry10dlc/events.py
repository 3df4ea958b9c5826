"""What the registry announces on CHANGES."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import events_pb2
from heliograph_kit.ids import derived_id
from heliograph_kit.names import format_name
from heliograph_kit.outbox import Outgoing
from heliograph_kit.streams import changes_subject
from heliograph_registry10dlc.domain import Kind, Move, Registration
from heliograph_registry10dlc.errors import COLLECTION


def name_of(project: str, kind: Kind, registration_id: str) -> str:
    """Return the resource name of a brand, use case or number; empty for an empty id."""
    return format_name(project, COLLECTION[kind], registration_id) if registration_id else ""


def registration_moved(registration: Registration, move: Move) -> Outgoing:
    """Announce a move."""
    name = name_of(registration.project, registration.kind, registration.id)
    message = events_pb2.RegistrationMoved(
        resource=name,
        kind=registration.kind,
        from_state=move.from_state or "",
        to_state=move.to_state,
        cause=move.cause,
    )
    message.time.FromDatetime(move.time)
    return Outgoing(
        subject=changes_subject("registry10dlc", registration.project, "registration_moved"),
        message=message,
        id=derived_id("registration-moved", name, str(registration.revision)),
        project=registration.project,
    )


def number_updated(number: Registration, parts_per_second: float) -> Outgoing:
    """Announce all that messaging needs to choose a number."""
    name = name_of(number.project, Kind.NUMBER, number.id)
    message = events_pb2.NumberUpdated(
        phone_number=name,
        number=number.number,
        kind="TEN_DLC",
        state=number.state,
        sms_capable=True,
        use_case=name_of(number.project, Kind.USE_CASE, number.parent_id),
        parts_per_second=parts_per_second,
        revision=number.revision,
    )
    message.time.FromDatetime(number.update_time)
    return Outgoing(
        subject=changes_subject("registry10dlc", number.project, "number_updated"),
        message=message,
        id=derived_id("number-updated", name, str(number.revision)),
        project=number.project,
    )
