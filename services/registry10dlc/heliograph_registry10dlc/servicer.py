"""gRPC face of the registry: parse, call, translate."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

import grpc

from heliograph.registry10dlc.v1 import registry_pb2, registry_pb2_grpc
from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.instants import timestamp
from heliograph_kit.names import parse_name, parse_pattern, project_of
from heliograph_kit.paging import Page, next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_registry10dlc import forms
from heliograph_registry10dlc.allowance import allowance
from heliograph_registry10dlc.domain import Kind, Move, Registration
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.events import name_of
from heliograph_registry10dlc.service import Registry

_MAX_REQUEST_ID = 64
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Answers `heliograph.registry10dlc.v1.RegistryService`."""

    def __init__(self, registry: Registry) -> None:
        """Take the use cases."""
        self._registry = registry

    async def DescribeForm(
        self,
        request: registry_pb2.DescribeFormRequest,
        context: Context,
    ) -> registry_pb2.Form:
        """Describe a form."""
        kind = _FORM_KINDS.get(request.kind)
        if kind is None:
            raise InvalidArgument([Violation("kind", "must be BRAND or USE_CASE", "UNKNOWN_CHOICE")])
        return registry_pb2.Form(
            kind=request.kind,
            version=forms.FORM_VERSION,
            fields=map(_field_to_proto, forms.FORMS[kind]),
        )

    async def CreateBrand(
        self,
        request: registry_pb2.CreateBrandRequest,
        context: Context,
    ) -> registry_pb2.Brand:
        """Create a brand as a draft."""
        project = _checked_parent(request.parent, request.request_id)
        brand = await self._registry.create_brand(
            project,
            request.brand.fields,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return brand_to_proto(brand)

    async def GetBrand(self, request: registry_pb2.GetBrandRequest, context: Context) -> registry_pb2.Brand:
        """Return a brand."""
        return brand_to_proto(await self._get(Kind.BRAND, request.name))

    async def ListBrands(
        self, request: registry_pb2.ListBrandsRequest, context: Context
    ) -> registry_pb2.ListBrandsResponse:
        """Return a page of brands."""
        found, token = await self._page(Kind.BRAND, request.parent, request.page_size, request.page_token)
        return registry_pb2.ListBrandsResponse(brands=map(brand_to_proto, found), next_page_token=token)

    async def UpdateBrand(
        self,
        request: registry_pb2.UpdateBrandRequest,
        context: Context,
    ) -> registry_pb2.Brand:
        """Replace the fields of a brand."""
        name = parse_name(request.brand.name, COLLECTION[Kind.BRAND], field="brand.name")
        changed = await self._registry.update(name.project, Kind.BRAND, name.id, request.brand.fields, under="brand")
        return brand_to_proto(changed)

    async def SubmitBrand(
        self,
        request: registry_pb2.SubmitBrandRequest,
        context: Context,
    ) -> registry_pb2.Brand:
        """Hand a brand to the registrar."""
        name = parse_name(request.name, COLLECTION[Kind.BRAND])
        return brand_to_proto(await self._registry.submit(name.project, Kind.BRAND, name.id))

    async def CreateUseCase(
        self,
        request: registry_pb2.CreateUseCaseRequest,
        context: Context,
    ) -> registry_pb2.UseCase:
        """Create a use case of a verified brand as a draft."""
        project = _checked_parent(request.parent, request.request_id)
        brand = parse_name(request.use_case.brand, COLLECTION[Kind.BRAND], field="use_case.brand")
        _check_same_project(project, brand.project, "use_case.brand")
        use_case = await self._registry.create_use_case(
            project,
            brand.id,
            request.use_case.fields,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return use_case_to_proto(use_case)

    async def GetUseCase(self, request: registry_pb2.GetUseCaseRequest, context: Context) -> registry_pb2.UseCase:
        """Return a use case."""
        return use_case_to_proto(await self._get(Kind.USE_CASE, request.name))

    async def ListUseCases(
        self,
        request: registry_pb2.ListUseCasesRequest,
        context: Context,
    ) -> registry_pb2.ListUseCasesResponse:
        """Return a page of use cases."""
        found, token = await self._page(Kind.USE_CASE, request.parent, request.page_size, request.page_token)
        return registry_pb2.ListUseCasesResponse(use_cases=map(use_case_to_proto, found), next_page_token=token)

    async def UpdateUseCase(
        self,
        request: registry_pb2.UpdateUseCaseRequest,
        context: Context,
    ) -> registry_pb2.UseCase:
        """Replace the fields of a use case."""
        name = parse_name(request.use_case.name, COLLECTION[Kind.USE_CASE], field="use_case.name")
        changed = await self._registry.update(
            name.project,
            Kind.USE_CASE,
            name.id,
            request.use_case.fields,
            under="use_case",
        )
        return use_case_to_proto(changed)

    async def SubmitUseCase(
        self,
        request: registry_pb2.SubmitUseCaseRequest,
        context: Context,
    ) -> registry_pb2.UseCase:
        """Hand a use case to the registrar."""
        name = parse_name(request.name, COLLECTION[Kind.USE_CASE])
        return use_case_to_proto(await self._registry.submit(name.project, Kind.USE_CASE, name.id))

    async def CreatePhoneNumber(
        self,
        request: registry_pb2.CreatePhoneNumberRequest,
        context: Context,
    ) -> registry_pb2.PhoneNumber:
        """Enter a number into the inventory."""
        project = _checked_parent(request.parent, request.request_id)
        number = await self._registry.create_number(
            project,
            request.phone_number.number,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return number_to_proto(number)

    async def AssociatePhoneNumber(
        self,
        request: registry_pb2.AssociatePhoneNumberRequest,
        context: Context,
    ) -> registry_pb2.PhoneNumber:
        """Associate a number with an approved use case."""
        name = parse_name(request.name, COLLECTION[Kind.NUMBER])
        use_case = parse_name(request.use_case, COLLECTION[Kind.USE_CASE], field="use_case")
        _check_same_project(name.project, use_case.project, "use_case")
        return number_to_proto(await self._registry.associate(name.project, name.id, use_case.id))

    async def GetPhoneNumber(
        self,
        request: registry_pb2.GetPhoneNumberRequest,
        context: Context,
    ) -> registry_pb2.PhoneNumber:
        """Return a number."""
        return number_to_proto(await self._get(Kind.NUMBER, request.name))

    async def ListPhoneNumbers(
        self,
        request: registry_pb2.ListPhoneNumbersRequest,
        context: Context,
    ) -> registry_pb2.ListPhoneNumbersResponse:
        """Return a page of numbers."""
        found, token = await self._page(Kind.NUMBER, request.parent, request.page_size, request.page_token)
        return registry_pb2.ListPhoneNumbersResponse(phone_numbers=map(number_to_proto, found), next_page_token=token)

    async def ReleasePhoneNumber(
        self,
        request: registry_pb2.ReleasePhoneNumberRequest,
        context: Context,
    ) -> registry_pb2.PhoneNumber:
        """Give a number up."""
        name = parse_name(request.name, COLLECTION[Kind.NUMBER])
        return number_to_proto(await self._registry.release(name.project, name.id))

    async def ListMoves(
        self, request: registry_pb2.ListMovesRequest, context: Context
    ) -> registry_pb2.ListMovesResponse:
        """Return a page of history."""
        project = project_of(request.parent, field="parent")
        registration_id = ""
        if request.resource:
            pattern = "projects/{project}/{collection}/{id}"
            named = parse_pattern(request.resource, pattern, field="resource")
            _check_same_project(project, named["project"], "resource")
            registration_id = named["id"]
        call = f"ListMoves {project} {registration_id}"
        page = page_of(call, request.page_size, request.page_token)
        after = int(page.after[0]) if page.after else 0
        found = await self._registry.history(project, registration_id, after, page.size + 1)
        shown = found[: page.size]
        token = next_token(call, [str(shown[-1][0])]) if len(found) > page.size else ""
        return registry_pb2.ListMovesResponse(moves=(move_to_proto(m) for _, m in shown), next_page_token=token)

    async def _get(self, kind: Kind, resource: str) -> Registration:
        name = parse_name(resource, COLLECTION[kind])
        return await self._registry.get(name.project, kind, name.id)

    async def _page(self, kind: Kind, parent: str, size: int, token: str) -> tuple[list[Registration], str]:
        project = project_of(parent, field="parent")
        call = f"List {kind} {project}"
        page = page_of(call, size, token)
        found = await self._registry.page(project, kind, _behind(page), page.size + 1)
        shown = found[: page.size]
        if len(found) <= page.size:
            return shown, ""
        return shown, next_token(call, [shown[-1].create_time.isoformat(), shown[-1].id])


_FORM_KINDS = {
    registry_pb2.REGISTRATION_KIND_BRAND: Kind.BRAND,
    registry_pb2.REGISTRATION_KIND_USE_CASE: Kind.USE_CASE,
}


def brand_to_proto(brand: Registration) -> registry_pb2.Brand:
    """Write a brand."""
    return registry_pb2.Brand(
        name=name_of(brand.project, Kind.BRAND, brand.id),
        fields=brand.fields,
        state=_state(brand.state),
        state_cause=brand.state_cause,
        state_field=brand.state_field,
        vetting_score=brand.vetting_score,
        create_time=timestamp(brand.create_time),
        update_time=timestamp(brand.update_time),
    )


def use_case_to_proto(use_case: Registration) -> registry_pb2.UseCase:
    """Write a use case with what carriers let it send."""
    granted = allowance(use_case.fields.get("campaignUseCase.useCase", ""), use_case.vetting_score)
    return registry_pb2.UseCase(
        name=name_of(use_case.project, Kind.USE_CASE, use_case.id),
        brand=name_of(use_case.project, Kind.BRAND, use_case.parent_id),
        fields=use_case.fields,
        state=_state(use_case.state),
        state_cause=use_case.state_cause,
        state_field=use_case.state_field,
        vetting_score=use_case.vetting_score,
        parts_per_second=granted.parts_per_second,
        messages_per_day=granted.messages_per_day,
        create_time=timestamp(use_case.create_time),
        update_time=timestamp(use_case.update_time),
    )


def number_to_proto(number: Registration) -> registry_pb2.PhoneNumber:
    """Write a number."""
    return registry_pb2.PhoneNumber(
        name=name_of(number.project, Kind.NUMBER, number.id),
        number=number.number,
        use_case=name_of(number.project, Kind.USE_CASE, number.parent_id),
        state=_state(number.state),
        state_cause=number.state_cause,
        create_time=timestamp(number.create_time),
        update_time=timestamp(number.update_time),
    )


def move_to_proto(move: Move) -> registry_pb2.Move:
    """Write a line of history."""
    return registry_pb2.Move(
        resource=name_of(move.project, move.kind, move.registration_id),
        kind=registry_pb2.RegistrationKind.Value(f"REGISTRATION_KIND_{move.kind}"),
        from_state=_state(move.from_state or "UNSPECIFIED"),
        to_state=_state(move.to_state),
        actor=move.actor,
        cause=move.cause,
        field=move.field,
        time=timestamp(move.time),
    )


def _field_to_proto(field: forms.Field) -> registry_pb2.FormField:
    return registry_pb2.FormField(
        path=field.path,
        description=field.description,
        required=field.required,
        min_length=0 if field.choices else field.min_length,
        max_length=field.max_length,
        choices=field.choices,
        condition_path=field.when[0] if field.when else "",
        condition_value=field.when[1] if field.when else "",
    )


def _state(state: str) -> registry_pb2.RegistrationState.ValueType:
    return registry_pb2.RegistrationState.Value(f"REGISTRATION_STATE_{state}")


def _behind(page: Page) -> tuple[datetime, str] | None:
    return (datetime.fromisoformat(page.after[0]), page.after[1]) if page.after else None


def _checked_parent(parent: str, request_id: str) -> str:
    if len(request_id) > _MAX_REQUEST_ID:
        raise InvalidArgument(
            [
                Violation(
                    "request_id",
                    f"must be at most {_MAX_REQUEST_ID} characters",
                    "INVALID_LENGTH",
                )
            ]
        )
    return project_of(parent, field="parent")


def _check_same_project(project: str, other: str, field: str) -> None:
    if project != other:
        raise InvalidArgument([Violation(field, "must belong to the same project", "OTHER_PROJECT")])
