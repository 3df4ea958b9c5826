"""A message of Heliograph as the bodies of submit_sm, or why it can never be sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from heliograph_channel_smpp.numbers import Numbering, destination_of, source_of, source_problem
from heliograph_channel_smpp.parts import BadText, Coding, cut
from heliograph_channel_smpp.pdu import ShortMessage
from heliograph_channel_smpp.settings import coding_of, numbering_of
from heliograph_channel_smpp.submission import Prepared, Receipts
from heliograph_channels import (
    OutgoingMessage,
    Rejected,
    RejectReason,
    SmsContent,
    Unsupported,
    phone_problem,
)

__all__ = ["Style", "compose", "validity_period"]


@dataclass(frozen=True, slots=True)
class Style:
    """What the settings say about every message."""

    coding: Coding
    numbering: Numbering
    default_from: str
    receipts: Receipts
    service_type: str
    validity: str
    priorities: Mapping[str, int]
    entity_id_tlv: int
    template_id_tlv: int

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Style:
        """Read complete settings."""
        values = cast("Mapping[str, Any]", settings)
        return cls(
            coding=coding_of(settings),
            numbering=numbering_of(settings),
            default_from=values["from"],
            receipts="none" if values["bind"] == "transmitter" else values["receipts"],
            service_type=values["service_type"],
            validity=validity_period(values["validity_minutes"]),
            priorities={kind: values[f"priority_{kind}"] for kind in ("transactional", "campaign", "journey")},
            entity_id_tlv=values["entity_id_tlv"],
            template_id_tlv=values["template_id_tlv"],
        )


def validity_period(minutes: int) -> str:
    """Return a period as SMPP writes it, relative to now (SMPP 3.4, 7.1.1.2); empty for 0. At most 30 days."""
    if minutes == 0:
        return ""
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"0000{day:02}{hour:02}{minute:02}00000R"


def compose(message: OutgoingMessage, style: Style) -> Prepared | Rejected | Unsupported:
    """Check a message and write its parts."""
    content = message.content
    if not isinstance(content, SmsContent):
        return Unsupported(type(content).__name__)
    if content.media_urls:
        return Unsupported("media")
    if why := phone_problem(message.address):
        return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=f"the address {why}")
    origination = message.origination or style.default_from
    if why := source_problem(origination):
        return Rejected(RejectReason.INVALID_ORIGINATION, retryable=False, detail=f"the sender {why}")
    try:
        parts = cut(content.body, style.coding, message.message_id)
        registrations = tuple(
            (tag, value.encode("ascii"))
            for tag, value in ((style.entity_id_tlv, content.entity_id), (style.template_id_tlv, content.template_id))
            if tag and value
        )
    except BadText as error:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=str(error))
    except UnicodeEncodeError:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail="a registration id is not ASCII")
    source = source_of(origination, style.numbering)
    destination = destination_of(message.address, style.numbering)
    bodies = []
    for number, part in enumerate(parts, start=1):
        asks = style.receipts == "every" or (style.receipts == "last" and number == len(parts))
        bodies.append(
            ShortMessage(
                source,
                destination,
                part.short_message,
                part.esm_class,
                part.data_coding,
                1 if asks else 0,
                style.priorities[message.message_class],
                style.validity,
                style.service_type,
                tlvs=part.tlvs + registrations,
            ).encode()
        )
    return Prepared(message.message_id, tuple(bodies), style.receipts)
