"""`heliograph.registry10dlc.v1.TollFreeService`."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import toll_free_pb2, toll_free_pb2_grpc
from heliograph_kit.names import parse_name
from heliograph_kit.rpc import fingerprint
from heliograph_registry10dlc.domain import Kind, Registration
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.service.book import Book
from heliograph_registry10dlc.service.toll_free import TollFree
from heliograph_registry10dlc.servicers.reading import (
    Behind,
    Context,
    check_same_project,
    checked_parent,
    page_newest_first,
)
from heliograph_registry10dlc.servicers.writing import toll_free_to_proto

_COLLECTION = COLLECTION[Kind.TOLL_FREE]


class TollFreeServicer(toll_free_pb2_grpc.TollFreeServiceServicer):
    """Answers TollFreeService."""

    def __init__(self, book: Book, toll_free: TollFree) -> None:
        """Take the use cases."""
        self._book = book
        self._toll_free = toll_free

    async def CreateTollFreeRegistration(
        self, request: toll_free_pb2.CreateTollFreeRegistrationRequest, context: Context
    ) -> toll_free_pb2.TollFreeRegistration:
        """Create a registration as a draft."""
        project = checked_parent(request.parent, request.request_id)
        wanted = request.toll_free_registration
        field = "toll_free_registration.phone_number"
        number = parse_name(wanted.phone_number, COLLECTION[Kind.NUMBER], field=field)
        check_same_project(project, number.project, field)
        made = await self._toll_free.create(
            project, number.id, wanted.fields, request_id=request.request_id, fingerprint=fingerprint(request)
        )
        return toll_free_to_proto(made)

    async def GetTollFreeRegistration(
        self, request: toll_free_pb2.GetTollFreeRegistrationRequest, context: Context
    ) -> toll_free_pb2.TollFreeRegistration:
        """Return a registration."""
        name = parse_name(request.name, _COLLECTION)
        return toll_free_to_proto(await self._book.read(name.project, Kind.TOLL_FREE, name.id))

    async def ListTollFreeRegistrations(
        self, request: toll_free_pb2.ListTollFreeRegistrationsRequest, context: Context
    ) -> toll_free_pb2.ListTollFreeRegistrationsResponse:
        """Return a page of registrations."""

        async def read(project: str, after: Behind, limit: int) -> list[Registration]:
            return await self._book.page(project, Kind.TOLL_FREE, after, limit)

        found, token = await page_newest_first(
            "toll-free registrations", request.parent, request.page_size, request.page_token, read
        )
        return toll_free_pb2.ListTollFreeRegistrationsResponse(
            toll_free_registrations=map(toll_free_to_proto, found), next_page_token=token
        )

    async def UpdateTollFreeRegistration(
        self, request: toll_free_pb2.UpdateTollFreeRegistrationRequest, context: Context
    ) -> toll_free_pb2.TollFreeRegistration:
        """Replace the fields of a registration."""
        wanted = request.toll_free_registration
        name = parse_name(wanted.name, _COLLECTION, field="toll_free_registration.name")
        return toll_free_to_proto(await self._toll_free.update(name.project, name.id, wanted.fields))

    async def SubmitTollFreeRegistration(
        self, request: toll_free_pb2.SubmitTollFreeRegistrationRequest, context: Context
    ) -> toll_free_pb2.TollFreeRegistration:
        """Hand a registration to the registrar."""
        name = parse_name(request.name, _COLLECTION)
        return toll_free_to_proto(await self._toll_free.submit(name.project, name.id))

    async def DeleteTollFreeRegistration(
        self, request: toll_free_pb2.DeleteTollFreeRegistrationRequest, context: Context
    ) -> toll_free_pb2.TollFreeRegistration:
        """Delete a registration."""
        name = parse_name(request.name, _COLLECTION)
        return toll_free_to_proto(await self._toll_free.delete(name.project, name.id))
