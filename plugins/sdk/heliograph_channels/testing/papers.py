"""What the contract of registrars hands in, and the words in which each kind of papers may be decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from heliograph_channels.registrars import DecisionState, SubmissionKind

__all__ = ["APPROVALS", "PAPERS", "SUBMITTED", "WORDS"]

SUBMITTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When the contract hands in."""
_NUMBER = {"number": "+12065550100", "number_type": "TEN_DLC"}
_BRAND = {
    "companyInfo.companyName": "Example Telephone Company, Inc.",
    "companyInfo.taxIdIssuingCountry": "US",
    "companyInfo.taxId": "123456789",
    "companyInfo.legalType": "PRIVATE_PROFIT",
    "companyInfo.address": "1 Main Street",
    "companyInfo.city": "Seattle",
    "companyInfo.state": "WA",
    "companyInfo.zipCode": "98101",
    "companyInfo.isoCountryCode": "US",
    "contactInfo.dbaName": "Example Telephone",
    "contactInfo.vertical": "COMMUNICATION",
    "contactInfo.website": "https://example.com",
    "contactInfo.supportEmail": "support@example.com",
    "contactInfo.supportPhoneNumber": "+12065550199",
}
_USE_CASE = {
    "campaignInfo.campaignName": "Tells customers of Example Telephone when their parcels arrive.",
    "campaignInfo.vertical": "COMMUNICATION",
    "campaignInfo.optInWorkflow": "Customers tick a box at https://example.com/join and confirm it by SMS.",
    "campaignInfo.optInMessage": "Example Telephone: you get news of your parcels. Reply STOP to end.",
    "campaignInfo.helpMessage": "Example Telephone: write to support@example.com. Reply STOP to end.",
    "campaignInfo.stopMessage": "Example Telephone: you get no more messages.",
    "campaignCapabilities.numberCapabilities": "SMS",
    "campaignUseCase.useCase": "DELIVERY_NOTIFICATION",
    "campaignUseCase.subscriberOptIn": "Yes",
    "campaignUseCase.subscriberOptOut": "Yes",
    "campaignUseCase.subscriberHelp": "Yes",
    "campaignUseCase.directLending": "No",
    "campaignUseCase.embeddedLink": "No",
    "campaignUseCase.embeddedPhone": "No",
    "campaignUseCase.ageGated": "No",
    "messageSamples.messageSample1": "Example Telephone: your parcel arrives today. Reply STOP to end.",
}
_TOLL_FREE = {
    "number": "+18885550100",
    "companyInfo.companyName": "Example Telephone Company, Inc.",
    "companyInfo.website": "https://example.com",
    "companyInfo.address1": "1 Main Street",
    "companyInfo.city": "Seattle",
    "companyInfo.state": "WA",
    "companyInfo.zipCode": "98101",
    "companyInfo.isoCountryCode": "US",
    "contactInfo.firstName": "Ann",
    "contactInfo.lastName": "Example",
    "contactInfo.supportEmail": "support@example.com",
    "contactInfo.supportPhoneNumber": "+12065550199",
    "messagingUseCase.monthlyMessageVolume": "1000",
    "messagingUseCase.useCaseCategory": "Notifications",
    "messagingUseCase.useCaseDetails": "Tells customers when their parcels arrive.",
    "messagingUseCase.optInDescription": "Customers tick a box at https://example.com/join.",
    "messagingUseCase.optInImage": "https://example.com/join.png",
    "messageSamples.messageSample1": "Example Telephone: your parcel arrives today.",
}
PAPERS: Mapping[SubmissionKind, Mapping[str, str]] = {
    SubmissionKind.BRAND: _BRAND,
    SubmissionKind.VETTING: {},
    SubmissionKind.USE_CASE: _USE_CASE,
    SubmissionKind.NUMBER: _NUMBER,
    SubmissionKind.TOLL_FREE: _TOLL_FREE,
    SubmissionKind.ORDER: {
        "number_type": "TEN_DLC",
        "capabilities": "SMS,VOICE",
        "area_code": "",
        "quantity": "1",
    },
    SubmissionKind.DISASSOCIATION: _NUMBER,
    SubmissionKind.RENEWAL: _USE_CASE,
    SubmissionKind.AMENDMENT: _USE_CASE,
    SubmissionKind.RELEASE: _NUMBER,
    SubmissionKind.WITHDRAWAL: _USE_CASE,
}
"""Good papers of each kind, fields by the paths of pinpoint-2 4.2, 4.5 and 4.10."""
APPROVALS: Mapping[SubmissionKind, DecisionState] = {
    SubmissionKind.BRAND: DecisionState.VERIFIED,
    SubmissionKind.VETTING: DecisionState.SCORED,
    SubmissionKind.USE_CASE: DecisionState.APPROVED,
    SubmissionKind.NUMBER: DecisionState.READY,
    SubmissionKind.TOLL_FREE: DecisionState.APPROVED,
    SubmissionKind.ORDER: DecisionState.BOUGHT,
    SubmissionKind.DISASSOCIATION: DecisionState.DETACHED,
    SubmissionKind.RENEWAL: DecisionState.RENEWED,
}
"""What good papers come to; errands come to nothing."""
_REFUSED = frozenset({DecisionState.REJECTED, DecisionState.DECLINED})
_ENDS = frozenset({DecisionState.SUSPENDED, DecisionState.EXPIRED})
WORDS: Mapping[SubmissionKind, frozenset[DecisionState]] = {
    SubmissionKind.BRAND: _REFUSED | _ENDS | {DecisionState.VERIFIED, DecisionState.NEEDS_AUTHENTICATION},
    SubmissionKind.VETTING: frozenset({DecisionState.SCORED, DecisionState.FAILED}),
    SubmissionKind.USE_CASE: _REFUSED | _ENDS | {DecisionState.APPROVED},
    SubmissionKind.NUMBER: frozenset({DecisionState.READY, DecisionState.REJECTED}),
    SubmissionKind.TOLL_FREE: _REFUSED | {DecisionState.APPROVED, DecisionState.SUSPENDED},
    SubmissionKind.ORDER: frozenset({DecisionState.BOUGHT, DecisionState.FAILED}),
    SubmissionKind.DISASSOCIATION: frozenset({DecisionState.DETACHED}),
    # What is renewed goes on under the renewal's reference.
    SubmissionKind.RENEWAL: _ENDS
    | {DecisionState.RENEWED, DecisionState.REJECTED, DecisionState.VERIFIED, DecisionState.APPROVED},
}
"""All that may be decided about each kind; about errands nothing."""
