"""From a message to the JSON of SendEmail (SES API v2)."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping

from heliograph_channel_ses.addresses import BadField, ascii_address, header_field, sender, text_problem
from heliograph_channels import (
    Attachment,
    EmailContent,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Unsupported,
    email_problem,
)

__all__ = ["ID_HEADER", "ID_TAG", "request_body"]

ID_TAG = "heliograph_message_id"
"""Message tag that events carry back."""
ID_HEADER = "X-Heliograph-Message-Id"
"""Header field that carries the same, for notifications without tags."""
_TAGS = ("campaign_id", "journey_id", "treatment_id", "activity_id")
_TAG_VALUE = re.compile(r"[A-Za-z0-9_-]{1,256}")
_MOST_HEADERS = 15
_LARGEST = 40 * 1024 * 1024
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,38}/[A-Za-z0-9!#$&^_.+-]{1,39}")


def request_body(
    message: OutgoingMessage, *, default_from: str, return_path: str, configuration_set: str
) -> bytes | Rejected | Unsupported:
    """Build the body of the request, or the result that says why there is none."""
    content = message.content
    if not isinstance(content, EmailContent):
        return Unsupported(type(content).__name__)
    if problem := email_problem(message.address):
        return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=f"the address {problem}")
    try:
        recipient = ascii_address(message.address)
    except BadField as error:
        return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=str(error))
    try:
        origin = sender(message.origination or default_from)
    except BadField as error:
        return Rejected(RejectReason.INVALID_ORIGINATION, retryable=False, detail=str(error))
    try:
        replies = [sender(text) for text in content.reply_to] if not content.raw else []
        told = _raw(content) if content.raw else _simple(message, content)
    except BadField as error:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=str(error))
    if not all(address.isascii() for address in (recipient, origin, *replies)):
        return Unsupported("SMTPUTF8")
    request: dict[str, object] = {
        "FromEmailAddress": origin,
        "Destination": {"ToAddresses": [recipient]},
        "Content": told,
        "EmailTags": _tags(message),
    }
    if replies:
        request["ReplyToAddresses"] = replies
    if return_path:
        request["FeedbackForwardingEmailAddress"] = return_path
    if configuration_set:
        request["ConfigurationSetName"] = configuration_set
    try:
        body = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail="the text holds half a character")
    if len(body) > _LARGEST:
        return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail="the message is larger than 40 MiB")
    return body


def _raw(content: EmailContent) -> Mapping[str, object]:
    return {"Raw": {"Data": b64encode(content.raw).decode()}}


def _simple(message: OutgoingMessage, content: EmailContent) -> Mapping[str, object]:
    if problem := text_problem("Subject", content.subject):
        raise BadField(problem)
    if len({name.lower() for name in content.headers}) < len(content.headers):
        raise BadField("a header is given twice")
    fields = [header_field(name, value) for name, value in content.headers.items()]
    if len(fields) > _MOST_HEADERS - 1:
        raise BadField(f"there are more than {_MOST_HEADERS - 1} headers")
    fields.append((ID_HEADER, message.message_id))
    body: dict[str, object] = {}
    if content.html:
        body["Html"] = _text(content.html)
    if content.text or not content.html:
        body["Text"] = _text(content.text)
    simple: dict[str, object] = {
        "Subject": _text(content.subject),
        "Body": body,
        "Headers": [{"Name": name, "Value": value} for name, value in fields],
    }
    if content.attachments:
        simple["Attachments"] = [_attachment(item) for item in content.attachments]
    return {"Simple": simple}


def _text(data: str) -> Mapping[str, str]:
    return {"Data": data, "Charset": "UTF-8"}


def _attachment(item: Attachment) -> Mapping[str, str]:
    if not item.name or len(item.name) > 255 or text_problem("", item.name) or re.search(r"[\\/\t]", item.name):
        raise BadField("an attachment has a name that is not allowed")
    if not _CONTENT_TYPE.fullmatch(item.content_type):
        raise BadField(f"attachment {item.name} has a content type that is not allowed")
    return {
        "FileName": item.name,
        "ContentType": item.content_type,
        "ContentDisposition": "ATTACHMENT",
        "ContentTransferEncoding": "BASE64",
        "RawContent": b64encode(item.data).decode(),
    }


def _tags(message: OutgoingMessage) -> list[dict[str, str]]:
    """Return the id, and of what the source knows the words SES takes: letters, digits, underscore and hyphen."""
    tags = [{"Name": ID_TAG, "Value": message.message_id}]
    for name in _TAGS:
        value = message.attributes.get(name, "")
        if _TAG_VALUE.fullmatch(value):
            tags.append({"Name": name, "Value": value})
    return tags
