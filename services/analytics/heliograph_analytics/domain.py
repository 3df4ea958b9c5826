"""Which events are taken, and what a message or a journey step is called as an event. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

UNARY_EVENTS = 100
"""Most events of one request (pinpoint-1 2.7)."""
STREAM_EVENTS = 500
"""Most events of one batch of a stream."""
ID_LENGTH = 64
TYPE_LENGTH = 64
KEY_COUNT = 40
"""Most attributes and metrics of one event together (pinpoint-1 2.7)."""
KEY_LENGTH = 50
VALUE_LENGTH = 200
FUTURE = timedelta(hours=1)
"""Events further ahead are accepted and passed on, but stay out of the store (pinpoint-2 5.1)."""

_RESERVED = ("_email.", "_SMS.", "_message.", "_journey.step")
_RESERVED_TYPES = frozenset({"_campaign.send", "_journey.send"})

CAMPAIGN_SEND_STATUSES = frozenset(
    "SUCCESS FAILURE DAILY_CAP EXPIRED QUIET_TIME HOLDOUT DUPLICATE_ADDRESS CAMPAIGN_CAP FAILURE_PERMANENT "
    "TRANSIENT_FAILURE THROTTLED UNKNOWN HOOK_FAILURE CUSTOM_DELIVERY_FAILURE RECOMMENDATION_FAILURE "
    "UNSUPPORTED_CHANNEL".split()
)
"""The closed list of pinpoint-2 5.5; a message skipped for another reason gets no send event there."""


@dataclass(frozen=True)
class Refusal:
    """Why an event was refused: the field, the reason for code, the sentence for people."""

    field: str
    reason: str
    message: str


class Incoming(Protocol):
    """An event as it comes in; a protobuf message has this shape."""

    @property
    def event_id(self) -> str:
        """Its id."""
        ...

    @property
    def event_type(self) -> str:
        """Its type."""
        ...

    @property
    def endpoint_id(self) -> str:
        """Its endpoint."""
        ...

    @property
    def user_id(self) -> str:
        """Its user."""
        ...

    @property
    def session_id(self) -> str:
        """Its session."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """Its attributes."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Its metrics."""
        ...


def refusal(event: Incoming, seconds: int | None) -> Refusal | None:
    """Return the first thing wrong with an event, None when it is good.

    `seconds` is its time in Unix seconds, None when it has none. Rules: pinpoint-1 2.7, pinpoint-2 5.1.
    """
    if not event.event_id:
        return Refusal("event_id", "MISSING", "give each event an id")
    if len(event.event_id) > ID_LENGTH:
        return Refusal("event_id", "TOO_LONG", f"use at most {ID_LENGTH} characters")
    if not event.event_type:
        return Refusal("event_type", "MISSING", "give each event a type")
    if len(event.event_type) > TYPE_LENGTH:
        return Refusal("event_type", "TOO_LONG", f"use at most {TYPE_LENGTH} characters")
    if event.event_type[0] == "_" and is_reserved(event.event_type):
        return Refusal("event_type", "RESERVED_TYPE", "this type is for events that the server makes")
    if not event.endpoint_id:
        return Refusal("endpoint_id", "MISSING", "name the endpoint")
    if len(event.endpoint_id) > ID_LENGTH:
        return Refusal("endpoint_id", "TOO_LONG", f"use at most {ID_LENGTH} characters")
    if len(event.user_id) > 4 * ID_LENGTH or len(event.session_id) > 4 * ID_LENGTH:
        field = "user_id" if len(event.user_id) > 4 * ID_LENGTH else "session_id"
        return Refusal(field, "TOO_LONG", f"use at most {4 * ID_LENGTH} characters")
    if seconds is None:
        return Refusal("event_time", "MISSING", "tell when the event happened")
    if not 0 <= seconds < 253_402_300_800:  # the year 10000
        return Refusal("event_time", "OUT_OF_RANGE", "use a time from 1970 to 9999")
    attributes, metrics = event.attributes, event.metrics
    if attributes or metrics:
        return _wrong_maps(attributes, metrics)
    return None


def _wrong_maps(attributes: Mapping[str, str], metrics: Mapping[str, float]) -> Refusal | None:
    if len(attributes) + len(metrics) > KEY_COUNT:
        return Refusal("attributes", "TOO_MANY_KEYS", f"use at most {KEY_COUNT} attributes and metrics together")
    for key, value in attributes.items():
        if not 1 <= len(key) <= KEY_LENGTH:
            return Refusal(f"attributes[{key[:KEY_LENGTH]}]", "TOO_LONG", f"use keys of 1 to {KEY_LENGTH} characters")
        if len(value) > VALUE_LENGTH:
            return Refusal(f"attributes[{key}]", "TOO_LONG", f"use values of at most {VALUE_LENGTH} characters")
    for key, number in metrics.items():
        if not 1 <= len(key) <= KEY_LENGTH:
            return Refusal(f"metrics[{key[:KEY_LENGTH]}]", "TOO_LONG", f"use keys of 1 to {KEY_LENGTH} characters")
        if not math.isfinite(number):
            return Refusal(f"metrics[{key}]", "NOT_FINITE", "use finite numbers")
    return None


def is_reserved(event_type: str) -> bool:
    """Tell whether only the server makes events of this type (pinpoint-2 5.3)."""
    return event_type in _RESERVED_TYPES or event_type.startswith(_RESERVED)


def is_storable(time: datetime, now: datetime, retention: timedelta) -> bool:
    """Tell whether an event of that time belongs into the store: not too old, not too far ahead."""
    return now - retention <= time <= now + FUTURE


@dataclass(frozen=True)
class Named:
    """An event made of a message event: its type and the status attribute that goes with it, both as in pinpoint-2 5.5."""

    event_type: str
    status_attribute: str = ""
    status: str = ""


_BY_CHANNEL: Mapping[str, Mapping[str, Named]] = {
    "EMAIL": {
        "ACCEPTED": Named("_email.send"),
        "FAILED": Named("_email.rejected"),
        "DELIVERED": Named("_email.delivered"),
        "BOUNCED": Named("_email.hardbounce"),
        "COMPLAINED": Named("_email.complaint"),
        "OPENED": Named("_email.open"),
        "CLICKED": Named("_email.click"),
        "OPTED_OUT": Named("_email.unsubscribe"),
    },
    "SMS": {
        "ACCEPTED": Named("_SMS.BUFFERED", "record_status", "SUCCESSFUL"),
        "FAILED": Named("_SMS.FAILURE", "record_status", "UNKNOWN"),
        "DELIVERED": Named("_SMS.SUCCESS", "record_status", "DELIVERED"),
        "BOUNCED": Named("_SMS.FAILURE", "record_status", "UNREACHABLE"),
        "OPTED_OUT": Named("_SMS.OPTOUT"),
    },
}
RECORD_STATUSES = frozenset(
    "SUCCESSFUL DELIVERED PENDING INVALID UNREACHABLE UNKNOWN BLOCKED CARRIER_UNREACHABLE SPAM INVALID_MESSAGE "
    "CARRIER_BLOCKED TTL_EXPIRED MAX_PRICE_EXCEEDED OPTED_OUT NO_QUOTA_LEFT_ON_ACCOUNT "
    "NO_ORIGINATION_IDENTITY_AVAILABLE_TO_SEND DESTINATION_COUNTRY_NOT_SUPPORTED ACCOUNT_IN_SANDBOX RATE_EXCEEDED "
    "INVALID_ORIGINATION_IDENTITY ORIGINATION_IDENTITY_DOES_NOT_EXIST INVALID_DLT_PARAMETERS INVALID_PARAMETERS "
    "ACCESS_DENIED INVALID_KEYWORD INVALID_SENDER_ID INVALID_POOL_ID SENDER_ID_NOT_SUPPORTED_FOR_DESTINATION "
    "INVALID_PHONE_NUMBER".split()
)
"""The closed list of pinpoint-2 5.5 for SMS."""
_NO_FAILURE = frozenset({"SUCCESSFUL", "DELIVERED", "PENDING"})
_WORD = re.compile(r"[A-Z_]+\b")
_SENDING = frozenset({"ACCEPTED", "FAILED", "SKIPPED", "IN_DOUBT"})
_SOFT = ("SOFT", "TRANSIENT")


def names_of(outcome: str, reason: str, channel: str, source: str, detail: str = "") -> list[Named]:
    """Return what a message event is called as events: one or two, at least one, so that nothing goes uncounted.

    `source` is `campaigns`, `journeys` or empty. A campaign's or journey's attempt is `_campaign.send` or `_journey.send` and, when
    the channel has its own family, that family's event besides. What the reference has no name for is `_message.<outcome>`, ours.
    `detail` of a failed SMS may begin with its record status (`CARRIER_BLOCKED: ...`).
    """
    named: list[Named] = []
    if outcome in _SENDING and source:
        status = {"ACCEPTED": "SUCCESS", "IN_DOUBT": "UNKNOWN"}.get(outcome, reason)
        if outcome == "FAILED" and status not in CAMPAIGN_SEND_STATUSES:
            status = "FAILURE"
        # Opted-out and inactive endpoints get no send event (pinpoint-1 2.4), so neither do other reasons unknown there.
        if status in CAMPAIGN_SEND_STATUSES:
            kind = source.removesuffix("s")
            named.append(Named(f"_{kind}.send", f"{kind}_send_status", status))
    if outcome == "OPENED" and source and channel not in ("EMAIL", "SMS"):
        named.append(Named(f"_{source.removesuffix('s')}.opened_notification"))
    own = _BY_CHANNEL.get(channel, {}).get(outcome)
    if own is not None and outcome == "FAILED" and channel == "EMAIL" and "RENDER" in reason:
        own = Named("_email.rendering_failure")
    if own is not None and outcome == "BOUNCED" and channel == "EMAIL" and reason.startswith(_SOFT):
        own = Named("_email.softbounce")
    if own is not None and own.status_attribute == "record_status" and outcome in ("FAILED", "BOUNCED"):
        own = Named(own.event_type, own.status_attribute, _record_status(detail) or own.status)
    if own is not None:
        named.append(own)
    return named or [Named(f"_message.{outcome.lower()}")]


def _record_status(detail: str) -> str:
    """Return the record status that the detail of a failed SMS begins with; empty when it begins with none."""
    word = _WORD.match(detail.removeprefix("failed: ").removeprefix("bounced: "))
    return word.group() if word is not None and word.group() in RECORD_STATUSES - _NO_FAILURE else ""


def clipped_range(
    start: datetime | None, end: datetime | None, now: datetime, longest: timedelta = timedelta(days=31)
) -> tuple[datetime, datetime]:
    """Return the effective bounds of a key figure: what is absent is 31 days from the other bound, at most now."""
    if end is None:
        end = min(start + longest, now) if start is not None else now
    return (end - longest if start is None else start), end
