"""Verifications of toll-free numbers. Their history has times, so every decision of before is told again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from heliograph_channel_telnyx.registry.api import Api, objects, text, time
from heliograph_channel_telnyx.registry.findings import findings_of_reasons
from heliograph_channel_telnyx.registry.references import Reference, mark_of, marked_url, thing_in, url_mark
from heliograph_channel_telnyx.registry.toll_free_forms import TOLL_FREE, verification_body
from heliograph_channels import Decision, DecisionState, Finding, Submission

__all__ = ["TollFree"]

_PATH = "/messaging_tollfree/verification/requests"
_REFUSED = ("Rejected", "Waiting For Customer")


class TollFree:
    """The verification requests of one account."""

    def __init__(self, api: Api, settings: Mapping[str, Any]) -> None:
        """Take the API and complete settings."""
        self._api = api
        self._webhook_url = str(settings["webhook_url"])

    async def submit(self, submission: Submission) -> Reference:
        """Hand a verification request in, or the same one again with what was mended.

        The mark stands in `webhookUrl`; the requests of the number are looked at before one is created.

        Raises:
            Refused: Telnyx says what to mend.
        """
        mark, url = mark_of(submission), marked_url(self._webhook_url, submission)
        body = verification_body(submission.fields, webhook_url=url)
        query = {"page": "1", "page_size": "100", "phone_number": submission.fields.get("number", "")}
        listed = objects((await self._api.get(_PATH, query) or {}).get("records"))
        for one in listed:
            if url_mark(one.get("webhookUrl")) == mark:
                return Reference.of(submission, text(one, "id"))
        known = thing_in(submission.registered_id) or thing_in(submission.earlier_reference)
        if known and known in [text(one, "id") for one in listed]:
            await self._api.send("PATCH", f"{_PATH}/{known}", body, TOLL_FREE)
            return Reference.of(submission, known)
        made = await self._api.send("POST", _PATH, body, TOLL_FREE)
        return Reference.of(submission, text(made, "id"))

    async def decisions(self, reference: Reference, now: datetime) -> list[Decision]:
        """Return all that was decided since these papers were handed in, in order of time."""
        query = {"page[number]": "1", "page[size]": "100"}
        answer = await self._api.get(f"{_PATH}/{reference.thing}/status_history", query) or {}
        entries = [(at, one) for one in objects(answer.get("records")) if (at := time(one, "updatedAt")) is not None]
        told: list[Decision] = []
        approved = False
        for at, one in sorted(entries, key=lambda entry: entry[0]):
            status = text(one, "verificationStatus")
            if at < reference.time or status not in ("Verified", *_REFUSED):
                continue
            if status == "Verified":
                told.append(Decision(str(reference), DecisionState.APPROVED, at, registered_id=reference.thing))
                approved = True
                continue
            found = findings_of_reasons(text(one, "reason"), TOLL_FREE)
            first = found[0] if found else Finding("", "ATTRIBUTES_MISMATCH")
            word = DecisionState.SUSPENDED if approved else DecisionState.REJECTED
            told.append(
                Decision(str(reference), word, at, first.cause, first.field, first.words, tuple(found))
            )  # fmt: skip
        return told
