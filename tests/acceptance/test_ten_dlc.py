"""The whole road of 10DLC through the real suite: denied once, mended, vetted, pending for two weeks, and then a campaign."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from heliograph.analytics.v1 import analytics_pb2
from heliograph.campaigns.v1 import campaigns_pb2
from heliograph.messaging.v1 import messages_pb2, origination_pb2, origination_pb2_grpc, templates_pb2
from heliograph.registry10dlc.v1 import registry_pb2, vetting_pb2, vetting_pb2_grpc, watch_pb2, watch_pb2_grpc
from heliograph_kit.rpc import channel, reason_of
from heliograph_kit.testing import eventually
from heliograph_suite.demo.stage import Clients
from tests.acceptance.conftest import RunningSuite, started
from tests.acceptance.spans import SpanCollector
from tests.acceptance.story import (
    a_project,
    completed_run,
    everybody,
    imported,
    people_csv,
    start_campaign,
    use_simulator,
)
from tests.registry10dlc.papers import BRAND, USE_CASE

pytestmark = pytest.mark.acceptance
NUMBER = "+12065550177"
PEOPLE = 12


async def reaches(read: Callable[[], Awaitable[Any]], state: str) -> Any:
    wanted = registry_pb2.RegistrationState.Value(f"REGISTRATION_STATE_{state}")

    async def there() -> Any:
        found = await read()
        return found if found.state == wanted else None

    return await eventually(there, within=120)


async def a_campaign(clients: Clients, project: str, segment: str, template: str) -> campaigns_pb2.Run:
    campaign = await start_campaign(clients, project, segment, template, channel="SMS")
    return await completed_run(clients, campaign.name)


async def messages_of(clients: Clients, project: str, run: campaigns_pb2.Run) -> list[messages_pb2.Message]:
    run_id = run.name.rpartition("/")[2]
    request = messages_pb2.ListMessagesRequest(parent=project, run_id=run_id, page_size=500)
    return list((await clients.messages.ListMessages(request)).messages)


async def figures(clients: Clients, project: str, name: str) -> dict[str, float]:
    answer = await clients.analytics.GetKpi(analytics_pb2.GetKpiRequest(parent=project, kpi=name))
    return {"".join(group.value for group in row.grouped_bys): row.values[0].value for row in answer.rows}


@pytest.fixture
def slower(tmp_path: Path) -> Iterator[RunningSuite]:
    """A suite in which fourteen days take half a minute: time enough to look at a pending number on a busy machine."""
    with (
        SpanCollector() as spans,
        started(tmp_path, {"HELIOGRAPH_REGISTRY10DLC_CLOCK_RATE": "40000"}, spans) as running,
    ):
        yield running


async def test_the_whole_road_from_a_denied_brand_to_a_campaign(slower: RunningSuite) -> None:
    clients = Clients(slower.installation, slower.installation.admin_key)
    try:
        await the_road(slower, clients)
    finally:
        await clients.close()


async def the_road(suite: RunningSuite, clients: Clients) -> None:
    project = await a_project(clients, "ten-dlc")
    await use_simulator(clients, project, "SMS", seed="road")
    people = suite.directory / "imports" / "people.csv"
    people.write_text(people_csv(PEOPLE, channel="SMS"), encoding="utf-8")
    job = await imported(clients, project, people.as_uri())
    assert job.state == job.STATE_COMPLETED
    segment = await everybody(clients, project, "SMS")
    body = "Example Records: new arrivals this week for {{User.UserAttributes.FirstName}}. Reply STOP to end."
    template = await clients.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=project,
            template_id="news",
            template=templates_pb2.Template(
                kind=templates_pb2.TEMPLATE_KIND_SMS, sms=templates_pb2.SmsTemplate(body=body)
            ),
        )
    )
    registry = clients.registry

    # -- the brand is denied, mended and verified
    bad = {**BRAND, "contactInfo.website": "https://records.example.com/Reject:WEBSITE_MISSING_OR_DOWN"}
    brand = await registry.CreateBrand(
        registry_pb2.CreateBrandRequest(parent=project, brand=registry_pb2.Brand(fields=bad))
    )
    await registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))

    async def the_brand() -> registry_pb2.Brand:
        return await registry.GetBrand(registry_pb2.GetBrandRequest(name=brand.name))

    denied = await reaches(the_brand, "REQUIRES_UPDATE")
    assert [(one.field, one.cause) for one in denied.findings] == [("contactInfo.website", "WEBSITE_MISSING_OR_DOWN")]
    mended = registry_pb2.Brand(name=brand.name, fields=BRAND)
    await registry.UpdateBrand(registry_pb2.UpdateBrandRequest(brand=mended))
    await registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
    await reaches(the_brand, "VERIFIED")

    # -- vetted
    key = suite.installation.admin_key
    async with (
        channel(f"dns:///{suite.installation.target('registry10dlc')}", tokens=None, key=key) as opened,
        channel(f"dns:///{suite.installation.target('messaging')}", tokens=None, key=key) as messaging,
    ):
        origination: origination_pb2_grpc.OriginationServiceAsyncStub = origination_pb2_grpc.OriginationServiceStub(
            messaging
        )
        vettings: vetting_pb2_grpc.VettingServiceAsyncStub = vetting_pb2_grpc.VettingServiceStub(opened)
        vetting = await vettings.RequestVetting(
            vetting_pb2.RequestVettingRequest(parent=project, brand=brand.name, request_id="vet")
        )

        async def the_vetting() -> vetting_pb2.Vetting:
            return await vettings.GetVetting(vetting_pb2.GetVettingRequest(name=vetting.name))

        scored = await reaches(the_vetting, "SCORED")
        assert (await the_brand()).vetting_score == scored.score > 0

        # -- two use cases, one number
        async def a_use_case(request_id: str) -> registry_pb2.UseCase:
            wanted = registry_pb2.UseCase(
                brand=brand.name, fields={**USE_CASE, "campaignUseCase.useCase": "CUSTOMER_CARE"}
            )
            made = await registry.CreateUseCase(
                registry_pb2.CreateUseCaseRequest(parent=project, use_case=wanted, request_id=request_id)
            )
            await registry.SubmitUseCase(registry_pb2.SubmitUseCaseRequest(name=made.name))

            async def read() -> registry_pb2.UseCase:
                return await registry.GetUseCase(registry_pb2.GetUseCaseRequest(name=made.name))

            approved: registry_pb2.UseCase = await reaches(read, "APPROVED")
            return approved

        first, second = await a_use_case("first"), await a_use_case("second")
        assert first.vetting_score == scored.score
        number = await registry.CreatePhoneNumber(
            registry_pb2.CreatePhoneNumberRequest(
                parent=project, phone_number=registry_pb2.PhoneNumber(number=NUMBER), request_id="number"
            )
        )

        async def the_number() -> registry_pb2.PhoneNumber:
            return await registry.GetPhoneNumber(registry_pb2.GetPhoneNumberRequest(name=number.name))

        await registry.AssociatePhoneNumber(
            registry_pb2.AssociatePhoneNumberRequest(name=number.name, use_case=first.name)
        )
        assert (await the_number()).state == registry_pb2.REGISTRATION_STATE_PENDING

        # -- before READY everything is refused with the reason
        early = await a_campaign(clients, project, segment, template.name)
        assert (early.total.failed_count, early.total.accepted_count) == (PEOPLE, 0)
        refused = await messages_of(clients, project, early)
        assert {one.reason for one in refused} == {"FAILURE_PERMANENT"}
        assert all("NO_ORIGINATION_IDENTITY_AVAILABLE_TO_SEND" in one.detail for one in refused)
        with pytest.raises(grpc.aio.AioRpcError) as other:
            await registry.AssociatePhoneNumber(
                registry_pb2.AssociatePhoneNumberRequest(name=number.name, use_case=second.name)
            )
        assert reason_of(other.value) == "NUMBER_ASSOCIATED"

        # -- fourteen days later the campaign leaves from it
        await reaches(the_number, "READY")

        async def messaging_knows() -> bool:
            name = f"{project}/originations/{NUMBER}"
            found = await origination.GetOrigination(origination_pb2.GetOriginationRequest(name=name))
            return found.state == "READY"

        await eventually(messaging_knows, within=30)
        run = await a_campaign(clients, project, segment, template.name)
        assert run.total.accepted_count == PEOPLE
        sent = await messages_of(clients, project, run)
        assert {(one.origination, one.use_case) for one in sent} == {(NUMBER, first.name)}

        # -- the figures of use cases add up to those of the project
        async def counted() -> bool:
            by_use_case = await figures(clients, project, "sms-sent-grouped-by-ten-dlc-registration")
            # Those that were refused left under no use case.
            return by_use_case == {"": 0.0, first.name: float(PEOPLE)}

        await eventually(counted, within=60)
        assert await figures(clients, project, "sms-sent") == {"": float(PEOPLE)}
        failed = await figures(clients, project, "sms-failed-grouped-by-ten-dlc-registration")
        assert sum(failed.values()) == (await figures(clients, project, "sms-failed"))[""] == PEOPLE

        # -- the history tells all of it, and so does a watcher
        watching: watch_pb2_grpc.WatchServiceAsyncStub = watch_pb2_grpc.WatchServiceStub(opened)
        moves = (await registry.ListMoves(registry_pb2.ListMovesRequest(parent=project, page_size=500))).moves
        stream = watching.WatchMoves(watch_pb2.WatchMovesRequest(parent=project))
        seen = []
        async with asyncio.timeout(30):
            async for told in stream:
                seen.append(told.move.move_id)
                if len(seen) == len(moves):
                    break
        stream.cancel()
        assert seen == [one.move_id for one in moves]
        assert Counter(one.event for one in moves if one.resource == brand.name) == {
            "": 1, "SUBMIT": 2, "REJECTED": 1, "EDIT": 1, "VERIFIED": 1, "SCORED": 1,
        }  # fmt: skip
        pending, ready = (
            next(one.time.ToDatetime() for one in moves if one.resource == number.name and one.event == event)
            for event in ("ASSOCIATE", "READY")
        )
        assert (ready - pending).days == 14
