"""Brands and their vettings: handed in, found again, decided.

The API knows no idempotency key for a brand. Ours is the mark in its `webhookURL`: before a brand is created, those with its
display name are looked at. A brand whose answer was lost is among them, since the list begins with the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from heliograph_channel_telnyx.registry.api import Api, objects, text, time
from heliograph_channel_telnyx.registry.findings import findings_of_feedback, findings_of_reasons
from heliograph_channel_telnyx.registry.forms import BRAND, brand_body
from heliograph_channel_telnyx.registry.references import Reference, mark_of, marked_url, thing_in, url_mark
from heliograph_channels import Decision, DecisionState, Finding, Refused, Submission

__all__ = ["Brands"]

_LIST = "100"
_VERIFIED = ("VERIFIED", "VETTED_VERIFIED")
_KEPT = timedelta(days=180)
"""How long Telnyx orders no second vetting after a good one."""


class Brands:
    """The brands of one account."""

    def __init__(self, api: Api, settings: Mapping[str, Any]) -> None:
        """Take the API and complete settings."""
        self._api = api
        self._webhook_url = str(settings["webhook_url"])
        self._mock = bool(settings["mock_brands"])
        self._review = timedelta(seconds=float(settings["brand_review_seconds"]))
        self._vetting = {"evpId": str(settings["vetting_provider"]), "vettingClass": str(settings["vetting_class"])}
        self._vetting_ends = timedelta(days=float(settings["vetting_days"]))

    async def submit(self, submission: Submission) -> Reference:
        """Create a brand, or change the one that these papers are about.

        Raises:
            Refused: Telnyx or the registry says what to mend.
        """
        url = marked_url(self._webhook_url, submission)
        body = brand_body(submission.fields, webhook_url=url, mock=self._mock)
        known = thing_in(submission.registered_id) or thing_in(submission.earlier_reference)
        if known and (brand := await self._api.get(f"/10dlc/brand/{known}")) is not None:
            if url_mark(brand.get("webhookURL")) != mark_of(submission):
                body.pop("mock", None)
                await self._api.send("PUT", f"/10dlc/brand/{known}", body, BRAND)
            return Reference.of(submission, known)
        found = await self._marked(str(body["displayName"]), mark_of(submission))
        if not found:
            found = text(await self._api.send("POST", "/10dlc/brand", body, BRAND), "brandId")
        return Reference.of(submission, found)

    async def decision(self, reference: Reference, now: datetime) -> Decision | None:
        """Return what is decided about a brand, None while nothing is."""
        brand = await self._api.get(f"/10dlc/brand/{reference.thing}")
        if brand is None:
            return None
        at = time(brand, "updatedAt", "createdAt") or now
        if text(brand, "status") == "REGISTRATION_FAILED":
            return _rejected(reference, at, findings_of_reasons(brand.get("failureReasons"), BRAND))
        if text(brand, "identityStatus") in _VERIFIED:
            return Decision(str(reference), DecisionState.VERIFIED, at, registered_id=reference.thing)
        if text(brand, "status") != "OK" or text(brand, "identityStatus") != "UNVERIFIED":
            return None
        if now - reference.time >= self._review:
            feedback = await self._api.get(f"/10dlc/brand/feedback/{reference.thing}") or {}
            if found := findings_of_feedback(feedback, BRAND):
                return _rejected(reference, at, found)
        if text(brand, "entityType") == "PUBLIC_PROFIT":
            return Decision(str(reference), DecisionState.NEEDS_AUTHENTICATION, at)
        return None

    async def withdraw(self, submission: Submission, brand: str) -> None:
        """Delete a brand; nothing when it is gone."""
        await self._api.delete(f"/10dlc/brand/{brand}")

    async def order_vetting(self, submission: Submission) -> Reference:
        """Order a vetting of a brand.

        Telnyx takes no second order for the same brand while one is under way or good, and answers a repetition as a
        duplicate: that is the same vetting.

        Raises:
            Refused: the brand cannot be vetted.
        """
        brand = thing_in(submission.parent_reference)
        if not brand:
            raise Refused([Finding("", "ATTRIBUTES_MISMATCH", "the brand is not registered with Telnyx")])
        try:
            await self._api.send("POST", f"/10dlc/brand/{brand}/externalVetting", self._vetting, {})
        except Refused as refused:
            if not _is_duplicate(refused):
                raise
        return Reference.of(submission, brand)

    async def vetting(self, reference: Reference, now: datetime) -> Decision | None:
        """Return the score of a vetting; one without a score fails after some days."""
        listed = await self._api.get(f"/10dlc/brand/{reference.thing}/externalVetting") or {}
        done: list[tuple[datetime, int]] = []
        for one in objects(listed.get("records")):
            same = all(text(one, name) == value for name, value in self._vetting.items())
            at, score = time(one, "vettedDate"), one.get("vettingScore")
            if not same or at is None or not isinstance(score, int) or not 0 <= score <= 100:
                continue
            if (time(one, "createDate") or at) >= reference.time - _KEPT:
                done.append((at, score))
        if done:
            at, score = max(done)
            return Decision(str(reference), DecisionState.SCORED, at, score=score)
        if now - reference.time >= self._vetting_ends:
            return _failed(reference, reference.time + self._vetting_ends, "no score came in time")
        return None

    def vetting_failed(self, reference: Reference, at: datetime, reasons: object) -> Decision:
        """Return the decision about a vetting of which an event says that it failed."""
        found = findings_of_reasons(reasons, BRAND)
        return _failed(reference, at, "; ".join(one.words for one in found))

    async def _marked(self, display_name: str, mark: str) -> str:
        query = {"displayName": display_name, "sort": "-createdAt", "recordsPerPage": _LIST}
        listed = await self._api.get("/10dlc/brand", query) or {}
        for one in objects(listed.get("records")):
            id = text(one, "brandId")
            brand = await self._api.get(f"/10dlc/brand/{id}") if id else None
            if brand is not None and url_mark(brand.get("webhookURL")) == mark:
                return id
        return ""


def _is_duplicate(refused: Refused) -> bool:
    return any("duplicate" in finding.words.lower() for finding in refused.findings)


def _rejected(reference: Reference, at: datetime, found: list[Finding]) -> Decision:
    first = found[0] if found else Finding("", "ATTRIBUTES_MISMATCH")
    return Decision(
        str(reference), DecisionState.REJECTED, at, first.cause, first.field, first.words, tuple(found),
        registered_id=reference.thing,
    )  # fmt: skip


def _failed(reference: Reference, at: datetime, words: str) -> Decision:
    return Decision(str(reference), DecisionState.FAILED, at, "ATTRIBUTES_MISMATCH", words=words)
