"""What Telnyx tells in a webhook whose signature was checked: receipts, and what people sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from heliograph_channel_telnyx.codes import errors_of, meaning_of
from heliograph_channels import InboundMessage, Kind, Receipt, ReceiptKind, Received, RejectReason, called_message

__all__ = ["told"]

_UNREADABLE = Received(status=400)
_NOTHING = Received()
_FAILED = ("sending_failed", "delivery_failed", "expired")
_ID_LENGTH = 64


def told(body: bytes, now: datetime) -> Received:
    """Understand an event of version 2 of the API; events about other things are taken and mean nothing."""
    try:
        event = _object(json.loads(body), "data")
    except (ValueError, RecursionError):
        return _UNREADABLE
    payload = _object(event, "payload")
    id = _text(payload, "id")
    kind = _text(event, "event_type")
    if not kind or not 0 < len(id) <= _ID_LENGTH:
        return _UNREADABLE
    if kind == "message.received":
        return _received(id, payload, _time(payload, "received_at") or _time(event, "occurred_at") or now)
    if kind == "message.finalized":
        return _finalized(id, payload, _time(payload, "completed_at") or _time(event, "occurred_at") or now)
    return _NOTHING


def _finalized(id: str, payload: Mapping[str, object], time: datetime) -> Received:
    """Read a final state. `delivery_unconfirmed` means that the carrier never says: nothing is known, nothing is told."""
    status = next((_text(one, "status") for one in _objects(payload, "to")), "")
    # Signed is the body, not the address that was called: our message id is believed as it stands in there.
    message_id = called_message(_text(payload, "webhook_url"))

    def receipt(name: str, kind: ReceiptKind, detail: str = "", *, permanent: bool = False) -> Receipt:
        return Receipt(
            receipt_id=f"{id}:{name}",
            kind=kind,
            time=time,
            message_id=message_id,
            provider_message_id=id,
            detail=detail,
            permanent=permanent,
            attributes={"code": errors[0].code} if errors else {},
        )

    errors = list(errors_of(payload))
    if status == "delivered":
        return Received([receipt(status, ReceiptKind.DELIVERED)])
    if status not in _FAILED:
        return _NOTHING
    meanings = [meaning for error in errors if (meaning := meaning_of(error))]
    permanent = bool(meanings) and not meanings[0].retryable and meanings[0].reason is not RejectReason.CREDENTIALS
    words = "; ".join(map(str, errors))
    receipts = [receipt(status, ReceiptKind.FAILED, f"{status} {words}".rstrip()[:500], permanent=permanent)]
    if any(meaning.reason is RejectReason.OPTED_OUT for meaning in meanings):
        receipts.append(receipt("opted_out", ReceiptKind.OPTED_OUT, "Telnyx knows that the person said STOP"))
    return Received(receipts)


def _received(id: str, payload: Mapping[str, object], time: datetime) -> Received:
    ours = [_text(one, "phone_number") for one in _objects(payload, "to")]
    origination = _text(_object(payload, "from"), "phone_number")
    if not origination or not ours or not ours[0]:
        return _UNREADABLE
    media = [one for one in _objects(payload, "media") if _text(one, "url")]
    attributes = {
        "carrier": _text(_object(payload, "from"), "carrier"),
        "line_type": _text(_object(payload, "from"), "line_type"),
        "messaging_profile_id": _text(payload, "messaging_profile_id"),
        "subject": _text(payload, "subject"),
        # Telnyx answers STOP, START and HELP by itself and says here that it did.
        "autoresponse_type": _text(payload, "autoresponse_type"),
        "media_types": " ".join(_text(one, "content_type") for one in media),
        "others": " ".join([*ours[1:], *(_text(one, "phone_number") for one in _objects(payload, "cc"))]),
    }
    message = InboundMessage(
        inbound_id=id,
        kind=Kind.SMS,
        origination=origination,
        destination=ours[0],
        body=_text(payload, "text"),
        time=time,
        media_urls=tuple(_text(one, "url") for one in media),
        attributes={name: value for name, value in attributes.items() if value.strip()},
    )
    return Received(inbound=[message])


def _time(values: Mapping[str, object], name: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(values, name))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(values: Mapping[str, object], name: str) -> str:
    """Return a text that can be stored: JSON can write half characters and zeros, databases cannot."""
    value = values.get(name)
    return value.replace("\x00", "").encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _object(values: object, name: str) -> Mapping[str, object]:
    value = values.get(name) if isinstance(values, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _objects(values: Mapping[str, object], name: str) -> Sequence[Mapping[str, object]]:
    value = values.get(name)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
