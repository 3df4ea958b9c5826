"""What Twilio tells in a webhook whose signature was checked: receipts, and what people sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from heliograph_channel_twilio.codes import MEANINGS, OPTED_OUT
from heliograph_channels import InboundMessage, Kind, Receipt, ReceiptKind, Received, RejectReason, called_message

__all__ = ["NOTHING", "call_told", "message_told"]

NOTHING = Received(body=b"<Response/>", content_type="text/xml")
"""An empty TwiML document: Twilio does nothing more. Any other answer would be read aloud or logged as an error."""
_UNREADABLE = Received(status=400)
_MOST_MEDIA = 10
_ID_LENGTH = 64
# Answers of the telephone network that say that the number does not exist (RFC 3261 21.4).
_NO_SUCH_NUMBER = ("404", "410", "484", "604")


def message_told(fields: Mapping[str, str], url: str, now: datetime) -> Received:
    """Understand a status callback or an incoming message. Twilio signs no time, so `now` is the time of either."""
    sid = fields.get("MessageSid") or fields.get("SmsSid") or ""
    if not _usable(sid):
        return _UNREADABLE
    status = fields.get("MessageStatus") or fields.get("SmsStatus") or ""
    if status in ("received", "receiving") or (not status and "Body" in fields):
        return _inbound(sid, fields, now)
    return _answered(*_message_receipts(sid, status, fields, called_message(url), now))


def call_told(fields: Mapping[str, str], url: str, now: datetime) -> Received:
    """Understand the status callback at the end of a call; calls that come in are hung up."""
    sid = fields.get("CallSid", "")
    if not _usable(sid):
        return _UNREADABLE
    status = fields.get("CallStatus", "")
    if status not in ("completed", "busy", "no-answer", "failed", "canceled") or "inbound" in fields.get(
        "Direction", ""
    ):
        return NOTHING
    told = {
        "status": status,
        "duration_seconds": fields.get("CallDuration", ""),
        "answered_by": fields.get("AnsweredBy", ""),
        "sip_response": fields.get("SipResponseCode", ""),
    }
    delivered = status == "completed"
    gone = status == "failed" and told["sip_response"] in _NO_SUCH_NUMBER
    return _answered(
        Receipt(
            receipt_id=f"{sid}:{status}",
            kind=ReceiptKind.DELIVERED if delivered else ReceiptKind.FAILED,
            time=now,
            message_id=called_message(url),
            provider_message_id=sid,
            detail="" if delivered else f"the call ended as {status} {told['sip_response']}".rstrip(),
            permanent=gone,
            attributes={name: value[:128] for name, value in told.items() if value},
        )
    )


def _message_receipts(
    sid: str, status: str, fields: Mapping[str, str], message_id: str, now: datetime
) -> list[Receipt]:
    """Return what a status means; one on the way (`queued`, `sending`, `sent`) means nothing."""

    def receipt(name: str, kind: ReceiptKind, detail: str = "", *, permanent: bool = False) -> Receipt:
        return Receipt(
            receipt_id=f"{sid}:{name}",
            kind=kind,
            time=now,
            message_id=message_id,
            provider_message_id=sid,
            detail=detail,
            permanent=permanent,
            attributes={"code": code} if code else {},
        )

    code = fields.get("ErrorCode", "")[:16]
    if status == "delivered":
        return [receipt(status, ReceiptKind.DELIVERED)]
    if status == "read":
        return [receipt(status, ReceiptKind.OPENED)]
    if status not in ("undelivered", "failed", "canceled"):
        return []
    meaning = MEANINGS.get(int(code)) if code.isascii() and code.isdigit() else None
    told = fields.get("ErrorMessage") or (meaning.reason if meaning else "")
    detail = f"{status} {code}: {told}" if code else status
    permanent = meaning is not None and not meaning.retryable and meaning.reason is not RejectReason.CREDENTIALS
    receipts = [receipt(status, ReceiptKind.FAILED, detail[:500], permanent=permanent)]
    if code == str(OPTED_OUT):
        receipts.append(receipt("opted_out", ReceiptKind.OPTED_OUT, "Twilio knows that the person said STOP"))
    return receipts


def _inbound(sid: str, fields: Mapping[str, str], now: datetime) -> Received:
    origination, destination = fields.get("From", ""), fields.get("To", "")
    if not origination or not destination:
        return _UNREADABLE
    count = fields.get("NumMedia", "0")
    media = [fields.get(f"MediaUrl{n}", "") for n in range(_MOST_MEDIA)] if count != "0" else []
    told = {
        "opt_out_type": fields.get("OptOutType", ""),
        "messaging_service_sid": fields.get("MessagingServiceSid", ""),
        "country": fields.get("FromCountry", ""),
        "media_types": " ".join(fields.get(f"MediaContentType{n}", "") for n, url in enumerate(media) if url),
    }
    message = InboundMessage(
        inbound_id=sid,
        kind=Kind.SMS,
        origination=origination,
        destination=destination,
        body=fields.get("Body", ""),
        time=now,
        media_urls=tuple(url for url in media if url),
        attributes={name: value for name, value in told.items() if value},
    )
    return Received(inbound=(message,), body=NOTHING.body, content_type=NOTHING.content_type)


def _answered(*receipts: Receipt) -> Received:
    return Received(receipts=receipts, body=NOTHING.body, content_type=NOTHING.content_type)


def _usable(sid: str) -> bool:
    return 0 < len(sid) <= _ID_LENGTH and sid.isascii() and sid.isalnum()
