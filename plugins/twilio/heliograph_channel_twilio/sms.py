"""The channel `sms-twilio`: text and picture messages (Twilio's Messages resource)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from heliograph_channel_twilio.events import message_told
from heliograph_channel_twilio.sender import AccountProvider, AccountSender, Fields
from heliograph_channel_twilio.settings import ACCOUNT, BATCH
from heliograph_channels import (
    Capabilities,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Received,
    Rejected,
    RejectReason,
    SmsContent,
    Unsupported,
    WebhookRequest,
    phone_problem,
    sms_problem,
)
from heliograph_channels.calls import Values, refused

__all__ = ["TwilioSms"]

_MOST_MEDIA = 10
# A number, a short code, or a name: 1 to 11 letters, digits, blanks and a few signs, of which one is a letter.
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["account_sid"],
    "properties": {
        **ACCOUNT,
        "sender": {
            "type": "string",
            "minLength": 1,
            "maxLength": 16,
            "description": "Who messages come from that name nobody: a number of the account, a short code or a sender id.",
        },
        "messaging_service_sid": {
            "type": "string",
            "pattern": "^MG[0-9a-fA-F]{32}$",
            "description": "A messaging service that chooses the sender of messages that name nobody; goes before `sender`.",
        },
        "validity_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": 36000,
            "default": 36000,
            "description": "How long a message may wait at Twilio for its turn before it is given up.",
        },
    },
}


class TwilioSms(AccountProvider):
    """Text messages through Twilio, with receipts and answers by webhook."""

    name = "sms-twilio"
    kinds = frozenset({Kind.SMS})
    capabilities = Capabilities(batch_size=BATCH, concurrency=4, receipts=True, inbound=True, webhook=True, media=True)
    settings_schema = SCHEMA

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        """Check the credentials, the address of the API and the sender."""
        yield from super().further_problems(settings)
        sender = settings.get("sender")
        if isinstance(sender, str) and sender and not _SENDER.fullmatch(sender):
            yield Problem(
                "sender", "must be a number like +12065550100, a short code, or a name of at most 11 characters"
            )

    def sender(self, settings: Values, context: ProviderContext) -> SmsSender:
        """Open the account."""
        return SmsSender(settings, context)


class SmsSender(AccountSender[SmsContent]):
    """Creates messages."""

    takes = SmsContent
    resource = "Messages"

    def fields(self, message: OutgoingMessage, content: SmsContent) -> Fields | Rejected | Unsupported:
        """Return the form of one message (Twilio's "Create a Message")."""
        if problem := phone_problem(message.address):
            return refused(RejectReason.INVALID_ADDRESS, f"the address {problem}")
        origin = self._origin(message.origination)
        if isinstance(origin, Rejected):
            return origin
        if problem := sms_problem(content, most_media=_MOST_MEDIA):
            return refused(RejectReason.INVALID_CONTENT, problem)
        fields = [("To", message.address), origin]
        if content.body:
            fields.append(("Body", content.body))
        fields += [("MediaUrl", url) for url in content.media_urls]
        fields.append(("ValidityPeriod", str(self._settings["validity_seconds"])))
        return fields

    def told(self, fields: Mapping[str, str], request: WebhookRequest) -> Received:
        """Status callbacks become receipts, incoming messages are handed over."""
        return message_told(fields, request.url, self._context.now())

    def _origin(self, named: str) -> tuple[str, str] | Rejected:
        """Return the field that says who sends: as the message names it, else the service, else the default sender."""
        if named:
            if _SERVICE.fullmatch(named):
                return "MessagingServiceSid", named
            if _SENDER.fullmatch(named):
                return "From", named
            return refused(RejectReason.INVALID_ORIGINATION, "the sender is neither a number nor a sender id")
        if service := self._settings.get("messaging_service_sid"):
            return "MessagingServiceSid", str(service)
        if sender := self._settings.get("sender"):
            return "From", str(sender)
        return refused(
            RejectReason.INVALID_ORIGINATION,
            "the message names no sender, and the settings have neither sender nor messaging_service_sid",
        )
