"""Numbers: bought, put into campaigns, taken out, given up.

An order carries its mark as `customer_reference`, by which Telnyx lists it again. What belongs to a number (its campaign) is
looked at before it is changed, so a repetition changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from heliograph_channel_telnyx.registry.api import Api, objects, text, time
from heliograph_channel_telnyx.registry.findings import findings_of_reasons
from heliograph_channel_telnyx.registry.references import Reference, mark_of, thing_in
from heliograph_channels import Decision, DecisionState, Finding, Refused, Submission

__all__ = ["Numbers"]

_PATHS = {"phoneNumber": "number", "phone_number": "number", "campaignId": ""}
_TYPES = {"TOLL_FREE": "toll_free"}
_FEATURES = {"SMS": "sms", "VOICE": "voice"}


class Numbers:
    """The numbers of one account."""

    def __init__(self, api: Api, settings: Mapping[str, Any]) -> None:
        """Take the API and complete settings."""
        self._api = api
        self._profile = str(settings.get("messaging_profile_id") or "")

    async def associate(self, submission: Submission) -> Reference:
        """Put a number into a campaign.

        Raises:
            Refused: the campaign is not known to Telnyx, or the number is not fit.
        """
        campaign, number = thing_in(submission.parent_reference), submission.fields.get("number", "")
        if not campaign:
            raise Refused([Finding("", "ATTRIBUTES_MISMATCH", "the use case is not registered with Telnyx")])
        body = {"phoneNumber": number, "campaignId": campaign}
        now = await self._api.get(f"/10dlc/phone_number_campaigns/{number}")
        if now is None:
            await self._api.send("POST", "/10dlc/phone_number_campaigns", body, _PATHS, missing="number")
        elif not _belongs(now, campaign) or self._failed_before(now, submission):
            await self._api.send("PUT", f"/10dlc/phone_number_campaigns/{number}", body, _PATHS)
        return Reference.of(submission, number, campaign)

    async def association(self, reference: Reference, now: datetime) -> Decision | None:
        """Return what is decided about a number's way into its campaign."""
        found = await self._api.get(f"/10dlc/phone_number_campaigns/{reference.thing}")
        if found is None or not _belongs(found, reference.other):
            return None
        at, status = time(found, "updatedAt", "createdAt") or now, text(found, "assignmentStatus")
        if status == "ASSIGNED":
            return Decision(str(reference), DecisionState.READY, at)
        if status != "FAILED_ASSIGNMENT":
            return None
        reasons = findings_of_reasons(found.get("failureReasons"), _PATHS)
        told = tuple(replace(one, field="number") for one in reasons) or (Finding("number", "ATTRIBUTES_MISMATCH"),)
        return Decision(
            str(reference), DecisionState.REJECTED, at, told[0].cause, "number", told[0].words, told
        )  # fmt: skip

    async def disassociate(self, submission: Submission) -> Reference:
        """Take a number out of its campaign; nothing when it is out."""
        number = submission.fields.get("number", "")
        await self._api.delete(f"/10dlc/phone_number_campaigns/{number}")
        return Reference.of(submission, number)

    async def detached(self, reference: Reference, now: datetime) -> Decision | None:
        """Tell when a number belongs to no campaign any more."""
        if await self._api.get(f"/10dlc/phone_number_campaigns/{reference.thing}") is not None:
            return None
        return Decision(str(reference), DecisionState.DETACHED, now)

    async def order(self, submission: Submission) -> Reference:
        """Look for a number and order it.

        Raises:
            Refused: there is none like that.
        """
        mark = mark_of(submission)
        listed = await self._api.get("/number_orders", {"filter[customer_reference]": mark}) or {}
        for one in objects(listed.get("data")):
            if text(one, "customer_reference") == mark and text(one, "id"):
                return Reference.of(submission, text(one, "id"))
        body: dict[str, object] = {
            "phone_numbers": [{"phone_number": await self._free(submission.fields)}],
            "customer_reference": mark,
        }
        if self._profile:
            body["messaging_profile_id"] = self._profile
        made = await self._api.send("POST", "/number_orders", body, _PATHS)
        return Reference.of(submission, text(made.get("data") or {}, "id"))

    async def bought(self, reference: Reference, now: datetime) -> Decision | None:
        """Return what became of an order."""
        answer = await self._api.get(f"/number_orders/{reference.thing}")
        order = (answer or {}).get("data")
        if not isinstance(order, dict):
            return None
        at, status = time(order, "updated_at", "created_at") or now, text(order, "status")
        one = next(iter(objects(order.get("phone_numbers"))), {})
        if status == "success" and text(one, "phone_number"):
            return Decision(
                str(reference), DecisionState.BOUGHT, at, number=text(one, "phone_number"), registered_id=text(one, "id")
            )  # fmt: skip
        if status == "failure":
            return Decision(str(reference), DecisionState.FAILED, at, "NO_NUMBER_AVAILABLE")
        return None

    async def release(self, submission: Submission) -> Reference:
        """Give a number up; nothing when the account has it no more."""
        number = submission.fields.get("number", "")
        listed = await self._api.get("/phone_numbers", {"filter[phone_number]": number}) or {}
        for one in objects(listed.get("data")):
            if text(one, "phone_number") == number and text(one, "id"):
                await self._api.delete(f"/phone_numbers/{text(one, 'id')}")
        return Reference.of(submission, number)

    async def _free(self, fields: Mapping[str, str]) -> str:
        query = {
            "filter[country_code]": "US",
            "filter[phone_number_type]": _TYPES.get(fields.get("number_type", ""), "local"),
            "filter[limit]": "1",
        }
        wanted = [_FEATURES[part] for part in fields.get("capabilities", "SMS").split(",") if part in _FEATURES]
        if wanted:
            query["filter[features]"] = ",".join(wanted)
        if area_code := fields.get("area_code", ""):
            query["filter[national_destination_code]"] = area_code
        listed = await self._api.get("/available_phone_numbers", query) or {}
        for one in objects(listed.get("data")):
            if number := text(one, "phone_number"):
                return number
        field = "area_code" if area_code else "number_type"
        raise Refused([Finding(field, "NO_NUMBER_AVAILABLE", "Telnyx has no such number at the moment")])

    @staticmethod
    def _failed_before(found: Mapping[str, Any], submission: Submission) -> bool:
        """Tell whether an assignment failed before this handing in: then it is tried once more."""
        at = time(found, "updatedAt")
        return (
            text(found, "assignmentStatus") == "FAILED_ASSIGNMENT" and at is not None and at < submission.submitted_at
        )


def _belongs(found: Mapping[str, Any], campaign: str) -> bool:
    return campaign in (found.get("campaignId"), found.get("telnyxCampaignId"), found.get("tcrCampaignId"))
