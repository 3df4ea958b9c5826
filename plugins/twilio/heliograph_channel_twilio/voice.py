"""The channel `voice-twilio`: telephone calls that speak a text (Twilio's Calls resource, pinpoint-2 2.6)."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_channel_twilio.events import call_told
from heliograph_channel_twilio.sender import AccountProvider, AccountSender, Fields
from heliograph_channel_twilio.settings import ACCOUNT, BATCH
from heliograph_channel_twilio.speech import CannotSay, NotSpoken, twiml
from heliograph_channels import (
    Capabilities,
    Kind,
    OutgoingMessage,
    ProviderContext,
    Received,
    Rejected,
    RejectReason,
    Unsupported,
    VoiceContent,
    WebhookRequest,
    phone_problem,
)
from heliograph_channels.calls import Values, refused

__all__ = ["TwilioVoice"]

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["account_sid"],
    "properties": {
        **ACCOUNT,
        "caller": {
            "type": "string",
            "pattern": r"^\+[1-9][0-9]{6,14}$",
            "description": "Number that calls when a message names none: the account's own, or one verified with it.",
        },
        "voice": {
            "type": "string",
            "pattern": r"^([A-Za-z0-9]{1,20}\.)?[A-Za-z0-9][A-Za-z0-9_-]{0,99}$",
            "description": "Voice of messages that name none, like Joanna or Polly.Joanna-Neural; unset: one per language.",
        },
        "ring_seconds": {
            "type": "integer",
            "minimum": 5,
            "maximum": 600,
            "default": 60,
            "description": "How long it rings before nobody answered.",
        },
        "longest_call_seconds": {
            "type": "integer",
            "minimum": 10,
            "maximum": 14400,
            "default": 300,
            "description": "When a call is cut off.",
        },
    },
}


class TwilioVoice(AccountProvider):
    """Calls through Twilio that speak a text or SSML, with the end of each call by webhook."""

    name = "voice-twilio"
    kinds = frozenset({Kind.VOICE})
    capabilities = Capabilities(batch_size=BATCH, concurrency=4, receipts=True, webhook=True)
    settings_schema = SCHEMA

    def sender(self, settings: Values, context: ProviderContext) -> VoiceSender:
        """Open the account."""
        return VoiceSender(settings, context)


class VoiceSender(AccountSender[VoiceContent]):
    """Creates calls."""

    takes = VoiceContent
    resource = "Calls"

    def fields(self, message: OutgoingMessage, content: VoiceContent) -> Fields | Rejected | Unsupported:
        """Return the form of one call (Twilio's "Create a Call"); its end is reported, whatever it is."""
        if problem := phone_problem(message.address):
            return refused(RejectReason.INVALID_ADDRESS, f"the address {problem}")
        caller = message.origination or str(self._settings.get("caller") or "")
        if not caller:
            return refused(RejectReason.INVALID_ORIGINATION, "neither the message nor the settings name a caller")
        if problem := phone_problem(caller):
            return refused(RejectReason.INVALID_ORIGINATION, f"the caller {problem}")
        try:
            document = twiml(content, str(self._settings.get("voice") or ""))
        except CannotSay as error:
            return refused(RejectReason.INVALID_CONTENT, str(error))
        except NotSpoken as error:
            return Unsupported(str(error))
        return [
            ("To", message.address),
            ("From", caller),
            ("Twiml", document),
            ("Timeout", str(self._settings["ring_seconds"])),
            ("TimeLimit", str(self._settings["longest_call_seconds"])),
        ]

    def told(self, fields: Mapping[str, str], request: WebhookRequest) -> Received:
        """Understand how a call ended."""
        return call_told(fields, request.url, self._context.now())
