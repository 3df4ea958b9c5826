"""Chapter four: a brand, a use case and a number, from draft to ready with the clock hurried, and SMS from the number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc

from heliograph.campaigns.v1 import campaigns_pb2
from heliograph.messaging.v1 import dispatch_pb2, messages_pb2, templates_pb2
from heliograph.registry10dlc.v1 import registry_pb2
from heliograph_suite.demo.campaign import finished_run, funnel_figures, use_channel
from heliograph_suite.demo.stage import PROJECT, Stage, until

NUMBER = "+15552000000"
_STEPS = 6
Registered: TypeAlias = registry_pb2.Brand | registry_pb2.UseCase | registry_pb2.PhoneNumber
BRAND = {
    "companyInfo.companyName": "Record Shop Inc",
    "companyInfo.taxIdIssuingCountry": "US",
    "companyInfo.taxId": "123456789",
    "companyInfo.legalType": "PRIVATE_PROFIT",
    "companyInfo.address": "1 Main Street",
    "companyInfo.city": "Springfield",
    "companyInfo.state": "IL",
    "companyInfo.zipCode": "62701",
    "companyInfo.isoCountryCode": "US",
    # The simulator's registrar would draw a score, and carriers let a brand of a low one send a text in five seconds.
    "contactInfo.dbaName": "Record Shop (Score:90)",
    "contactInfo.vertical": "RETAIL",
    "contactInfo.website": "https://records.example.com",
    "contactInfo.supportEmail": "help@records.example.com",
    "contactInfo.supportPhoneNumber": "+15552999999",
}
USE_CASE = {
    "campaignInfo.campaignName": "News of new arrivals for customers who asked for them in our shop",
    "campaignInfo.vertical": "RETAIL",
    "campaignInfo.optInWorkflow": "Customers tick a box at the checkout of our shop to get news by SMS",
    "campaignInfo.optInMessage": "Record Shop: you get our news now. Reply STOP to end.",
    "campaignInfo.helpMessage": "Record Shop: write to help@records.example.com",
    "campaignInfo.stopMessage": "Record Shop: you get no more messages from us",
    "campaignCapabilities.numberCapabilities": "SMS",
    "campaignUseCase.useCase": "MARKETING",
    "campaignUseCase.subscriberOptIn": "Yes",
    "campaignUseCase.subscriberOptOut": "Yes",
    "campaignUseCase.subscriberHelp": "Yes",
    "campaignUseCase.directLending": "No",
    "campaignUseCase.embeddedLink": "No",
    "campaignUseCase.embeddedPhone": "No",
    "campaignUseCase.ageGated": "No",
    "messageSamples.messageSample1": "Record Shop: new arrivals this week for you",
}


async def register(stage: Stage) -> None:
    """Register, try the number too early, wait until it is ready, and send with it."""
    registry = stage.clients.registry
    await use_channel(stage, "SMS", "simulator", {"seed": "demo"})
    brand = await registry.CreateBrand(
        registry_pb2.CreateBrandRequest(parent=PROJECT, brand=registry_pb2.Brand(fields=BRAND), request_id="brand")
    )
    await registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
    verified = registry_pb2.REGISTRATION_STATE_VERIFIED
    await _reaches(lambda: registry.GetBrand(registry_pb2.GetBrandRequest(name=brand.name)), verified)
    stage.progress(1, _STEPS)
    use_case = await registry.CreateUseCase(
        registry_pb2.CreateUseCaseRequest(
            parent=PROJECT, use_case=registry_pb2.UseCase(brand=brand.name, fields=USE_CASE), request_id="use-case"
        )
    )
    await registry.SubmitUseCase(registry_pb2.SubmitUseCaseRequest(name=use_case.name))
    approved = registry_pb2.REGISTRATION_STATE_APPROVED
    await _reaches(lambda: registry.GetUseCase(registry_pb2.GetUseCaseRequest(name=use_case.name)), approved)
    stage.progress(2, _STEPS)
    number = await registry.CreatePhoneNumber(
        registry_pb2.CreatePhoneNumberRequest(
            parent=PROJECT, phone_number=registry_pb2.PhoneNumber(number=NUMBER), request_id="number"
        )
    )
    await registry.AssociatePhoneNumber(
        registry_pb2.AssociatePhoneNumberRequest(name=number.name, use_case=use_case.name)
    )
    stage.progress(3, _STEPS)
    early = await _send_one(stage, "too-early")
    ready = registry_pb2.REGISTRATION_STATE_READY
    await _reaches(lambda: registry.GetPhoneNumber(registry_pb2.GetPhoneNumberRequest(name=number.name)), ready)
    stage.progress(4, _STEPS)

    async def leaves() -> messages_pb2.Message | None:
        # Messaging hears of the number by an event, a moment after the registry knows.
        sent = await _send_one(stage, f"ready-{len(tries)}")
        tries.append(sent)
        return sent if sent.status != messages_pb2.MESSAGE_STATUS_FAILED else None

    tries: list[messages_pb2.Message] = []
    first = await until("the first SMS from the number", leaves, within=20)
    stage.progress(5, _STEPS)
    run = await _campaign(stage)
    stage.progress(_STEPS, _STEPS)
    moves = (await registry.ListMoves(registry_pb2.ListMovesRequest(parent=PROJECT, page_size=500))).moves
    stage.figures["registration"] = [
        {
            "kind": registry_pb2.RegistrationKind.Name(move.kind).removeprefix("REGISTRATION_KIND_"),
            "from": _state(move.from_state),
            "to": _state(move.to_state),
            "at": move.time.ToJsonString(),
            "cause": move.cause or move.actor,
        }
        for move in moves
    ]
    stage.figures["sms"] = {
        **funnel_figures(run),
        "segment": stage.figures["segments"]["sms"]["members"],
        "origination": first.origination,
        "before_ready": f"{early.reason}: {early.detail}",
    }


async def _send_one(stage: Stage, request_id: str) -> messages_pb2.Message:
    answer = await stage.clients.messages.SendMessages(
        messages_pb2.SendMessagesRequest(
            parent=PROJECT,
            channel="SMS",
            content=dispatch_pb2.MessageContent(sms_body="Record Shop: thank you!"),
            recipients=[messages_pb2.Recipient(address="+15552000001")],
            request_id=request_id,
        )
    )
    name = answer.messages[0].message

    async def settled() -> messages_pb2.Message | None:
        try:
            message = await stage.clients.messages.GetMessage(messages_pb2.GetMessageRequest(name=name))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None  # on the bus, no worker has it yet
            raise
        open_ones = (messages_pb2.MESSAGE_STATUS_CLAIMED, messages_pb2.MESSAGE_STATUS_DISPATCHING)
        return None if message.status in open_ones else message

    return await until("an SMS to be settled", settled, within=20)


async def _campaign(stage: Stage) -> campaigns_pb2.Run:
    template = await stage.clients.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=PROJECT,
            template_id="news-sms",
            template=templates_pb2.Template(
                kind=templates_pb2.TEMPLATE_KIND_SMS,
                sms=templates_pb2.SmsTemplate(
                    body="Record Shop: {{User.UserAttributes.FirstName}}, new arrivals this week for you"
                ),
            ),
            request_id="news-sms",
        )
    )
    campaign = await stage.clients.campaigns.CreateCampaign(
        campaigns_pb2.CreateCampaignRequest(
            parent=PROJECT,
            campaign=campaigns_pb2.Campaign(
                display_name="November news by SMS",
                segment=stage.names["sms"],
                channel="SMS",
                content=dispatch_pb2.MessageContent(template=template.name),
            ),
            request_id="demo-sms",
        )
    )
    return await finished_run(stage, campaign.name, stage.figures["segments"]["sms"]["members"], within=60)


async def _reaches(read: Callable[[], Awaitable[Registered]], state: int) -> None:
    async def there() -> bool | None:
        return True if (await read()).state == state else None

    await until("a registration to move on", there, within=60)


def _state(state: registry_pb2.RegistrationState.ValueType) -> str:
    name = registry_pb2.RegistrationState.Name(state).removeprefix("REGISTRATION_STATE_")
    return "" if name == "UNSPECIFIED" else name
