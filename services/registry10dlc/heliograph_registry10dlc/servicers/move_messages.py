"""One line of the history on the wire."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import registry_pb2
from heliograph_kit.instants import timestamp
from heliograph_registry10dlc.domain import Entry
from heliograph_registry10dlc.events import name_of


def write_move(entry: Entry) -> registry_pb2.Move:
    """Return a stored entry as a message."""
    return registry_pb2.Move(
        resource=name_of(entry.project, entry.kind, entry.registration_id),
        kind=registry_pb2.RegistrationKind.Value(f"REGISTRATION_KIND_{entry.kind}"),
        from_state=_state(entry.from_state or "UNSPECIFIED"),
        to_state=_state(entry.to_state),
        actor=entry.actor,
        cause=entry.cause,
        field=entry.field,
        time=timestamp(entry.time),
        event=entry.event or "",
        move_id=entry.move_id,
        words=entry.words,
    )


def _state(word: str) -> registry_pb2.RegistrationState.ValueType:
    return registry_pb2.RegistrationState.Value(f"REGISTRATION_STATE_{word}")
