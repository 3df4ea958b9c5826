"""From a brand's draft to a number that may send, through the real service, database, bus and simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import pairwise
from typing import TypeAlias

import grpc
import pytest

from heliograph.registry10dlc.v1 import events_pb2, registry_pb2, registry_pb2_grpc
from heliograph_kit import migrations
from heliograph_kit.bus import Bus
from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import Runtime
from heliograph_kit.testing import eventually
from heliograph_registry10dlc.config import RegistrySettings
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.tables import metadata
from tests.registry10dlc.papers import BRAND, USE_CASE

SHOP = "projects/shop"
Stub: TypeAlias = "registry_pb2_grpc.RegistryServiceAsyncStub"
VERIFIED = registry_pb2.REGISTRATION_STATE_VERIFIED
APPROVED = registry_pb2.REGISTRATION_STATE_APPROVED
PENDING = registry_pb2.REGISTRATION_STATE_PENDING
READY = registry_pb2.REGISTRATION_STATE_READY
REQUIRES_UPDATE = registry_pb2.REGISTRATION_STATE_REQUIRES_UPDATE


async def a_brand(registry: Stub, **changes: str) -> registry_pb2.Brand:
    fields = {**BRAND, **changes}
    request = registry_pb2.CreateBrandRequest(parent=SHOP, brand=registry_pb2.Brand(fields=fields))
    return await registry.CreateBrand(request)


async def a_verified_brand(registry: Stub) -> registry_pb2.Brand:
    brand = await a_brand(registry)
    await registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
    return await brand_in(registry, brand.name, VERIFIED)


async def brand_in(registry: Stub, name: str, state: int) -> registry_pb2.Brand:
    async def there() -> registry_pb2.Brand | None:
        brand = await registry.GetBrand(registry_pb2.GetBrandRequest(name=name))
        return brand if brand.state == state else None

    found = await eventually(there)
    assert found is not None
    return found


async def an_approved_use_case(registry: Stub) -> registry_pb2.UseCase:
    brand = await a_verified_brand(registry)
    wanted = registry_pb2.UseCase(brand=brand.name, fields=USE_CASE)
    use_case = await registry.CreateUseCase(registry_pb2.CreateUseCaseRequest(parent=SHOP, use_case=wanted))
    await registry.SubmitUseCase(registry_pb2.SubmitUseCaseRequest(name=use_case.name))

    async def there() -> registry_pb2.UseCase | None:
        seen = await registry.GetUseCase(registry_pb2.GetUseCaseRequest(name=use_case.name))
        return seen if seen.state == APPROVED else None

    found = await eventually(there)
    assert found is not None
    return found


async def a_number(registry: Stub, number: str = "+15552000000") -> registry_pb2.PhoneNumber:
    return await registry.CreatePhoneNumber(
        registry_pb2.CreatePhoneNumberRequest(parent=SHOP, phone_number=registry_pb2.PhoneNumber(number=number))
    )


async def test_the_whole_road_from_draft_to_ready(registry: Stub, service: Runtime[RegistrySettings]) -> None:
    heard: list[events_pb2.NumberUpdated] = []

    async def hear(deliveries: Sequence[Delivery]) -> None:
        heard.extend(events_pb2.NumberUpdated.FromString(delivery.payload) for delivery in deliveries)

    stopping = asyncio.Event()
    listener = Consumer(
        service.bus,
        service="tests",
        stream="CHANGES",
        durable=None,
        subjects=["changes.registry10dlc.*.number_updated"],
        handler=hear,
    )
    listening = asyncio.create_task(listener.run(stopping))
    use_case = await an_approved_use_case(registry)
    assert use_case.vetting_score == 80
    assert (use_case.parts_per_second, use_case.messages_per_day) == (40, 40_000)
    number = await a_number(registry)
    request = registry_pb2.AssociatePhoneNumberRequest(name=number.name, use_case=use_case.name)
    associated = await registry.AssociatePhoneNumber(request)
    assert associated.state in (PENDING, READY)
    assert (await registry.AssociatePhoneNumber(request)).use_case == use_case.name

    async def ready() -> registry_pb2.PhoneNumber | None:
        seen = await registry.GetPhoneNumber(registry_pb2.GetPhoneNumberRequest(name=number.name))
        return seen if seen.state == READY else None

    await eventually(ready)

    async def told() -> bool:
        return len(heard) == 3

    await eventually(told)
    stopping.set()
    await listening
    told_states = [(e.state, e.number, e.use_case, e.parts_per_second) for e in sorted(heard, key=lambda e: e.revision)]
    assert told_states == [
        ("UNASSOCIATED", "+15552000000", "", 0),
        ("PENDING", "+15552000000", use_case.name, 40),
        ("READY", "+15552000000", use_case.name, 40),
    ]
    moves = (await registry.ListMoves(registry_pb2.ListMovesRequest(parent=SHOP))).moves
    states = [registry_pb2.RegistrationState.Name(m.to_state).removeprefix("REGISTRATION_STATE_") for m in moves]
    assert states == [
        *("DRAFT", "PENDING", "VERIFIED"),
        *("DRAFT", "PENDING", "APPROVED"),
        *("UNASSOCIATED", "PENDING", "READY"),
    ]
    for before, after in pairwise(m for m in moves if m.resource == number.name):
        assert before.to_state == after.from_state
    assert [m.actor for m in moves] == ["user", "user", "registrar"] * 3


async def test_a_refused_brand_names_the_field_and_can_be_mended(registry: Stub) -> None:
    brand = await a_brand(registry, **{"contactInfo.dbaName": "Reject:WEBSITE_MISSING_OR_DOWN"})
    await registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
    refused = await brand_in(registry, brand.name, REQUIRES_UPDATE)
    assert (refused.state_cause, refused.state_field) == ("WEBSITE_MISSING_OR_DOWN", "contactInfo.dbaName")
    mended = registry_pb2.Brand(name=brand.name, fields=BRAND)
    await registry.UpdateBrand(registry_pb2.UpdateBrandRequest(brand=mended))
    await registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name))
    assert (await brand_in(registry, brand.name, VERIFIED)).state_cause == ""


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, list[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    fields = sorted(field for field, *_ in violations_of(caught.value))
    return caught.value.code(), reason_of(caught.value), fields


async def test_everything_missing_is_told_when_a_brand_is_submitted(registry: Stub) -> None:
    brand = await registry.CreateBrand(registry_pb2.CreateBrandRequest(parent=SHOP))
    code, reason, fields = await refused(registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=brand.name)))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert fields == sorted(f"fields[{path}]" for path in BRAND)
    unchanged = await registry.GetBrand(registry_pb2.GetBrandRequest(name=brand.name))
    assert unchanged.state == registry_pb2.REGISTRATION_STATE_DRAFT


async def test_each_step_waits_for_the_one_before(registry: Stub) -> None:
    brand = await a_brand(registry)
    wanted = registry_pb2.UseCase(brand=brand.name, fields=USE_CASE)
    early = registry.CreateUseCase(registry_pb2.CreateUseCaseRequest(parent=SHOP, use_case=wanted))
    assert (await refused(early))[1] == "BRAND_NOT_VERIFIED"
    again = registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=f"{SHOP}/brands/nobody"))
    assert (await refused(again))[:2] == (grpc.StatusCode.NOT_FOUND, "REGISTRATION_NOT_FOUND")
    verified = await a_verified_brand(registry)
    twice = registry.SubmitBrand(registry_pb2.SubmitBrandRequest(name=verified.name))
    assert (await refused(twice))[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_TO_SUBMIT")
    wanted = registry_pb2.UseCase(brand=verified.name, fields=USE_CASE)
    use_case = await registry.CreateUseCase(registry_pb2.CreateUseCaseRequest(parent=SHOP, use_case=wanted))
    number = await a_number(registry)
    request = registry_pb2.AssociatePhoneNumberRequest(name=number.name, use_case=use_case.name)
    assert (await refused(registry.AssociatePhoneNumber(request)))[1] == "USE_CASE_NOT_APPROVED"


async def test_a_number_is_in_one_inventory_until_it_is_released(registry: Stub) -> None:
    first = await a_number(registry)
    other = registry_pb2.CreatePhoneNumberRequest(
        parent="projects/other", phone_number=registry_pb2.PhoneNumber(number="+15552000000")
    )
    assert (await refused(registry.CreatePhoneNumber(other)))[1] == "NUMBER_EXISTS"
    await registry.ReleasePhoneNumber(registry_pb2.ReleasePhoneNumberRequest(name=first.name))
    assert (await registry.CreatePhoneNumber(other)).name.startswith("projects/other/phoneNumbers/")


@pytest.mark.parametrize("number", ["", "5552000000", "+1555200000", "+155520000000", "+442071234567", "+1555200000a"])
async def test_a_number_that_is_none_is_refused(registry: Stub, number: str) -> None:
    request = registry_pb2.CreatePhoneNumberRequest(parent=SHOP, phone_number=registry_pb2.PhoneNumber(number=number))
    assert await refused(registry.CreatePhoneNumber(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        ["phone_number.number"],
    )


async def test_one_number_one_use_case_and_49_numbers_at_most(registry: Stub) -> None:
    use_case = await an_approved_use_case(registry)
    numbers = [await a_number(registry, f"+1555200{n:04d}") for n in range(50)]
    for number in numbers[:49]:
        await registry.AssociatePhoneNumber(
            registry_pb2.AssociatePhoneNumberRequest(name=number.name, use_case=use_case.name)
        )
    last = registry_pb2.AssociatePhoneNumberRequest(name=numbers[49].name, use_case=use_case.name)
    assert (await refused(registry.AssociatePhoneNumber(last)))[1] == "USE_CASE_FULL"
    second = await an_approved_use_case(registry)
    moved = registry_pb2.AssociatePhoneNumberRequest(name=numbers[0].name, use_case=second.name)
    assert (await refused(registry.AssociatePhoneNumber(moved)))[1] == "NUMBER_ASSOCIATED"


async def test_a_repeated_request_gets_the_first_answer_and_another_one_is_refused(registry: Stub) -> None:
    request = registry_pb2.CreateBrandRequest(parent=SHOP, brand=registry_pb2.Brand(fields=BRAND), request_id="one")
    assert (await registry.CreateBrand(request)).name == (await registry.CreateBrand(request)).name
    request.brand.fields["companyInfo.city"] = "Shelbyville"
    assert (await refused(registry.CreateBrand(request)))[1] == "REQUEST_ID_REUSED"
    assert len((await registry.ListBrands(registry_pb2.ListBrandsRequest(parent=SHOP))).brands) == 1


async def test_lists_come_in_pages_newest_first(registry: Stub) -> None:
    made = [(await a_number(registry, f"+1555300{n:04d}")).name for n in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        request = registry_pb2.ListPhoneNumbersRequest(parent=SHOP, page_size=2, page_token=token)
        page = await registry.ListPhoneNumbers(request)
        seen += [number.name for number in page.phone_numbers]
        if not (token := page.next_page_token):
            break
    assert seen == made[::-1]
    foreign = registry_pb2.ListBrandsRequest(parent=SHOP, page_token="abc")
    assert (await refused(registry.ListBrands(foreign)))[1] == "PAGE_TOKEN_INVALID"


async def test_the_forms_describe_themselves(registry: Stub) -> None:
    request = registry_pb2.DescribeFormRequest(parent=SHOP, kind=registry_pb2.REGISTRATION_KIND_BRAND)
    form = await registry.DescribeForm(request)
    required = {field.path for field in form.fields if field.required and not field.condition_path}
    assert required == set(BRAND)


async def test_a_deleted_project_takes_its_papers_along(registry: Stub, service: Runtime[RegistrySettings]) -> None:
    from heliograph.projects.v1 import events_pb2 as project_events_pb2

    await a_brand(registry)
    bus: Bus = service.bus
    await bus.publish(
        "changes.projects.shop.project_deleted",
        project_events_pb2.ProjectDeleted(project=SHOP).SerializeToString(),
        id="gone",
        type="heliograph.projects.v1.ProjectDeleted",
        project="shop",
    )

    async def gone() -> bool:
        return not (await registry.ListBrands(registry_pb2.ListBrandsRequest(parent=SHOP))).brands

    await eventually(gone)


def test_the_migrations_build_what_the_tables_declare(settings: RegistrySettings) -> None:
    assert settings.database_url is not None
    assert migrations.differences(settings.database_url.get_secret_value(), metadata) == []


def test_every_kind_has_a_collection() -> None:
    assert set(COLLECTION) == set(Kind)
