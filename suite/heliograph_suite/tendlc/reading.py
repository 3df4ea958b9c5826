"""Asks the registry where registrations stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC
from typing import Any

import grpc

from heliograph.registry10dlc.v1 import (
    registry_pb2,
    registry_pb2_grpc,
    toll_free_pb2,
    toll_free_pb2_grpc,
    vetting_pb2,
    vetting_pb2_grpc,
    watch_pb2,
    watch_pb2_grpc,
)
from heliograph_suite.tendlc.timeline import Finding, Moved, Standing

_PAGE = 500
_KINDS = {
    "brands": "BRAND",
    "vettings": "VETTING",
    "useCases": "USE_CASE",
    "phoneNumbers": "NUMBER",
    "tollFreeRegistrations": "TOLL_FREE",
}


class Reading:
    """One registry, seen by one caller."""

    def __init__(self, opened: grpc.aio.Channel) -> None:
        """Take an open channel."""
        self._registry: registry_pb2_grpc.RegistryServiceAsyncStub = registry_pb2_grpc.RegistryServiceStub(opened)
        self._vettings: vetting_pb2_grpc.VettingServiceAsyncStub = vetting_pb2_grpc.VettingServiceStub(opened)
        self._toll_free: toll_free_pb2_grpc.TollFreeServiceAsyncStub = toll_free_pb2_grpc.TollFreeServiceStub(opened)
        self._watch: watch_pb2_grpc.WatchServiceAsyncStub = watch_pb2_grpc.WatchServiceStub(opened)

    async def project(self, project: str) -> tuple[list[Standing], int]:
        """Return where everything of a project stands, kind by kind, oldest first, and the last move_id seen."""
        parent = f"projects/{project}"
        # Before the registrations: what moves in between is told once more by following, and never left out.
        moves = [move async for move in self._moves(parent, "")]
        by_resource: dict[str, list[Moved]] = defaultdict(list)
        for move in moves:
            by_resource[move.resource].append(move)
        found: list[Standing] = []
        for collection, kind in _KINDS.items():
            messages = [message async for message in self._pages(collection, parent)]
            found += [_standing(kind, message, by_resource[message.name]) for message in reversed(messages)]
        return found, max((move.move_id for move in moves), default=0)

    async def registration(self, name: str) -> tuple[list[Standing], int]:
        """Return where one registration stands, and its last move_id.

        Raises:
            ValueError: it is no name of a registration.
        """
        parts = name.split("/")
        if len(parts) != 4 or parts[0] != "projects" or parts[2] not in _KINDS:
            raise ValueError(f"{name} must have the form projects/{{project}}/{{{'|'.join(_KINDS)}}}/{{id}}")
        moves = [move async for move in self._moves(f"projects/{parts[1]}", name)]
        message = await self._getters()[parts[2]](name)
        return [_standing(_KINDS[parts[2]], message, moves)], max((move.move_id for move in moves), default=0)

    async def follow(self, project: str, resource: str, after: int) -> AsyncIterator[Moved]:
        """Yield moves behind one, as they happen, until the service ends it."""
        request = watch_pb2.WatchMovesRequest(parent=f"projects/{project}", resource=resource, after_move_id=after)
        async for answer in self._watch.WatchMoves(request):
            yield _moved(answer.move)

    async def _moves(self, parent: str, resource: str) -> AsyncIterator[Moved]:
        token = ""
        while True:
            page = await self._registry.ListMoves(
                registry_pb2.ListMovesRequest(parent=parent, resource=resource, page_size=_PAGE, page_token=token)
            )
            for move in page.moves:
                yield _moved(move)
            token = page.next_page_token
            if not token:
                return

    async def _pages(self, collection: str, parent: str) -> AsyncIterator[Any]:
        call, request_type, member = self._listers()[collection]
        token = ""
        while True:
            page = await call(request_type(parent=parent, page_size=_PAGE, page_token=token))
            for message in getattr(page, member):
                yield message
            token = page.next_page_token
            if not token:
                return

    def _listers(self) -> Mapping[str, tuple[Callable[[Any], Awaitable[Any]], Any, str]]:
        return {
            "brands": (self._registry.ListBrands, registry_pb2.ListBrandsRequest, "brands"),
            "vettings": (self._vettings.ListVettings, vetting_pb2.ListVettingsRequest, "vettings"),
            "useCases": (self._registry.ListUseCases, registry_pb2.ListUseCasesRequest, "use_cases"),
            "phoneNumbers": (self._registry.ListPhoneNumbers, registry_pb2.ListPhoneNumbersRequest, "phone_numbers"),
            "tollFreeRegistrations": (
                self._toll_free.ListTollFreeRegistrations,
                toll_free_pb2.ListTollFreeRegistrationsRequest,
                "toll_free_registrations",
            ),
        }

    def _getters(self) -> Mapping[str, Callable[[str], Awaitable[Any]]]:
        registry, vettings, toll_free = self._registry, self._vettings, self._toll_free
        return {
            "brands": lambda name: registry.GetBrand(registry_pb2.GetBrandRequest(name=name)),
            "vettings": lambda name: vettings.GetVetting(vetting_pb2.GetVettingRequest(name=name)),
            "useCases": lambda name: registry.GetUseCase(registry_pb2.GetUseCaseRequest(name=name)),
            "phoneNumbers": lambda name: registry.GetPhoneNumber(registry_pb2.GetPhoneNumberRequest(name=name)),
            "tollFreeRegistrations": lambda name: toll_free.GetTollFreeRegistration(
                toll_free_pb2.GetTollFreeRegistrationRequest(name=name)
            ),
        }


def state_word(state: registry_pb2.RegistrationState.ValueType) -> str:
    """Return the short word of a state; empty for none, its number for one that is newer than this command."""
    try:
        word = registry_pb2.RegistrationState.Name(state).removeprefix("REGISTRATION_STATE_")
    except ValueError:
        return str(state)
    return "" if word == "UNSPECIFIED" else word


def kind_word(kind: registry_pb2.RegistrationKind.ValueType) -> str:
    """Return the short word of a kind; its number for one that is newer than this command."""
    try:
        return registry_pb2.RegistrationKind.Name(kind).removeprefix("REGISTRATION_KIND_")
    except ValueError:
        return str(kind)


def _standing(kind: str, message: Any, moves: list[Moved]) -> Standing:
    findings = [Finding(each.field, each.cause, each.words) for each in getattr(message, "findings", ())]
    state_field = getattr(message, "state_field", "")
    if not findings and state_field:
        findings = [Finding(state_field, message.state_cause)]
    expires = hasattr(message, "expire_time") and message.HasField("expire_time")
    return Standing(
        resource=message.name,
        kind=kind,
        title=_title(kind, message),
        state=state_word(message.state),
        update_time=message.update_time.ToDatetime(UTC),
        cause=message.state_cause,
        findings=tuple(findings),
        expire_time=message.expire_time.ToDatetime(UTC) if expires else None,
        moves=tuple(moves),
    )


def _title(kind: str, message: Any) -> str:
    if kind == "NUMBER":
        return str(message.number)
    if kind == "VETTING":
        return f"of {message.brand}"
    if kind == "TOLL_FREE":
        return f"of {message.phone_number}"
    path = "companyInfo.companyName" if kind == "BRAND" else "campaignInfo.campaignName"
    return str(message.fields.get(path, ""))


def _moved(move: registry_pb2.Move) -> Moved:
    return Moved(
        move_id=move.move_id,
        resource=move.resource,
        kind=kind_word(move.kind),
        event=move.event,
        from_state=state_word(move.from_state),
        to_state=state_word(move.to_state),
        actor=move.actor,
        time=move.time.ToDatetime(UTC),
        cause=move.cause,
        field=move.field,
        words=move.words,
    )
