"""The 10DLC registry for campaigns: numbers and use cases as told, texts checked by the registry's own rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from heliograph.registry10dlc.v1 import launch_pb2, launch_pb2_grpc, registry_pb2, registry_pb2_grpc
from heliograph_registry10dlc.content_check import findings
from tests.registry10dlc.papers import BRAND, USE_CASE

Context = grpc.aio.ServicerContext[Any, Any]
SHOP = "projects/shop"
READY, PENDING = registry_pb2.REGISTRATION_STATE_READY, registry_pb2.REGISTRATION_STATE_PENDING


@dataclass
class Registry(registry_pb2_grpc.RegistryServiceServicer, launch_pb2_grpc.LaunchServiceServicer):
    """What is registered, and what it was asked."""

    use_cases: dict[str, dict[str, str]] = field(default_factory=dict)
    numbers: list[registry_pb2.PhoneNumber] = field(default_factory=list)
    page_size: int = 2
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    refusal: grpc.StatusCode | None = None
    """Every call is answered with it."""
    target: str = ""

    def add_use_case(self, id_: str, **changes: str) -> str:
        """Let a use case exist, that of the papers with changes of `campaignUseCase`; return its name."""
        name = f"{SHOP}/useCases/{id_}"
        self.use_cases[name] = USE_CASE | {f"campaignUseCase.{field}": value for field, value in changes.items()}
        return name

    def add_number(
        self,
        number: str,
        use_case: str,
        state: registry_pb2.RegistrationState.ValueType = READY,
        kind: str = "",
        capabilities: tuple[str, ...] = (),
    ) -> None:
        """Let a number exist."""
        name = f"{SHOP}/phoneNumbers/{number.lstrip('+')}"
        self.numbers.append(
            registry_pb2.PhoneNumber(
                name=name,
                number=number,
                use_case=use_case,
                state=state,
                number_type=kind,
                capabilities=capabilities,
            )
        )

    async def ListPhoneNumbers(
        self, request: registry_pb2.ListPhoneNumbersRequest, context: Context
    ) -> registry_pb2.ListPhoneNumbersResponse:
        await self._be_there(context)
        assert request.parent == SHOP
        start = int(request.page_token or 0)
        end = start + self.page_size
        more = str(end) if end < len(self.numbers) else ""
        return registry_pb2.ListPhoneNumbersResponse(phone_numbers=self.numbers[start:end], next_page_token=more)

    async def CheckContent(
        self, request: launch_pb2.CheckContentRequest, context: Context
    ) -> launch_pb2.CheckContentResponse:
        await self._be_there(context)
        assert request.parent == SHOP
        assert 1 <= len(request.bodies) <= 10
        assert all(1 <= len(body) <= 1600 for body in request.bodies)
        self.asked.append((request.use_case, tuple(request.bodies)))
        if request.use_case not in self.use_cases:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such use case")
        found = findings(request.bodies, self.use_cases[request.use_case], BRAND)
        return launch_pb2.CheckContentResponse(
            findings=[
                launch_pb2.ContentFinding(
                    body_index=one.body_index,
                    reason=one.reason,
                    serious=one.serious,
                    description=one.description,
                    excerpt=one.excerpt,
                )
                for one in found
            ]
        )

    async def _be_there(self, context: Context) -> None:
        if self.refusal is not None:
            await context.abort(self.refusal, "not now")


@asynccontextmanager
async def serving_registry(registry: Registry) -> AsyncIterator[Registry]:
    """Serve it on a free port inside of the block."""
    server = grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    launch_pb2_grpc.add_LaunchServiceServicer_to_server(registry, server)
    registry.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield registry
    finally:
        await server.stop(None)
