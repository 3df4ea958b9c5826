"""What must be told about a brand and a use case: the forms of pinpoint-2 4.2 and 4.5 as data, and their check. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from heliograph_registry10dlc.domain import Complain, Kind

FORM_VERSION = "2026-11"
_COUNTRY = r"[A-Z]{2}"
_URL = r"https?://\S+"
_EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"
_PHONE = r"\+\d{6,29}"
_NO_BLANK_ENDS = r"\S(.*\S)?"


@dataclass(frozen=True)
class Field:
    """One field of a form. Lengths are in characters; `when` makes it required only beside another field's value."""

    path: str
    description: str
    max_length: int = 0
    min_length: int = 1
    required: bool = True
    choices: tuple[str, ...] = ()
    pattern: str = ""
    when: tuple[str, str] | None = None


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_VERTICALS = _words(
    "AGRICULTURE COMMUNICATION CONSTRUCTION EDUCATION ENERGY ENTERTAINMENT FINANCIAL GAMBLING GOVERNMENT HEALTHCARE "
    "HOSPITALITY INSURANCE MANUFACTURING NGO REAL_ESTATE RETAIL TECHNOLOGY"
)
_EXCHANGES = _words(
    "NONE NASDAQ NYSE AMEX AMX ASX B3 BME BSE FRA ICEX JPX JSE KRX LON NSE OMX SEHK SGX SSE STO SWX SZSE TSX TWSE VSE "
    "OTHER"
)
STANDARD_USE_CASES = _words(
    "TWO_FACTOR_AUTHENTICATION ACCOUNT_NOTIFICATION CUSTOMER_CARE DELIVERY_NOTIFICATION FRAUD_ALERT HIGHER_EDUCATION "
    "MARKETING POLLING_VOTING PUBLIC_SERVICE_ANNOUNCEMENT SECURITY_ALERT"
)
_USE_CASES = (*STANDARD_USE_CASES, "MIXED", "LOW_VOLUME", "CHARITY")
_YES_NO = ("Yes", "No")
_PUBLIC = ("companyInfo.legalType", "PUBLIC_PROFIT")
# How many sub use cases a use case takes: fewest and most (pinpoint-2 4.5).
_SUB_USE_CASES = {"MIXED": (2, 5), "LOW_VOLUME": (1, 5)}

BRAND = (
    Field(
        "companyInfo.companyName",
        "The name of the company, exactly as on its tax record",
        100,
    ),
    Field("companyInfo.taxIdIssuingCountry", "Two letters", 2, pattern=_COUNTRY),
    Field(
        "companyInfo.taxId",
        "US: the EIN, nine digits; elsewhere the primary tax id",
        21,
    ),
    Field(
        "companyInfo.legalType",
        "The legal form; the last two only for US bodies",
        choices=("PRIVATE_PROFIT", "PUBLIC_PROFIT", "NON_PROFIT", "GOVERNMENT"),
    ),
    Field("companyInfo.stockSymbol", "The stock symbol", 10, when=_PUBLIC),
    Field(
        "companyInfo.stockExchange",
        "The stock exchange",
        choices=_EXCHANGES,
        when=_PUBLIC,
    ),
    Field(
        "companyInfo.businessContactEmail",
        "Receives the mail that proves the company",
        100,
        pattern=_EMAIL,
        when=_PUBLIC,
    ),
    Field("companyInfo.address", "Street and number", 100),
    Field("companyInfo.city", "City", 100),
    Field("companyInfo.state", "State or province", 50),
    Field("companyInfo.zipCode", "Postal code", 20),
    Field("companyInfo.isoCountryCode", "Two letters", 2, pattern=_COUNTRY),
    Field("contactInfo.dbaName", "The name it does business under", 100),
    Field("contactInfo.vertical", "The trade it is in", choices=_VERTICALS),
    Field("contactInfo.website", "Begins with http:// or https://", 100, pattern=_URL),
    Field("contactInfo.supportEmail", "Where customers write to", 100, pattern=_EMAIL),
    Field(
        "contactInfo.supportPhoneNumber",
        "Begins with +, without spaces or hyphens",
        30,
        pattern=_PHONE,
    ),
)
USE_CASE = (
    Field("campaignInfo.campaignName", "What is sent, to whom and why", 2048, 40),
    Field("campaignInfo.vertical", "The trade it belongs to", choices=_VERTICALS),
    Field(
        "campaignInfo.termsAndConditionsLink",
        "Terms",
        255,
        required=False,
        pattern=_URL,
    ),
    Field(
        "campaignInfo.privacyPolicyLink",
        "Privacy policy",
        255,
        required=False,
        pattern=_URL,
    ),
    Field(
        "campaignInfo.optInWorkflow",
        "Every way in which people agree",
        2048,
        40,
        pattern=_NO_BLANK_ENDS,
    ),
    Field(
        "campaignInfo.optInKeyword",
        "The word people send to agree",
        255,
        required=False,
    ),
    Field("campaignInfo.optInMessage", "What is answered when people agree", 255, 20),
    Field("campaignInfo.helpMessage", "What is answered to HELP", 255, 20),
    Field("campaignInfo.stopMessage", "What is answered to STOP", 255, 20),
    Field(
        "campaignCapabilities.numberCapabilities",
        "What its numbers do",
        choices=("SMS", "SMS and MMS", "SMS and VOICE", "SMS and MMS and VOICE"),
    ),
    Field(
        "campaignCapabilities.messageType",
        "Its class",
        required=False,
        choices=("Transactional", "Promotional"),
    ),
    Field("campaignUseCase.useCase", "What it is for", choices=_USE_CASES),
    Field(
        "campaignUseCase.subUseCases",
        "For MIXED and LOW_VOLUME: what it is made of, with commas",
        255,
        required=False,
    ),
    Field("campaignUseCase.subscriberOptIn", "People agree first", choices=("Yes",)),
    Field("campaignUseCase.subscriberOptOut", "People can stop it", choices=("Yes",)),
    Field("campaignUseCase.subscriberHelp", "People can ask for help", choices=("Yes",)),
    Field("campaignUseCase.directLending", "It offers loans", choices=_YES_NO),
    Field("campaignUseCase.embeddedLink", "Messages hold links", choices=_YES_NO),
    Field(
        "campaignUseCase.embeddedLinkSample",
        "A link as it will be sent",
        255,
        when=("campaignUseCase.embeddedLink", "Yes"),
    ),
    Field("campaignUseCase.embeddedPhone", "Messages hold phone numbers", choices=_YES_NO),
    Field("campaignUseCase.ageGated", "It is for adults", choices=_YES_NO),
    Field("messageSamples.messageSample1", "A message as it will be sent", 1024, 20),
    *(
        Field(
            f"messageSamples.messageSample{n}",
            "Another message as it will be sent",
            1024,
            20,
            required=False,
        )
        for n in range(2, 6)
    ),
)
FORMS: Mapping[Kind, tuple[Field, ...]] = {Kind.BRAND: BRAND, Kind.USE_CASE: USE_CASE}


def check(kind: Kind, values: Mapping[str, str], complain: Complain, *, complete: bool) -> None:
    """Tell `complain` everything that is wrong with a filled form; `complete` also asks for what is missing."""
    form = {field.path: field for field in FORMS[kind]}
    for path in sorted(values.keys() - form.keys()):
        complain(path, f"the form {kind} has no such field", "UNKNOWN_FIELD")
    for path, field in form.items():
        value = values.get(path, "")
        if value:
            _check_value(field, value, complain)
        elif complete and (field.required if field.when is None else values.get(field.when[0]) == field.when[1]):
            complain(path, f"is required: {field.description}", "REQUIRED")
    if kind is Kind.USE_CASE and values.get("campaignUseCase.useCase") in _USE_CASES:
        _check_sub_use_cases(values, complain, complete=complete)


def _check_value(field: Field, value: str, complain: Complain) -> None:
    if field.choices:
        if value not in field.choices:
            complain(
                field.path,
                f"must be one of {', '.join(field.choices)}",
                "UNKNOWN_CHOICE",
            )
    elif not field.min_length <= len(value) <= field.max_length:
        complain(
            field.path,
            f"must be {field.min_length} to {field.max_length} characters",
            "INVALID_LENGTH",
        )
    elif field.pattern and not re.fullmatch(field.pattern, value, re.DOTALL):
        complain(
            field.path,
            f"does not have the right form: {field.description}",
            "INVALID_FORMAT",
        )


def _check_sub_use_cases(values: Mapping[str, str], complain: Complain, *, complete: bool) -> None:
    path = "campaignUseCase.subUseCases"
    given = [part.strip() for part in values.get(path, "").split(",") if part.strip()]
    use_case = values["campaignUseCase.useCase"]
    if use_case not in _SUB_USE_CASES:
        if given:
            complain(path, f"{use_case} takes no sub use cases", "NOT_ALLOWED")
        return
    for unknown in sorted(set(given) - set(STANDARD_USE_CASES)):
        complain(path, f"{unknown} is no standard use case", "UNKNOWN_CHOICE")
    fewest, most = _SUB_USE_CASES[use_case]
    if (complete or given) and not fewest <= len(given) <= most:
        complain(path, f"{use_case} takes {fewest} to {most} of them", "OUT_OF_RANGE")
