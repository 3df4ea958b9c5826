"""What the registry announces on CHANGES."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.registry10dlc.v1 import events_pb2
from heliograph_kit.ids import derived_id
from heliograph_kit.names import format_name
from heliograph_kit.outbox import Outgoing
from heliograph_kit.streams import changes_subject
from heliograph_registry10dlc.domain import IN_FORCE, Entry, Kind, Registration
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.terms import Terms


@dataclass(frozen=True)
class Papers:
    """What a number hangs on, as far as there is something."""

    use_case: Registration | None = None
    brand: Registration | None = None
    toll_free: Registration | None = None


def name_of(project: str, kind: Kind, registration_id: str) -> str:
    """Return the resource name of a registration or number; empty for an empty id."""
    return format_name(project, COLLECTION[kind], registration_id) if registration_id else ""


def registration_moved(registration: Registration, entry: Entry) -> Outgoing:
    """Announce a move."""
    name = name_of(registration.project, registration.kind, registration.id)
    message = events_pb2.RegistrationMoved(
        resource=name,
        kind=registration.kind,
        from_state=entry.from_state or "",
        to_state=entry.to_state,
        cause=entry.cause,
        event=entry.event or "",
        actor=entry.actor,
        move_id=entry.move_id,
        field=entry.field,
    )
    message.time.FromDatetime(entry.time)
    return Outgoing(
        subject=changes_subject("registry10dlc", registration.project, "registration_moved"),
        message=message,
        id=derived_id("registration-moved", name, str(entry.move_id)),
        project=registration.project,
    )


def number_updated(number: Registration, papers: Papers, project: str, terms: Terms) -> Outgoing:
    """Announce all that messaging needs of a number to its project, or to one that borrows it."""
    name = name_of(number.project, Kind.NUMBER, number.id)
    use_case, brand = papers.use_case, papers.brand
    fields = use_case.fields if use_case else {}
    granted = terms.allowance(use_case) if use_case else None
    registered = papers.toll_free is not None and papers.toll_free.state in IN_FORCE[Kind.TOLL_FREE]
    message = events_pb2.NumberUpdated(
        phone_number=name,
        number=number.number,
        kind=number.number_type,
        state=number.state,
        sms_capable="SMS" in number.capabilities,
        voice_capable="VOICE" in number.capabilities,
        use_case=name_of(number.project, Kind.USE_CASE, use_case.id) if use_case else "",
        brand=name_of(number.project, Kind.BRAND, brand.id) if brand else "",
        parts_per_second=granted.parts_per_second if granted else 0.0,
        parts_per_day=granted.messages_per_day if granted else 0,
        help_reply=fields.get("campaignInfo.helpMessage", ""),
        stop_reply=fields.get("campaignInfo.stopMessage", ""),
        message_type=fields.get("campaignCapabilities.messageType", "").upper(),
        lent_by="" if project == number.project else f"projects/{number.project}",
        toll_free_registered=registered,
        revision=number.revision,
    )
    message.time.FromDatetime(number.update_time)
    return Outgoing(
        subject=changes_subject("registry10dlc", project, "number_updated"),
        message=message,
        id=derived_id("number-updated", name, project, str(number.revision), number.state),
        project=project,
    )
