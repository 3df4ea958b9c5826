"""The calls besides brands, use cases and numbers: desk, vetting, toll-free, inventory, launch; over the real service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
import pytest_asyncio

from heliograph.registry10dlc.v1 import (
    desk_pb2,
    desk_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    launch_pb2,
    launch_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
    toll_free_pb2,
    toll_free_pb2_grpc,
    vetting_pb2,
    vetting_pb2_grpc,
)
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel, reason_of, violations_of
from heliograph_kit.runtime import running
from heliograph_kit.testing import eventually
from heliograph_registry10dlc.config import RegistrySettings
from heliograph_registry10dlc.main import build
from heliograph_registry10dlc.tables import metadata
from tests.registry10dlc.conftest import PACKAGE, SECRET
from tests.registry10dlc.papers import BRAND, TOLL_FREE, USE_CASE

SHOP = "projects/shop"


class Services:
    """Clients of all services of the registry."""

    def __init__(self, opened: grpc.aio.Channel) -> None:
        """Take the channel."""
        self.registry: registry_pb2_grpc.RegistryServiceAsyncStub = registry_pb2_grpc.RegistryServiceStub(opened)
        self.vettings: vetting_pb2_grpc.VettingServiceAsyncStub = vetting_pb2_grpc.VettingServiceStub(opened)
        self.toll_free: toll_free_pb2_grpc.TollFreeServiceAsyncStub = toll_free_pb2_grpc.TollFreeServiceStub(opened)
        self.inventory: inventory_pb2_grpc.InventoryServiceAsyncStub = inventory_pb2_grpc.InventoryServiceStub(opened)
        self.desk: desk_pb2_grpc.DeskServiceAsyncStub = desk_pb2_grpc.DeskServiceStub(opened)
        self.launch: launch_pb2_grpc.LaunchServiceAsyncStub = launch_pb2_grpc.LaunchServiceStub(opened)

    async def waiting(self, resource: str) -> desk_pb2.PendingSubmission:
        """Wait until a resource waits at the desk."""

        async def there() -> desk_pb2.PendingSubmission | None:
            found = await self.desk.ListSubmissions(desk_pb2.ListSubmissionsRequest())
            return next((one for one in found.submissions if one.resource == resource), None)

        found = await eventually(there)
        assert found is not None
        return found

    async def decide(self, resource: str, decision: str, **more: Any) -> desk_pb2.DecideSubmissionResponse:
        """Decide about what waits."""
        waits = await self.waiting(resource)
        request = desk_pb2.DecideSubmissionRequest(
            resource=resource, reference=waits.reference, decision=decision, **more
        )
        return await self.desk.DecideSubmission(request)

    async def an_approved_use_case(self) -> registry_pb2.UseCase:
        """Walk the road by hand."""
        brand = await self.registry.CreateBrand(
            registry_pb2.CreateBrandRequest(parent=SHOP, brand=registry_pb2.Brand(fields=BRAND))
        )
        await self.registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
        await self.decide(brand.name, "VERIFIED")
        use_case = await self.registry.CreateUseCase(
            registry_pb2.CreateUseCaseRequest(
                parent=SHOP, use_case=registry_pb2.UseCase(brand=brand.name, fields=USE_CASE)
            )
        )
        await self.registry.SubmitUseCase(registry_pb2.SubmitUseCaseRequest(name=use_case.name))
        await self.decide(use_case.name, "APPROVED")
        return await self.registry.GetUseCase(registry_pb2.GetUseCaseRequest(name=use_case.name))


async def refused(call: Awaitable[object]) -> tuple[str, set[tuple[str, str]]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value), set(violations_of(caught.value))


@pytest_asyncio.fixture
async def services(settings: RegistrySettings) -> AsyncIterator[Services]:
    """The service with an operator as its registrar."""
    by_hand = settings.model_copy(update={"registrar": "manual", "registrar_settings": {}})
    async with (
        running(by_hand, build, package=PACKAGE, metadata=metadata) as runtime,
        channel(runtime.address, tokens=InternalTokens(SECRET)) as opened,
    ):
        yield Services(opened)


async def test_an_operator_decides_by_hand(services: Services) -> None:
    brand = await services.registry.CreateBrand(
        registry_pb2.CreateBrandRequest(parent=SHOP, brand=registry_pb2.Brand(fields=BRAND))
    )
    await services.registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
    waits = await services.waiting(brand.name)
    assert set(waits.decisions) == {"VERIFIED", "NEEDS_AUTHENTICATION", "REJECTED", "DECLINED"}
    assert waits.fields == BRAND
    request = desk_pb2.DecideSubmissionRequest(
        resource=brand.name, reference=waits.reference, decision="REJECTED", cause="ATTRIBUTES_MISMATCH",
        words="not as on the tax record",
        findings=[registry_pb2.Finding(field="companyInfo.companyName", words="Records Inc, says the record")],
    )  # fmt: skip
    for _ in range(2):
        done = await services.desk.DecideSubmission(request)
        assert done.state == registry_pb2.REGISTRATION_STATE_REQUIRES_UPDATE
    seen = await services.registry.GetBrand(registry_pb2.GetBrandRequest(name=brand.name))
    assert [(one.field, one.cause) for one in seen.findings] == [("companyInfo.companyName", "ATTRIBUTES_MISMATCH")]
    moves = await services.registry.ListMoves(registry_pb2.ListMovesRequest(parent=SHOP, resource=brand.name))
    assert (moves.moves[-1].actor, moves.moves[-1].words) == ("operator", "not as on the tax record")
    await services.registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
    assert (await refused(services.desk.DecideSubmission(request)))[0] == "SUBMISSION_OUTDATED"
    request.reference, request.decision = (await services.waiting(brand.name)).reference, "SCORED"
    assert (await refused(services.desk.DecideSubmission(request)))[0] == "REGISTRATION_MOVE_NOT_ALLOWED"


async def test_all_that_is_wrong_with_a_decision_is_told(services: Services) -> None:
    request = desk_pb2.DecideSubmissionRequest(
        resource=f"{SHOP}/brands/b", decision="MAYBE", words="w" * 1001, cause="c" * 61, score=101, number="1",
        findings=[registry_pb2.Finding()] * 51,
    )  # fmt: skip
    reason, told = await refused(services.desk.DecideSubmission(request))
    assert (reason, told) == (
        "INVALID_ARGUMENT",
        {
            ("decision", "UNKNOWN_CHOICE"), ("words", "INVALID_LENGTH"), ("cause", "INVALID_LENGTH"),
            ("score", "OUT_OF_RANGE"), ("number", "NOT_ALLOWED"), ("findings", "TOO_MANY"),
        },
    )  # fmt: skip
    at_the_limit = desk_pb2.DecideSubmissionRequest(
        resource=f"{SHOP}/brands/b", decision="REJECTED", words="w" * 1000, cause="c" * 60, score=100,
        findings=[registry_pb2.Finding()] * 50,
    )  # fmt: skip
    assert (await refused(services.desk.DecideSubmission(at_the_limit)))[0] == "REGISTRATION_NOT_FOUND"
    no_cause = desk_pb2.DecideSubmissionRequest(resource=f"{SHOP}/brands/b", decision="REJECTED")
    assert (await refused(services.desk.DecideSubmission(no_cause)))[1] == {("cause", "REQUIRED")}


async def test_nobody_decides_for_a_registrar_that_decides_itself(settings: RegistrySettings) -> None:
    async with (
        running(settings, build, package=PACKAGE, metadata=metadata) as runtime,
        channel(runtime.address, tokens=InternalTokens(SECRET)) as opened,
    ):
        request = desk_pb2.DecideSubmissionRequest(resource=f"{SHOP}/brands/b", decision="VERIFIED")
        assert (await refused(Services(opened).desk.DecideSubmission(request)))[0] == "REGISTRAR_DECIDES"


async def test_what_waits_is_listed_page_by_page_oldest_first(services: Services) -> None:
    made = []
    for _ in range(3):
        brand = await services.registry.CreateBrand(
            registry_pb2.CreateBrandRequest(parent=SHOP, brand=registry_pb2.Brand(fields=BRAND))
        )
        await services.registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
        await services.waiting(brand.name)
        made.append(brand.name)
    seen, token = [], ""
    while True:
        page = await services.desk.ListSubmissions(desk_pb2.ListSubmissionsRequest(page_size=2, page_token=token))
        seen += [one.resource for one in page.submissions]
        if not (token := page.next_page_token):
            break
    assert seen == made


async def test_a_vetting_by_hand_scores_the_brand(services: Services) -> None:
    use_case = await services.an_approved_use_case()
    request = vetting_pb2.RequestVettingRequest(parent=SHOP, brand=use_case.brand, request_id="v")
    vetting = await services.vettings.RequestVetting(request)
    assert (await services.vettings.RequestVetting(request)).name == vetting.name
    await services.decide(vetting.name, "SCORED", score=91)
    scored = await services.vettings.GetVetting(vetting_pb2.GetVettingRequest(name=vetting.name))
    assert (scored.score, scored.brand) == (91, use_case.brand)
    listed = await services.vettings.ListVettings(vetting_pb2.ListVettingsRequest(parent=SHOP, brand=use_case.brand))
    assert [one.name for one in listed.vettings] == [vetting.name]
    brand = await services.registry.GetBrand(registry_pb2.GetBrandRequest(name=use_case.brand))
    assert (brand.vetting_score, brand.HasField("vetting_time")) == (91, True)


async def test_numbers_are_ordered_bought_lent_and_taken_out(services: Services) -> None:
    use_case = await services.an_approved_use_case()
    request = inventory_pb2.RequestPhoneNumbersRequest(
        parent=SHOP, number_type="TEN_DLC", capabilities=["SMS"], use_case=use_case.name, request_id="buy"
    )
    (number,) = (await services.inventory.RequestPhoneNumbers(request)).phone_numbers
    assert (number.state, number.number) == (registry_pb2.REGISTRATION_STATE_ORDERED, "")
    await services.decide(number.name, "BOUGHT", number="+12065550111")
    await services.decide(number.name, "READY")

    async def now() -> registry_pb2.PhoneNumber:
        return await services.registry.GetPhoneNumber(registry_pb2.GetPhoneNumberRequest(name=number.name))

    ready = await now()
    assert (ready.number, ready.use_case, ready.monthly_price) == ("+12065550111", use_case.name, "1.00")
    assert list(ready.capabilities) == ["SMS"]
    (listed_case,) = (await services.registry.ListUseCases(registry_pb2.ListUseCasesRequest(parent=SHOP))).use_cases
    assert listed_case.number_count == 1
    wanted = inventory_pb2.ShareGrant(phone_number=number.name, borrower="projects/branch")
    lend = inventory_pb2.CreateShareGrantRequest(parent=SHOP, share_grant=wanted)
    grant = await services.inventory.CreateShareGrant(lend)
    assert (await services.inventory.CreateShareGrant(lend)).name == grant.name
    listed = await services.inventory.ListShareGrants(inventory_pb2.ListShareGrantsRequest(parent=SHOP))
    assert [(one.name, one.number) for one in listed.share_grants] == [(grant.name, "+12065550111")]
    await services.inventory.DeleteShareGrant(inventory_pb2.DeleteShareGrantRequest(name=grant.name))
    gone = services.inventory.DeleteShareGrant(inventory_pb2.DeleteShareGrantRequest(name=grant.name))
    assert (await refused(gone))[0] == "SHARE_GRANT_NOT_FOUND"
    out = inventory_pb2.DisassociatePhoneNumberRequest(name=number.name)
    await services.inventory.DisassociatePhoneNumber(out)
    await services.decide(number.name, "DETACHED")
    assert (await now()).state == registry_pb2.REGISTRATION_STATE_UNASSOCIATED


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"number_type": "SHORT_CODE"}, {("number_type", "UNKNOWN_CHOICE"), ("use_case", "NOT_ALLOWED")}),
        ({"capabilities": []}, {("capabilities", "REQUIRED")}),
        ({"capabilities": ["FAX"]}, {("capabilities", "UNKNOWN_CHOICE")}),
        ({"quantity": 11}, {("quantity", "OUT_OF_RANGE")}),
        ({"area_code": "20"}, {("area_code", "INVALID_FORMAT")}),
        ({"use_case": ""}, {("use_case", "REQUIRED")}),
        ({"region": "r" * 65}, {("region", "INVALID_LENGTH")}),
        ({"request_id": ""}, {("request_id", "REQUIRED")}),
        ({"request_id": "r" * 65}, {("request_id", "INVALID_LENGTH")}),
        ({"use_case": "projects/other/useCases/u"}, {("use_case", "OTHER_PROJECT")}),
    ],
)
async def test_an_order_that_cannot_be_is_refused(
    services: Services, changes: dict[str, Any], told: set[tuple[str, str]]
) -> None:
    right: dict[str, Any] = {
        "parent": SHOP, "number_type": "TEN_DLC", "capabilities": ["SMS"], "use_case": f"{SHOP}/useCases/u",
        "quantity": 10, "region": "r" * 64, "request_id": "r" * 64,
    }  # fmt: skip
    request = inventory_pb2.RequestPhoneNumbersRequest(**{**right, **changes})
    assert (await refused(services.inventory.RequestPhoneNumbers(request)))[1] == told


async def test_a_toll_free_number_is_registered(services: Services) -> None:
    number = await services.registry.CreatePhoneNumber(
        registry_pb2.CreatePhoneNumberRequest(
            parent=SHOP, phone_number=registry_pb2.PhoneNumber(number="+18885550100", number_type="TOLL_FREE")
        )
    )
    wanted = toll_free_pb2.TollFreeRegistration(phone_number=number.name)
    made = await services.toll_free.CreateTollFreeRegistration(
        toll_free_pb2.CreateTollFreeRegistrationRequest(parent=SHOP, toll_free_registration=wanted, request_id="t")
    )
    empty = services.toll_free.SubmitTollFreeRegistration(
        toll_free_pb2.SubmitTollFreeRegistrationRequest(name=made.name)
    )
    _, missing = await refused(empty)
    assert ("fields[messageSamples.messageSample1]", "REQUIRED") in missing
    filled = toll_free_pb2.TollFreeRegistration(name=made.name, fields=TOLL_FREE)
    await services.toll_free.UpdateTollFreeRegistration(
        toll_free_pb2.UpdateTollFreeRegistrationRequest(toll_free_registration=filled)
    )
    await services.toll_free.SubmitTollFreeRegistration(toll_free_pb2.SubmitTollFreeRegistrationRequest(name=made.name))
    await services.decide(made.name, "APPROVED")
    listed = await services.toll_free.ListTollFreeRegistrations(
        toll_free_pb2.ListTollFreeRegistrationsRequest(parent=SHOP)
    )
    assert [(one.name, one.state) for one in listed.toll_free_registrations] == [
        (made.name, registry_pb2.REGISTRATION_STATE_APPROVED)
    ]
    early = services.toll_free.DeleteTollFreeRegistration(
        toll_free_pb2.DeleteTollFreeRegistrationRequest(name=made.name)
    )
    assert (await refused(early))[0] == "REGISTRATION_HAS_DEPENDENTS"
    await services.registry.ReleasePhoneNumber(registry_pb2.ReleasePhoneNumberRequest(name=number.name))
    await services.toll_free.DeleteTollFreeRegistration(toll_free_pb2.DeleteTollFreeRegistrationRequest(name=made.name))
    gone = services.toll_free.GetTollFreeRegistration(toll_free_pb2.GetTollFreeRegistrationRequest(name=made.name))
    assert (await refused(gone))[0] == "REGISTRATION_NOT_FOUND"


async def test_a_send_is_planned_and_its_text_is_checked(services: Services) -> None:
    use_case = await services.an_approved_use_case()
    plan = await services.launch.PlanLaunch(
        launch_pb2.PlanLaunchRequest(
            parent=SHOP,
            use_case=use_case.name,
            audience=[launch_pb2.CarrierAudience(carrier="UNKNOWN", recipient_count=100)],
            parts_per_message=1,
        )
    )
    # An unvetted use case sends a part in five seconds.
    assert (plan.part_count, use_case.parts_per_second) == (100, 0.2)
    assert plan.duration_seconds == pytest.approx(495, abs=10)
    assert plan.what_if
    checked = await services.launch.CheckContent(
        launch_pb2.CheckContentRequest(
            parent=SHOP, use_case=use_case.name, bodies=["Example Records: https://bit.ly/x. Reply STOP to end."]
        )
    )
    assert "PUBLIC_SHORTENER" in {one.reason for one in checked.findings if one.serious}
    missing = services.launch.CheckContent(
        launch_pb2.CheckContentRequest(parent=SHOP, use_case=f"{SHOP}/useCases/none", bodies=["x"])
    )
    assert (await refused(missing))[0] == "REGISTRATION_NOT_FOUND"


async def test_prices_are_told(services: Services) -> None:
    prices = await services.inventory.ListPrices(inventory_pb2.ListPricesRequest())
    told = {one.item: one.amount for one in prices.prices}
    assert (told["BRAND"], told["VETTING"], told["NUMBER_MONTH_TEN_DLC"]) == ("4.00", "40.00", "1.00")
    assert prices.version
