"""Events of SES as receipts: event publishing (`eventType`) and the older notifications (`notificationType`)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from heliograph_channel_ses.content import ID_HEADER, ID_TAG
from heliograph_channels import Receipt, ReceiptKind

__all__ = ["BadEvent", "receipts_of"]

_ID = re.compile(r"[0-9a-f]{32}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_NOT_COMPLAINTS = frozenset({"not-spam"})


class BadEvent(ValueError):
    """A text that is no event of SES."""


class _Event:
    """An event's parts, looked at with patience: everything may be missing or of another type."""

    def __init__(self, told: Mapping[str, Any], now: datetime) -> None:
        self.kind = str(told.get("eventType") or told.get("notificationType") or "")
        self.now = now
        self.mail = _mapping(told.get("mail"))
        self.part = _mapping(told.get(_PARTS.get(self.kind, "")))
        self.ses_id = _text(self.mail.get("messageId"))[:200]
        self.message_id = _message_id(self.mail)

    def receipt(
        self, kind: ReceiptKind, *identity: str, detail: str = "", permanent: bool = True, link: str = ""
    ) -> Receipt:
        """Build a receipt; what `identity` says makes its id, with the message's own id and the kind."""
        seed = "\n".join((self.kind, self.ses_id, *identity)).encode("utf-8", "replace")
        return Receipt(
            receipt_id=f"ses-{hashlib.sha256(seed).hexdigest()[:40]}",
            kind=kind,
            time=self._time(),
            message_id=self.message_id,
            provider_message_id=self.ses_id,
            detail=_UNPRINTABLE.sub(" ", detail).strip()[:500],
            permanent=permanent,
            attributes={"link": link} if link else {},
        )

    def _time(self) -> datetime:
        for text in (self.part.get("timestamp"), self.mail.get("timestamp")):
            try:
                when = datetime.fromisoformat(_text(text))
                return min(when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC), self.now)
            except (ValueError, OverflowError):
                continue
        return self.now


def receipts_of(text: str, now: datetime) -> list[Receipt]:
    """Return what an event says, empty for one that says nothing about a message's fate (Send, DeliveryDelay).

    Raises:
        BadEvent: the text is no event that names a message.
    """
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise BadEvent("the message is no JSON") from None
    event = _Event(_mapping(told), now)
    if event.kind not in _READERS:
        raise BadEvent("the message is no event of SES")
    if not (event.ses_id or event.message_id):
        raise BadEvent("the event names no message")
    receipt = _READERS[event.kind](event)
    return [receipt] if receipt is not None else []


def _delivery(event: _Event) -> Receipt:
    return event.receipt(ReceiptKind.DELIVERED, detail=_text(event.part.get("smtpResponse")))


def _bounce(event: _Event) -> Receipt:
    """Only `Permanent` is a hard bounce: Transient and Undetermined say that the address may be good."""
    kind, sub = _text(event.part.get("bounceType")), _text(event.part.get("bounceSubType"))
    first = _mapping(next(iter(_list(event.part.get("bouncedRecipients"))), None))
    detail = f"{kind} {sub}: {_text(first.get('diagnosticCode')) or _text(first.get('status'))}".rstrip(": ")
    return event.receipt(
        ReceiptKind.BOUNCED, _text(event.part.get("feedbackId")), detail=detail, permanent=kind == "Permanent"
    )


def _complaint(event: _Event) -> Receipt | None:
    word = _text(event.part.get("complaintFeedbackType"))
    if word in _NOT_COMPLAINTS:
        return None
    detail = " ".join(
        filter(None, (word, _text(event.part.get("complaintSubType")), _text(event.part.get("userAgent"))))
    )
    return event.receipt(ReceiptKind.COMPLAINED, _text(event.part.get("feedbackId")), detail=detail)


def _reject(event: _Event) -> Receipt:
    return event.receipt(ReceiptKind.FAILED, detail=f"rejected: {_text(event.part.get('reason'))}")


def _rendering_failure(event: _Event) -> Receipt:
    return event.receipt(ReceiptKind.FAILED, detail=f"not rendered: {_text(event.part.get('errorMessage'))}")


def _open(event: _Event) -> Receipt:
    return event.receipt(ReceiptKind.OPENED, *_of_visit(event))


def _click(event: _Event) -> Receipt:
    link = _text(event.part.get("link"))
    return event.receipt(ReceiptKind.CLICKED, *_of_visit(event), link, link=link)


def _subscription(event: _Event) -> Receipt | None:
    """A person used the unsubscribe link or header of SES: all topics, or one that was on before."""
    new, old = (_mapping(event.part.get(name)) for name in ("newTopicPreferences", "oldTopicPreferences"))
    left = _left_topics(new) - _left_topics(old)
    if new.get("unsubscribeAll") is not True and not left:
        return None
    told = ", ".join(sorted(left)) if left else "all topics"
    return event.receipt(
        ReceiptKind.OPTED_OUT, _text(event.part.get("timestamp")), detail=f"{_text(event.part.get('source'))}: {told}"
    )


def _nothing(event: _Event) -> None:
    """Send and DeliveryDelay: the message is on its way."""


def _of_visit(event: _Event) -> tuple[str, str, str]:
    return tuple(_text(event.part.get(name)) for name in ("timestamp", "ipAddress", "userAgent"))  # type: ignore[return-value]


def _left_topics(preferences: Mapping[str, Any]) -> set[str]:
    statuses = [_mapping(item) for item in _list(preferences.get("topicSubscriptionStatus"))]
    return {_text(item.get("topicName")) for item in statuses if item.get("subscriptionStatus") == "OptOut"}


def _message_id(mail: Mapping[str, Any]) -> str:
    """Return our id from the tag, or from the header field where the notification has no tags."""
    for value in _list(_mapping(mail.get("tags")).get(ID_TAG)):
        if isinstance(value, str) and _ID.fullmatch(value):
            return value
    for header in map(_mapping, _list(mail.get("headers"))):
        if _text(header.get("name")).lower() == ID_HEADER.lower() and _ID.fullmatch(_text(header.get("value")).strip()):
            return _text(header.get("value")).strip()
    return ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


_PARTS = {
    "Delivery": "delivery", "Bounce": "bounce", "Complaint": "complaint", "Reject": "reject", "Open": "open",
    "Click": "click", "Rendering Failure": "failure", "Subscription": "subscription",
}  # fmt: skip
_READERS: dict[str, Callable[[_Event], Receipt | None]] = {
    "Delivery": _delivery, "Bounce": _bounce, "Complaint": _complaint, "Reject": _reject, "Open": _open,
    "Click": _click, "Rendering Failure": _rendering_failure, "Subscription": _subscription, "Send": _nothing,
    "DeliveryDelay": _nothing,
}  # fmt: skip
