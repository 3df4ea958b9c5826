"""One account's API: calls that create messages and telephone calls, and what their answers mean."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import urlencode

from heliograph_channel_twilio.codes import MEANINGS
from heliograph_channel_twilio.settings import api_url
from heliograph_channels import Accepted, Health, SendResult, Unknown
from heliograph_channels.http_client import Answer, HttpClient, NoAnswer, NotSent, refusal

__all__ = ["Account", "outcome"]

_SID = re.compile(r"[A-Za-z0-9]{2,64}")
_UNDONE = ("failed", "undelivered", "canceled")


class Account:
    """Connections to Twilio on behalf of one account. Shows no secret in its repr."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        """Take complete settings; connect with the first call.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        user = str(settings.get("api_key_sid") or settings["account_sid"])
        password = str(settings.get("api_key_secret") or settings["auth_token"])
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._url = api_url(settings)
        ca_file = settings.get("ca_file")
        self._client = HttpClient(
            timeout=float(cast(float, settings["timeout"])),
            connections=cast(int, settings["connections"]),
            ca_file=str(ca_file) if ca_file else None,
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._client.is_closed

    async def create(self, resource: str, fields: Sequence[tuple[str, str]]) -> Answer:
        """Create one message or call (`Messages`, `Calls`).

        Raises:
            NotSent: Twilio has nothing of it.
            NoAnswer: Twilio may have it.
        """
        headers = {
            "Authorization": self._authorization,
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return await self._client.call(
            "POST", f"{self._url}/{resource}.json", content=urlencode(fields).encode(), headers=headers
        )

    async def health(self, resource: str) -> Health:
        """Ask for one item of the list: that needs the credentials and creates nothing."""
        headers = {"Authorization": self._authorization, "Accept": "application/json"}
        try:
            answer = await self._client.call("GET", f"{self._url}/{resource}.json?PageSize=1", headers=headers)
        except (NotSent, NoAnswer) as error:
            return Health(False, str(error))
        told = answer.json()
        if answer.status == 403:
            return Health(True, "Twilio knows the API key, which may not read; whether it may send shows when it does")
        if not 200 <= answer.status < 300 or not told:
            return Health(False, f"Twilio answered {answer.status} {_words(told)}".rstrip())
        return Health(True, "the account was reached")

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await self._client.close()


def outcome(answer: Answer, message_id: str) -> SendResult:
    """Say what an answer to a creation means.

    201 is Twilio's word that the message exists, even if the rest of the answer is lost: it is accepted then, under our
    own id, because calling it anything else would send it twice. Receipts find it by that id.
    """
    told = answer.json()
    if not 200 <= answer.status < 300:
        return _refused(told.get("code"), _words(told), answer.status)
    sid = told.get("sid")
    if isinstance(sid, str) and _SID.fullmatch(sid):
        if told.get("status") in _UNDONE:
            return _refused(told.get("error_code"), str(told.get("error_message") or "failed at once"), 400)
        return Accepted(sid)
    if answer.status == 201 and answer.is_json:
        return Accepted(message_id)
    return Unknown(f"the call was answered {answer.status}, and the answer is not Twilio's")


def _refused(code: object, words: str, status: int) -> SendResult:
    meaning = MEANINGS.get(code) if isinstance(code, int) else None
    return meaning.rejected(words) if meaning else refusal(status, words)


def _words(told: Mapping[str, object]) -> str:
    """Return Twilio's code and text: `message`, or `detail` in the newer form of its errors (RFC 9457)."""
    code = told.get("code")
    text = told.get("message") or told.get("detail") or told.get("title")
    if not isinstance(text, str):
        text = ""
    return f"{code}: {text}" if isinstance(code, int) else text
