"""Use cases, which Telnyx calls campaigns: handed in, mended, amended, renewed, withdrawn, decided.

The mark of a handing in is the campaign's `referenceId`, which Telnyx lets nobody use twice. Of a campaign only the samples, the
reply to HELP and the way people agree can change; papers that differ in more are another campaign, and the old one ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from heliograph_channel_telnyx.registry.api import Api, objects, text, time
from heliograph_channel_telnyx.registry.findings import findings_of_reasons
from heliograph_channel_telnyx.registry.forms import AMENDABLE, USE_CASE, campaign_body
from heliograph_channel_telnyx.registry.references import Reference, mark_of, marked_url, thing_in, url_mark
from heliograph_channels import Decision, DecisionState, Finding, Refused, Submission, SubmissionKind

__all__ = ["Campaigns"]

_LIST = "500"
_REFUSED = frozenset({"TCR_FAILED", "TELNYX_FAILED", "MNO_REJECTED", "MNO_PROVISIONING_FAILED"})
_APPEALABLE = frozenset({"TELNYX_FAILED", "MNO_REJECTED"})
_STOPPED = frozenset({"DORMANT", "SUSPENDED"})
# What we say of a campaign and Telnyx does not compare: ours are new each time, or Telnyx sets them.
_NOT_COMPARED = frozenset({"referenceId", "webhookURL", "autoRenewal", "brandId", *AMENDABLE})
_APPEAL = "What the review found was mended outside of the registered texts. Please review again."


class Campaigns:
    """The campaigns of one account."""

    def __init__(self, api: Api, settings: Mapping[str, Any]) -> None:
        """Take the API and complete settings."""
        self._api = api
        self._webhook_url = str(settings["webhook_url"])
        self._auto_renewal = bool(settings["auto_renewal"])

    async def submit(self, submission: Submission) -> Reference:
        """Hand a campaign in: a new one, or one that was refused and is mended.

        Raises:
            Refused: Telnyx or the registry says what to mend.
        """
        brand = thing_in(submission.parent_reference)
        if not brand:
            raise Refused([Finding("", "ATTRIBUTES_MISMATCH", "the brand is not registered with Telnyx")])
        mark, url = mark_of(submission), marked_url(self._webhook_url, submission)
        body = campaign_body(
            submission.fields, brand=brand, mark=mark, webhook_url=url, auto_renewal=self._auto_renewal
        )  # fmt: skip
        known = thing_in(submission.registered_id) or thing_in(submission.earlier_reference)
        old = await self._api.get(f"/10dlc/campaign/{known}") if known else None
        if old is not None and await self._mended(known, old, body, mark):
            return Reference.of(submission, known)
        found = await self._marked(brand, mark)
        if not found:
            found = text(await self._api.send("POST", "/10dlc/campaignBuilder", body, USE_CASE), "campaignId")
        if old is not None and found != known:
            await self._api.delete(f"/10dlc/campaign/{known}")
        return Reference.of(submission, found)

    async def decision(self, reference: Reference, now: datetime) -> Decision | None:
        """Return what is decided about a campaign now, None while nothing is. The API tells no times: it is now."""
        campaign = await self._api.get(f"/10dlc/campaign/{reference.thing}")
        if campaign is None:
            return None
        status, told = text(campaign, "campaignStatus"), str(reference)
        found = findings_of_reasons(campaign.get("failureReasons"), USE_CASE)
        if status == "TCR_EXPIRED" or text(campaign, "status") == "EXPIRED":
            return Decision(told, DecisionState.EXPIRED, now)
        if status == "TCR_SUSPENDED" or text(campaign, "status") in _STOPPED or campaign.get("isTMobileSuspended"):
            return _with(Decision(told, DecisionState.SUSPENDED, now), found)
        if status in _REFUSED or text(campaign, "submissionStatus") == "FAILED":
            return _with(Decision(told, DecisionState.REJECTED, now, registered_id=reference.thing), found)
        if status != "MNO_PROVISIONED":
            return None
        renews = campaign.get("autoRenewal") is not False
        ends = None if renews else time(campaign, "nextRenewalOrExpirationDate")
        word = DecisionState.RENEWED if reference.kind is SubmissionKind.RENEWAL else DecisionState.APPROVED
        if word is DecisionState.RENEWED and not renews:
            return None
        return Decision(told, word, now, registered_id=reference.thing, expires_at=ends)

    async def amend(self, submission: Submission, campaign: str) -> None:
        """Give an approved campaign other samples and another reply to HELP; the reply to STOP cannot change.

        Raises:
            Refused: the campaign is gone, something is to be mended, or the reply to STOP is another one.
        """
        now = await self._existing(campaign)
        body = {name: submission.fields[USE_CASE[name]] for name in AMENDABLE if submission.fields.get(USE_CASE[name])}
        if any(now.get(name) != value for name, value in body.items()):
            await self._api.send("PUT", f"/10dlc/campaign/{campaign}", body, USE_CASE)
        stop, registered = USE_CASE["optoutMessage"], text(now, "optoutMessage")
        if registered and submission.fields.get(stop, "") not in ("", registered):
            words = "Telnyx changes the reply to STOP of no campaign: register another"
            raise Refused([Finding(stop, "ATTRIBUTES_MISMATCH", words)])

    async def renew(self, submission: Submission, campaign: str) -> Reference:
        """Let a campaign renew itself from now on. Brands of Telnyx do not run out.

        Raises:
            Refused: the campaign is gone or ran out, which is for good.
        """
        now = await self._existing(campaign)
        if text(now, "campaignStatus") == "TCR_EXPIRED" or text(now, "status") == "EXPIRED":
            raise Refused([Finding("", "ATTRIBUTES_MISMATCH", "a campaign that ran out has to be registered anew")])
        if now.get("autoRenewal") is False:
            await self._api.send("PUT", f"/10dlc/campaign/{campaign}", {"autoRenewal": True}, USE_CASE)
        return Reference.of(submission, campaign)

    async def withdraw(self, submission: Submission, campaign: str) -> None:
        """End a campaign, for good; nothing when it is gone."""
        await self._api.delete(f"/10dlc/campaign/{campaign}")

    async def _existing(self, campaign: str) -> dict[str, Any]:
        now = await self._api.get(f"/10dlc/campaign/{campaign}")
        if now is None:
            raise Refused([Finding("", "ATTRIBUTES_MISMATCH", "Telnyx has no such campaign any more")])
        return now

    async def _mended(self, id: str, old: Mapping[str, Any], body: Mapping[str, object], mark: str) -> bool:
        """Mend a campaign in place; False when it must be another one."""
        marked = url_mark(old.get("webhookURL")) == mark
        if text(old, "campaignStatus") not in _APPEALABLE:
            return marked  # the answer to this very handing in was lost
        if any(old.get(name) != value for name, value in body.items() if name not in _NOT_COMPARED):
            return False
        if not marked:
            changed = {name: body[name] for name in AMENDABLE if name in body}
            mended = {**changed, "webhookURL": body["webhookURL"]}
            old = await self._api.send("PUT", f"/10dlc/campaign/{id}", mended, USE_CASE)
        # Other texts put a refused campaign back into review by themselves; the same ones need an appeal. One that was
        # under way when we crashed is made again, which reviewers survive.
        if text(old, "campaignStatus") in _APPEALABLE:
            await self._api.send("POST", f"/10dlc/campaign/{id}/appeal", {"appeal_reason": _APPEAL}, USE_CASE)
        return True

    async def _marked(self, brand: str, mark: str) -> str:
        query = {"brandId": brand, "sort": "-createdAt", "recordsPerPage": _LIST}
        listed = await self._api.get("/10dlc/campaign", query) or {}
        marked = (text(one, "campaignId") for one in objects(listed.get("records")) if one.get("referenceId") == mark)
        return next(marked, "")


def _with(decision: Decision, found: list[Finding]) -> Decision:
    first = found[0] if found else Finding("", "ATTRIBUTES_MISMATCH")
    return Decision(
        decision.reference, decision.state, decision.at, first.cause, first.field, first.words, tuple(found),
        registered_id=decision.registered_id,
    )  # fmt: skip
