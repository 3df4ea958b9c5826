"""The fields of our forms (pinpoint-2 4.2, 4.5) as the bodies of Telnyx's brands and campaigns. Pure.

Without counterpart at Telnyx: `companyInfo.taxIdIssuingCountry`, `campaignInfo.vertical`, `campaignCapabilities.*` and every
attachment.
"""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_channel_telnyx.registry.regions import state_code
from heliograph_channels import Finding, Refused

__all__ = ["AMENDABLE", "BRAND", "USE_CASE", "brand_body", "campaign_body"]

BRAND: Mapping[str, str] = {
    "displayName": "contactInfo.dbaName",
    "companyName": "companyInfo.companyName",
    "ein": "companyInfo.taxId",
    "entityType": "companyInfo.legalType",
    "country": "companyInfo.isoCountryCode",
    "street": "companyInfo.address",
    "city": "companyInfo.city",
    "state": "companyInfo.state",
    "postalCode": "companyInfo.zipCode",
    "stockSymbol": "companyInfo.stockSymbol",
    "stockExchange": "companyInfo.stockExchange",
    "businessContactEmail": "companyInfo.businessContactEmail",
    "vertical": "contactInfo.vertical",
    "website": "contactInfo.website",
    "email": "contactInfo.supportEmail",
    "phone": "contactInfo.supportPhoneNumber",
}
"""Our fields by Telnyx's names of a brand."""
_SAMPLES = {f"sample{number}": f"messageSamples.messageSample{number}" for number in range(1, 6)}
_TEXTS: Mapping[str, str] = {
    "description": "campaignInfo.campaignName",
    "messageFlow": "campaignInfo.optInWorkflow",
    "optinKeywords": "campaignInfo.optInKeyword",
    "optinMessage": "campaignInfo.optInMessage",
    "helpMessage": "campaignInfo.helpMessage",
    "optoutMessage": "campaignInfo.stopMessage",
    "termsAndConditionsLink": "campaignInfo.termsAndConditionsLink",
    "privacyPolicyLink": "campaignInfo.privacyPolicyLink",
    "embeddedLinkSample": "campaignUseCase.embeddedLinkSample",
    **_SAMPLES,
}
_FLAGS: Mapping[str, str] = {
    "subscriberOptin": "campaignUseCase.subscriberOptIn",
    "subscriberOptout": "campaignUseCase.subscriberOptOut",
    "subscriberHelp": "campaignUseCase.subscriberHelp",
    "directLending": "campaignUseCase.directLending",
    "embeddedLink": "campaignUseCase.embeddedLink",
    "embeddedPhone": "campaignUseCase.embeddedPhone",
    "ageGated": "campaignUseCase.ageGated",
}
USE_CASE: Mapping[str, str] = {
    **_TEXTS,
    **_FLAGS,
    "usecase": "campaignUseCase.useCase",
    "subUsecases": "campaignUseCase.subUseCases",
}
"""Our fields by Telnyx's names of a campaign."""
AMENDABLE = ("helpMessage", "messageFlow", *_SAMPLES)
"""What of a campaign can change without another registration (Telnyx's "Update campaign")."""

# Telnyx's `StockExchange`; our form has SGX and OTHER besides.
_EXCHANGES = frozenset(
    "NONE NASDAQ NYSE AMEX AMX ASX B3 BME BSE FRA ICEX JPX JSE KRX LON NSE OMX SEHK SSE STO SWX SZSE TSX TWSE VSE".split()
)
_USE_CASES = {"TWO_FACTOR_AUTHENTICATION": "2FA"}
# The words messaging answers by itself (pinpoint-2 2.4).
_STOP = "STOP,ARRET,CANCEL,END,OPT-OUT,OPTOUT,QUIT,REMOVE,TD,UNSUBSCRIBE"
_LONGEST_KEYWORDS = 255


def brand_body(fields: Mapping[str, str], *, webhook_url: str, mock: bool) -> dict[str, object]:
    """Return the body of a brand.

    Raises:
        Refused: Telnyx has no word for what a field holds.
    """
    body: dict[str, object] = {name: fields[path] for name, path in BRAND.items() if fields.get(path)}
    body.setdefault("displayName", fields.get("companyInfo.companyName", ""))
    public = fields.get("companyInfo.legalType") == "PUBLIC_PROFIT"
    wrong: list[Finding] = []
    if not public:
        for name in ("stockSymbol", "stockExchange", "businessContactEmail"):
            body.pop(name, None)
    elif fields.get("companyInfo.stockExchange", "") not in _EXCHANGES:
        words = "Telnyx knows " + ", ".join(sorted(_EXCHANGES))
        wrong.append(Finding("companyInfo.stockExchange", "ATTRIBUTES_MISMATCH", words))
    if fields.get("companyInfo.isoCountryCode") == "US":
        code = state_code(fields.get("companyInfo.state", ""))
        if code is None:
            wrong.append(Finding("companyInfo.state", "ATTRIBUTES_MISMATCH", "is no state of the USA"))
        body["state"] = code
    if wrong:
        raise Refused(wrong)
    body["webhookURL"] = webhook_url
    if mock:
        body["mock"] = True
    return body


def campaign_body(
    fields: Mapping[str, str], *, brand: str, mark: str, webhook_url: str, auto_renewal: bool
) -> dict[str, object]:
    """Return the body of a campaign of a brand; `mark` must never have been used before."""
    body: dict[str, object] = {name: fields[path] for name, path in _TEXTS.items() if fields.get(path)}
    body |= {name: fields.get(path) == "Yes" for name, path in _FLAGS.items()}
    body["usecase"] = _use_case(fields.get("campaignUseCase.useCase", ""))
    listed = [part.strip() for part in fields.get("campaignUseCase.subUseCases", "").split(",")]
    body["subUsecases"] = [_use_case(part) for part in listed if part]
    if keywords := body.get("optinKeywords"):
        body["optinKeywords"] = ",".join(word.strip() for word in str(keywords).split(","))[:_LONGEST_KEYWORDS]
    return body | {
        "brandId": brand,
        "referenceId": mark,
        "webhookURL": webhook_url,
        "autoRenewal": auto_renewal,
        "helpKeywords": "HELP",
        "optoutKeywords": _STOP,
        "numberPool": False,
        "termsAndConditions": True,
    }


def _use_case(ours: str) -> str:
    return _USE_CASES.get(ours, ours)
