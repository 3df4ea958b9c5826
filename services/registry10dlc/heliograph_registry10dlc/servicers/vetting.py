"""`heliograph.registry10dlc.v1.VettingService`."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import vetting_pb2, vetting_pb2_grpc
from heliograph_kit.names import parse_name, project_of
from heliograph_kit.rpc import fingerprint
from heliograph_registry10dlc.domain import Kind, Registration
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.service.brands import Brands
from heliograph_registry10dlc.servicers.reading import (
    Behind,
    Context,
    check_same_project,
    checked_parent,
    page_newest_first,
)
from heliograph_registry10dlc.servicers.writing import vetting_to_proto


class VettingServicer(vetting_pb2_grpc.VettingServiceServicer):
    """Answers VettingService."""

    def __init__(self, book: Book, brands: Brands) -> None:
        """Take the use cases."""
        self._book = book
        self._brands = brands

    async def RequestVetting(self, request: vetting_pb2.RequestVettingRequest, context: Context) -> vetting_pb2.Vetting:
        """Have a brand vetted."""
        project = checked_parent(request.parent, request.request_id)
        brand = parse_name(request.brand, COLLECTION[Kind.BRAND], field="brand")
        check_same_project(project, brand.project, "brand")
        vetting = await self._brands.vet(
            project, brand.id, request_id=request.request_id, fingerprint=fingerprint(request)
        )
        return vetting_to_proto(vetting)

    async def GetVetting(self, request: vetting_pb2.GetVettingRequest, context: Context) -> vetting_pb2.Vetting:
        """Return a vetting."""
        name = parse_name(request.name, COLLECTION[Kind.VETTING])
        return vetting_to_proto(await self._book.read(name.project, Kind.VETTING, name.id))

    async def ListVettings(
        self, request: vetting_pb2.ListVettingsRequest, context: Context
    ) -> vetting_pb2.ListVettingsResponse:
        """Return a page of vettings."""
        brand_id = ""
        if request.brand:
            brand = parse_name(request.brand, COLLECTION[Kind.BRAND], field="brand")
            check_same_project(project_of(request.parent, field="parent"), brand.project, "brand")
            brand_id = brand.id

        async def read(project: str, after: Behind, limit: int) -> list[Registration]:
            return await self._book.page(project, Kind.VETTING, after, limit, parent_id=brand_id)

        what = f"vettings {brand_id}"
        found, token = await page_newest_first(what, request.parent, request.page_size, request.page_token, read)
        return vetting_pb2.ListVettingsResponse(vettings=map(vetting_to_proto, found), next_page_token=token)
