"""Complete papers of a made-up company, to be changed by tests."""

from __future__ import annotations

BRAND = {
    "companyInfo.companyName": "Example Records Inc",
    "companyInfo.taxIdIssuingCountry": "US",
    "companyInfo.taxId": "123456789",
    "companyInfo.legalType": "PRIVATE_PROFIT",
    "companyInfo.address": "1 Main Street",
    "companyInfo.city": "Springfield",
    "companyInfo.state": "IL",
    "companyInfo.zipCode": "62701",
    "companyInfo.isoCountryCode": "US",
    "contactInfo.dbaName": "Example Records",
    "contactInfo.vertical": "RETAIL",
    "contactInfo.website": "https://records.example.com",
    "contactInfo.supportEmail": "help@records.example.com",
    "contactInfo.supportPhoneNumber": "+12065550100",
}
USE_CASE = {
    "campaignInfo.campaignName": "News of records for customers who asked for them in our shop",
    "campaignInfo.vertical": "RETAIL",
    "campaignInfo.optInWorkflow": "Customers tick a box at the checkout of our shop to get news by SMS",
    "campaignInfo.optInMessage": "Example Records: you get our news now. Reply STOP to end.",
    "campaignInfo.helpMessage": "Example Records: write to help@records.example.com",
    "campaignInfo.stopMessage": "Example Records: you get no more messages from us",
    "campaignCapabilities.numberCapabilities": "SMS",
    "campaignUseCase.useCase": "MARKETING",
    "campaignUseCase.subscriberOptIn": "Yes",
    "campaignUseCase.subscriberOptOut": "Yes",
    "campaignUseCase.subscriberHelp": "Yes",
    "campaignUseCase.directLending": "No",
    "campaignUseCase.embeddedLink": "No",
    "campaignUseCase.embeddedPhone": "No",
    "campaignUseCase.ageGated": "No",
    "messageSamples.messageSample1": "Example Records: new arrivals this week for you",
}
TOLL_FREE: dict[str, str] = {}
