"""The 10DLC registry as previews need it. Nothing that sends asks it, so a campaign runs without it."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from heliograph.registry10dlc.v1 import launch_pb2, launch_pb2_grpc, registry_pb2, registry_pb2_grpc
from heliograph_campaigns.errors import RegistryAway
from heliograph_campaigns.previews import Finding, RegisteredNumber

# A person waits for a preview; what the registry has not answered by then is told as not known.
_SECONDS = 5.0
_PAGE = 500
_TEN_DLC, _SMS = "TEN_DLC", "SMS"


class Registry10dlc:
    """Asks registry10dlc; implements what `previews` needs."""

    def __init__(self, registry: grpc.aio.Channel) -> None:
        """Take the channel, which carries an internal token."""
        self._registry = registry_pb2_grpc.RegistryServiceStub(registry)
        self._launch = launch_pb2_grpc.LaunchServiceStub(registry)

    async def numbers(self, project: str) -> Sequence[RegisteredNumber]:
        """Return the numbers of a project, those given up left out. Raises RegistryAway."""
        found: list[RegisteredNumber] = []
        request = registry_pb2.ListPhoneNumbersRequest(parent=f"projects/{project}", page_size=_PAGE)
        while True:
            try:
                page = await self._registry.ListPhoneNumbers(request, timeout=_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise RegistryAway from error
            found += [
                RegisteredNumber(
                    one.number,
                    one.number_type or _TEN_DLC,
                    one.state == registry_pb2.REGISTRATION_STATE_READY and _SMS in (one.capabilities or (_SMS,)),
                    one.use_case,
                )
                for one in page.phone_numbers
                if one.state != registry_pb2.REGISTRATION_STATE_RELEASED
            ]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def findings(self, project: str, use_case: str, bodies: Sequence[str]) -> Sequence[Sequence[Finding]] | None:
        """Return what is found about each text; None when the use case is gone. Raises RegistryAway."""
        request = launch_pb2.CheckContentRequest(parent=f"projects/{project}", use_case=use_case, bodies=bodies)
        try:
            answer = await self._launch.CheckContent(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise RegistryAway from error
        found: list[list[Finding]] = [[] for _ in bodies]
        for one in answer.findings:
            found[one.body_index].append(Finding(use_case, one.reason, one.serious, one.description, one.excerpt))
        return found
