"""The fields of our form TOLL_FREE (pinpoint-2 4.10) as the body of Telnyx's verification requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heliograph_channel_telnyx.registry.regions import state_name
from heliograph_channels import Finding, Refused

__all__ = ["TOLL_FREE", "verification_body"]

_TEXTS: Mapping[str, str] = {
    "businessName": "companyInfo.companyName",
    "corporateWebsite": "companyInfo.website",
    "businessAddr1": "companyInfo.address1",
    "businessAddr2": "companyInfo.address2",
    "businessCity": "companyInfo.city",
    "businessZip": "companyInfo.zipCode",
    "businessContactFirstName": "contactInfo.firstName",
    "businessContactLastName": "contactInfo.lastName",
    "businessContactEmail": "contactInfo.supportEmail",
    "businessContactPhone": "contactInfo.supportPhoneNumber",
    "useCaseSummary": "messagingUseCase.useCaseDetails",
    "optInWorkflow": "messagingUseCase.optInDescription",
    # Asked for in later versions of the form.
    "entityType": "companyInfo.legalType",
    "businessRegistrationNumber": "companyInfo.taxId",
    "businessRegistrationCountry": "companyInfo.taxIdIssuingCountry",
    "businessRegistrationType": "companyInfo.taxIdAuthority",
    "doingBusinessAs": "contactInfo.dbaName",
}
TOLL_FREE: Mapping[str, str] = {
    **_TEXTS,
    "businessState": "companyInfo.state",
    "messageVolume": "messagingUseCase.monthlyMessageVolume",
    "useCase": "messagingUseCase.useCaseCategory",
    "optInWorkflowImageURLs": "messagingUseCase.optInImage",
    "productionMessageContent": "messageSamples.messageSample1",
    "phoneNumbers": "number",
}
"""Our fields by Telnyx's names of a verification request."""
_VOLUMES = (10, 100, 1_000, 10_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 5_000_000)
_MOST_VOLUME = "10,000,000+"
# The form's seven use cases, however they are written, by Telnyx's.
_USE_CASES = {
    "twofactorauthentication": "2FA",
    "onetimepasswords": "2FA",
    "notifications": "App Notifications",
    "pollingandsurveys": "Surveys",
    "infoondemand": "Conversational / Alerts",
    "promotionsandmarketing": "General Marketing",
    "other": "Mixed",
}


def verification_body(fields: Mapping[str, str], *, webhook_url: str) -> dict[str, object]:
    """Return the body of a verification request.

    Raises:
        Refused: Telnyx has no word for what a field holds, or wants it otherwise.
    """
    wrong: list[Finding] = []

    def mend(name: str, words: str) -> None:
        wrong.append(Finding(TOLL_FREE[name], "ATTRIBUTES_MISMATCH", words))

    body: dict[str, object] = {name: fields[path] for name, path in _TEXTS.items() if fields.get(path)}
    if fields.get("companyInfo.isoCountryCode", "US") == "US":
        body["businessState"] = state_name(fields.get("companyInfo.state", ""))
        if body["businessState"] is None:
            mend("businessState", "is no state of the USA")
    else:
        body["businessState"] = fields.get("companyInfo.state", "")
    body["messageVolume"] = _volume(fields.get(TOLL_FREE["messageVolume"], ""))
    if body["messageVolume"] is None:
        mend("messageVolume", "must be a number of messages a month")
    category = re.sub(r"[^a-z]", "", fields.get(TOLL_FREE["useCase"], "").lower())
    body["useCase"] = _USE_CASES.get(category)
    if body["useCase"] is None:
        mend("useCase", "is no use case that Telnyx verifies")
    image = fields.get(TOLL_FREE["optInWorkflowImageURLs"], "")
    if not re.match(r"https?://\S+$", image):
        mend("optInWorkflowImageURLs", "Telnyx fetches the picture: give the public address at which it stands")
    if wrong:
        raise Refused(wrong)
    samples = [fields.get(f"messageSamples.messageSample{number}", "") for number in (1, 2, 3)]
    return body | {
        "optInWorkflowImageURLs": [{"url": image}],
        "productionMessageContent": "\n".join(filter(None, samples)),
        "phoneNumbers": [{"phoneNumber": fields.get("number", "")}],
        "additionalInformation": fields.get("messagingUseCase.additionalInformation", ""),
        "webhookUrl": webhook_url,
    }


def _volume(text: str) -> str | None:
    """Return the smallest of Telnyx's volumes that holds so many messages; of a span like `1,000-10,000` its end."""
    numbers = [int(digits) for part in re.findall(r"[0-9][0-9,]{0,14}", text) if (digits := part.replace(",", ""))]
    if not numbers:
        return None
    return next((f"{volume:,}" for volume in _VOLUMES if volume >= max(numbers)), _MOST_VOLUME)
