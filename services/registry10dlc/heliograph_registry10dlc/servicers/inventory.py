"""`heliograph.registry10dlc.v1.InventoryService`: numbers bought, taken out, lent, and what things cost."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import inventory_pb2, inventory_pb2_grpc, registry_pb2
from heliograph_kit.auth import ProjectNotAllowed, current_principal
from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.names import parse_name, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.service.numbers import Numbers
from heliograph_registry10dlc.servicers.reading import Context, check_same_project, checked_parent
from heliograph_registry10dlc.servicers.writing import grant_to_proto, number_to_proto
from heliograph_registry10dlc.terms import Terms

_GRANTS = "shareGrants"


class InventoryServicer(inventory_pb2_grpc.InventoryServiceServicer):
    """Answers InventoryService."""

    def __init__(self, numbers: Numbers, terms: Terms) -> None:
        """Take the use cases, and what things cost."""
        self._numbers = numbers
        self._terms = terms

    async def RequestPhoneNumbers(
        self, request: inventory_pb2.RequestPhoneNumbersRequest, context: Context
    ) -> inventory_pb2.RequestPhoneNumbersResponse:
        """Have numbers bought."""
        project = checked_parent(request.parent, request.request_id)
        if not request.request_id:
            raise InvalidArgument([Violation("request_id", "is required: numbers cost money", "REQUIRED")])
        use_case_id = ""
        if request.use_case:
            use_case = parse_name(request.use_case, COLLECTION[Kind.USE_CASE], field="use_case")
            check_same_project(project, use_case.project, "use_case")
            use_case_id = use_case.id
        ordered = await self._numbers.order(
            project,
            request.number_type,
            request.capabilities,
            use_case_id=use_case_id,
            quantity=request.quantity,
            area_code=request.area_code,
            region=request.region,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return inventory_pb2.RequestPhoneNumbersResponse(
            phone_numbers=[number_to_proto(one, self._terms) for one in ordered]
        )

    async def DisassociatePhoneNumber(
        self, request: inventory_pb2.DisassociatePhoneNumberRequest, context: Context
    ) -> registry_pb2.PhoneNumber:
        """Take a number out of its use case."""
        name = parse_name(request.name, COLLECTION[Kind.NUMBER])
        return number_to_proto(await self._numbers.disassociate(name.project, name.id), self._terms)

    async def CreateShareGrant(
        self, request: inventory_pb2.CreateShareGrantRequest, context: Context
    ) -> inventory_pb2.ShareGrant:
        """Lend a number to a project whose administrator the caller is, too."""
        project = project_of(request.parent, field="parent")
        wanted = request.share_grant
        number = parse_name(wanted.phone_number, COLLECTION[Kind.NUMBER], field="share_grant.phone_number")
        check_same_project(project, number.project, "share_grant.phone_number")
        borrower = project_of(wanted.borrower, field="share_grant.borrower")
        if not current_principal().may_touch(borrower):
            raise ProjectNotAllowed
        return grant_to_proto(*await self._numbers.lend(project, number.id, borrower))

    async def DeleteShareGrant(
        self, request: inventory_pb2.DeleteShareGrantRequest, context: Context
    ) -> inventory_pb2.ShareGrant:
        """Take a lent number back."""
        name = parse_name(request.name, _GRANTS)
        return grant_to_proto(*await self._numbers.take_back(name.project, name.id))

    async def ListShareGrants(
        self, request: inventory_pb2.ListShareGrantsRequest, context: Context
    ) -> inventory_pb2.ListShareGrantsResponse:
        """Return a page of what is lent."""
        project = project_of(request.parent, field="parent")
        call = f"ListShareGrants {project}"
        page = page_of(call, request.page_size, request.page_token)
        found = await self._numbers.lent(project, page.after[0] if page.after else "", page.size + 1)
        shown = found[: page.size]
        token = next_token(call, [shown[-1][0].id]) if len(found) > page.size else ""
        return inventory_pb2.ListShareGrantsResponse(
            share_grants=[grant_to_proto(grant, number) for grant, number in shown], next_page_token=token
        )

    async def ListPrices(
        self, request: inventory_pb2.ListPricesRequest, context: Context
    ) -> inventory_pb2.ListPricesResponse:
        """Return what things cost."""
        prices = [
            inventory_pb2.Price(item=one.item, amount=f"{one.amount:.2f}", description=one.description)
            for one in self._terms.prices.prices
        ]
        return inventory_pb2.ListPricesResponse(prices=prices, version=self._terms.prices.version)
