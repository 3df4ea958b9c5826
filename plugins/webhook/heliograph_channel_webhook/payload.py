"""Messages as the calls Pinpoint's custom channel makes (pinpoint-1 4.8, pinpoint-2 2.7)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from heliograph_channels import CustomContent, OutgoingMessage, Rejected, RejectReason, Unsupported, address_problem

__all__ = ["MOST_DATA", "MOST_ENDPOINTS", "Call", "answers", "endpoint_json", "grouped"]

MOST_ENDPOINTS = 50
MOST_DATA = 5 * 1024
"""Bytes of `Data` (pinpoint-2 2.7)."""
_GROUPING = ("campaign_id", "treatment_id", "activity_id", "scheduled_time")
_MOST_ATTRIBUTES, _LONGEST = 5, 128


@dataclass(slots=True)
class Call:
    """One call: messages with the same data and origin, at most 50, no endpoint twice."""

    project: str
    data: str
    origin: tuple[str, ...]
    endpoints: dict[str, str] = field(default_factory=dict)
    messages: dict[str, OutgoingMessage] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    @property
    def batch_id(self) -> str:
        """32 hex digits made of the message ids: the same when the same messages are sent again."""
        ids = sorted(message.message_id for message in self.messages.values())
        return hashlib.blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()

    def body(self) -> bytes:
        """Return the request's body. `MessageIds` is our addition: it lets a receiver drop what it has already."""
        campaign, treatment, activity, scheduled = self.origin
        head = {
            "Message": {},
            "Data": self.data,
            "ApplicationId": self.project,
            "CampaignId": campaign,
            "TreatmentId": treatment or "0",
            "ActivityId": activity,
            "ScheduledTime": scheduled,
            "MessageIds": {key: message.message_id for key, message in self.messages.items()},
        }
        endpoints = ",".join(f"{json.dumps(key)}:{text}" for key, text in self.endpoints.items())
        return f'{json.dumps(head)[:-1]}, "Endpoints": {{{endpoints}}}}}'.encode()


def endpoint_json(message: OutgoingMessage) -> tuple[str, str] | Rejected | Unsupported:
    """Return the endpoint's id and its JSON, or the result that says why there is none."""
    content = message.content
    if not isinstance(content, CustomContent):
        return Unsupported(type(content).__name__)
    if problem := address_problem(message.kind, message.address):
        return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=f"the address {problem}")
    endpoint = {name: value for name, value in content.endpoint.items() if name != "Id"}
    key = message.attributes.get("endpoint_id") or str(content.endpoint.get("Id") or message.message_id)
    try:
        text = json.dumps({"Address": message.address, **endpoint}, default=_plain, allow_nan=False)
        (key + "".join(message.attributes.values())).encode()
        size = len(content.data.encode())
    except (TypeError, ValueError, RecursionError) as error:
        # The text of a UnicodeError would repeat the content.
        detail = "half a character" if isinstance(error, UnicodeError) else "a value that JSON does not know"
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=f"the message holds {detail}")
    if size > MOST_DATA:
        detail = f"the data has more than {MOST_DATA:,} bytes"
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=detail)
    return key, text


def grouped(project: str, messages: Sequence[tuple[int, OutgoingMessage, str, str]]) -> list[Call]:
    """Put (place, message, endpoint id, endpoint JSON) into as few calls as may be, in order."""
    calls: list[Call] = []
    open_calls: dict[tuple[str, ...], list[Call]] = {}
    for place, message, key, text in messages:
        data = message.content.data if isinstance(message.content, CustomContent) else ""
        origin = tuple(message.attributes.get(name, "") for name in _GROUPING)
        rooms = open_calls.setdefault((data, *origin), [])
        call = next(
            (room for room in rooms if key not in room.endpoints and len(room.endpoints) < MOST_ENDPOINTS), None
        )
        if call is None:
            call = Call(project, data, origin)
            rooms.append(call)
            calls.append(call)
        call.endpoints[key] = text
        call.messages[key] = message
        call.places[key] = place
    return calls


def answers(body: bytes) -> dict[str, dict[str, str]]:
    """Read the optional answer: endpoint id to attributes. What does not fit (5 pairs, 128 characters) is left out."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    found: dict[str, dict[str, str]] = {}
    for key, value in parsed.items() if isinstance(parsed, dict) else ():
        given = value.get("EventAttributes") if isinstance(value, dict) else None
        if isinstance(given, dict):
            fitting = {
                name: text
                for name, text in given.items()
                if isinstance(text, str) and len(name) <= _LONGEST and len(text) <= _LONGEST
            }
            found[key] = dict(list(fitting.items())[:_MOST_ATTRIBUTES])
    return found


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError("no JSON")
