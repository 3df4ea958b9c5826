"""Telnyx's 10DLC, toll-free and number APIs on loopback: strict about what comes in, answering in the documented shapes.

The shapes are files in `telnyx_registry`. What a thing is called decides how it fares: `Reject` in a company's name, a campaign's
description or a sample is rejected, numbers ending in 0999 cannot be assigned.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.plugins.http_peers import Call, HttpPeer, Reply
from tests.plugins.telnyx_peer import API_KEY

FOLDER = Path(__file__).parent / "telnyx_registry"
THINGS: dict[str, dict[str, Any]] = json.loads((FOLDER / "things.json").read_text())
ERRORS: dict[str, dict[str, Any]] = json.loads((FOLDER / "errors.json").read_text())
EVENTS: dict[str, dict[str, Any]] = json.loads((FOLDER / "events.json").read_text())
FEEDBACK: dict[str, Any] = json.loads((FOLDER / "feedback.json").read_text())
BRAND_ID: str = THINGS["brand"]["brandId"]
CAMPAIGN_ID: str = THINGS["campaign"]["campaignId"]
UPDATED = "2026-03-01T12:00:05.000000+00:00"

_BRAND = """businessContactEmail city companyName country displayName ein email entityType firstName ipAddress isReseller lastName
mobilePhone mock phone postalCode state stockExchange stockSymbol street vertical webhookFailoverURL webhookURL website""".split()
_CAMPAIGN = """ageGated autoRenewal brandId description directLending embeddedLink embeddedLinkSample embeddedPhone helpKeywords
helpMessage messageFlow mnoIds numberPool optinKeywords optinMessage optoutKeywords optoutMessage privacyPolicyLink referenceId
resellerId sample1 sample2 sample3 sample4 sample5 subUsecases subscriberHelp subscriberOptin subscriberOptout tag
termsAndConditions termsAndConditionsLink usecase webhookFailoverURL webhookURL""".split()
_CAMPAIGN_UPDATE = """autoRenewal helpMessage messageFlow resellerId sample1 sample2 sample3 sample4 sample5 webhookFailoverURL
webhookURL""".split()
_VERIFICATION = """additionalInformation ageGatedContent businessAddr1 businessAddr2 businessCity businessContactEmail
businessContactFirstName businessContactLastName businessContactPhone businessName businessRegistrationCountry
businessRegistrationNumber businessRegistrationType businessState businessZip campaignVerifyAuthorizationToken corporateWebsite
doingBusinessAs entityType helpMessageResponse isvReseller messageVolume optInConfirmationResponse optInKeywords optInWorkflow
optInWorkflowImageURLs phoneNumbers privacyPolicyURL productionMessageContent termsAndConditionURL useCase useCaseSummary
webhookUrl""".split()


def problem(name: str) -> Reply:
    """Return an error as the API answers it."""
    return Reply.of(ERRORS[name]["status"], ERRORS[name]["body"])


@dataclass
class FakeRegistry(HttpPeer):
    """What one account has; tests change it to play the registry."""

    brands: dict[str, dict[str, Any]] = field(default_factory=dict)
    campaigns: dict[str, dict[str, Any]] = field(default_factory=dict)
    assignments: dict[str, dict[str, Any]] = field(default_factory=dict)
    vettings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    available: list[dict[str, Any]] = field(default_factory=lambda: [THINGS["available"]])
    verifications: dict[str, dict[str, Any]] = field(default_factory=dict)
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    feedback: dict[str, Any] | None = None
    fares_well: bool = True
    """False: what is created waits until a test decides."""

    def __post_init__(self) -> None:
        self.brands[BRAND_ID] = dict(THINGS["brand"])
        self.campaigns[CAMPAIGN_ID] = dict(THINGS["campaign"])
        self.numbers["1293384261075731499"] = dict(THINGS["number"])

    @property
    def url(self) -> str:
        return f"{self.base_url}/v2"

    def made(self, method: str, path: str) -> list[Call]:
        """Return the calls of one kind."""
        return [one for one in self.calls if (one.method, urlsplit(one.target).path) == (method, f"/v2{path}")]

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != f"Bearer {API_KEY}":
            return problem("unauthorized")
        parts = urlsplit(call.target)
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        where = [unquote(part) for part in parts.path.split("/")[2:]]
        if call.body and call.headers.get("content-type") != "application/json":
            return problem("parameter")
        body = call.json if call.body else {}
        match (call.method, *where):
            case (_, "10dlc", "brand", *rest):
                return self._brand(call.method, rest, query, body)
            case ("POST", "10dlc", "campaignBuilder"):
                return self._create_campaign(body)
            case (_, "10dlc", "campaign", *rest):
                return self._campaign(call.method, rest, query, body)
            case (_, "10dlc", "phone_number_campaigns", *rest):
                return self._assignment(call.method, rest, body)
            case (_, "messaging_tollfree", "verification", "requests", *rest):
                return self._verification(call.method, rest, query, body)
            case _:
                return self._number(call.method, where, query, body)

    def _brand(self, method: str, rest: list[str], query: dict[str, str], body: dict[str, Any]) -> Reply:
        match (method, *rest):
            case ("GET",):
                found = [one for one in self.brands.values() if one["displayName"] == query["displayName"]]
                assert query["sort"] == "-createdAt"
                shown = ("brandId", "companyName", "displayName", "status", "identityStatus", "createdAt")
                records = [{name: one[name] for name in shown} for one in reversed(found)]
                return Reply.of(200, {"page": 1, "records": records, "totalRecords": len(records)})
            case ("POST",):
                if set(body) - set(_BRAND):
                    return problem("parameter")
                if len(body.get("ein", "")) > 20 or not str(body.get("website")).startswith("http"):
                    return problem("validation")
                id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"brand {len(self.brands)}"))
                self.brands[id] = {**THINGS["brand"], **body, "brandId": id, "referenceId": id}
                self._fate(self.brands[id])
                return Reply.of(200, self.brands[id])
            case ("GET", "feedback", id):
                return Reply.of(200, self.feedback or {"brandId": id, "category": []})
            case (_, id, "externalVetting") if id in self.brands:
                return self._vetting(method, id, body)
            case ("GET", id) if id in self.brands:
                return Reply.of(200, self.brands[id])
            case ("PUT", id) if id in self.brands:
                if set(body) - set(_BRAND) or "mock" in body:
                    return problem("parameter")
                self.brands[id] |= {**body, "updatedAt": "2026-03-01T12:05:05+00:00"}
                self._fate(self.brands[id])
                return Reply.of(200, self.brands[id])
            case ("DELETE", id) if self.brands.pop(id, None):
                return Reply(204)
        return problem("not found")

    def _fate(self, brand: dict[str, Any]) -> None:
        if not self.fares_well:
            brand |= {"status": "REGISTRATION_PENDING", "identityStatus": "UNVERIFIED", "tcrBrandId": None}
        elif "Reject" in brand["companyName"]:
            reasons = [{"fields": ["companyName"], "description": "The company name is not on the tax record."}]
            brand |= {"status": "REGISTRATION_FAILED", "failureReasons": json.dumps(reasons)}
        else:
            brand |= {"status": "OK", "identityStatus": "VERIFIED", "failureReasons": None}

    def _vetting(self, method: str, brand: str, body: dict[str, Any]) -> Reply:
        listed = self.vettings.setdefault(brand, [])
        if method == "GET":
            return Reply.of(200, [one for one in listed if one["vettedDate"]])
        assert set(body) == {"evpId", "vettingClass"}
        if listed:
            return problem("duplicate vetting")
        listed.append(dict(THINGS["vetting"]))
        if not self.fares_well:
            listed[0] |= {"vettedDate": None, "vettingScore": None}
        return Reply.of(200, listed[0])

    def _create_campaign(self, body: dict[str, Any]) -> Reply:
        if set(body) - set(_CAMPAIGN) or body.get("brandId") not in self.brands:
            return problem("parameter")
        if any(one["referenceId"] == body["referenceId"] for one in self.campaigns.values()):
            return problem("duplicate vetting")
        if body["usecase"] == "CHARITY":
            return problem("parameter")
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"campaign {len(self.campaigns)}"))
        status = "TELNYX_FAILED" if "Reject" in body["description"] else "MNO_PROVISIONED"
        reasons = "Campaign description is unclear" if status == "TELNYX_FAILED" else None
        told = {"campaignStatus": status if self.fares_well else "TCR_PENDING", "failureReasons": reasons}
        self.campaigns[id] = {**THINGS["campaign"], **body, "campaignId": id, **told}
        return Reply.of(200, self.campaigns[id])

    def _campaign(self, method: str, rest: list[str], query: dict[str, str], body: dict[str, Any]) -> Reply:
        match (method, *rest):
            case ("GET",):
                found = [one for one in self.campaigns.values() if one["brandId"] == query["brandId"]]
                assert 1 <= int(query["recordsPerPage"]) <= 500
                return Reply.of(200, {"page": 1, "records": found[::-1], "totalRecords": len(found)})
            case ("GET", id) if id in self.campaigns:
                return Reply.of(200, self.campaigns[id])
            case ("PUT", id) if id in self.campaigns:
                if set(body) - set(_CAMPAIGN_UPDATE):
                    return problem("parameter")
                other = any(self.campaigns[id][name] != value for name, value in body.items() if name != "webhookURL")
                self.campaigns[id] |= body
                if other and self.campaigns[id]["campaignStatus"] == "TELNYX_FAILED":
                    self.campaigns[id]["campaignStatus"] = "TCR_ACCEPTED"
                return Reply.of(200, self.campaigns[id])
            case ("POST", id, "appeal") if id in self.campaigns:
                assert body["appeal_reason"]
                self.campaigns[id]["campaignStatus"] = "TCR_ACCEPTED"
                return Reply.of(200, {"appealed_at": UPDATED})
            case ("DELETE", id) if self.campaigns.pop(id, None):
                return Reply.of(200, {"time": 1772366405, "record_type": "10dlc_campaign", "message": "deactivated"})
        return problem("not found")

    def _assignment(self, method: str, rest: list[str], body: dict[str, Any]) -> Reply:
        number = rest[0] if rest else body.get("phoneNumber", "")
        if method in ("POST", "PUT"):
            assert set(body) == {"phoneNumber", "campaignId"}
            if (method == "POST") == (number in self.assignments) or body["campaignId"] not in self.campaigns:
                return problem("parameter")
            if not number.startswith("+1206"):
                return problem("not found")
            status = "ASSIGNED" if self.fares_well else "PENDING_ASSIGNMENT"
            made = {**THINGS["assignment"], **body, "telnyxCampaignId": body["campaignId"], "assignmentStatus": status}
            if number.endswith("0999"):
                made |= {"assignmentStatus": "FAILED_ASSIGNMENT", "failureReasons": "The number is not SMS enabled"}
            self.assignments[number] = made
        elif number not in self.assignments:
            return problem("not found")
        elif method == "DELETE":
            return Reply.of(200, self.assignments.pop(number))
        return Reply.of(200, self.assignments[number])

    def _number(self, method: str, where: list[str], query: dict[str, str], body: dict[str, Any]) -> Reply:
        match (method, *where):
            case ("GET", "available_phone_numbers"):
                code = query.get("filter[national_destination_code]", "")
                assert query["filter[country_code]"] == "US"
                found = [one for one in self.available if one["phone_number"][2:].startswith(code)]
                return Reply.of(
                    200, {"data": found, "metadata": {"total_results": len(found), "best_effort_results": 0}}
                )
            case ("GET", "number_orders"):
                mark = query["filter[customer_reference]"]
                found = [one for one in self.orders.values() if one["customer_reference"] == mark]
                return Reply.of(200, {"data": found, "meta": {"page_number": 1, "total_results": len(found)}})
            case ("POST", "number_orders"):
                assert not set(body) - {"phone_numbers", "customer_reference", "messaging_profile_id"}
                id = (
                    str(uuid.uuid5(uuid.NAMESPACE_URL, f"order {len(self.orders)}"))
                    if self.orders
                    else THINGS["order"]["id"]
                )
                numbers = [{**THINGS["order"]["phone_numbers"][0], **one} for one in body["phone_numbers"]]
                order = {**THINGS["order"], **body, "id": id, "phone_numbers": numbers}
                self.orders[id] = order if self.fares_well else {**order, "status": "pending"}
                return Reply.of(200, {"data": self.orders[id]})
            case ("GET", "number_orders", id) if id in self.orders:
                return Reply.of(200, {"data": self.orders[id]})
            case ("GET", "phone_numbers"):
                found = [one for one in self.numbers.values() if one["phone_number"] == query["filter[phone_number]"]]
                return Reply.of(200, {"data": found, "meta": {"total_results": len(found)}})
            case ("DELETE", "phone_numbers", id) if id in self.numbers:
                return Reply.of(200, {"data": {**self.numbers.pop(id), "status": "deleted"}})
        return problem("not found")

    def _verification(self, method: str, rest: list[str], query: dict[str, str], body: dict[str, Any]) -> Reply:
        match (method, *rest):
            case ("GET",):
                assert (query["page"], query["page_size"]) == ("1", "100")
                found = [
                    one
                    for one in self.verifications.values()
                    if {"phoneNumber": query["phone_number"]} in one["phoneNumbers"]
                ]
                return Reply.of(200, {"records": found, "total_records": len(found)})
            case ("POST",):
                if set(body) - set(_VERIFICATION):
                    return problem("parameter")
                id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"verification {len(self.verifications)}"))
                self.verifications[id] = {**THINGS["verification"], **body, "id": id, "verificationRequestId": id}
                self._review(id)
                return Reply.of(200, self.verifications[id])
            case ("PATCH", id) if id in self.verifications:
                self.verifications[id] |= body
                self._review(id)
                return Reply.of(200, self.verifications[id])
            case ("GET", id, "status_history") if id in self.verifications:
                assert (query["page[number]"], query["page[size]"]) == ("1", "100")
                return Reply.of(200, {"records": self.histories[id], "total_records": len(self.histories[id])})
        return problem("not found")

    def _review(self, id: str) -> None:
        history = self.histories.setdefault(id, [])
        if "Reject" in self.verifications[id]["productionMessageContent"]:
            history.append(entry("Rejected", reason="productionMessageContent: the sample does not fit the use case"))
        elif self.fares_well:
            history.append(entry("Verified"))


def entry(status: str, at: str = UPDATED, reason: str | None = None) -> dict[str, Any]:
    """Return a line of a verification's history."""
    return {"verificationStatus": status, "reason": reason, "updatedAt": at}


def json_of(value: object) -> bytes:
    """Return a body."""
    return json.dumps(value).encode()
