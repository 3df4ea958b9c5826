"""The channel `sms-telnyx`: its settings, and the calls that send (Telnyx API v2, "Send a message")."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial

from heliograph_channel_telnyx.codes import errors_of, meaning_of
from heliograph_channel_telnyx.events import told
from heliograph_channel_telnyx.settings import BATCH, SCHEMA, SENDER, is_name, problems, public_key
from heliograph_channel_telnyx.signatures import check
from heliograph_channels import (
    Accepted,
    Capabilities,
    Forged,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Received,
    Rejected,
    RejectReason,
    SendResult,
    SmsContent,
    Unknown,
    WebhookRequest,
    callback_url,
    phone_problem,
    sms_problem,
)
from heliograph_channels.calls import CallProvider, CallSender, Values, refused
from heliograph_channels.http_client import Answer, HttpClient, NoAnswer, NotSent, refusal

__all__ = ["TelnyxSms", "outcome"]

_MOST_MEDIA = 10
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class TelnyxSms(CallProvider):
    """Text messages through Telnyx, with receipts and answers by webhook."""

    name = "sms-telnyx"
    kinds = frozenset({Kind.SMS})
    capabilities = Capabilities(batch_size=BATCH, concurrency=4, receipts=True, inbound=True, webhook=True, media=True)
    settings_schema = SCHEMA
    proof = "public_key"

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        """Check the public key, the address of the API and the sender."""
        return problems(settings)

    def sender(self, settings: Values, context: ProviderContext) -> TelnyxSender:
        """Open the account."""
        return TelnyxSender(settings, context)


class TelnyxSender(CallSender[SmsContent]):
    """One project's account."""

    takes = SmsContent
    provider = "Telnyx"

    def __init__(self, settings: Values, context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        super().__init__(context)
        self._authorization = f"Bearer {settings['api_key']}"
        self._url = str(settings["base_url"]).rstrip("/")
        self._sender = str(settings.get("sender") or "")
        self._profile = str(settings.get("messaging_profile_id") or "")
        self._key = public_key(str(settings.get("public_key") or ""))
        self._client = HttpClient(
            timeout=float(settings["timeout"]), connections=settings["connections"], ca_file=settings.get("ca_file")
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._client.is_closed

    async def send(self, message: OutgoingMessage, content: SmsContent) -> SendResult:
        """Send it (Telnyx's "Send a message")."""
        body = self._body(message, content)
        if not isinstance(body, dict):
            return body
        return await self.exchange(
            lambda: self._client.call(
                "POST",
                f"{self._url}/messages",
                content=json.dumps(body).encode(),
                headers={**self._headers(), "Content-Type": "application/json"},
            ),
            partial(outcome, message_id=message.message_id),
        )

    async def health(self) -> Health:
        """Ask for the messaging profile, or for one of them: that needs the credentials and creates nothing."""
        path = f"messaging_profiles/{self._profile}" if self._profile else "messaging_profiles?page[size]=1"
        try:
            answer = await self._client.call("GET", f"{self._url}/{path}", headers=self._headers())
        except (NotSent, NoAnswer) as error:
            return Health(False, str(error))
        if 200 <= answer.status < 300 and "data" in answer.json():
            return Health(True, "the account was reached")
        words = next((str(error) for error in errors_of(answer.json())), "")
        return Health(False, f"Telnyx answered {answer.status} {words}".rstrip())

    async def receive(self, request: WebhookRequest) -> Received:
        """Check signature and age, then understand.

        Raises:
            Forged: there is no public key to check with, the signature is missing or wrong, or it is too old.
        """
        if self._key is None:
            raise Forged("without the setting public_key nobody can tell whether a call is Telnyx's")
        check(request, self._key, self._context.now())
        return told(request.body, self._context.now())

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await self._client.close()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._authorization, "Accept": "application/json"}

    def _body(self, message: OutgoingMessage, content: SmsContent) -> dict[str, object] | Rejected:
        if problem := phone_problem(message.address):
            return refused(RejectReason.INVALID_ADDRESS, f"the address {problem}")
        sender = message.origination or self._sender
        if sender and not SENDER.fullmatch(sender):
            return refused(RejectReason.INVALID_ORIGINATION, "the sender is neither a number nor a sender id")
        if not self._profile and (not sender or is_name(sender)):
            missing = "messages from a name need" if sender else "the message names no sender, and the settings have no"
            return refused(RejectReason.INVALID_ORIGINATION, f"{missing} messaging_profile_id")
        if problem := sms_problem(content, most_media=_MOST_MEDIA):
            return refused(RejectReason.INVALID_CONTENT, problem)
        body: dict[str, object] = {"to": message.address}
        if sender:
            body["from"] = sender
        if self._profile:
            body["messaging_profile_id"] = self._profile
        if content.body:
            body["text"] = content.body
        if content.media_urls:
            body["media_urls"] = list(content.media_urls)
        if self._context.webhook_url and self._key is not None:
            body["webhook_url"] = callback_url(self._context.webhook_url, message.message_id)
        return body


def outcome(answer: Answer, message_id: str) -> SendResult:
    """Say what an answer to a message means.

    200 with JSON is Telnyx's word that it has the message, even if the rest of the answer is lost: it is accepted then,
    under our own id, because calling it anything else would send it twice. Receipts find it by that id.
    """
    body = answer.json()
    if not 200 <= answer.status < 300:
        errors = list(errors_of(body))
        words = "; ".join(map(str, errors))
        for error in errors:
            if meaning := meaning_of(error):
                return meaning.rejected(words)
        return refusal(answer.status, words)
    data = body.get("data")
    id = data.get("id") if isinstance(data, dict) else None
    if isinstance(id, str) and _ID.fullmatch(id):
        return Accepted(id)
    if answer.status == 200 and answer.is_json:
        return Accepted(message_id)
    return Unknown(f"the call was answered {answer.status}, and the answer is not Telnyx's")
