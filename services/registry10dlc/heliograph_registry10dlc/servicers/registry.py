"""`heliograph.registry10dlc.v1.RegistryService`: brands, use cases and numbers."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import registry_pb2, registry_pb2_grpc
from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.names import parse_name, parse_pattern, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_registry10dlc.domain import Kind, Registration
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.form_protos import form_to_proto
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.service.brands import Brands
from heliograph_registry10dlc.service.numbers import Numbers
from heliograph_registry10dlc.service.use_cases import UseCases
from heliograph_registry10dlc.servicers.reading import (
    Behind,
    Context,
    check_same_project,
    checked_parent,
    page_newest_first,
)
from heliograph_registry10dlc.servicers.writing import brand_to_proto, move_to_proto, number_to_proto, use_case_to_proto

_FORM_KINDS = {
    registry_pb2.REGISTRATION_KIND_BRAND: Kind.BRAND,
    registry_pb2.REGISTRATION_KIND_USE_CASE: Kind.USE_CASE,
    registry_pb2.REGISTRATION_KIND_TOLL_FREE: Kind.TOLL_FREE,
}


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Answers RegistryService."""

    def __init__(self, book: Book, brands: Brands, use_cases: UseCases, numbers: Numbers) -> None:
        """Take the use cases."""
        self._book = book
        self._brands = brands
        self._use_cases = use_cases
        self._numbers = numbers

    async def DescribeForm(self, request: registry_pb2.DescribeFormRequest, context: Context) -> registry_pb2.Form:
        """Describe a form."""
        project_of(request.parent, field="parent")
        kind = _FORM_KINDS.get(request.kind)
        if kind is None:
            raise InvalidArgument([Violation("kind", "must be BRAND, USE_CASE or TOLL_FREE", "UNKNOWN_CHOICE")])
        return form_to_proto(kind)

    # -- brands -----------------------------------------------------------------------------------------------------

    async def CreateBrand(self, request: registry_pb2.CreateBrandRequest, context: Context) -> registry_pb2.Brand:
        """Create a brand as a draft."""
        brand = await self._brands.create(
            checked_parent(request.parent, request.request_id),
            request.brand.fields,
            external_reference=request.brand.external_reference,
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

    async def UpdateBrand(self, request: registry_pb2.UpdateBrandRequest, context: Context) -> registry_pb2.Brand:
        """Replace the fields of a brand."""
        name = parse_name(request.brand.name, COLLECTION[Kind.BRAND], field="brand.name")
        reference = request.brand.external_reference
        return brand_to_proto(
            await self._brands.update(name.project, name.id, request.brand.fields, external_reference=reference)
        )

    async def SubmitBrand(self, request: registry_pb2.SubmitBrandRequest, context: Context) -> registry_pb2.Brand:
        """Hand a brand to the registrar."""
        name = parse_name(request.name, COLLECTION[Kind.BRAND])
        return brand_to_proto(await self._brands.submit(name.project, name.id))

    async def RenewBrand(self, request: registry_pb2.RenewBrandRequest, context: Context) -> registry_pb2.Brand:
        """Ask for a longer life of a brand."""
        name = parse_name(request.name, COLLECTION[Kind.BRAND])
        return brand_to_proto(await self._brands.renew(name.project, name.id))

    async def DeleteBrand(self, request: registry_pb2.DeleteBrandRequest, context: Context) -> registry_pb2.Brand:
        """Delete a brand."""
        name = parse_name(request.name, COLLECTION[Kind.BRAND])
        return brand_to_proto(await self._brands.delete(name.project, name.id, request.confirm_company_name))

    # -- use cases --------------------------------------------------------------------------------------------------

    async def CreateUseCase(self, request: registry_pb2.CreateUseCaseRequest, context: Context) -> registry_pb2.UseCase:
        """Create a use case of a verified brand as a draft."""
        project = checked_parent(request.parent, request.request_id)
        brand = parse_name(request.use_case.brand, COLLECTION[Kind.BRAND], field="use_case.brand")
        check_same_project(project, brand.project, "use_case.brand")
        use_case = await self._use_cases.create(
            project,
            brand.id,
            request.use_case.fields,
            external_reference=request.use_case.external_reference,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return use_case_to_proto(use_case, self._book.terms)

    async def GetUseCase(self, request: registry_pb2.GetUseCaseRequest, context: Context) -> registry_pb2.UseCase:
        """Return a use case."""
        return (await self._counted(await self._get(Kind.USE_CASE, request.name)))[0]

    async def ListUseCases(
        self, request: registry_pb2.ListUseCasesRequest, context: Context
    ) -> registry_pb2.ListUseCasesResponse:
        """Return a page of use cases."""
        found, token = await self._page(Kind.USE_CASE, request.parent, request.page_size, request.page_token)
        return registry_pb2.ListUseCasesResponse(use_cases=await self._counted(*found), next_page_token=token)

    async def UpdateUseCase(self, request: registry_pb2.UpdateUseCaseRequest, context: Context) -> registry_pb2.UseCase:
        """Replace the fields of a use case, or amend it."""
        name = parse_name(request.use_case.name, COLLECTION[Kind.USE_CASE], field="use_case.name")
        reference = request.use_case.external_reference
        changed = await self._use_cases.update(
            name.project, name.id, request.use_case.fields, external_reference=reference
        )
        return (await self._counted(changed))[0]

    async def SubmitUseCase(self, request: registry_pb2.SubmitUseCaseRequest, context: Context) -> registry_pb2.UseCase:
        """Hand a use case to the registrar."""
        name = parse_name(request.name, COLLECTION[Kind.USE_CASE])
        return (await self._counted(await self._use_cases.submit(name.project, name.id)))[0]

    async def RenewUseCase(self, request: registry_pb2.RenewUseCaseRequest, context: Context) -> registry_pb2.UseCase:
        """Ask for a longer life of a use case."""
        name = parse_name(request.name, COLLECTION[Kind.USE_CASE])
        return (await self._counted(await self._use_cases.renew(name.project, name.id)))[0]

    async def DeleteUseCase(self, request: registry_pb2.DeleteUseCaseRequest, context: Context) -> registry_pb2.UseCase:
        """Delete a use case."""
        name = parse_name(request.name, COLLECTION[Kind.USE_CASE])
        return use_case_to_proto(await self._use_cases.delete(name.project, name.id), self._book.terms)

    # -- numbers ----------------------------------------------------------------------------------------------------

    async def CreatePhoneNumber(
        self, request: registry_pb2.CreatePhoneNumberRequest, context: Context
    ) -> registry_pb2.PhoneNumber:
        """Enter a number into the inventory."""
        wanted = request.phone_number
        number = await self._numbers.create(
            checked_parent(request.parent, request.request_id),
            wanted.number,
            wanted.number_type,
            wanted.capabilities,
            wanted.region,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return self._number(number)

    async def AssociatePhoneNumber(
        self, request: registry_pb2.AssociatePhoneNumberRequest, context: Context
    ) -> registry_pb2.PhoneNumber:
        """Associate a number with an approved use case."""
        name = parse_name(request.name, COLLECTION[Kind.NUMBER])
        use_case = parse_name(request.use_case, COLLECTION[Kind.USE_CASE], field="use_case")
        check_same_project(name.project, use_case.project, "use_case")
        return self._number(await self._numbers.associate(name.project, name.id, use_case.id))

    async def GetPhoneNumber(
        self, request: registry_pb2.GetPhoneNumberRequest, context: Context
    ) -> registry_pb2.PhoneNumber:
        """Return a number."""
        return self._number(await self._get(Kind.NUMBER, request.name))

    async def ListPhoneNumbers(
        self, request: registry_pb2.ListPhoneNumbersRequest, context: Context
    ) -> registry_pb2.ListPhoneNumbersResponse:
        """Return a page of numbers."""
        found, token = await self._page(Kind.NUMBER, request.parent, request.page_size, request.page_token)
        return registry_pb2.ListPhoneNumbersResponse(phone_numbers=map(self._number, found), next_page_token=token)

    async def ReleasePhoneNumber(
        self, request: registry_pb2.ReleasePhoneNumberRequest, context: Context
    ) -> registry_pb2.PhoneNumber:
        """Give a number up."""
        name = parse_name(request.name, COLLECTION[Kind.NUMBER])
        return self._number(await self._numbers.release(name.project, name.id))

    # -- history ----------------------------------------------------------------------------------------------------

    async def ListMoves(
        self, request: registry_pb2.ListMovesRequest, context: Context
    ) -> registry_pb2.ListMovesResponse:
        """Return a page of history."""
        project = project_of(request.parent, field="parent")
        registration_id = ""
        if request.resource:
            pattern = "projects/{project}/{collection}/{id}"
            named = parse_pattern(request.resource, pattern, field="resource")
            check_same_project(project, named["project"], "resource")
            registration_id = named["id"]
        call = f"ListMoves {project} {registration_id}"
        page = page_of(call, request.page_size, request.page_token)
        after = int(page.after[0]) if page.after else 0
        async with self._book.database.transaction() as conn:
            found = await self._book.stores.history.history(conn, project, registration_id, after, page.size + 1)
        shown = found[: page.size]
        token = next_token(call, [str(shown[-1].move_id)]) if len(found) > page.size else ""
        return registry_pb2.ListMovesResponse(moves=map(move_to_proto, shown), next_page_token=token)

    def _number(self, number: Registration) -> registry_pb2.PhoneNumber:
        return number_to_proto(number, self._book.terms)

    async def _get(self, kind: Kind, resource: str) -> Registration:
        name = parse_name(resource, COLLECTION[kind])
        return await self._book.read(name.project, kind, name.id)

    async def _counted(self, *use_cases: Registration) -> list[registry_pb2.UseCase]:
        """Write use cases of one project with how many numbers each has."""
        if not use_cases:
            return []
        async with self._book.database.transaction() as conn:
            counts = await self._book.stores.registrations.numbers_of(
                conn, use_cases[0].project, [one.id for one in use_cases]
            )
        return [use_case_to_proto(one, self._book.terms, counts.get(one.id, 0)) for one in use_cases]

    async def _page(self, kind: Kind, parent: str, size: int, token: str) -> tuple[list[Registration], str]:
        async def read(project: str, after: Behind, limit: int) -> list[Registration]:
            return await self._book.page(project, kind, after, limit)

        return await page_newest_first(kind, parent, size, token, read)
