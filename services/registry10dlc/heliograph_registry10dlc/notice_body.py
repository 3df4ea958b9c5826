"""What a notice says: the `Registration Status Change` of pinpoint-2 4.11, and beside it our own words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from heliograph_kit.ids import derived_id
from heliograph_registry10dlc.domain import Entry, Kind, State
from heliograph_registry10dlc.events import name_of

SOURCE = "aws.sms-voice"
"""As in the original: whoever filters by source goes on doing so."""
DETAIL_TYPE = "Registration Status Change"
TYPES: Mapping[Kind, str] = {
    Kind.BRAND: "US_TEN_DLC_BRAND_REGISTRATION",
    Kind.VETTING: "US_TEN_DLC_BRAND_VETTING",
    Kind.USE_CASE: "US_TEN_DLC_CAMPAIGN_REGISTRATION",
    Kind.TOLL_FREE: "US_TOLL_FREE_REGISTRATION",
    Kind.NUMBER: "PHONE_NUMBER",
}
"""Registration types; a number is none, and has a word of ours."""

# What a carrier or the clock stopped, as "carrier withdraws" of 4.11. REJECTED and FAILED ones can only be deleted: CLOSED.
_STATUSES: Mapping[State, str] = {
    State.DRAFT: "CREATED",
    State.PENDING: "SUBMITTED",
    State.UPDATE_PENDING: "SUBMITTED",
    State.RENEWAL_PENDING: "SUBMITTED",
    State.REQUIRES_AUTHENTICATION: "REQUIRES_AUTHENTICATION",
    State.REQUIRES_UPDATE: "REQUIRES_UPDATES",
    State.SUSPENDED: "REQUIRES_UPDATES",
    State.EXPIRED: "REQUIRES_UPDATES",
    State.VERIFIED: "COMPLETE",
    State.APPROVED: "COMPLETE",
    State.SCORED: "COMPLETE",
    State.REJECTED: "CLOSED",
    State.FAILED: "CLOSED",
    State.CLOSED: "CLOSED",
    State.DELETED: "DELETED",
}
# The words of NumberStatus. A number that sends no SMS is ACTIVE there as well (4.9).
_NUMBER_STATUSES: Mapping[State, str] = {
    State.ORDERED: "PENDING",
    State.UNASSOCIATED: "ACTIVE",
    State.PENDING: "ASSOCIATING",
    State.CONVERTING: "ASSOCIATING",
    State.READY: "ACTIVE",
    State.SUSPENDED: "ACTIVE",
    State.DISASSOCIATING: "DISASSOCIATING",
    State.RELEASED: "DELETED",
    State.FAILED: "DELETED",
}


def current_status(kind: Kind, state: State) -> str:
    """Return the word of 4.11 for a state."""
    return (_NUMBER_STATUSES if kind is Kind.NUMBER else _STATUSES)[state]


def notice_id(entry: Entry) -> str:
    """Return the id of the notice of a stored move: the same however often it is sent."""
    return derived_id("registration-notice", entry.project, str(entry.move_id))


def status_change(entry: Entry, version: int) -> bytes:
    """Return the body of the notice of a stored move, UTF-8 JSON: the same bytes for the same move.

    `version` counts how often the registration was handed in, and is at least 1. `registrationArn` is our resource name.
    """
    name = name_of(entry.project, entry.kind, entry.registration_id)
    body = {
        "version": "0",
        "id": notice_id(entry),
        "source": SOURCE,
        "detail-type": DETAIL_TYPE,
        "time": _instant(entry.time),
        "resources": [name],
        "detail": {
            "registrationArn": name,
            "registrationDetails": {
                "registrationId": entry.registration_id,
                "registrationVersionNumber": version,
                "registrationType": TYPES[entry.kind],
                "registrationStatusChangeTimestamp": _instant(entry.time),
                "currentStatus": current_status(entry.kind, entry.to_state),
            },
            "heliograph": {
                "project": entry.project,
                "moveId": str(entry.move_id),
                "kind": entry.kind,
                "event": entry.event or "CREATE",
                "fromState": entry.from_state or "",
                "toState": entry.to_state,
                "actor": entry.actor,
                "cause": entry.cause,
                "field": entry.field,
                "words": entry.words,
            },
        },
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
